"""Address → name in a process: what it has mapped, remembered from the first sight on, so that it may end meanwhile."""
from __future__ import annotations

import os

import numpy as np

from bpfwright._typing import TYPE_CHECKING, Sequence
from bpfwright.errors import BpfwrightError, ElfError, FormatError, PrivilegeError, TargetError
from bpfwright.symbols.demangling import demangle
from bpfwright.symbols.elf import ElfSymbols
from bpfwright.symbols.files import FileCache, shared_files
from bpfwright.symbols.jit import PerfMap
from bpfwright.symbols.mappings import Mapping, read_code, read_mappings
from bpfwright.symbols.reach import is_ours
from bpfwright.symbols.symbol import Symbol
from bpfwright.symbols.table import Addresses, Indices, Resolved, as_addresses

if TYPE_CHECKING:
    from bpfwright.formats.dwarf.lines import SourceLine

__all__ = ["ProcessSymbols"]

_KERNEL_HALF = np.uint64(1 << 63)
_MOST_REMEMBERED = 1 << 17  # mappings that went; the kernel lets a process have 65,530
_LARGEST_VDSO = 1 << 20
_OF_THE_KERNEL = ("[vdso]", "[vsyscall]")


class ProcessSymbols:
    """The names of a process's addresses.

        process = ProcessSymbols(pid)
        process.resolve(addresses).columns()        # a hundred thousand at once
        process.find(0x7f3a5c0947e5)                # Symbol(name='read', offset=21, module='/lib/.../libc.so.6')
        process.lines(0x55d0c8a01149)               # its source lines, inlined functions first

    What it has mapped is read when this is made, and again when an address is outside of that, or by `refresh()`:
    after an exec, say. What went is remembered where nothing new stands, so that addresses from before, and those of a
    process that has ended, keep their names. Files are opened as the process sees them, in its own mount namespace and
    also when they are deleted; a file that we could not find again by its path is read at once, the others when they
    are asked for. Memory of no file is named by the process's /tmp/perf-PID.map, if its runtime writes one, else it is
    `[anon]`.

    `files` holds the symbols that processes share. `problems` says of which files no symbols could be read, and why.
    Raises TargetError when there is no such process, and PrivilegeError when its memory is not ours to look at.
    """

    __slots__ = ("_code", "_ends", "_files", "_jit", "_loaded", "_looks", "_mappings", "_roots", "_same_root",
                 "_started", "_starts", "ended", "pid", "problems")

    def __init__(self, pid: int, *, files: FileCache | None = None) -> None:
        self.pid = pid
        self.ended = False
        self.problems: dict[str, str] = {}
        self._files = files if files is not None else shared_files()
        self._mappings: list[Mapping] = []
        self._loaded: dict[tuple[object, ...], ElfSymbols | None] = {}
        self._started = b""
        self._looks: list[bytes] = []
        self._code: list[Mapping] = []
        self._jit: PerfMap | None = None
        self._index()
        if not self.refresh():
            raise TargetError(f"there is no process {pid}")
        self._same_root = self._shares_root()
        self._roots = ("",) if self._same_root else (f"/proc/{pid}/root", "")
        self._keep_files()

    # what the process is

    def _shares_root(self) -> bool:
        try:
            ours, theirs = os.stat("/proc/self/root"), os.stat(f"/proc/{self.pid}/root")
            same = (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
            return same and os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{self.pid}/ns/mnt")
        except OSError:
            return False

    def _perf_map(self) -> PerfMap:
        """Where its runtime writes what it made: under its own number in its own root. And whose file that may be."""
        number, users = str(self.pid), [0, os.geteuid()]
        try:
            with open(f"/proc/{self.pid}/status", "rb") as file:
                for line in file:
                    words = line.split()
                    if line.startswith(b"NSpid:") and len(words) > 1:
                        number = str(int(words[-1]))
                    elif line.startswith(b"Uid:") and len(words) > 2:
                        users.append(int(words[2]))
        except (OSError, ValueError):
            pass
        path = f"/tmp/perf-{number}.map"
        return PerfMap([f"/proc/{self.pid}/root{path}", *([path] if self._same_root else [])], users)

    # what it has mapped

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """What it has mapped, and had where nothing else came, by address."""
        self._recall()
        return tuple(self._mappings)

    @property
    def code(self) -> tuple[Mapping, ...]:
        """What was executable when it was last looked at. This is quicker than all that it has mapped."""
        return tuple(self._code)

    def refresh(self) -> bool:
        """Look at what it has mapped now. False when it has ended; what was known then stays."""
        if self.ended:
            return False
        try:
            text, started = self._look()
        except PermissionError as error:
            raise PrivilegeError(f"what process {self.pid} has mapped cannot be read", error.errno or 1,
                                 why="it belongs to another user, or is protected",
                                 cure="Run it as root, or with CAP_SYS_PTRACE.") from error
        except (OSError, IndexError):
            self.ended = True
            return False
        if started != (self._started or started):
            self.ended = True
            return False
        first, self._started = not self._started, started
        try:
            code = read_code(text)
        except FormatError as error:
            raise FormatError(f"/proc/{self.pid}/maps: {error.what}", why=error.why) from error
        if text:  # of a process that is ending they are gone before it is
            self._looks.append(text)
            self._code = code
            if not first:
                self._keep_files()
        return True

    def _look(self) -> tuple[bytes, bytes]:
        """Its mappings, and when it was started: its number is used again, but not with the same time.

        Both are read by way of one folder, which stays that of this process when it has ended.
        """
        folder = os.open(f"/proc/{self.pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            text = _read("maps", folder)
            return text, _read("stat", folder).rpartition(b")")[2].split()[19]
        finally:
            os.close(folder)

    def _keep_files(self) -> None:
        """Read at once what may be out of reach later."""
        for mapping in self._code:
            if mapping.of_file and not is_ours(mapping):
                self._symbols(mapping)
        if self._jit is None and any(not m.of_file and m.path not in _OF_THE_KERNEL for m in self._code):
            self._jit = self._perf_map()

    def _recall(self) -> None:
        """Read the looks at it that nobody has asked about yet."""
        looks, self._looks = self._looks, []
        for text in looks:
            try:
                self._remember(read_mappings(text))
            except FormatError as error:
                raise FormatError(f"/proc/{self.pid}/maps: {error.what}", why=error.why) from error

    def _remember(self, now: list[Mapping]) -> None:
        starts = np.array([m.start for m in now], dtype=np.uint64)
        ends = np.array([m.end for m in now], dtype=np.uint64)
        if self._mappings:
            # What lies wholly behind one that ends and before the next that begins overlaps nothing.
            behind = np.searchsorted(ends, self._starts, "right")
            free = behind == np.searchsorted(starts, self._ends, "left")
            kept = [self._mappings[i] for i in np.flatnonzero(free).tolist()]
            now = sorted(now + kept[:_MOST_REMEMBERED])
        self._mappings = now
        self._index()

    def _index(self) -> None:
        self._starts: Addresses = np.array([m.start for m in self._mappings], dtype=np.uint64)
        self._ends: Addresses = np.array([m.end for m in self._mappings], dtype=np.uint64)

    # symbols of what is mapped

    def _symbols(self, mapping: Mapping) -> ElfSymbols | None:
        """The symbols behind a mapping, None where there are none."""
        key: tuple[object, ...] = (mapping.device, mapping.inode, mapping.path)
        if not mapping.of_file:
            if mapping.path != "[vdso]":
                return None
            key = (mapping.path,)
        if key not in self._loaded:
            self._loaded[key] = self._open(mapping) if mapping.of_file else self._vdso(mapping)
        return self._loaded[key]

    def _open(self, mapping: Mapping) -> ElfSymbols | None:
        places = [mapping.path] if is_ours(mapping) else []
        if not self.ended:
            places.append(f"/proc/{self.pid}/map_files/{mapping.start:x}-{mapping.end:x}")
            inside = f"/proc/{self.pid}/root{mapping.path}"
            if not mapping.deleted and _inode(inside) == mapping.inode:
                places.append(inside)
        why = "the process has ended, and its file is not at this path any more"
        for place in places:
            try:
                return self._files.symbols(place, mapping.path, self._roots)
            except ElfError as error:
                why = error.what + (f": {error.why}" if error.why else "")
                break
            except OSError as error:
                why = error.strerror or str(error)
        self.problems[mapping.path] = why
        return None

    def _vdso(self, mapping: Mapping) -> ElfSymbols | None:
        """From its memory, or else from ours: the kernel gives every process the same."""
        for owner, place in ((self.pid, mapping), (os.getpid(), None)):
            try:
                if place is None:
                    with open("/proc/self/maps", "rb") as file:
                        place = next(m for m in read_mappings(file.read()) if m.path == "[vdso]")
                with open(f"/proc/{owner}/mem", "rb", buffering=0) as memory:
                    data = os.pread(memory.fileno(), min(place.end - place.start, _LARGEST_VDSO), place.start)
                return ElfSymbols.from_bytes(data, "[vdso]")
            except (OSError, OverflowError, StopIteration, BpfwrightError) as error:
                self.problems["[vdso]"] = str(error)
        return None

    # asking

    def find(self, address: int, *, demangled: bool = True) -> Symbol:
        """What one address is in."""
        return self.resolve([address], demangled=demangled)[0]

    def resolve(self, addresses: Sequence[int] | Addresses, *, demangled: bool = True) -> Resolved:
        """What each of many addresses is in; `[unknown]` where nothing is, or was, mapped."""
        wanted = as_addresses(addresses)
        places = self._places(wanted)
        if ((places < 0) & (wanted < _KERNEL_HALF)).any() and self.refresh():
            places = self._places(wanted)
        names, modules = [""], ["[unknown]"]
        which = np.zeros(len(wanted), dtype=np.int64)
        offsets = wanted.copy()
        order = np.argsort(places, kind="stable")
        borders = np.flatnonzero(np.diff(places[order])) + 1
        looked = False
        for rows in np.split(order, borders):
            if not len(rows) or places[rows[0]] < 0:
                continue
            mapping = self._mappings[places[rows[0]]]
            symbols = self._symbols(mapping)
            if symbols is not None:
                at, found, begins = self._in_file(symbols, mapping, wanted[rows], demangled)
                which[rows] = found[2] + len(names)
                offsets[rows] = at - begins
                names += found[0]
                modules += [mapping.path or "[anon]"] * len(found[0])
                continue
            if self._jit is None:
                self._jit = self._perf_map()
            if not looked:
                self._jit.refresh()
                looked = True
            texts, made, which_made, offset = self._in_memory(self._jit, mapping, wanted[rows], demangled)
            which[rows] = which_made + len(names)
            offsets[rows] = offset
            names += texts
            modules += made
        return Resolved(names, modules, which, offsets)

    def addresses(self, name: str, *, module: str = "") -> list[int]:
        """Where a symbol of that name is, in the files whose own name has `module` in it; data too."""
        found: set[int] = set()
        looked: set[str] = set()
        for mapping in self.mappings:
            if not mapping.executable or mapping.path in looked or module not in mapping.path.rpartition("/")[2]:
                continue
            symbols = self._symbols(mapping)
            bias = None if symbols is None else _bias(symbols, mapping)
            if symbols is not None and bias is not None:
                looked.add(mapping.path)
                found.update(bias + address for address in symbols.addresses(name))
        return sorted(found)

    def _places(self, wanted: Addresses) -> Indices:
        """The mapping that each address is in, -1 for none."""
        self._recall()
        if not self._mappings:
            return np.full(len(wanted), -1, dtype=np.int64)
        at: Indices = np.searchsorted(self._starts, wanted, "right").astype(np.int64) - 1
        at[(at >= 0) & (wanted >= self._ends[at])] = -1
        return at

    def _in_file(self, symbols: ElfSymbols, mapping: Mapping, wanted: Addresses, demangled: bool,
                 ) -> tuple[Addresses, tuple[list[str], Addresses, Indices], Addresses]:
        offsets = wanted - np.uint64(mapping.start) + np.uint64(mapping.offset)
        at, loaded = symbols.at_offsets(offsets)
        at = np.where(loaded, at, offsets)
        names, begins, which = symbols.group(at, demangled)
        if not loaded.all():  # a number that is no address of the file names nothing
            names, begins = [*names, ""], np.append(begins, np.uint64(0))
            which = np.where(loaded, which, len(names) - 1)
        return at, (names, begins, which), begins[which]

    @staticmethod
    def _in_memory(jit: PerfMap, mapping: Mapping, wanted: Addresses, demangled: bool,
                   ) -> tuple[list[str], list[str], Indices, Addresses]:
        rows = jit.find(wanted)
        distinct, which = np.unique(rows, return_inverse=True)
        names, modules, begins = [], [], np.zeros(len(distinct), dtype=np.uint64)
        for place, row in enumerate(distinct.tolist()):
            name, begin = jit.entry(row) if row >= 0 else ("", mapping.start)
            if row < 0 and mapping.of_file:
                begin = mapping.start - mapping.offset
            names.append(demangle(name) if demangled else name)
            modules.append("[jit]" if row >= 0 else mapping.path or "[anon]")
            begins[place] = begin & 0xFFFF_FFFF_FFFF_FFFF
        return names, modules, which.astype(np.int64), wanted - begins[which]

    def lines(self, address: int) -> list[SourceLine]:
        """The function, file and line of an address, what is inlined first and what it is inlined into behind it.

        Empty where no DWARF says it. Raises NotSupported without pyelftools and FormatError for damaged DWARF.
        """
        wanted = as_addresses([address])
        place = int(self._places(wanted)[0])
        if place < 0 and self.refresh():
            place = int(self._places(wanted)[0])
        if place < 0:
            return []
        mapping = self._mappings[place]
        symbols = self._symbols(mapping)
        if symbols is None:
            return []
        at, loaded = symbols.at_offsets(wanted - np.uint64(mapping.start) + np.uint64(mapping.offset))
        return symbols.lines(int(at[0])) if loaded[0] else []


def _bias(symbols: ElfSymbols, mapping: Mapping) -> int | None:
    """How far from its own addresses a file is loaded. A segment may begin within the mapping's first page."""
    offsets = np.array([mapping.offset, mapping.offset + 4095], dtype=np.uint64)
    at, loaded = symbols.at_offsets(offsets)
    for place, offset in enumerate((0, 4095)):
        if loaded[place]:
            return mapping.start + offset - int(at[place])
    return None


def _read(name: str, folder: int) -> bytes:
    """A file of a process's folder."""
    file = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        pieces = []
        while piece := os.read(file, 1 << 16):
            pieces.append(piece)
        return b"".join(pieces)
    finally:
        os.close(file)


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except (OSError, ValueError):
        return 0
