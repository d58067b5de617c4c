"""Symbols of files, read once for all processes that map them, and bounded in memory."""
from __future__ import annotations

from functools import lru_cache

from bpfwright._typing import Sequence
from bpfwright.errors import ElfError
from bpfwright.formats.elf.program import FileBytes, Program
from bpfwright.symbols.elf import ElfSymbols

__all__ = ["FileCache", "shared_files"]

_Place = tuple[int, int, int, int]


class FileCache:
    """The symbols of files that processes map, of at most `max_bytes`; what was not used for longest goes first.

    A file is known again by its device, inode, size and time of change, and a copy of it (in another container) by its
    build id and headers: a stripped copy has the same build id and other symbols.
    """

    __slots__ = ("_by_content", "_by_place", "_size", "max_bytes")

    def __init__(self, max_bytes: int = 1 << 29) -> None:
        self.max_bytes = max_bytes
        self._by_place: dict[_Place, tuple[object, ...]] = {}
        self._by_content: dict[tuple[object, ...], ElfSymbols | ElfError] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self._by_content)

    @property
    def size_bytes(self) -> int:
        """About how much memory its files take."""
        return self._size

    def symbols(self, path: str, home: str, roots: Sequence[str]) -> ElfSymbols:
        """The symbols of the file at `path`, which is `home` in its own root.

        Raises ElfError for what is no ELF file, or a damaged one, and OSError for what cannot be opened.
        """
        with FileBytes(path) as file:
            stat = file.stat()
            place = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
            content = self._by_place.get(place)
            if content is None or content not in self._by_content:
                try:
                    program = Program(file)
                except ElfError as error:
                    return self._keep(place, place, error)
                content = (program.build_id, file.size, program.digest) if program.build_id else place
                if content not in self._by_content:
                    try:
                        return self._keep(place, content, ElfSymbols.from_program(program, path, home, roots))
                    except ElfError as error:
                        return self._keep(place, content, error)
            known = self._by_content.pop(content)
            return self._keep(place, content, known, 0)

    def _keep(self, place: _Place, content: tuple[object, ...], found: ElfSymbols | ElfError,
              size: int | None = None) -> ElfSymbols:
        self._by_place[place] = content
        self._by_content[content] = found  # the newest is the last
        self._size += _size(found) if size is None else size
        while self._size > self.max_bytes and len(self._by_content) > 1:
            self._size -= _size(self._by_content.pop(next(iter(self._by_content))))
        if len(self._by_place) > 2 * len(self._by_content) + 1024:
            self._by_place = {p: c for p, c in self._by_place.items() if c in self._by_content}
        if isinstance(found, ElfError):
            raise ElfError(found.what, why=found.why)
        return found


def _size(found: ElfSymbols | ElfError) -> int:
    return found.size_bytes if isinstance(found, ElfSymbols) else 1024


@lru_cache(maxsize=1)
def shared_files() -> FileCache:
    """What all processes share that were given no cache of their own."""
    return FileCache()
