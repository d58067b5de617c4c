"""What a case is, and the lines that the guest says about it."""
from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, cast

__all__ = ["Case", "CaseModule", "Result", "case", "case_names"]

# A verdict: `ok`; `refused` (this kernel lacks it, and says so clearly); `failed`; `died` (took the guest with it).
VERDICTS = ("ok", "refused", "failed", "died")

CASES = Path(__file__).parent / "cases"


class CaseModule(Protocol):
    """A file in `cases/`. Its docstring's first line is what it shows.

    `build` runs on this machine, may compile, and gives named byte strings; `check` runs in the guest, where importing
    LLVM would take seconds, gets the same strings, and raises when something is wrong.
    """

    HOOK: str        # the row of the table hook x kernel
    SINCE: str       # the oldest series where it must work; older ones must refuse it

    def build(self) -> dict[str, bytes]: ...
    def check(self, files: dict[str, bytes]) -> None: ...


class Case(NamedTuple):
    name: str
    title: str
    hook: str
    since: str
    module: CaseModule

    def expected_on(self, series: str) -> frozenset[str]:
        """The verdicts that pass on this series. This machine's own kernel may have any configuration."""
        if series == "host":
            return frozenset(("ok", "refused"))
        return frozenset(("ok" if _number(series) >= _number(self.since) else "refused",))


class Result(NamedTuple):
    """One case on one kernel; `detail` says why it is not ok."""

    case: str
    verdict: str
    seconds: float
    detail: str = ""

    def line(self) -> str:
        return json.dumps(self._asdict())


def _number(series: str) -> tuple[int, ...]:
    return tuple(int(part) for part in series.split("."))


def case_names() -> list[str]:
    return sorted(path.stem for path in CASES.glob("*.py") if not path.stem.startswith("_"))


def case(name: str) -> Case:
    module = import_module(f"vmtest.cases.{name}")
    title = (module.__doc__ or name).strip().splitlines()[0]
    shaped = cast(CaseModule, module)
    return Case(name, title, shaped.HOOK, shaped.SINCE, shaped)
