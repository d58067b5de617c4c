"""The kernel's symbols: /proc/kallsyms, in which modules and BPF programs stand too."""
from __future__ import annotations

from os import PathLike, fspath

import numpy as np
from numpy.typing import NDArray

from bpfwright._typing import Sequence
from bpfwright.errors import TargetError
from bpfwright.symbols.kallsyms import KALLSYMS, PART_SIZE, hidden, not_a_list, opened
from bpfwright.symbols.symbol import Symbol
from bpfwright.symbols.table import Addresses, Indices, Resolved, SymbolTable, as_addresses

__all__ = ["KernelSymbols"]

_DIGITS = 16
_PAGE = np.uint64(4096)
_NIBBLES = np.full(256, 255, dtype=np.uint8)
_NIBBLES[np.frombuffer(b"0123456789", np.uint8)] = range(10)
_NIBBLES[np.frombuffer(b"abcdef", np.uint8)] = range(10, 16)
_NIBBLES[np.frombuffer(b"ABCDEF", np.uint8)] = range(10, 16)


class KernelSymbols:
    """The symbols of the running kernel as they are now, or of a copy of its `kallsyms`.

        kernel = KernelSymbols()
        kernel.address("vfs_read")                  # 0xffffffff813a0b10
        kernel.find(0xffffffff813a0b20)             # Symbol(name='vfs_read', offset=16, module='')
        kernel.resolve(addresses).columns()         # a hundred thousand at once

    Of symbols at one address the first in the file names it, as in the kernel's own traces. A symbol ends where the
    next one of its module begins, a module's last one at the end of its page.

    Raises PrivilegeError where the kernel hides the addresses (sysctl kernel.kptr_restrict), NotSupported where it has
    no such file, and FormatError for what is no such file.
    """

    __slots__ = ("_addresses", "_data", "_ends", "_names", "_rows", "_table")

    def __init__(self, path: str | PathLike[str] = KALLSYMS) -> None:
        with opened(path) as file:
            data = b"".join(iter(lambda: file.read(PART_SIZE), b""))  # no buffer of what a file might have at most
        self._read(data, fspath(path))

    def _read(self, data: bytes, path: str) -> None:
        if not data.endswith(b"\n"):
            data += b"\n" if data else b""
        self._data = data
        text = np.frombuffer(data, np.uint8)
        ends: Indices = np.flatnonzero(text == 10)
        starts: Indices = np.append(np.int64(0), ends[:-1] + 1) if len(ends) else ends
        short = np.flatnonzero(ends - starts < _DIGITS + 4)
        if len(short):
            raise not_a_list(path, int(starts[short[0]]))
        self._addresses = np.zeros(len(starts), dtype=np.uint64)
        wrong = (text[starts + _DIGITS] != 32) | (text[starts + _DIGITS + 2] != 32) if len(starts) else starts != starts
        for place in range(_DIGITS):
            nibbles = _NIBBLES[text[starts + place]]
            wrong |= nibbles == 255
            self._addresses = (self._addresses << np.uint64(4)) | nibbles.astype(np.uint64)
        if wrong.any():
            raise not_a_list(path, int(starts[np.flatnonzero(wrong)[0]]))
        if len(starts) and not self._addresses.any():
            raise hidden(path)
        self._names = starts + _DIGITS + 3
        self._ends = ends
        kinds = text[starts + _DIGITS + 1] if len(starts) else text[:0]
        # Absolute symbols are numbers, such as offsets in per-CPU areas, not places.
        self._rows: Indices = np.flatnonzero((kinds != ord("a")) & (kinds != ord("A")) & (self._addresses != 0))
        self._table = SymbolTable(self._addresses[self._rows], np.zeros(len(self._rows), np.uint64),
                                  self._limits(text), np.zeros(len(self._rows), np.int64))

    def _limits(self, text: NDArray[np.uint8]) -> Addresses:
        """Where each symbol ends at the latest: its page's end before another module's symbols, else nowhere."""
        addresses = self._addresses[self._rows]
        limits = np.full(len(addresses), np.uint64(0xFFFF_FFFF_FFFF_FFFF))
        if not len(addresses):
            return limits
        tabs = np.flatnonzero(text == 9)
        lines = np.searchsorted(self._ends, tabs)
        module = np.zeros(len(self._addresses), dtype=np.int64)
        for line, tab in zip(lines.tolist(), tabs.tolist()):
            module[line] = hash(self._data[tab:self._ends[line]])
        module = module[self._rows]
        order = np.argsort(addresses, kind="stable")
        changes = np.append(module[order][1:] != module[order][:-1], True)
        last = np.isin(addresses, addresses[order[changes]])  # each name of it: the first one is shown
        limits[last] = (addresses[last] // _PAGE + np.uint64(1)) * _PAGE
        return limits

    def __len__(self) -> int:
        return len(self._addresses)

    def _text(self, row: int) -> tuple[str, str]:
        line = self._data[self._names[row]:self._ends[row]]
        name, _, module = line.decode("utf-8", "replace").partition("\t")
        return name, module.strip("[]")

    def addresses(self, name: str, module: str | None = None) -> list[int]:
        """All addresses of that name, of that module's if given (`""`: the kernel's own); there may be several."""
        found, wanted = [], f" {name}".encode("utf-8", "surrogateescape")
        at = self._data.find(wanted)
        while at >= 0 and name:
            behind = at + len(wanted)
            row = int(np.searchsorted(self._ends, at))
            if self._data[behind] in b"\n\t" and at + 1 == self._names[row] and (
                    module is None or self._text(row)[1] == module):
                found.append(int(self._addresses[row]))
            at = self._data.find(wanted, behind)
        return found

    def address(self, name: str, module: str | None = None) -> int:
        """The first address of that name. Raises TargetError when there is none."""
        found = self.addresses(name, module)
        if not found:
            raise TargetError(f"the kernel has no symbol {name!r}" + (f" in {module!r}" if module else ""),
                              cure="/proc/kallsyms lists what it has; what was inlined is not there.")
        return found[0]

    def find(self, address: int) -> Symbol:
        """What one address is in; `Symbol("", address, "[unknown]")` when nothing is known."""
        return self.resolve([address])[0]

    def resolve(self, addresses: Sequence[int] | Addresses) -> Resolved:
        """What each of many addresses is in."""
        wanted = as_addresses(addresses)
        rows = self._table.find(wanted)
        distinct, which = np.unique(rows, return_inverse=True)
        begins = np.zeros(len(distinct), dtype=np.uint64)
        names, modules = [], []
        for place, row in enumerate(distinct.tolist()):
            name, module = "", "[unknown]"
            if row >= 0:
                line = int(self._rows[row])
                name, module = self._text(line)
                begins[place] = self._addresses[line]
            names.append(name)
            modules.append(module)
        return Resolved(names, modules, which.astype(np.int64), wanted - begins[which])
