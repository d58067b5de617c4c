"""Python programs that verifiers reject: built here, loaded in the guest, and what was said recorded as test data.

    python -m vmtest.python_rejections [KERNEL...]      writes tests/data/rejections/KERNEL/NAME.log
"""
from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

__all__ = ["Said", "build", "main", "marked", "say"]

SOURCE = Path(__file__).parent / "programs" / "rejected.py"
RECORDS = Path(__file__).parents[1] / "tests" / "data" / "rejections"
KEPT = 12_000  # characters at the end of a log, where the cause is


class Said(NamedTuple):
    """What became of a program: the error's class ("" when it loaded), its place, reason, cure, text and log."""

    kind: str = ""
    file: str = ""
    line: int = 0
    reason: str = ""
    cure: str = ""
    text: str = ""
    log: str = ""


def build() -> dict[str, bytes]:
    """Each program's object, for the oldest kernel. Those that our own compiler refuses are not among them."""
    from bpfwright.errors import CompileError
    from bpfwright.kernel import Kernel
    from bpfwright.lang.compile import compile_programs
    from bpfwright.lang.target import OLDEST
    from bpfwright.session import prepare
    from vmtest.programs.rejected import REJECTED
    made = {}
    with Kernel() as kernel:
        for name, program in REJECTED.items():
            prepare([program], kernel)
            try:
                made[name] = compile_programs([program], OLDEST).elf
            except CompileError as refused:
                assert refused.line in marked()[name], str(refused)
    return made


def marked() -> dict[str, set[int]]:
    """By program, the lines of it (and of what it calls) that its source marks as the wrong ones."""
    found: dict[str, set[int]] = {}
    shared: set[int] = set()
    name, decorated = "", False
    for number, text in enumerate(SOURCE.read_text().splitlines(), 1):
        if text.startswith("@"):
            decorated = ".program" in text
        if text.startswith("def "):
            name = text[4:text.index("(")] if decorated else ""
        if text.endswith("# here"):
            (found.setdefault(name, set()) if name else shared).add(number)
    found.setdefault("nested_calls", set())  # goes wrong in what it calls
    return {name: lines | shared for name, lines in found.items()}


def say(data: bytes) -> Said:
    """Load an object here; what was said against it."""
    from bpfwright import objfile
    from bpfwright.errors import BpfwrightError, VerifierError
    from bpfwright.kernel import Kernel
    try:
        with Kernel() as kernel, kernel.load(objfile.read(data)):
            return Said()
    except VerifierError as error:
        return Said("VerifierError", error.file, error.line, error.reason, error.cure, str(error), error.log)
    except BpfwrightError as error:
        return Said(type(error).__name__, reason=error.why, cure=error.cure, text=str(error))


def _load_all(folder: Path) -> None:
    for path in sorted(folder.glob("*.o")):
        print(json.dumps([path.stem, *say(path.read_bytes())]), flush=True)


def _record(series: str, folder: Path) -> None:
    from vmtest import boot, kernels, lab
    command = [sys.executable, "-m", "vmtest.python_rejections", "--load", str(folder)]
    lines: list[str] = []
    outcome = boot.run(kernels.get(series), command, folder=str(lab.TOP),
                       environment={"PYTHONPATH": f"{lab.TOP}/src:{lab.TOP}"}, timeout_s=300, on_line=lines.append)
    if outcome.status:
        raise kernels.LabError(f"{series}: status {outcome.status}\n{outcome.console}\n{outcome.stderr}")
    target = RECORDS / series
    target.mkdir(parents=True, exist_ok=True)
    for line in lines:
        name, *rest = json.loads(line)
        said = Said(*rest)
        (target / f"{name}.log").unlink(missing_ok=True)  # what our own compiler refuses by now keeps its record
        print(f"== {series} {name} {said.kind or 'accepted'}\n{said.text}", flush=True)
        if said.log:
            log = said.log.replace(str(SOURCE), SOURCE.name).replace(f"{SOURCE.parent}/", "")
            (target / f"{name}.log").write_text(log[-KEPT:])


def main(*words: str) -> None:
    if words[:1] == ("--load",):
        _load_all(Path(words[1]))
        return
    from vmtest import kernels
    with tempfile.TemporaryDirectory(prefix="rejections.", dir=kernels.cache_folder()) as scratch:
        for name, data in build().items():
            Path(scratch, f"{name}.o").write_bytes(data)
        for series in words or kernels.SERIES:
            _record(series, Path(scratch))


if __name__ == "__main__":
    main(*sys.argv[1:])
