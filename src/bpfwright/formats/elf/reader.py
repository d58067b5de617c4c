"""Reads ELF64 relocatable objects of either byte order: sections, symbols, relocations; every bound checked."""
from __future__ import annotations

from struct import Struct, error as struct_error

from bpfwright._typing import NamedTuple
from bpfwright.errors import ElfError

__all__ = ["EM_BPF", "Elf", "ElfRelocation", "Section", "Symbol"]

EM_BPF = 247
ET_REL = 1
SHT_SYMTAB, SHT_STRTAB, SHT_RELA, SHT_NOBITS, SHT_REL, SHT_PROGBITS = 2, 3, 4, 8, 9, 1
SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
STB_LOCAL, STB_GLOBAL, STB_WEAK = 0, 1, 2
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION, STT_FILE = 0, 1, 2, 3, 4
SHN_UNDEF, SHN_COMMON, SHN_LORESERVE, SHN_XINDEX = 0, 0xFFF2, 0xFF00, 0xFFFF
_MAX_SECTION = 1 << 28      # a section without file contents (.bss) of more than 256 MiB is an absurdity


class Section(NamedTuple):
    """A section header; `size` counts for .bss too, which has no bytes in the file."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    name: str
    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int

    @property
    def executable(self) -> bool:
        """It holds instructions."""
        return bool(self.flags & SHF_EXECINSTR)


class Symbol(NamedTuple):
    """A symbol; `section` is an index (0: undefined, from 0xff00 special), `value` an offset in the section."""

    name: str
    type: int
    binding: int
    visibility: int
    section: int
    value: int
    size: int


class ElfRelocation(NamedTuple):
    """Where (`offset` in its section), against which symbol, and how."""

    offset: int
    symbol: int
    type: int
    addend: int


class Elf:
    """An object in memory.

    Raises ElfError for everything that is not a 64-bit relocatable object whose tables lie inside `data`.
    """

    __slots__ = ("_relocations", "big_endian", "data", "flags", "machine", "sections", "symbols")

    def __init__(self, data: bytes, machine: int | None = EM_BPF) -> None:
        self.data = data
        if data[:4] != b"\x7fELF":
            raise ElfError("not an ELF file", offset=0)
        if len(data) < 64:
            raise ElfError("truncated ELF file", why=f"{len(data)} bytes; its header has 64")
        if data[4] != 2 or data[5] not in (1, 2):
            raise ElfError("not a 64-bit ELF file of either byte order")
        self.big_endian = data[5] == 2
        order = ">" if self.big_endian else "<"
        header = Struct(order + "HHIQQQIHHHHHH").unpack_from(data, 16)
        kind, self.machine, _, _, _, section_offset, self.flags, _, _, _, entry_size, count, names_index = header
        if kind != ET_REL:
            raise ElfError("not a relocatable object", why=f"its ELF type is {kind}, not {ET_REL}",
                           cure="Give the compiler's .o file, not a linked program.")
        if machine is not None and self.machine != machine:
            raise ElfError("not a BPF object", why=f"it is for ELF machine {self.machine}, BPF is {machine}",
                           cure="Compile with -target bpf.")
        if entry_size != 64:
            raise ElfError("malformed ELF file", why=f"its section headers have {entry_size} bytes, not 64")
        self.sections = self._read_sections(order, section_offset, count, names_index)
        self.symbols = self._read_symbols(order)
        self._relocations = Struct(order + "QQ"), Struct(order + "QQq")

    def _read_sections(self, order: str, offset: int, count: int, names_index: int) -> list[Section]:
        header = Struct(order + "IIQQQQIIQQ")
        if offset + 64 * max(count, 1) > len(self.data):
            raise ElfError("truncated ELF file", why="its section headers lie outside", offset=offset)
        if count == 0 and offset:
            # Extended numbering: with 0xff00 or more sections the first header carries the counts.
            first = header.unpack_from(self.data, offset)
            count = first[5]
            names_index = first[6] if names_index == SHN_XINDEX else names_index
            if offset + 64 * count > len(self.data):
                raise ElfError("truncated ELF file", why="its section headers lie outside", offset=offset)
        raw = [header.unpack_from(self.data, offset + 64 * index) for index in range(count)]
        for index, (_, kind, _, _, at, size, *_) in enumerate(raw):
            if kind == SHT_NOBITS:
                if size > _MAX_SECTION:
                    raise ElfError(f"section {index} of {size} bytes is absurd")
            elif kind and at + size > len(self.data):
                raise ElfError("truncated ELF file", why=f"section {index} ends outside the file", offset=at)
        names = b""
        if 0 < names_index < count:
            _, _, _, _, at, size, *_ = raw[names_index]
            names = self.data[at:at + size]
        return [Section(index, _string(names, name), kind, flags, at, size, link, info, align, entry)
                for index, (name, kind, flags, _, at, size, link, info, align, entry) in enumerate(raw)]

    def _read_symbols(self, order: str) -> list[Symbol]:
        table = next((section for section in self.sections if section.type == SHT_SYMTAB), None)
        if table is None:
            return []
        if table.size % 24 or not 0 < table.link < len(self.sections):
            raise ElfError("malformed ELF symbol table", offset=table.offset)
        names = self.contents(self.sections[table.link])
        entry = Struct(order + "IBBHQQ")
        return [Symbol(_string(names, name), info & 15, info >> 4, other & 3, section, value, size)
                for name, info, other, section, value, size in entry.iter_unpack(self.contents(table))]

    def contents(self, section: Section) -> bytes:
        """The bytes of a section; zeros for .bss."""
        if section.type == SHT_NOBITS:
            return bytes(section.size)
        return self.data[section.offset:section.offset + section.size]

    def section(self, name: str) -> Section | None:
        """The first section of that name."""
        return next((section for section in self.sections if section.name == name), None)

    def relocations(self, section: Section) -> list[ElfRelocation]:
        """All relocations that apply to a section, in the order of their offsets."""
        found: list[ElfRelocation] = []
        for table in self.sections:
            if table.info != section.index or table.type not in (SHT_REL, SHT_RELA):
                continue
            layout = self._relocations[table.type == SHT_RELA]
            try:
                for offset, info, *rest in layout.iter_unpack(self.contents(table)):
                    found.append(ElfRelocation(offset, info >> 32, info & 0xFFFFFFFF, rest[0] if rest else 0))
            except struct_error:
                raise ElfError("malformed ELF relocations", why=f"section {table.name!r} has half an entry",
                               offset=table.offset) from None
        for entry in found:
            if entry.symbol >= len(self.symbols) or entry.offset >= section.size:
                raise ElfError("malformed ELF relocation",
                               why=f"of {section.name!r} at {entry.offset:#x}: no such symbol or place")
        found.sort()
        return found


def _string(table: bytes, offset: int) -> str:
    end = table.find(0, offset)
    if end < 0:
        if offset == 0 and not table:
            return ""
        raise ElfError("malformed ELF string table", why=f"it has no string at {offset}")
    return table[offset:end].decode("utf-8", "surrogateescape")
