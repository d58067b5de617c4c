"""Where the symbols and lines of a stripped file are: separate debug files, and the small table that Fedora leaves."""
from __future__ import annotations

import os.path

from bpfwright._typing import Callable, Sequence
from bpfwright.errors import ElfError
from bpfwright.formats.elf.program import FileBytes, MemoryBytes, Program

__all__ = ["find_debug_file", "read_minidebuginfo"]

_FOLDER = "/usr/lib/debug"
_LARGEST_MINI = 1 << 28  # bytes when unpacked; what is larger is a bomb
_CHUNK = 1 << 20


def find_debug_file(program: Program, path: str, roots: Sequence[str]) -> str:
    """The path of the debug file that belongs to a program, empty when there is none.

    By build id in /usr/lib/debug/.build-id of each root, else by the name and checksum in .gnu_debuglink, beside the
    file, in `.debug` beside it, and in the same folder under /usr/lib/debug. `path` is the file's in its root.
    """
    if len(program.build_id) > 1:
        digits = program.build_id.hex()
        for root in roots:
            there = f"{root}{_FOLDER}/.build-id/{digits[:2]}/{digits[2:]}.debug"
            if _is(there, lambda file: Program(file).build_id == program.build_id):
                return there
    link = program.section(b".gnu_debuglink")
    if link is None or not 8 <= link.size <= 4096:
        return ""
    data = program.contents(link)
    name = os.path.basename(os.fsdecode(data[:data.find(b"\0")]))
    checksum = int.from_bytes(data[-4:], "little")
    folder = os.path.dirname(path)
    for root in roots if name and folder else ():
        for there in (f"{folder}/{name}", f"{folder}/.debug/{name}", f"{_FOLDER}{folder}/{name}"):
            if there != path and _is(root + there, lambda file: _checksum(file) == checksum):
                return root + there
    return ""


def _is(path: str, right: Callable[[FileBytes], bool]) -> bool:
    try:
        with FileBytes(path) as file:
            return right(file)
    except (OSError, ElfError, ValueError):
        return False


def _checksum(file: FileBytes) -> int:
    from zlib import crc32
    found = 0
    for at in range(0, file.size, _CHUNK):
        found = crc32(file.read(at, min(_CHUNK, file.size - at)), found)
    return found


def read_minidebuginfo(program: Program) -> Program | None:
    """The program in .gnu_debugdata, whose .symtab has the functions that .dynsym lacks. None without one."""
    section = program.section(b".gnu_debugdata")
    if section is None:
        return None
    import lzma
    try:
        unpacking = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_LARGEST_MINI)
        data = unpacking.decompress(program.contents(section), max_length=_LARGEST_MINI)
        if not unpacking.eof:
            raise ElfError("malformed ELF file", why=".gnu_debugdata is truncated or absurdly large")
        return Program(MemoryBytes(data))
    except (lzma.LZMAError, EOFError, MemoryError) as error:
        raise ElfError("malformed ELF file", why=f".gnu_debugdata: {error}") from error
