"""Scripts of bpftrace's language on another kernel: the tables that the tests run here, whole."""
from __future__ import annotations

import os
import sys
from typing import Any

from vmtest.own_cache import own_cache

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "5.10"


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    from bpfwright.kernel import Kernel
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from tests.facets.trace.language.cases import all_cases
    wrong: list[str] = []
    with own_cache():
        with Kernel() as machine:
            here = release(os.uname().release)
            chosen = [case for case in all_cases() if not (case.error or case.settings or case.pattern)
                      and release(case.since or "0.0") <= here]
            for case in chosen:
                problem = tried(case, machine)
                if problem:
                    wrong.append(f"{case.chapter}: {case.name}: {problem}")
            print(f"{len(chosen)} scripts, {len(wrong)} of them wrong")
    assert not wrong, "\n".join(wrong)


def release(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor.partition("-")[0])


def tried(case: Any, machine: Any) -> str:
    """What is wrong with a script's outcome, or nothing."""
    from tests.facets.trace.language.running import outcome
    try:
        output, _, code = outcome(case, machine)
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"
    if code != case.code:
        return f"ended with {code}"
    return "" if output.strip() == case.output.strip() else repr(output)
