"""Programs, shared libraries and their debug files: segments, sections, notes; only what is asked for is read.

A file is read with pread, never mapped: one that gets shorter meanwhile must be an error, not a SIGBUS.
"""
from __future__ import annotations

import os
from struct import Struct

from bpfwright._typing import NamedTuple, Protocol, Self
from bpfwright.errors import ElfError

__all__ = ["FileBytes", "MemoryBytes", "Program", "ProgramSection", "Segment", "Source"]

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
PT_LOAD, PT_DYNAMIC, PT_NOTE = 1, 2, 4
SHT_NOBITS, SHT_NOTE = 8, 7
_NT_GNU_BUILD_ID = 3
_HEADER = Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = Struct("<IIQQQQQQ")
_SECTION = Struct("<IIQQQQIIQQ")
_NOTE = Struct("<III")
_MOST_SECTIONS = 1 << 18
_LARGEST_NOTE = 1 << 16
LARGEST_TABLE = 1 << 29  # bytes of a symbol table or its names; Chromium's has a third of it


class Source(Protocol):
    """Bytes that are read piece by piece; `size` of them."""

    size: int

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; ElfError when they are not there."""
        ...


class MemoryBytes:
    """Bytes in memory."""

    __slots__ = ("_data", "size")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; ElfError when they are not there."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ElfError("truncated ELF file", why=f"{size} bytes at {offset}; it has {self.size}")
        return self._data[offset:offset + size]


class FileBytes:
    """An open regular file; closing it is the caller's, with `with`."""

    __slots__ = ("_file", "size")

    def __init__(self, path: str) -> None:
        """Open it. Raises OSError, and ElfError for what is no regular file: those do things when they are opened."""
        from stat import S_ISREG
        if not S_ISREG(os.stat(path).st_mode):
            raise ElfError("no regular file")
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        self.size = os.fstat(self._file).st_size

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; ElfError when they are not there."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise ElfError("truncated ELF file", why=f"{size} bytes at {offset}; it has {self.size}")
        pieces = []
        while size:
            try:
                piece = os.pread(self._file, size, offset)
            except OSError as error:
                raise ElfError("the file cannot be read", why=error.strerror or "") from error
            if not piece:
                raise ElfError("the file got shorter while it was read")
            pieces.append(piece)
            offset, size = offset + len(piece), size - len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def stat(self) -> os.stat_result:
        """The file's."""
        return os.fstat(self._file)

    def close(self) -> None:
        """Close it, once."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Segment(NamedTuple):
    """A program header: `size` bytes from `offset` of the file stand at `address`."""

    type: int
    flags: int
    offset: int
    address: int
    size: int
    memory_size: int


class ProgramSection(NamedTuple):
    """A section header."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    name: bytes
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    entry_size: int


class Program:
    """What the headers of a 64-bit little-endian program, shared library or debug file say. Raises ElfError."""

    __slots__ = ("build_id", "digest", "machine", "sections", "segments", "source", "type")

    def __init__(self, source: Source) -> None:
        self.source = source
        if source.size < _HEADER.size:
            raise ElfError("not an ELF file", why=f"{source.size} bytes; an ELF header has {_HEADER.size}")
        head = source.read(0, _HEADER.size)
        (mark, self.type, self.machine, _, _, segments_at, sections_at, _, _, segment_size, segments, section_size,
         sections, names) = _HEADER.unpack(head)
        if mark[:4] != b"\x7fELF":
            raise ElfError("not an ELF file", offset=0)
        if mark[4:6] != b"\x02\x01":
            raise ElfError("not a 64-bit little-endian ELF file")
        if segments and segment_size != _SEGMENT.size:
            raise ElfError("malformed ELF file", why=f"its program headers have {segment_size} bytes")
        table = source.read(segments_at, segments * _SEGMENT.size)
        self.segments = [Segment(kind, flags, offset, address, size, memory) for
                         kind, flags, offset, address, _, size, memory, _ in _SEGMENT.iter_unpack(table)]
        self.sections: list[ProgramSection] = []
        listed = self._section_table(sections_at, section_size, sections, names) if sections_at else b""
        self.digest = hash((head, table, listed))
        self.build_id = self._build_id()

    def _section_table(self, at: int, size: int, count: int, names: int) -> bytes:
        if size != _SECTION.size:
            raise ElfError("malformed ELF file", why=f"its section headers have {size} bytes")
        if count == 0 or names == 0xFFFF:  # extended numbering: the first header carries the counts
            first = _SECTION.unpack(self.source.read(at, _SECTION.size))
            count = count or first[5]
            names = first[6] if names == 0xFFFF else names
        if count > _MOST_SECTIONS:
            raise ElfError("malformed ELF file", why=f"{count} sections")
        table = self.source.read(at, count * _SECTION.size)
        rows = list(_SECTION.iter_unpack(table))
        texts = b""
        if names < count and rows[names][1] != SHT_NOBITS:
            texts = self.source.read(rows[names][4], min(rows[names][5], 1 << 24))
        for index, (name, kind, flags, address, offset, length, link, info, _, entry) in enumerate(rows):
            end = texts.find(b"\0", name)
            self.sections.append(ProgramSection(index, texts[name:end] if end >= 0 else b"", kind, flags, address,
                                                offset, length, link, info, entry))
        return table

    def _build_id(self) -> bytes:
        """The build id, from notes in sections or, without sections, in segments; empty without one."""
        places = [(s.offset, s.size) for s in self.sections if s.type == SHT_NOTE]
        places += [(s.offset, s.size) for s in self.segments if s.type == PT_NOTE]
        for at, size in places:
            if size > _LARGEST_NOTE or at + size > self.source.size:
                continue  # of a debug file, whose segments stand in the file it belongs to
            data, place = self.source.read(at, size), 0
            while place + _NOTE.size <= len(data):
                name_size, value_size, kind = _NOTE.unpack_from(data, place)
                place += _NOTE.size
                value_at = place + (name_size + 3 & ~3)
                if kind == _NT_GNU_BUILD_ID and data[place:place + name_size] == b"GNU\0":
                    return data[value_at:value_at + value_size]
                place = value_at + (value_size + 3 & ~3)
        return b""

    def section(self, name: bytes) -> ProgramSection | None:
        """The first section of that name that has bytes in the file."""
        return next((s for s in self.sections if s.name == name and s.type != SHT_NOBITS), None)

    def contents(self, section: ProgramSection) -> bytes:
        """A section's bytes."""
        if section.size > LARGEST_TABLE:
            raise ElfError(f"a section of {section.size} bytes is absurd")
        return self.source.read(section.offset, section.size)

    def at(self, address: int, size: int) -> bytes:
        """The bytes of the file that are loaded at an address."""
        for segment in self.segments:
            if segment.type == PT_LOAD and segment.address <= address < segment.address + segment.size:
                return self.source.read(segment.offset + address - segment.address, size)
        raise ElfError(f"address {address:#x} is in no loaded segment")

    def dynamic(self) -> dict[int, int]:
        """The dynamic section's entries by tag, from its segment; what stands there twice counts as it stood last."""
        for segment in self.segments:
            if segment.type == PT_DYNAMIC and segment.size <= LARGEST_TABLE:
                data = self.source.read(segment.offset, segment.size)
                return dict(Struct("<QQ").iter_unpack(data[:len(data) & ~15]))
        return {}
