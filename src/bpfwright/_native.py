"""Raw memory of this process: native code out of an ELF object, and views of addresses.

The compile worker emits the object; this file only places its sections, links them and hands out addresses, so that a
cached object runs without LLVM.
"""
from __future__ import annotations

import ctypes
import mmap
import struct

from bpfwright._host import native_code_runs
from bpfwright._typing import Any, Callable, NamedTuple, Self
from bpfwright.errors import ElfError, KernelError, NotSupported, UsageError

__all__ = ["NativeCode", "address_of", "callback", "load_native", "memory_at"]

_PAGE = mmap.PAGESIZE
_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELA = struct.Struct("<QQq")
_X86_64 = 62
_SYMTAB, _RELA_TYPE, _NOBITS = 2, 4, 8
_WRITE, _ALLOC, _EXEC = 1, 2, 4
_UNDEFINED = 0
_LIMIT = 1 << 30
_STUB_SIZE = 16

# x86-64 psABI, table 4.9. The kind says what is stored: how wide, and relative to the place or absolute.
_RELOCATIONS = {1: ("<Q", False), 2: ("<i", True), 4: ("<i", True), 24: ("<q", True)}
_GOT_RELOCATIONS = frozenset((9, 41, 42))


class _Section(NamedTuple):
    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry_size: int


class _Object:
    """The parts of a relocatable ELF object that linking needs."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        try:
            header = _HEADER.unpack_from(data)
            if data[:6] != b"\x7fELF\x02\x01" or header[1] != 1:
                raise ElfError("not a 64-bit little-endian relocatable object")
            self.machine = header[2]
            self.sections = [_Section(*_SECTION.unpack_from(data, header[6] + i * header[11]))
                             for i in range(header[12])]
            self.symbols: list[tuple[str, int, int, int]] = []
            table = next((s for s in self.sections if s.type == _SYMTAB), None)
            for offset in range(table.offset, table.offset + table.size, _SYMBOL.size) if table else ():
                name, info, _, section, value, _ = _SYMBOL.unpack_from(data, offset)
                text = self._text(self.sections[table.link], name) if table else ""
                self.symbols.append((text, info, section, value))
        except (struct.error, IndexError, ValueError, OverflowError) as problem:
            raise ElfError("a truncated object", why=str(problem)) from None

    def _text(self, table: _Section, offset: int) -> str:
        start = table.offset + offset
        return self.data[start:self.data.index(0, start)].decode("utf-8", "surrogateescape")

    def relocations(self) -> list[tuple[_Section, int, int, int, int]]:
        """(section, offset in it, type, symbol, addend)."""
        found = []
        for table in self.sections:
            if table.type != _RELA_TYPE or not self.sections[table.info].flags & _ALLOC:
                continue
            for at in range(table.offset, table.offset + table.size, _RELA.size):
                offset, info, addend = _RELA.unpack_from(self.data, at)
                found.append((self.sections[table.info], offset, info & 0xFFFFFFFF, info >> 32, addend))
        return found


class NativeCode:
    """Linked native code; it stays mapped until it is closed. Addresses are good for ctypes and for other code."""

    def __init__(self, memory: mmap.mmap, addresses: dict[str, int]) -> None:
        self._memory: mmap.mmap | None = memory
        self.addresses = addresses

    def address(self, name: str) -> int:
        """Where the function or object `name` stands."""
        if self._memory is None:
            raise UsageError(f"{name}: this native code is closed")
        try:
            return self.addresses[name]
        except KeyError:
            raise ElfError(f"no symbol {name!r} in the native object") from None

    def function(self, name: str, result: Any, *arguments: Any) -> Any:
        """A ctypes function that keeps this code mapped for as long as it lives."""
        made: Any = ctypes.CFUNCTYPE(result, *arguments)(self.address(name))
        made.code = self
        return made

    def words(self, name: str, count: int) -> Callable[..., int]:
        """A function of `count` 64-bit words that gives one."""
        call: Callable[..., int] = self.function(name, ctypes.c_uint64, *[ctypes.c_uint64] * count)
        return call

    def set_word(self, name: str, value: int) -> None:
        """Fill in a 64-bit word of its data."""
        ctypes.c_uint64.from_address(self.address(name)).value = value

    def close(self) -> None:
        """Unmap; calling into it afterwards is fatal."""
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def memory_at(address: int, size: int) -> memoryview:
    """`size` writable bytes at `address`; whoever gave the address keeps it mapped."""
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B")


def address_of(memory: mmap.mmap) -> int:
    """Where a mapping begins; whoever asks keeps it open while the address is used."""
    return _address_of(memory)


def callback(function: Callable[..., int], count: int) -> tuple[int, object]:
    """An address that native code may call with `count` 64-bit words; the second lives as long as that is so."""
    made: Any = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * count)(function)
    return ctypes.cast(made, ctypes.c_void_p).value or 0, made


def _library_symbol(name: str) -> int:
    """An address in the C library: LLVM turns loops into calls of memset and the like."""
    try:
        return ctypes.cast(getattr(ctypes.CDLL(None), name), ctypes.c_void_p).value or 0
    except (AttributeError, ValueError):
        raise ElfError(f"native code refers to the unknown symbol {name!r}") from None


def _up(value: int, align: int) -> int:
    return -(-value // align) * align


def _place(elf: _Object, stubs: int) -> tuple[dict[int, int], list[tuple[int, int, int]], int, int]:
    """Offsets of the sections, the protected ranges (start, end, protection), where the stubs go, and the total."""
    places: dict[int, int] = {}
    ranges = []
    end = stubs_at = 0
    groups = ((_ALLOC | _EXEC, mmap.PROT_READ | mmap.PROT_EXEC), (_ALLOC, mmap.PROT_READ),
              (_ALLOC | _WRITE, mmap.PROT_READ | mmap.PROT_WRITE))
    for flags, protection in groups:
        start = end
        for index, section in enumerate(elf.sections):
            if section.flags & (_ALLOC | _EXEC | _WRITE) == flags:
                end = _up(end, max(section.align, 1))
                places[index] = end
                end += section.size
        if flags & _EXEC:
            stubs_at = end = _up(end, _STUB_SIZE)
            end += stubs * _STUB_SIZE
        end = _up(end, _PAGE)
        if end > start:
            ranges.append((start, end, protection))
    return places, ranges, stubs_at, max(end, _PAGE)


def load_native(elf: bytes, symbols: dict[str, int] | None = None) -> NativeCode:
    """Map the code of a position-independent object and link it; `symbols` are addresses for what it leaves undefined.

    Text becomes readable and executable, constants read-only, data writable; never writable and executable at once.
    """
    parsed = _Object(elf)
    if parsed.machine != _X86_64 or not native_code_runs():
        raise NotSupported("native code does not run on this system: it is made for x86-64 and not for Windows",
                           cure="Use the interpreter here.")
    outside = {name: (symbols or {}).get(name) or _library_symbol(name)
               for name, _, section, _ in parsed.symbols if section == _UNDEFINED and name}
    places, ranges, stubs_at, total = _place(parsed, len(outside))
    if total > _LIMIT:
        raise ElfError(f"a native object of {total} bytes")
    memory = mmap.mmap(-1, total)
    try:
        base = _address_of(memory)
        for index, place in places.items():
            section = parsed.sections[index]
            if section.type != _NOBITS:
                memory[place:place + section.size] = elf[section.offset:section.offset + section.size]
        # jmp *[rip+2], padding, address: a call reaches any distance, and the address doubles as a GOT slot.
        stubs: dict[str, int] = {}
        for name, target in outside.items():
            stubs[name] = base + stubs_at
            memory[stubs_at:stubs_at + _STUB_SIZE] = b"\xff\x25\x02\0\0\0\x90\x90" + struct.pack("<Q", target)
            stubs_at += _STUB_SIZE
        starts = {index: base + place for index, place in places.items()}
        _link(parsed, memory, base, starts, stubs, outside)
        for start, end, protection in ranges:
            _protect(base + start, end - start, protection)
    except (ValueError, IndexError, OverflowError, KeyError, struct.error) as problem:
        memory.close()
        raise ElfError("the native object cannot be linked", why=str(problem)) from None
    except BaseException:
        memory.close()
        raise
    named = {name: starts[section] + value for name, _, section, value in parsed.symbols if name and section in starts}
    return NativeCode(memory, named)


def _link(elf: _Object, memory: mmap.mmap, base: int, starts: dict[int, int], stubs: dict[str, int],
          outside: dict[str, int]) -> None:
    index_of = {id(section): index for index, section in enumerate(elf.sections)}
    for section, offset, kind, symbol, addend in elf.relocations():
        name, _, home, value = elf.symbols[symbol]
        place = starts[index_of[id(section)]] + offset
        if kind in _GOT_RELOCATIONS and home == _UNDEFINED:
            target, (form, relative) = stubs[name] + 8, ("<i", True)
        elif kind in _RELOCATIONS:
            form, relative = _RELOCATIONS[kind]
            if home == _UNDEFINED:
                target = stubs[name] if relative else outside[name]
            elif home in starts:
                target = starts[home] + value
            else:
                raise ElfError(f"native code refers to {name or 'a section'} that is not placed")
        else:
            raise ElfError(f"relocation type {kind} in a native object is not handled")
        struct.pack_into(form, memory, place - base, target + addend - (place if relative else 0))


def _address_of(memory: mmap.mmap) -> int:
    window = ctypes.c_char.from_buffer(memory)
    address = ctypes.addressof(window)
    del window  # a live export would keep the mapping from closing
    return address


def _protect(address: int, size: int, protection: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), protection):
        raise KernelError("mprotect of native code failed", ctypes.get_errno(),
                          cure="A security policy forbids run-time code: use the interpreter.")
