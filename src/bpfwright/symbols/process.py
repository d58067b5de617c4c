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
from bpfwright.symbols.mappings import Mapping, read_mappings
from bpfwright.symbols.table import Addresses, Indices, Resolved, Symbol, as_addresses

if TYPE_CHECKING:
    from bpfwright.formats.dwarf.lines import SourceLine

__all__ = ["ProcessSymbols"]

_KERNEL_HALF = np.uint64(1 << 63)
_MOST_REMEMBERED = 1 << 17  # mappings that went; the kernel lets a process have 65,530
_LARGEST_VDSO = 1 << 20


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

    __slots__ = ("_ends", "_files", "_jit", "_loaded", "_mappings", "_roots", "_same_root", "_started", "_starts",
                 "ended", "pid", "problems")

    def __init__(self, pid: int, *, files: FileCache | None = None) -> None:
        self.pid = pid
        self.ended = False
        self.problems: dict[str, str] = {}
        self._files = files if files is not None else shared_files()
        self._mappings: list[Mapping] = []
        self._loaded: dict[tuple[object, ...], ElfSymbols | None] = {}
        started = self._start_time()
        if started is None:
            raise TargetError(f"there is no process {pid}")
        self._started = started
        self._same_root = self._shares_root()
        self._roots = ("",) if self._same_root else (f"/proc/{pid}/root", "")
        self._jit = PerfMap(*self._perf_map())
        self._index()
        if not self.refresh():
            raise TargetError(f"process {pid} has just ended")

    # what the process is

    def _start_time(self) -> bytes | None:
        """When it was started: a number is used again, but not with the same time. None: it is not there (any more)."""
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[19]
        except (OSError, IndexError):
            return None

    def _shares_root(self) -> bool:
        try:
            ours, theirs = os.stat("/proc/self/root"), os.stat(f"/proc/{self.pid}/root")
            same = (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)
            return same and os.readlink("/proc/self/ns/mnt") == os.readlink(f"/proc/{self.pid}/ns/mnt")
        except OSError:
            return False

    def _perf_map(self) -> tuple[list[str], list[int]]:
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
        return [f"/proc/{self.pid}/root{path}", *([path] if self._same_root else [])], users

    # what it has mapped

    @property
    def mappings(self) -> tuple[Mapping, ...]:
        """What it has mapped, and had where nothing else came, by address."""
        return tuple(self._mappings)

    def refresh(self) -> bool:
        """Look at what it has mapped now. False when it has ended; what was known then stays."""
        if self.ended:
            return False
        try:
            with open(f"/proc/{self.pid}/maps", "rb") as file:
                text = file.read()
        except PermissionError as error:
            raise PrivilegeError(f"what process {self.pid} has mapped cannot be read", error.errno or 1,
                                 why="it belongs to another user, or is protected",
                                 cure="Run it as root, or with CAP_SYS_PTRACE.") from error
        except OSError:
            self.ended = True
            return False
        if self._start_time() != self._started:
            self.ended = True
            return False
        try:
            now = read_mappings(text)
        except FormatError as error:
            raise FormatError(f"/proc/{self.pid}/maps: {error.what}", why=error.why) from error
        if now:  # of a process that is ending they are gone before it is
            self._remember(now)
        return True

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
        for mapping in now:
            if mapping.executable and mapping.of_file and not self._ours(mapping):
                self._symbols(mapping)

    def _index(self) -> None:
        self._starts: Addresses = np.array([m.start for m in self._mappings], dtype=np.uint64)
        self._ends: Addresses = np.array([m.end for m in self._mappings], dtype=np.uint64)

    def _ours(self, mapping: Mapping) -> bool:
        """Whether its path leads us to the very same file."""
        try:
            stat = os.stat(mapping.path)
        except (OSError, ValueError):
            return False
        return stat.st_ino == mapping.inode and (os.major(stat.st_dev), os.minor(stat.st_dev)) == mapping.device

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
        places = [mapping.path] if self._ours(mapping) else []
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
            if not looked:
                self._jit.refresh()
                looked = True
            texts, made, which_made, offset = self._in_memory(mapping, wanted[rows], demangled)
            which[rows] = which_made + len(names)
            offsets[rows] = offset
            names += texts
            modules += made
        return Resolved(names, modules, which, offsets)

    def _places(self, wanted: Addresses) -> Indices:
        """The mapping that each address is in, -1 for none."""
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

    def _in_memory(self, mapping: Mapping, wanted: Addresses, demangled: bool,
                   ) -> tuple[list[str], list[str], Indices, Addresses]:
        rows = self._jit.find(wanted)
        distinct, which = np.unique(rows, return_inverse=True)
        names, modules, begins = [], [], np.zeros(len(distinct), dtype=np.uint64)
        for place, row in enumerate(distinct.tolist()):
            name, begin = self._jit.entry(row) if row >= 0 else ("", mapping.start)
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


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except (OSError, ValueError):
        return 0
