"""What runtimes say of the code they made: /tmp/perf-PID.map, lines of `START SIZE NAME`.

The format is that of perf, tools/perf/Documentation/jit-interface.txt.
"""
from __future__ import annotations

import os
from stat import S_ISREG

import numpy as np

from bpfwright._typing import Sequence
from bpfwright.symbols.table import Addresses, Indices, SymbolTable

__all__ = ["PerfMap"]

_LARGEST = 1 << 28
_HIGHEST = 1 << 64


class PerfMap:
    """One such file; it is read again when it has changed, and what was read stays when it goes.

    Of entries that begin together the last counts: the memory was used again. Lines that are none are passed over, and
    so is a last one without its end: the runtime is writing it. A file of another user than `users` is not believed.
    """

    __slots__ = ("_names", "_paths", "_seen", "_starts", "_table", "_users")

    def __init__(self, paths: Sequence[str], users: Sequence[int]) -> None:
        self._paths = tuple(paths)
        self._users = frozenset(users)
        self._seen: tuple[int, int, int] | None = None
        self._names: list[bytes] = []
        self._starts: Addresses = np.zeros(0, np.uint64)
        self._table: SymbolTable | None = None

    def refresh(self) -> None:
        """Read it if it is there and has changed."""
        for path in self._paths:
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
            except OSError:
                continue
            try:
                stat = os.fstat(file)
                if not S_ISREG(stat.st_mode) or stat.st_uid not in self._users:
                    continue
                seen = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
                if seen != self._seen:
                    with os.fdopen(os.dup(file), "rb") as stream:
                        self._read(stream.read(_LARGEST))
                    self._seen = seen
                return
            except OSError:
                continue
            finally:
                os.close(file)

    def _read(self, text: bytes) -> None:
        starts, sizes, names = [], [], []
        for line in text[:text.rfind(b"\n") + 1].split(b"\n"):
            parts = line.split(b" ", 2)
            if len(parts) == 3 and parts[2]:
                try:
                    start, size = int(parts[0], 16), int(parts[1], 16)
                except ValueError:
                    continue
                if 0 <= start < _HIGHEST and 0 < size < _HIGHEST:
                    starts.append(start)
                    sizes.append(size)
                    names.append(parts[2])
        self._names = names
        self._starts = np.array(starts, dtype=np.uint64)
        self._table = SymbolTable(self._starts, np.array(sizes, dtype=np.uint64), self._starts,
                                  -np.arange(len(starts), dtype=np.int64))

    def find(self, addresses: Addresses) -> Indices:
        """The entry that each address is in, -1 for none."""
        if self._table is None:
            return np.full(len(addresses), -1, dtype=np.int64)
        return self._table.find(addresses)

    def entry(self, row: int) -> tuple[str, int]:
        """An entry's name and begin."""
        return self._names[row].decode("utf-8", "replace"), int(self._starts[row])
