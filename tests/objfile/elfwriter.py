"""Writes small ELF objects for tests, in either byte order: sections, symbols, relocations, BTF and .BTF.ext."""
from __future__ import annotations

from collections.abc import Mapping, Sequence
from struct import pack

GLOBAL, WEAK, FUNC, OBJECT, SECTION = 1, 2, 2, 1, 3
EXECUTABLE, WRITABLE, ALLOCATED = 4, 1, 2


Records = Mapping[int, Sequence[tuple[int, ...]]]


class ElfWriter:
    """Gathers parts; `build` lays them out."""

    def __init__(self, *, big_endian: bool = False, machine: int = 247) -> None:
        self.order = ">" if big_endian else "<"
        self.machine = machine
        self.sections: list[tuple[str, int, int, bytes, int, int, int]] = [("", 0, 0, b"", 0, 0, 0)]
        self.symbols: list[tuple[str, int, int, int, int, int]] = [("", 0, 0, 0, 0, 0)]
        self.relocations: list[tuple[int, list[tuple[int, int, int]]]] = []

    def section(self, name: str, data: bytes, *, kind: int = 1, flags: int = 0, size: int = 0) -> int:
        """A section (kind 8: .bss of `size`); its number."""
        self.sections.append((name, kind, flags, data, size or len(data), 0, 0))
        return len(self.sections) - 1

    def code(self, name: str, data: bytes) -> int:
        """A section of instructions."""
        return self.section(name, data, flags=EXECUTABLE | ALLOCATED)

    def symbol(self, name: str, section: int, value: int = 0, size: int = 0, *, kind: int = FUNC,
               binding: int = GLOBAL) -> int:
        """A symbol; its number."""
        self.symbols.append((name, kind, binding, section, value, size))
        return len(self.symbols) - 1

    def relocate(self, section: int, entries: Sequence[tuple[int, int, int]]) -> None:
        """Relocations of a section: (offset, symbol, type)."""
        self.relocations.append((section, list(entries)))

    def build(self) -> bytes:
        """The object."""
        sections = list(self.sections)
        strings = bytearray(b"\0")

        def name_of(text: str) -> int:
            at = len(strings)
            strings.extend(text.encode() + b"\0")
            return at if text else 0

        symbols = b"".join(pack(self.order + "IBBHQQ", name_of(name), binding << 4 | kind, 0, section, value, size)
                           for name, kind, binding, section, value, size in self.symbols)
        table = len(sections) + len(self.relocations)
        for target, entries in self.relocations:
            data = b"".join(pack(self.order + "QQ", offset, symbol << 32 | kind) for offset, symbol, kind in entries)
            sections.append((".rel" + sections[target][0], 9, 0, data, len(data), table, target))
        sections.append((".symtab", 2, 0, symbols, len(symbols), table + 1, 1))
        names = [name_of(section[0]) for section in sections] + [name_of(".strtab")]
        sections.append((".strtab", 3, 0, bytes(strings), len(strings), 0, 0))
        out, headers = bytearray(64), b""
        for name, (_, kind, flags, data, size, link, info) in zip(names, sections):
            out += bytes(-len(out) % 8)
            headers += pack(self.order + "IIQQQQIIQQ", name, kind, flags, 0, len(out), size, link, info, 8,
                            {2: 24, 9: 16}.get(kind, 0))
            out += data
        out += bytes(-len(out) % 8)
        start = len(out)
        identity = b"\x7fELF\x02" + (b"\x02" if self.order == ">" else b"\x01") + b"\x01" + bytes(9)
        out[:64] = identity + pack(self.order + "HHIQQQIHHHHHH", 1, self.machine, 1, 0, 0, start, 0, 64, 0, 0, 64,
                                   len(sections), len(sections) - 1)
        return bytes(out + headers)


def extension(order: str, functions: Records, lines: Records, core: Records) -> bytes:
    """A .BTF.ext: section name offset -> records of (offset, type), (offset, file, line text, line<<10|column) and
    (offset, type, access string, kind)."""
    tables = []
    for size, table in ((8, functions), (16, lines), (16, core)):
        data = pack(order + "I", size)
        for name, records in table.items():
            data += pack(order + "II", name, len(records)) + b"".join(
                pack(f"{order}{size // 4}I", *record) for record in records)
        tables.append(data)
    offsets = [0, len(tables[0]), len(tables[0]) + len(tables[1])]
    header = pack(order + "HBBI", 0xEB9F, 1, 0, 32) + b"".join(
        pack(order + "II", offset, len(data)) for offset, data in zip(offsets, tables))
    return header + b"".join(tables)
