"""The twelve programs of the typed surface, and what a kernel told about the hooks that they use."""
from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bpfwright.cli.sources import programs_of
from bpfwright.spec.program import Program

__all__ = ["FACTS", "PROGRAMS", "Recorded", "copy", "imported", "programs"]

PROGRAMS = Path(__file__).parent / "programs"
FACTS = Path(__file__).parent / "facts.json"
NAMES = tuple(sorted(path.stem for path in PROGRAMS.glob("p*.py")))


def copy(folder: Path) -> None:
    """The programs as they stand."""
    for path in PROGRAMS.glob("*.py"):
        (folder / path.name).write_text(path.read_text())


def imported(folder: Path, name: str) -> ModuleType:
    """A program's module; its neighbours are found beside it."""
    found = sys.modules.get(name)
    if found is not None and found.__file__ == str(folder / f"{name}.py"):
        return found
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def programs(folder: Path, name: str) -> dict[str, Program[Any, Any, Any]]:
    """The programs of one of the twelve, by name."""
    return {program.name: program for program in programs_of(vars(imported(folder, name)))}


class Recorded:
    """Answers as Linux 6.18 gave them, so that compiling needs no kernel; `Recorded(kernel)` asks and writes down."""

    def __init__(self, kernel: Any = None) -> None:
        self._kernel = kernel
        self.answers: dict[str, Any] = {} if kernel is not None else json.loads(FACTS.read_text())

    def _ask(self, question: str, *words: str) -> Any:
        key = " ".join((question, *words))
        if self._kernel is not None:
            self.answers[key] = getattr(self._kernel, question)(*words)
        return self.answers[key]

    def event_format(self, category: str, name: str) -> str:
        """See Kernel."""
        text: str = self._ask("event_format", category, name)
        return text

    def events(self, category: str) -> list[tuple[str, str]]:
        """See Kernel."""
        return [(group, name) for group, name in self._ask("events", category)]

    def prototype(self, kind: str, name: str) -> list[tuple[str, str]]:
        """See Kernel."""
        return [(parameter, struct) for parameter, struct in self._ask("prototype", kind, name)]


def record() -> None:
    """Write facts.json anew, on a kernel that has what the programs name: `python -m tests.api.surface`."""
    import tempfile

    from bpfwright import Kernel
    from bpfwright.session import prepare
    with tempfile.TemporaryDirectory() as folder, Kernel() as kernel:
        copy(Path(folder))
        sys.path.insert(0, folder)
        recorded: Any = Recorded(kernel)
        for name in NAMES:
            prepare(programs(Path(folder), name).values(), recorded)
        FACTS.write_text(json.dumps(recorded.answers, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    record()
