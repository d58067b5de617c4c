"""The symbols of a program or shared library, by the addresses in the file: which name, which source line."""
from __future__ import annotations

from os import PathLike, fspath

import numpy as np

from bpfwright._typing import TYPE_CHECKING, Self, Sequence
from bpfwright.errors import ElfError, TargetError
from bpfwright.formats.elf.program import (ET_DYN, ET_EXEC, LARGEST_TABLE, PT_LOAD, FileBytes, MemoryBytes, Program,
                                           ProgramSection)
from bpfwright.symbols.debugfiles import find_debug_file, read_minidebuginfo
from bpfwright.symbols.demangling import demangle
from bpfwright.symbols.plt import find_stubs
from bpfwright.symbols.symbol import Symbol
from bpfwright.symbols.table import Addresses, Indices, Resolved, SymbolTable, as_addresses

if TYPE_CHECKING:
    from bpfwright.formats.dwarf.lines import SourceLine, SourceLines

__all__ = ["ElfSymbols"]

_LOOKED_UP = 64
_SYMBOL = np.dtype([("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"),
                    ("size", "<u8")])
_SYMTAB, _DYNSYM, _NOBITS = 2, 11, 8
_RESERVED, _EXTENDED = 0xFF00, 0xFFFF
_NOTYPE, _OBJECT, _FUNCTION, _IFUNC = 0, 1, 2, 10
_TYPE_RANK = np.full(16, -1, dtype=np.int64)  # -1: names of sections, files and thread-local variables are no places
_TYPE_RANK[[_FUNCTION, _IFUNC, _OBJECT, _NOTYPE]] = 0, 0, 1, 2
_BINDING_RANK = np.full(16, 1, dtype=np.int64)
_BINDING_RANK[[0, 2]] = 2, 1  # local, weak; what is neither is as good as global
_BINDING_RANK[[1, 10]] = 0
_NOWHERE = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_NEEDED = {"hash": 4, "strings": 5, "symbols": 6, "size": 10, "gnu_hash": 0x6FFFFEF5}


class ElfSymbols:
    """The functions and variables of a 64-bit little-endian ELF file, by the addresses that stand in it.

        libc = ElfSymbols("/lib/x86_64-linux-gnu/libc.so.6")
        libc.address("malloc")                          # 0x98860
        libc.find(0x98870)                              # Symbol(name='malloc', offset=16, module='/lib/...')
        libc.lines(0x98870)                             # [SourceLine(function='malloc', file=..., line=...)]

    They come from .symtab and .dynsym; without a .symtab also from the separate debug file of the same build id or, by
    name and checksum, of .gnu_debuglink (looked for under each of `roots`), and without that from .gnu_debugdata.
    Stubs of the procedure linkage table are named `puts@plt`; versions (`@@GLIBC_2.14`) are cut off.

    Where several begin at an address, a function goes before a variable and that before what has no type; then what
    has a size before what has none; what is exported before what is local; fewer leading underscores before more;
    global before weak; and at last what stands first. A symbol without a size ends where the next one begins, or its
    section. What no symbol covers has no name.

    `path` is the file, `build_id` its build id (empty without one), `debug_path` its debug file if one was read.
    Raises ElfError for what is no such file or is damaged, TargetError when it is not there.
    """

    __slots__ = ("_digest", "_file", "_home", "_lines", "_looked_up", "_names", "_pool", "_pools", "_roots",
                 "_segments", "_table", "_values", "build_id", "debug_path", "path")

    def __init__(self, path: str | PathLike[str], *, roots: Sequence[str] = ("",)) -> None:
        self._begin(fspath(path), fspath(path), roots)
        try:
            with FileBytes(self.path) as file:
                self._read(Program(file))
        except FileNotFoundError:
            raise TargetError(f"there is no file {self.path}") from None
        except OSError as error:
            raise TargetError(f"{self.path} cannot be read", why=error.strerror or "") from error
        except ElfError as error:
            raise ElfError(f"{self.path}: {error.what}", why=error.why) from error

    @classmethod
    def from_bytes(cls, data: bytes, name: str = "") -> Self:
        """The same of a file in memory, such as a process's vDSO; `name` is its module's."""
        made = cls.__new__(cls)
        made._begin("", name, ())
        made._read(Program(MemoryBytes(data)))
        return made

    @classmethod
    def from_program(cls, program: Program, path: str, home: str, roots: Sequence[str]) -> Self:
        """The same of an open file: `path` opens it again, `home` is where it is in its root."""
        made = cls.__new__(cls)
        made._begin(path, home, roots)
        made._read(program)
        return made

    def _begin(self, path: str, home: str, roots: Sequence[str]) -> None:
        self.path = path or home
        self._file = path
        self._home = home
        self._roots = tuple(roots)
        self.debug_path = ""
        self._lines: SourceLines | None = None
        self._looked_up: dict[str, list[int]] = {}

    # reading

    def _read(self, program: Program) -> None:
        if program.type not in (ET_EXEC, ET_DYN):
            raise ElfError("neither a program nor a shared library", why=f"its ELF type is {program.type}")
        self.build_id = program.build_id
        self._digest = program.digest
        self._segments = np.array(sorted((s.offset, s.size, s.address) for s in program.segments if s.type == PT_LOAD),
                                  dtype=np.uint64).reshape(-1, 3)
        columns = _Columns(program)
        columns.add_tables(program)
        if not any(s.type == _SYMTAB for s in program.sections):
            self._read_elsewhere(program, columns)
        columns.add_stubs(program)
        self._pools = columns.pools
        self._values, self._names, self._pool, self._table = columns.finish()

    def _read_elsewhere(self, program: Program, columns: _Columns) -> None:
        """A stripped file's own .symtab: in a separate file, or packed into this one."""
        self.debug_path = find_debug_file(program, self._home, self._roots)
        if self.debug_path:
            try:
                with FileBytes(self.debug_path) as file:
                    columns.add_tables(Program(file))
                return
            except (OSError, ElfError):
                self.debug_path = ""  # it is damaged, or just went: what the file itself has is still true
        inner = read_minidebuginfo(program)
        if inner is not None:
            columns.add_tables(inner)

    # asking

    def __len__(self) -> int:
        return len(self._values)

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return sum(map(len, self._pools)) + 70 * len(self._values) + 4096

    def name(self, row: int) -> str:
        """The name of one symbol as it stands in the file, without its version."""
        pool, at = self._pools[self._pool[row]], int(self._names[row])
        end = pool.find(b"\0", at)
        text = pool[at:end if end >= 0 else len(pool)]
        if self._pool[row]:  # the first pool holds the names of stubs, in which @ is no version
            text = text.partition(b"@")[0]
        return str(text, "utf-8", "replace")

    def addresses(self, name: str) -> list[int]:
        """The addresses of a symbol by its name in the file (mangled, if it is); there may be several local ones."""
        if name in self._looked_up:
            return list(self._looked_up[name])
        found: set[int] = set()
        wanted = name.encode("utf-8", "surrogateescape")
        for index, pool in enumerate(self._pools):
            places, at = [], pool.find(wanted)
            while at >= 0 and wanted:
                if pool[at + len(wanted):at + len(wanted) + 1] in ((b"\0", b"@", b"") if index else (b"\0",)):
                    places.append(at)
                at = pool.find(wanted, at + 1)
            if places:
                rows = np.flatnonzero((self._pool == index) & np.isin(self._names, places))
                found.update(self._values[rows].tolist())
        if len(self._looked_up) < _LOOKED_UP:  # a few names are asked for in every process
            self._looked_up[name] = sorted(found)
        return sorted(found)

    def address(self, name: str) -> int:
        """The lowest address of that name. Raises TargetError when there is none."""
        found = self.addresses(name)
        if not found:
            raise TargetError(f"{self.path} has no symbol {name!r}")
        return found[0]

    def find(self, address: int, *, demangled: bool = True) -> Symbol:
        """What an address of the file is in; `Symbol("", address, path)` where no symbol is."""
        return self.resolve([address], demangled=demangled)[0]

    def resolve(self, addresses: Sequence[int] | Addresses, *, demangled: bool = True) -> Resolved:
        """What each of many addresses of the file is in."""
        wanted = as_addresses(addresses)
        names, begins, which = self.group(wanted, demangled)
        return Resolved(names, [self.path] * len(names), which, wanted - begins[which])

    def group(self, wanted: Addresses, demangled: bool) -> tuple[list[str], Addresses, Indices]:
        """The distinct symbols' names and begins, and which of them each address is in; an empty name begins at 0."""
        rows = self._table.find(wanted)
        distinct, which = np.unique(rows, return_inverse=True)
        names = [self.name(row) if row >= 0 else "" for row in distinct.tolist()]
        if demangled:
            names = [demangle(name) for name in names]
        begins = np.zeros(len(distinct), dtype=np.uint64)
        begins[distinct >= 0] = self._values[distinct[distinct >= 0]]
        return names, begins, which.astype(np.int64)

    def at_offsets(self, offsets: Addresses) -> tuple[Addresses, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """The addresses at which offsets of the file are loaded, and whether they are loaded at all."""
        if not len(self._segments):
            return offsets, np.zeros(len(offsets), dtype=np.bool_)
        starts, sizes, addresses = self._segments.T
        at = np.searchsorted(starts, offsets, "right").astype(np.int64) - 1
        inside = (at >= 0) & (offsets - starts[at] < sizes[at])
        return offsets - starts[at] + addresses[at], inside

    def file_offset(self, address: int) -> int:
        """Where in the file an address is, which is what uprobes want. Raises TargetError when it is not there."""
        for offset, size, start in self._segments.tolist():
            if start <= address < start + size:
                return int(address - start + offset)
        raise TargetError(f"address {address:#x} is in no loaded segment of {self.path}")

    def lines(self, address: int) -> list[SourceLine]:
        """The function, file and line of an address, what is inlined first and what it is inlined into behind it.

        Empty without DWARF, in the file or in its separate debug file. Names are demangled. Raises NotSupported where
        pyelftools is not installed, and FormatError for damaged DWARF.
        """
        if self._lines is None:
            self._lines = self._find_lines()
        return [line._replace(function=demangle(line.function)) for line in self._lines.at(address)]

    def _find_lines(self) -> SourceLines:
        from bpfwright.formats.dwarf.lines import SourceLines
        for path in (self._file, self.debug_path):
            try:
                if path:
                    with FileBytes(path) as file:
                        program = Program(file)
                        if path == self._file and program.digest != self._digest:
                            continue  # another file by now
                        if program.section(b".debug_info") is None and program.section(b".zdebug_info") is None:
                            if not self.debug_path and path == self._file:
                                self.debug_path = find_debug_file(program, self._home, self._roots)
                            continue
                    return SourceLines.read(path)
            except (OSError, ElfError):
                continue
        if self.debug_path:
            try:
                return SourceLines.read(self.debug_path)
            except OSError:
                pass
        return SourceLines.none()


class _Columns:
    """The tables of a file and its debug file, gathered."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pools: list[bytes] = [b""]
        self.parts: list[tuple[Addresses, Addresses, Addresses, Indices, Indices, Indices]] = []
        self.tables: dict[int, tuple[np.ndarray[tuple[int], np.dtype[np.void]], bytes]] = {}

    def add_tables(self, program: Program) -> None:
        """What .dynsym and .symtab name; without section headers, what the dynamic section does."""
        tables = [s for s in program.sections if s.type in (_DYNSYM, _SYMTAB)]
        for section in sorted(tables, key=lambda s: s.type == _SYMTAB):
            if not 0 < section.link < len(program.sections) or section.size > LARGEST_TABLE:
                raise ElfError("malformed ELF file", why=f"its symbol table of {section.size} bytes has no names")
            names = program.sections[section.link]
            if names.type == _NOBITS:
                continue
            table, pool = program.contents(section), program.contents(names)
            rows = np.frombuffer(table, _SYMBOL, count=len(table) // _SYMBOL.itemsize)
            if program is self.program:
                self.tables[section.index] = rows, pool
            self.add(rows, pool, program.sections)
        if not program.sections:
            found = _dynamic_symbols(program)
            if found is not None:
                self.add(*found, program.sections)

    def add(self, rows: np.ndarray[tuple[int], np.dtype[np.void]], pool: bytes, sections: list[ProgramSection]) -> None:
        section, name = rows["section"], rows["name"]
        kind = _TYPE_RANK[rows["info"] & 15]
        keep = (kind >= 0) & (section != 0) & (name != 0) & (name < len(pool)) & (rows["value"] != 0)
        keep &= (section < _RESERVED) | (section == _EXTENDED)
        rows, kind, section, name = rows[keep], kind[keep], section[keep], name[keep]
        if not len(rows):
            return
        ends = np.array([s.address + s.size & 0xFFFF_FFFF_FFFF_FFFF for s in sections], dtype=np.uint64)
        limits = self.segment_ends(rows["value"])
        known = section < len(ends)
        if len(ends):
            limits[known] = ends[section[known]]
        text = np.frombuffer(pool + b"\0", np.uint8)
        underscores = (text[name] == 95).astype(np.int64)
        underscores += underscores & (text[name + np.uint32(1)] == 95)
        binding = _BINDING_RANK[rows["info"] >> 4]
        rank = ((kind * 2 + (rows["size"] == 0)) * 2 + (binding == 2)) * 3 + underscores
        rank = rank * 3 + binding
        self.parts.append((rows["value"].astype(np.uint64), rows["size"].astype(np.uint64), limits,
                           rank.astype(np.int64), name.astype(np.int64),
                           np.full(len(rows), len(self.pools), dtype=np.int64)))
        self.pools.append(pool)

    def segment_ends(self, values: Addresses) -> Addresses:
        limits = np.full(len(values), _NOWHERE)
        for segment in self.program.segments:
            if segment.type == PT_LOAD:
                end = min(segment.address + segment.memory_size, int(_NOWHERE))
                limits[(values >= np.uint64(segment.address)) & (values < np.uint64(end))] = end
        return limits

    def add_stubs(self, program: Program) -> None:
        """`name@plt` for each stub whose relocation names a symbol; for IFUNCs of static programs, their resolver."""
        values, sizes, names, pool = [], [], [], bytearray(b"\0")
        resolvers: dict[int, bytes] = {}
        stubs = find_stubs(program)
        if any(stub.resolver for stub in stubs):
            for rows, texts in self.tables.values():
                for row in rows[(rows["info"] & 15) == _IFUNC].tolist():
                    resolvers.setdefault(row[4], _text(texts, row[0]))
        for stub in stubs:
            name = resolvers.get(stub.resolver, b"")
            if stub.symbol and stub.table in self.tables:
                rows, texts = self.tables[stub.table]
                name = _text(texts, int(rows["name"][stub.symbol])) if stub.symbol < len(rows) else b""
            if name:
                values.append(stub.address)
                sizes.append(stub.size)
                names.append(len(pool))
                pool += name + b"@plt\0"
        self.pools[0] = bytes(pool)
        count = len(values)
        if count:
            starts, extent = np.array(values, np.uint64), np.array(sizes, np.uint64)
            self.parts.append((starts, extent, starts + extent, np.full(count, -1, np.int64),
                               np.array(names, np.int64), np.zeros(count, np.int64)))

    def finish(self) -> tuple[Addresses, Indices, Indices, SymbolTable]:
        if not self.parts:
            nothing = np.zeros(0, np.uint64)
            none = np.zeros(0, np.int64)
            return nothing, none, none, SymbolTable(nothing, nothing, nothing, none)
        starts, sizes, limits, rank, names, pool = map(np.concatenate, zip(*self.parts))
        return starts, names, pool, SymbolTable(starts, sizes, limits, rank)


def _text(pool: bytes, at: int) -> bytes:
    end = pool.find(b"\0", at)
    return pool[at:end if end >= 0 else len(pool)].partition(b"@")[0]


def _dynamic_symbols(program: Program) -> tuple[np.ndarray[tuple[int], np.dtype[np.void]], bytes] | None:
    """The dynamic symbols of a file without section headers, found as the dynamic linker finds them."""
    entries = program.dynamic()
    at = {name: entries.get(tag, 0) for name, tag in _NEEDED.items()}
    if not at["symbols"] or not at["strings"] or not 0 < at["size"] <= LARGEST_TABLE:
        return None
    if at["hash"]:
        count = int.from_bytes(program.at(at["hash"] + 4, 4), "little")
    elif at["gnu_hash"]:
        count = _count_by_hash(program, at["gnu_hash"])
    else:
        return None
    if count * _SYMBOL.itemsize > LARGEST_TABLE:
        raise ElfError("malformed ELF file", why=f"{count} dynamic symbols")
    table = program.at(at["symbols"], count * _SYMBOL.itemsize)
    return np.frombuffer(table, _SYMBOL), program.at(at["strings"], at["size"])


def _count_by_hash(program: Program, at: int) -> int:
    """How many symbols DT_GNU_HASH covers: the last bucket's chain runs to an entry with its lowest bit set."""
    buckets, first, words, _ = np.frombuffer(program.at(at, 16), "<u4").tolist()
    if max(buckets, words) > 1 << 24:
        raise ElfError("malformed ELF file", why=f"a hash table of {buckets} buckets")
    heads = np.frombuffer(program.at(at + 16 + 8 * words, 4 * buckets), "<u4")
    last = int(heads.max()) if buckets else 0
    if last < first:
        return int(first)
    chain = at + 16 + 8 * words + 4 * buckets
    while not program.at(chain + 4 * (last - first), 1)[0] & 1:
        last += 1
        if last > 1 << 20:
            raise ElfError("malformed ELF file", why="a hash chain of more than a million symbols")
    return last + 1
