"""Running one case: what it prints, what is said beside it, its exit code."""
from __future__ import annotations

from typing import Any

from bpfwright.facets.trace.options import Options
from bpfwright.facets.trace.configuration import DEFAULTS
from bpfwright.facets.trace.running import Running
from bpfwright.facets.trace.scripts import compiled
from tests.facets.trace.language.cases import Case

__all__ = ["Kept", "outcome"]


class Kept:
    """A stream into memory."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def flush(self) -> None: ...


def outcome(case: Case, machine: Any) -> tuple[str, str, int]:
    """What the script printed, what was said on the side, and the exit code."""
    out, errors = Kept(), Kept()
    options = Options(words=case.words, named=dict(case.named), unsafe=True,
                      tests="test" if case.script.startswith("test:") else "")
    made = compiled(case.script, "", options, machine, cached=False)
    with Running(made, machine, out, errors, quiet=True, defaults=DEFAULTS) as running:
        if options.tests:
            code = running.run_tests()
        else:
            running.start()
            code = running.follow(seconds=5)
    said = errors.data.decode("utf-8", "surrogateescape") + "".join(made.plan.warnings)
    return out.data.decode("utf-8", "surrogateescape"), said, code
