"""Programs written in Python that real verifiers reject: each rejection lands on its Python line, with a cure."""
from __future__ import annotations

import re
from pathlib import Path

import pytest

from bpfwright.kernel.cures import cure_for
from bpfwright.kernel.verifier_log import parse
from vmtest.cases.rejections import ACCEPTED
from vmtest.programs.rejected import REJECTED
from vmtest.python_rejections import RECORDS, SOURCE, build, marked, say

LOGS = sorted(RECORDS.glob("*/*.log"))
# Said of the whole program: their logs name no line, the loader says the program's first.
PLACELESS = {"endless", "lock_in_tracing", "stack_of_calls", "timer_in_tracing"}


@pytest.fixture(scope="module")
def built() -> dict[str, bytes]:
    return build()


@pytest.mark.kernel
@pytest.mark.parametrize("name", REJECTED)
def test_rejected_here_on_the_python_line(name: str, built: dict[str, bytes], no_leaks: None) -> None:
    if name not in built:
        return  # our own compiler refuses it, on the marked line: `build` has looked
    said = say(built[name])
    if not said.kind and name in ACCEPTED:
        return  # newer kernels take it
    assert said.kind == "VerifierError", said.text
    assert said.file.endswith("rejected.py") and said.line in marked()[name], said.text
    assert said.reason and said.cure, said.text
    assert SOURCE.read_text().splitlines()[said.line - 1].strip() in said.text


def test_the_header_that_moved_has_a_cure_of_its_own() -> None:
    for kernel in ("5.10", "6.1", "6.12", "7"):
        verdict = parse((RECORDS / kernel / "header_after_adjust.log").read_text())
        assert "adjust_head" in cure_for(verdict.reason)


def test_there_are_fifteen_on_every_kernel() -> None:
    for kernel in ("5.10", "6.1", "6.12", "7"):
        assert len(list((RECORDS / kernel).glob("*.log"))) >= 13
    assert len(REJECTED) >= 15


@pytest.mark.parametrize("path", LOGS, ids=[f"{path.parent.name}-{path.stem}" for path in LOGS])
def test_recorded_logs_name_python_lines(path: Path) -> None:
    verdict = parse(path.read_text())
    assert verdict.reason and (verdict.suggestion or cure_for(verdict.reason))
    if path.stem in PLACELESS:
        return
    lines = SOURCE.read_text().splitlines()
    wanted = {re.sub(r"\s+", " ", lines[number - 1].strip()) for number in marked()[path.stem]}
    assert re.sub(r"\s+", " ", verdict.source.strip()) in wanted
