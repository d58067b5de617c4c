"""A tool at work: its rows, distributions and tables as plain values; everything is undone when it closes."""
from __future__ import annotations

import os
import select
from functools import partial

from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterator, NamedTuple, Self
from bpfwright.facets.tools._tool import Cell, Column, Histogram, Options, Rows, Table, Tool
from bpfwright.types.ctype import Int
from bpfwright.types.structs import Struct

if TYPE_CHECKING:
    from bpfwright.events import Events
    from bpfwright.session import Session

__all__ = ["Distribution", "Entry", "Running"]

Row = dict[str, Cell]


class Distribution(NamedTuple):
    """One histogram: its keys by name, and (lowest value, highest value, how many) in order."""

    keys: Row
    unit: str
    buckets: list[tuple[int, int, int]]


class Entry:
    """An entry of a map as a column sees it: the fields of its value, then those of its key."""

    __slots__ = ("key", "label", "value")

    def __init__(self, key: Any, value: Any) -> None:
        self.key = key
        self.value = value
        self.label = ""

    def __getattr__(self, name: str) -> Any:
        for part in (self.value, self.key):
            if isinstance(part, Struct) and hasattr(part, name):
                return getattr(part, name)
        if not isinstance(self.value, Struct):
            return self.value
        raise AttributeError(name)


class Running:
    """An attached tool. `for row in running` gives rows as they come (of tools that print rows); `take()` gives what a
    histogram or table has gathered since the last time. `stop()` ends the iteration, also from a signal's handler."""

    def __init__(self, tool: Tool, options: Options, session: Session) -> None:
        self.tool = tool
        self.options = options
        self.session = session
        self.columns = tool.columns_of(options)
        self._last_ns = now_ns()
        self._before: list[int] = []
        self.seen = 0
        self._first_ns = 0
        self._stopped = False
        self.events: Events[Any] | None = session.events(tool.ring) if isinstance(tool, Rows) else None
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._getters = [self._getter(column) for column in self.columns]

    def _getter(self, column: Column) -> Callable[[Any], Cell]:
        of = column.of or column.name
        if callable(of):
            getter: Callable[[Any], Cell] = of
            return getter
        if of == "@elapsed":
            return self._elapsed
        if of == "@clock":
            return lambda record: clock()
        if of in self.tool.cells:
            return partial(self.tool.cells[of], self)
        return lambda record: plain(getattr(record, of))

    def _elapsed(self, record: Any) -> float:
        self._first_ns = self._first_ns or record.at
        return float(record.at - self._first_ns) / 1e9

    # rows

    def cells(self, record: Any) -> list[Cell]:
        """What the columns show of a record."""
        return [get(record) for get in self._getters]

    def arrived(self) -> Iterator[list[Cell]]:
        """The rows that are there now."""
        assert self.events is not None
        keep, decode, plan = self.tool.keep, self.events.schema.decode, self._plan()  # type: ignore[attr-defined]
        needed = keep is not None or not all(raw for raw, _ in plan)
        if self.events.pending_bytes:
            for data in self.events._reader.records():
                record = decode(data) if needed else None
                if keep is None or keep(record, self.options):
                    self.seen += 1
                    yield [get(data) if raw else get(record) for raw, get in plan]

    def _plan(self) -> list[tuple[bool, Callable[[Any], Cell]]]:
        """How each cell is had: out of a record's bytes where it is a field as it stands, which is quicker."""
        assert self.events is not None
        fields = {field.name: field for field in self.events.schema.columns}
        found: list[tuple[bool, Callable[[Any], Cell]]] = []
        for column, getter in zip(self.columns, self._getters):
            name = column.of or column.name
            raw = _raw(fields[name]) if isinstance(name, str) and name in fields else None
            found.append((False, getter) if raw is None else (True, raw))
        return found

    def rows(self) -> list[Row]:
        """The rows that are there now, without waiting."""
        names = [column.name for column in self.columns]
        return [dict(zip(names, cells)) for cells in self.arrived()]

    def __iter__(self) -> Iterator[Row]:
        names = [column.name for column in self.columns]
        while True:
            last = self._stopped
            for cells in self.arrived():
                yield dict(zip(names, cells))
            if last:
                return
            self.wait(None)

    def wait(self, seconds: float | None) -> None:
        """Sleep until rows are there, the time is over, or stop() was called."""
        if self._stopped:
            return
        if self.events is not None:
            self.events.wait(seconds)
        else:
            select.select([self._wake], [], [], seconds)

    @property
    def stopped(self) -> bool:
        """Whether stop() was called."""
        return self._stopped

    def stop(self) -> None:
        """Let what waits go on to its end."""
        self._stopped = True
        os.eventfd_write(self._wake, 1)
        if self.events is not None:
            self.events.stop()

    # histograms and tables

    def take(self) -> list[Any]:
        """A histogram's Distributions, or a table's rows, best first."""
        if isinstance(self.tool, Histogram):
            return self._distributions(self.tool)
        assert isinstance(self.tool, Table)
        tool = self.tool
        entries = list(tool.entries(self) if tool.entries is not None else self.drained(tool.counts, tool.fresh))
        sort = tool.sort(self.options) if callable(tool.sort) else tool.sort
        if callable(sort):
            entries.sort(key=sort, reverse=True)
        elif sort:
            entries.sort(key=lambda entry: getattr(entry, sort.lstrip("+")), reverse=not sort.startswith("+"))
        names = [column.name for column in self.columns]
        return [dict(zip(names, self.cells(entry))) for entry in entries]

    def drained(self, counts: Any, fresh: bool = True) -> Iterator[Entry]:
        """A map's entries; with `fresh` each is taken out, so that nothing is counted twice."""
        live = self.session[counts]
        if not fresh:
            yield from (Entry(key, value) for key, value in live.items())
            return
        for key in list(live):
            value = live.pop(key, None)
            if value is not None:
                yield Entry(key, value)

    def summed(self, counts: Any) -> Iterator[Entry]:
        """One entry of all that a map counted: its key is the seconds since the last time."""
        now, last = now_ns(), self._last_ns
        self._last_ns = now
        yield Entry((now - last) / 1e9, sum(entry.value for entry in self.drained(counts)))

    def differences(self, counts: Any) -> list[int]:
        """What each counter of a per-CPU array has gained since the last time."""
        now = [value.total() for value in self.session[counts]]
        before, self._before = self._before or [0] * len(now), now
        return [new - old for new, old in zip(now, before)]

    def labelled(self, counts: Any) -> Iterator[Entry]:
        """Entries of a map whose key is a probe's cookie, with the probe's label."""
        for entry in self.drained(counts):
            entry.label = self.options.points[entry.key - 1].label()
            yield entry

    def _distributions(self, tool: Histogram) -> list[Distribution]:
        unit = tool.unit(self.options) if callable(tool.unit) else tool.unit
        names = [column.name for column in self.columns]
        groups: dict[tuple[Cell, ...], dict[int, int]] = {}
        for entry in self.drained(tool.counts):
            slots = groups.setdefault(tuple(self.cells(entry.key)), {})
            slots[entry.key.slot] = slots.get(entry.key.slot, 0) + entry.value
        ordered = sorted(groups.items(), key=lambda group: (sum(group[1].values()), str(group[0])))
        return [Distribution(dict(zip(names, keys)), unit, _buckets(slots, tool.linear)) for keys, slots in ordered]

    # the end

    @property
    def lost(self) -> int:
        """Events that found no room, in the ring or in any map."""
        return sum(self.losses.values())

    @property
    def losses(self) -> dict[str, int]:
        """What found no room, by the map that had none; `stacks` are call stacks that could not be had or kept."""
        ring = getattr(self.tool, "ring", None)
        counters, maps = self.session._lost, self.session.compiled.maps
        found = {name: count() for name, count in counters.items() if ring is None or maps.get(name) is not ring}
        if self.events is not None:
            found["ring"] = self.events.lost
        return {name: count for name, count in found.items() if count}

    def close(self) -> None:
        """Detach and let go."""
        if self._wake >= 0:
            os.close(self._wake)
            self._wake = -1
            self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def plain(value: Any) -> Cell:
    """A field's value as a cell: addresses and other objects as text."""
    return value if isinstance(value, (str, int, float)) or value is None else str(value)


_CODES = {"i1": "b", "u1": "B", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q"}


def _raw(field: Any) -> Callable[[bytes], Cell] | None:
    """A field's value out of a record's bytes; None where only the record itself can tell."""
    at = field.offset
    if field.kind == "text":
        end = at + field.ctype.size
        return lambda data: data[at:end].partition(b"\0")[0].decode("utf-8", "surrogateescape")
    if field.kind == "int" and not field.width and field.dtype[1:] in _CODES and type(field.ctype) is Int:
        from struct import Struct as Packed
        unpack = Packed(field.dtype[0] + _CODES[field.dtype[1:]]).unpack_from
        return lambda data: unpack(data, at)[0]
    return None


def clock() -> str:
    """The time of day."""
    from time import strftime
    return strftime("%H:%M:%S")


def _buckets(slots: dict[int, int], linear: bool) -> list[tuple[int, int, int]]:
    """From the first bucket to the last that holds anything."""
    if linear:
        return [(slot, slot, slots.get(slot, 0)) for slot in range(max(slots) + 1)]
    return [((1 << slot >> 1) if slot > 1 else 0, (1 << slot) - 1, slots.get(slot, 0))
            for slot in range(1, max(slots) + 1)]
