"""The tables that the kernel unwinds by: which file's rows stand in which chunk, and spans of processes."""
from __future__ import annotations

import os
from struct import Struct

import numpy as np

from bpfwright import _cache
from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Any, Generator, Iterable, NamedTuple
from bpfwright.errors import BpfwrightError
from bpfwright.formats.dwarf.frames import ROW, UnwindTable
from bpfwright.formats.elf.program import FileBytes, Program
from bpfwright.maps import Array
from bpfwright.spec.objects import MapSpec
from bpfwright.stacks import unwinding as u
from bpfwright.stacks.building import Source, build, close, key_of_file, open_mapping, place_of
from bpfwright.symbols.reach import is_ours
from bpfwright.types.ctype import RecordType

if TYPE_CHECKING:
    from bpfwright.symbols import Mapping, ProcessSymbols

__all__ = ["Memory", "Tables"]

_CACHE_BYTES = 256 << 20
_SPAN = Struct("<QQII")     # unwinding.Span
_MOST_SPANS = 4096          # of a process: so many the search of span_of() reaches
_MOST_KEYS = u.BUCKETS << u.BUCKET_BITS
_INDEXED = 16_392           # Chunk.index: one more than there are buckets, and eight of nothing
_HELD_OPEN = 64             # files that we could not open again when their process has ended

_Work = Generator[None, None, None]
_Spans = list[tuple[int, int, int, int]]  # start, end, key, chunk
_Key = tuple[int, int]                    # a process's number and life


_DONE = object()
_CHUNK = MapSpec("chunk", Array.kind, 4, RecordType(u.Chunk).size, 1)


def kept_tables() -> _cache.Cache:
    """Those on disk."""
    return _cache.Cache(os.path.join(_cache.default().folder, "unwinding"), _CACHE_BYTES)


class _Part(NamedTuple):
    """A stretch of a file's addresses whose rows stand in one chunk."""

    start: int
    end: int
    chunk: int
    key: int


class _File:
    """A file that was placed: its parts, and where its segments lie (offset, size, address)."""

    __slots__ = ("_spans", "parts", "segments")

    def __init__(self, parts: list[_Part], segments: list[tuple[int, int, int]]) -> None:
        self.parts = parts
        self.segments = segments
        self._spans: dict[tuple[int, int], _Spans] = {}

    def spans(self, offset: int, size: int) -> _Spans:
        """The spans of a mapping, from its start on."""
        found = self._spans.get((offset, size))
        if found is None:
            found = self._spans[offset, size] = self._find(offset, size)
        return found

    def _find(self, offset: int, size: int) -> _Spans:
        made = []
        for begin, length, address in self.segments:
            low, high = max(begin, offset), min(begin + length, offset + size)
            if low >= high:
                continue
            first, bias = address + low - begin, low - offset
            for part in self.parts:
                start, end = max(part.start, first), min(part.end, first + high - low)
                if start < end:
                    made.append((bias + start - first, bias + end - first, part.key + start - part.start, part.chunk))
        return made or [(0, size, 0, u.NO_CHUNK)]


class Memory(NamedTuple):
    """The maps of `unwinding` as a machine has them: what creates more of them, and handles of those that are there."""

    machine: Any
    spans: Any
    chunks: Any
    processes: Any


class Tables:
    """The chunks of one session, and which process has what where.

    Telling of a process is quick: what has no table yet is only marked, and the kernel asks for it when it has sampled
    it (`want`). `work` then makes tables, a few milliseconds at a time. With `eager` those of all that processes map
    are made, what was asked for first.

    `rows`, `files`, `chunk_count` and `build_ns` say what there is and how long it took to make; `built` those that
    were not on disk; `refused` counts files for which there was no room (`most_chunks` of 288 KiB) and processes with
    too many mappings; `problems` says why files have no table.
    """

    def __init__(self, memory: Memory, most_chunks: int = 512, *, eager: bool = False) -> None:
        self._memory = memory
        self._cache = kept_tables()
        self._most_chunks = most_chunks
        self._eager = eager
        self._files: dict[object, _File | None] = {}
        self._by_place: dict[object, object] = {}
        self._within_reach: set[object] = set()
        self._open: dict[object, Source] = {}
        self._wanted: dict[object, tuple[Mapping, int]] = {}
        self._spare: dict[object, tuple[Mapping, int]] = {}
        self._asking: dict[object, dict[_Key, ProcessSymbols]] = {}
        self._working: tuple[object, _Work] | None = None
        self._mirror = np.zeros(0, ROW)
        self._used = u.ROWS
        self._next_key = 0
        self._dirty = False
        self._inner: list[Any] = []
        self._shown = 0
        self._free = [(0, u.SPANS)]
        self._held: dict[_Key, tuple[int, int]] = {}
        self.problems: dict[str, str] = {}
        self.rows = self.files = self.refused = self.build_ns = self.built = 0

    @property
    def chunk_count(self) -> int:
        """How many chunks of 288 KiB are in use."""
        return len(self._inner)

    @property
    def busy(self) -> bool:
        """Whether there are tables to be made."""
        return bool(self._working or self._wanted or self._spare)

    def close(self) -> None:
        """Stop working, close files that wait for it, and let go of the chunks."""
        if self._working is not None:
            self._working[1].close()
        self._working = None
        for source in self._open.values():
            close(source)
        self._open, self._wanted, self._spare = {}, {}, {}
        while self._inner:
            self._inner.pop().close()

    # processes

    def give(self, pid: int, life: int, symbols: ProcessSymbols) -> tuple[int, int]:
        """Write down where a process has which code: the first span, and how many there are. `keep` them then."""
        spans: _Spans = []
        for mapping in symbols.code:
            spans += self._of_mapping(mapping, pid, life, symbols)
        if len(spans) > _MOST_SPANS:
            self.refused += 1
            spans = spans[:_MOST_SPANS]
        place = self._place(len(spans)) if spans else None
        if place is None:
            self.refused += bool(spans)
            return 0, 0
        spans.sort()
        self._memory.spans.update_batch(np.arange(place, place + len(spans), dtype="<u4"),
                                        b"".join([_SPAN.pack(*span) for span in spans]), len(spans))
        return place, len(spans)

    def keep(self, pid: int, life: int, spans: tuple[int, int], known: bool) -> None:
        """The kernel knows the spans now, and those from before no more; or else it does not know the process."""
        old = self._held.get((pid, life)) if known else spans
        if known:
            self._held[pid, life] = spans
        if old is not None and old[1]:
            self._give_back([old])

    def _of_mapping(self, mapping: Mapping, pid: int, life: int, symbols: ProcessSymbols) -> _Spans:
        """Its spans; what no table covers is there too, so that it is known to be mapped."""
        whole = mapping.start, mapping.end, 0
        if not mapping.of_file and mapping.path != "[vdso]":
            return [(*whole, u.NO_CHUNK)]
        place = place_of(mapping)
        if place not in self._by_place:
            self._later(place, mapping, pid)
            if self._eager:
                self._asking.setdefault(place, {})[pid, life] = symbols
            return [(*whole, u.NOT_YET)]
        file = self._files.get(self._by_place[place])
        if file is None:
            return [(*whole, u.NO_CHUNK)]
        start = mapping.start
        return [(start + low, start + high, key, chunk) for low, high, key, chunk in
                file.spans(mapping.offset, mapping.end - start)]

    def _place(self, count: int) -> int | None:
        """Room for spans that follow one another; that of ended processes is used again."""
        for attempt in (0, 1):
            for at, (first, room) in enumerate(self._free):
                if room >= count:
                    self._free[at] = (first + count, room - count)
                    return first
            if attempt == 0:
                gone = [key for key in self._held if not os.path.exists(f"/proc/{key[0]}")]
                self._give_back([self._held.pop(key) for key in gone])
        return None

    def _give_back(self, spans: list[tuple[int, int]]) -> None:
        joined: list[tuple[int, int]] = []
        for begin, room in sorted(one for one in (*self._free, *spans) if one[1]):
            if joined and sum(joined[-1]) == begin:
                joined[-1] = (joined[-1][0], joined[-1][1] + room)
            else:
                joined.append((begin, room))
        self._free = joined

    # files

    def _later(self, place: object, mapping: Mapping, pid: int) -> None:
        """See to it that a file can have its table, also when its process has ended by then."""
        if mapping.of_file and place not in self._within_reach and place not in self._open:
            if is_ours(mapping):
                self._within_reach.add(place)
            elif len(self._open) < _HELD_OPEN:
                try:
                    self._open[place] = open_mapping(mapping, pid)
                except (BpfwrightError, OSError):  # said when it is asked for
                    pass
        if self._eager and place not in self._wanted and not self._is_worked_on(place):
            self._spare.setdefault(place, (mapping, pid))

    def _is_worked_on(self, place: object) -> bool:
        return self._working is not None and self._working[0] == place

    def want(self, pid: int, life: int, symbols: ProcessSymbols, address: int) -> bool:
        """The kernel has sampled code at an address. True when there is a table by now, so that the process is to be
        told of again; else `work` says it when there is."""
        mapping = next((m for m in symbols.code if m.start <= address < m.end), None)
        if mapping is None:
            return False
        place = place_of(mapping)
        if place in self._by_place:
            return True
        if not self._is_worked_on(place):
            self._wanted.setdefault(place, self._spare.pop(place, (mapping, pid)))
        self._asking.setdefault(place, {})[pid, life] = symbols
        return False

    def work(self, until_ns: int) -> dict[_Key, ProcessSymbols]:
        """Make tables until then, or until one is there: the processes, by number and life, that asked for it."""
        began = now_ns()
        asked: dict[_Key, ProcessSymbols] = {}
        while self.busy and not asked:
            place = self._step()
            if place is not None:
                asked = self._asking.pop(place, {})
            if now_ns() >= until_ns:
                break
        self._flush()
        self.build_ns += now_ns() - began
        return asked

    def complete(self, most_ns: int) -> None:
        """Make the table that was begun, for next time, if it does not take too long."""
        until = now_ns() + most_ns
        while self._working is not None and now_ns() < until:
            self._step()

    def meet(self, processes: Iterable[ProcessSymbols], most_ns: int) -> None:
        """Make the tables of all that processes run, for so long; those on disk come first, and all of them."""
        began = now_ns()
        places = {place_of(m): (m, symbols.pid) for symbols in processes for m in symbols.code
                  if m.of_file or m.path == "[vdso]"}
        slow = []
        for place, (mapping, pid) in places.items():
            work = self._building(place, mapping, pid)
            if next(work, _DONE) is not _DONE:
                slow.append((place, mapping, pid))
            work.close()
        for place, mapping, pid in slow:
            for _ in self._building(place, mapping, pid):
                pass
            if now_ns() - began > most_ns:
                break
        self._flush()
        self.build_ns += now_ns() - began

    def prepare(self, path: str) -> None:
        """Make the table of a file that is about to run."""
        try:
            for _ in self._taking(FileBytes(path)):
                pass
        except (BpfwrightError, OSError):  # what is no ELF file has none
            pass
        self._flush()

    def _step(self) -> object | None:
        """A few milliseconds of work; the place of a file that is done."""
        if self._working is None:
            queue = self._wanted or self._spare
            place = next(iter(queue))
            self._working = (place, self._building(place, *queue.pop(place)))
        place, work = self._working
        if next(work, _DONE) is not _DONE:
            return None
        self._working = None
        return place

    def _building(self, place: object, mapping: Mapping, pid: int) -> _Work:
        """Read a mapping's file and lay down its rows, unless a copy of it was."""
        key = None
        try:
            source = self._open.pop(place) if place in self._open else open_mapping(mapping, pid)
            key = yield from self._taking(source)
        except (BpfwrightError, OSError, OverflowError) as error:  # frame pointers are followed there
            self.problems[mapping.path] = str(error)
        self._by_place[place] = key

    def _taking(self, source: Source) -> Generator[None, None, object]:
        try:
            program = Program(source)
            key = key_of_file(program, source)
            if key not in self._files:
                built = yield from build(program, self._cache)
                self.files += 1
                self.built += built.made
                self._files[key] = _File(self._put(built.table), built.segments) if len(built.table.rows) else None
            return key
        finally:
            close(source)

    # chunks

    def _put(self, table: UnwindTable) -> list[_Part]:
        """Lay a table's rows behind those that are there."""
        parts, rows, at = [], table.rows, 0
        self.rows += len(rows)
        while at < len(rows):
            if self._used >= u.ROWS - 1 and not self._new_chunk():
                self.refused += 1
                break
            count = min(len(rows) - at, u.ROWS - 1 - self._used)
            first = int(rows["pc"][at])
            room = _MOST_KEYS - self._next_key
            count = min(count, int(np.searchsorted(rows["pc"], first + room)) - at)
            if count <= 0:
                self._used = u.ROWS
                continue
            last = int(rows["pc"][at + count]) if at + count < len(rows) else int(rows["pc"][-1]) + 1
            last = min(last, first + room)
            piece = rows[at:at + count].copy()
            piece["pc"] = piece["pc"].astype(np.int64) - first + self._next_key
            self._mirror[self._used:self._used + count] = piece
            parts.append(_Part(table.base + first, table.base + last, len(self._inner) - 1, self._next_key))
            self._used += count
            self._next_key += last - first
            self._dirty = True
            at += count
        return parts

    def _new_chunk(self) -> bool:
        self._send()
        if len(self._inner) >= self._most_chunks:
            return False
        self._mirror = np.zeros(u.ROWS, ROW)
        self._mirror["pc"] = 0xFFFF_FFFF
        self._inner.append(self._memory.machine.create_map(_CHUNK))
        self._used = self._next_key = 0
        return True

    def _flush(self) -> None:
        """Send what is new, and show the kernel new chunks all at once: it waits for all its readers each time."""
        self._send()
        new = range(self._shown, len(self._inner))
        if new:
            fds = np.array([chunk.fd for chunk in self._inner[self._shown:]], "<u4")
            self._memory.chunks.update_batch(np.array(new, "<u4"), fds, len(new))
            self._shown = len(self._inner)

    def _send(self) -> None:
        """Send the chunk that was written to. Rows that are there already stay what they are while programs read."""
        if self._dirty:
            begins = np.arange(_INDEXED, dtype=np.int64) << u.BUCKET_BITS
            index = np.searchsorted(self._mirror["pc"][:self._used], begins, "right") - 1
            index = np.maximum(index, 0).astype("<u2")
            self._inner[-1].update(bytes(4), index.tobytes() + self._mirror.tobytes())
            self._dirty = False


