"""The table of one file: opened as a process has it, read from disk if it was made before, else made piece by piece."""
from __future__ import annotations

import os

import numpy as np

from bpfwright._cache import Cache, key_of
from bpfwright._typing import TYPE_CHECKING, Generator, NamedTuple
from bpfwright.formats.dwarf.frames import ROW, UnwindTable, frames_in_pieces
from bpfwright.formats.elf.program import PT_LOAD, FileBytes, MemoryBytes, Program
from bpfwright.symbols.reach import is_ours, is_that

if TYPE_CHECKING:
    from bpfwright.symbols import Mapping

__all__ = ["Built", "Source", "build", "close", "key_of_file", "open_mapping", "place_of"]

Source = FileBytes | MemoryBytes
_VERSION = b"1"
_LARGEST_IN_MEMORY = 1 << 20


class Built(NamedTuple):
    """A file's table and where its segments lie (offset, size, address). `made`: it was not on disk."""

    table: UnwindTable
    segments: list[tuple[int, int, int]]
    made: bool


def place_of(mapping: Mapping) -> object:
    """What tells the files of mappings apart, without opening them."""
    return (mapping.device, mapping.inode) if mapping.of_file else mapping.path


def open_mapping(mapping: Mapping, pid: int) -> Source:
    """What a process has mapped there. Raises OSError, and ElfError for what is no regular file."""
    if not mapping.of_file:
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            return MemoryBytes(os.pread(memory.fileno(), min(mapping.end - mapping.start, _LARGEST_IN_MEMORY),
                                        mapping.start))
    if is_ours(mapping):
        ours = FileBytes(mapping.path)
        if is_that(ours.stat(), mapping):
            return ours
        ours.close()
    try:
        return FileBytes(f"/proc/{pid}/map_files/{mapping.start:x}-{mapping.end:x}")
    except OSError:  # it may be mapped elsewhere by now
        return FileBytes(f"/proc/{pid}/root{mapping.path}")


def close(source: Source) -> None:
    """Let go of it."""
    if isinstance(source, FileBytes):
        source.close()


def key_of_file(program: Program, source: Source) -> object:
    """What copies of a file have in common."""
    return (program.build_id, program.digest) if program.build_id else (program.digest, source.size)


def build(program: Program, cache: Cache) -> Generator[None, None, Built]:
    """Its table, by build id or else by the section's bytes; the generator's value. What is on disk takes one step.

    Raises ElfError and FormatError.
    """
    segments = [(s.offset, s.size, s.address) for s in program.segments if s.type == PT_LOAD]
    section = program.section(b".eh_frame")
    if section is None:
        return Built(UnwindTable(0, np.zeros(0, ROW), 0), segments, False)
    data = b"" if program.build_id else program.contents(section)
    name = key_of(b"unwinding", _VERSION, program.build_id, data, section.address.to_bytes(8, "little"),
                  section.size.to_bytes(8, "little"))
    kept = cache.get(name)
    if kept is not None and len(kept) % ROW.itemsize == 0:
        return Built(UnwindTable(int.from_bytes(kept[:8], "little"), np.frombuffer(kept, ROW, offset=8), 0),
                     segments, False)
    yield
    table = yield from frames_in_pieces(data or program.contents(section), section.address, program.machine)
    cache.put(name, table.base.to_bytes(8, "little") + table.rows.tobytes())
    return Built(table, segments, True)
