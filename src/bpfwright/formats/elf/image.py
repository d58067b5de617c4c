"""Where a symbol of a program or shared library stands in its file: what uprobes are attached by."""
from __future__ import annotations

from struct import iter_unpack, unpack_from

from bpfwright.errors import ElfError

__all__ = ["file_offset", "sized_symbols", "symbol_offset", "symbols"]

_SHT_SYMTAB, _SHT_DYNSYM, _PT_LOAD = 2, 11, 1
_FUNCTION_TYPES = (2, 10)  # STT_FUNC, STT_GNU_IFUNC


def symbol_offset(data: bytes, name: str) -> int:
    """The file offset of a function. ElfError when the file is no 64-bit ELF image or has no such function."""
    wanted = name.encode()
    for found, address in symbols(data):
        if found == wanted or found.partition(b"@")[0] == wanted:
            return file_offset(data, address)
    raise ElfError(f"no function {name!r} in it", cure="`nm -D FILE` lists what a library exports.")


def symbols(data: bytes, *, functions: bool = True) -> list[tuple[bytes, int]]:
    """(name, virtual address) of every defined function; of every defined object, with `functions` false."""
    return [(name, value) for name, value, _ in sized_symbols(data, _FUNCTION_TYPES if functions else (1,))]


def sized_symbols(data: bytes, kinds: tuple[int, ...] = (*_FUNCTION_TYPES, 1)) -> list[tuple[bytes, int, int]]:
    """(name, virtual address, size) of every defined symbol of these types: functions and objects."""
    if data[:5] != b"\x7fELF\x02" or data[5] != 1 or len(data) < 64:
        raise ElfError("not a 64-bit little-endian ELF image")
    section_at, = unpack_from("<Q", data, 40)
    size, count, _ = unpack_from("<HHH", data, 58)
    if size != 64 or section_at + size * count > len(data):
        raise ElfError("its section headers lie outside of the file")
    headers = [unpack_from("<IIQQQQIIQQ", data, section_at + i * size) for i in range(count)]
    found: list[tuple[bytes, int, int]] = []
    for header in headers:
        kind, at, length, link = header[1], header[4], header[5], header[6]
        if kind not in (_SHT_SYMTAB, _SHT_DYNSYM) or link >= count:
            continue
        names_at, names_size = headers[link][4], headers[link][5]
        if at + length > len(data) or names_at + names_size > len(data):
            raise ElfError("its symbol table lies outside of the file")
        names = data[names_at:names_at + names_size]
        for name, info, _, section, value, bytes in iter_unpack("<IBBHQQ", data[at:at + length - length % 24]):
            if info & 15 in kinds and section and value and name < names_size:
                found.append((names[name:names.find(b"\0", name)], value, bytes))
    return found


def file_offset(data: bytes, address: int) -> int:
    """Where a virtual address stands in the file. ElfError when it is in no loaded segment."""
    at, = unpack_from("<Q", data, 32)
    size, count = unpack_from("<HH", data, 54)
    for i in range(count):
        if at + (i + 1) * size > len(data) or size < 56:
            break
        kind, _, offset, start, _, length = unpack_from("<IIQQQQ", data, at + i * size)
        if kind == _PT_LOAD and start <= address < start + length:
            result: int = address - start + offset
            return result
    raise ElfError(f"address {address:#x} is in no loaded segment")
