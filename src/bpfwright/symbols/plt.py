"""Names for the stubs through which a file calls others: `puts@plt`.

A stub jumps through a slot of the global offset table, and a relocation says whose address comes into that slot. That
holds for .plt, .plt.sec and .plt.got, however the linker lays them out (x86-64 psABI, 5.2).
"""
from __future__ import annotations

import numpy as np

from bpfwright._typing import NamedTuple
from bpfwright.errors import ElfError
from bpfwright.formats.elf.program import Program

__all__ = ["Stub", "find_stubs"]

_X86_64 = 62
_SHT_RELA = 4
_IRELATIVE = 37
_STUBS = (b".plt", b".plt.sec", b".plt.got", b".iplt")
_RELA = np.dtype([("offset", "<u8"), ("type", "<u4"), ("symbol", "<u4"), ("addend", "<i8")])


class Stub(NamedTuple):
    """A stub of `size` bytes: to the symbol in row `symbol` of section `table`, or if 0 to what `resolver` finds."""

    address: int
    size: int
    table: int
    symbol: int
    resolver: int


def find_stubs(program: Program) -> list[Stub]:
    """The stubs of an x86-64 file; of others none."""
    if program.machine != _X86_64:
        return []
    sections = [section for section in program.sections if section.name in _STUBS and section.type == 1]
    if not sections:
        return []
    slots: dict[int, tuple[int, int, int]] = {}
    for section in program.sections:
        if section.type == _SHT_RELA and section.flags & 2:
            data = program.contents(section)
            rows = np.frombuffer(data, _RELA, count=len(data) // _RELA.itemsize)
            rows = rows[(rows["symbol"] != 0) | (rows["type"] == _IRELATIVE)]
            for offset, kind, symbol, addend in rows.tolist():
                slots[offset] = (section.link, symbol, addend if kind == _IRELATIVE else 0)
    stubs = []
    for section in sections:
        data = program.contents(section)
        size = section.entry_size if section.entry_size in (8, 16) else 16
        if section.name != b".plt.got" and size == 8:
            size = 16
        at = data.find(b"\xff\x25")  # jmp *slot(%rip)
        while 0 <= at <= len(data) - 6:
            behind = section.address + at + 6
            slot = slots.get(behind + int.from_bytes(data[at + 2:at + 6], "little", signed=True))
            if slot is not None:
                stubs.append(Stub(section.address + at // size * size, size, *slot))
            at = data.find(b"\xff\x25", at + (6 if slot is not None else 1))
    if len(stubs) > 1 << 20:
        raise ElfError("malformed ELF file", why="more than a million stubs")
    return stubs
