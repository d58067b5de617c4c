"""What changes of a live generation's tables need, on disk: columns that are read by parts, and what was changed since.

A change is announced, made in the live tables, and committed; each of these is one rename. A process that dies between
leaves the announcement, and the next one makes the same change again from where the last commit was: what it finds done
already, it does once more to the same effect.
"""
from __future__ import annotations

import json
import os

from bpfwright._typing import TYPE_CHECKING, Any, Mapping
from bpfwright.datapath.facet import Edit, Facts

if TYPE_CHECKING:
    import numpy

__all__ = ["Book"]

_HEADER, _STATE, _CHANGE, _HALFWAY = "header.json", "state.json", "change.json", "halfway.json"
_LITTLE = 1 << 16  # bytes: as much is read at once


class Book:
    """A folder of files; the columns are NumPy's own format."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._committed: Facts | None = None

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return os.path.exists(f"{self.folder}/{_STATE}")

    def make(self, header: Facts, columns: Mapping[str, numpy.ndarray], state: Facts) -> None:
        """Write it, for tables that nobody has changed yet."""
        import numpy as np
        os.makedirs(self.folder, mode=0o700)
        for name, column in columns.items():
            np.save(f"{self.folder}/{name}.npy", column, allow_pickle=False)
        self._write(_HEADER, header)
        self._write(_STATE, {"edits": [], "state": state})

    def header(self) -> Facts:
        """What it was made with."""
        found: Facts = self._read(_HEADER)
        return found

    def column(self, name: str) -> numpy.ndarray:
        """A column; what is changed in it stays in this process."""
        import numpy as np
        path = f"{self.folder}/{name}.npy"
        by_parts = os.path.getsize(path) > _LITTLE
        found: numpy.ndarray = np.load(path, mmap_mode="c" if by_parts else None, allow_pickle=False)
        return found.view(np.ndarray)

    def edits(self) -> list[Facts]:
        """What was committed, in order."""
        found: list[Facts] = self._last["edits"]
        return found

    @property
    def _last(self) -> Facts:
        if self._committed is None:
            self._committed = self._read(_STATE) or {"edits": [], "state": {}}
        return self._committed

    def state(self) -> tuple[Facts, Facts]:
        """The tables' state where a change begins, and how far it is by then."""
        found = self._read(_HALFWAY) or self._last
        return found["state"], found.get("progress", {})

    # a change

    def announced(self) -> Edit | None:
        """A change that was begun and not committed."""
        found = self._read(_CHANGE)
        if found is None or found["number"] != len(self.edits()):
            return None
        return Edit(found["name"], tuple(found["add"]), tuple(found["remove"]))

    def announce(self, edit: Edit) -> None:
        """A change begins."""
        self._forget(_HALFWAY)
        self._write(_CHANGE, {**edit._asdict(), "number": len(self.edits())})

    def halfway(self, state: Facts, progress: Facts) -> None:
        """From here on it goes on from this state."""
        self._write(_HALFWAY, {"state": state, "progress": progress})

    def commit(self, note: Facts, state: Facts) -> None:
        """It is made; `note` is what is to be remembered of it."""
        committed = {"edits": [*self.edits(), note], "state": state}
        self._write(_STATE, committed)
        self._committed = None
        self._forget(_HALFWAY)
        self._forget(_CHANGE)

    def _write(self, name: str, value: Any) -> None:
        path = f"{self.folder}/{name}"
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            file.write(json.dumps(value))  # several times as fast as dump
        os.replace(f"{path}.new", path)

    def _read(self, name: str) -> Any:
        try:
            with open(f"{self.folder}/{name}", encoding="utf-8") as file:
                return json.load(file)
        except FileNotFoundError:
            return None

    def _forget(self, name: str) -> None:
        try:
            os.unlink(f"{self.folder}/{name}")
        except FileNotFoundError:
            pass
