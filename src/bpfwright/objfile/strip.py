"""Strips an object: the DWARF sections go, what loaders read stays (BTF and its line info among it)."""
from __future__ import annotations

from struct import Struct

from bpfwright.errors import ElfError
from bpfwright.formats.elf import Elf, Section

__all__ = ["strip_debug"]

_SHT_SYMTAB, _SHT_NOBITS, _SHT_REL, _SHT_RELA = 2, 8, 9, 4
_MAX_ALIGN = 1 << 16


def strip_debug(data: bytes) -> bytes:
    """The same object without `.debug_*` sections and their relocations; symbols of what went are gone too."""
    elf = Elf(data)
    order = ">" if elf.big_endian else "<"
    dropped = {section.index for section in elf.sections if _is_debug(elf, section)}
    if not dropped:
        return data
    kept = [section for section in elf.sections if section.index not in dropped]
    numbers = {section.index: index for index, section in enumerate(kept)}
    symbols = _kept_symbols(elf, dropped)
    out = bytearray(data[:64])
    header = Struct(order + "IIQQQQIIQQ")
    names_at = {section.index: _name_offset(elf, section, order) for section in kept}
    headers = bytearray(64)
    for section in kept[1:]:
        contents = _contents(elf, section, order, symbols, numbers, dropped)
        if section.align > _MAX_ALIGN:
            raise ElfError(f"section {section.name} is aligned to {section.align} bytes, which is absurd")
        out += bytes(-len(out) % max(section.align, 1))
        size = section.size if section.type == _SHT_NOBITS else len(contents)
        info = section.info
        if section.type in (_SHT_REL, _SHT_RELA):
            info = numbers.get(section.info, 0)
        elif section.type == _SHT_SYMTAB:
            info = sum(1 for index in symbols if elf.symbols[index].binding == 0)
        headers += header.pack(names_at[section.index], section.type, section.flags, 0, len(out), size,
                               numbers.get(section.link, 0), info, section.align, section.entry_size)
        out += contents
    out += bytes(-len(out) % 8)
    names_index = Struct(order + "H").unpack_from(data, 62)[0]
    if names_index not in numbers:
        raise ElfError("the table of section names is debugging information, or not there")
    Struct(order + "Q").pack_into(out, 40, len(out))
    Struct(order + "HH").pack_into(out, 60, len(kept), numbers[names_index])
    return bytes(out + headers)


def _is_debug(elf: Elf, section: Section) -> bool:
    if section.type in (_SHT_REL, _SHT_RELA):
        if not 0 < section.info < len(elf.sections):
            raise ElfError(f"section {section.name} relocates nothing")
        return elf.sections[section.info].name.startswith(".debug_")
    return section.name.startswith(".debug_")


def _kept_symbols(elf: Elf, dropped: set[int]) -> list[int]:
    return [index for index, symbol in enumerate(elf.symbols) if symbol.section not in dropped]


def _name_offset(elf: Elf, section: Section, order: str) -> int:
    table: int = Struct(order + "Q").unpack_from(elf.data, 40)[0]
    return int(Struct(order + "I").unpack_from(elf.data, table + 64 * section.index)[0])


def _contents(elf: Elf, section: Section, order: str, symbols: list[int], numbers: dict[int, int],
              dropped: set[int]) -> bytes:
    """A section's bytes, with symbol and section numbers as they are afterwards."""
    data = elf.contents(section) if section.type != _SHT_NOBITS else b""
    if section.type == _SHT_SYMTAB:
        entry = Struct(order + "IBBHQQ")
        rows = []
        for index in symbols:
            name, info, other, place, value, size = entry.unpack_from(data, 24 * index)
            rows.append(entry.pack(name, info, other, numbers.get(place, place), value, size))
        return b"".join(rows)
    if section.type in (_SHT_REL, _SHT_RELA):
        return _relocations(section, data, order, {old: new for new, old in enumerate(symbols)})
    return data


def _relocations(section: Section, data: bytes, order: str, symbols: dict[int, int]) -> bytes:
    layout = Struct(order + ("QQq" if section.type == _SHT_RELA else "QQ"))
    if len(data) % layout.size:
        raise ElfError("malformed ELF relocations", why=f"section {section.name!r} has half an entry")
    rows = []
    for offset, info, *rest in layout.iter_unpack(data):
        if info >> 32 not in symbols:
            raise ElfError(f"section {section.name} refers to a symbol that debugging information owns")
        rows.append(layout.pack(offset, symbols[info >> 32] << 32 | info & 0xFFFFFFFF, *rest))
    return b"".join(rows)
