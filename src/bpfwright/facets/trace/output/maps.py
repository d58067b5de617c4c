"""Maps as they are printed, as text and as JSON, whole or one entry; and cleared and zeroed."""
from __future__ import annotations

from errno import ENOENT
from sys import byteorder

from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.errors import KernelError
from bpfwright.facets.trace.output.histograms import histogram_json, histogram_text
from bpfwright.facets.trace.output.merging import Entry, Handle, divided, entries, merge, ordered
from bpfwright.facets.trace.output.values import json_key_reader, json_reader, json_text, key_reader, text_reader
from bpfwright.facets.trace.plan import Map
from bpfwright.facets.trace.types import (
    Aggregate, Average, Enumeration, Histogram, LinearHistogram, Series, Statistics, Type)

if TYPE_CHECKING:
    from bpfwright.facets.trace.output.world import World

__all__ = ["MapPrinter", "clear", "json_of", "text_of", "zero"]

_EXISTS = 2  # BPF_EXIST
_KINDS: dict[type[Type], str] = {
    Histogram: "hist", LinearHistogram: "hist", Statistics: "stats", Average: "stats", Series: "tseries"}


class MapPrinter:
    """One map's printing. `text` and `json` read the map anew each time; `top` keeps the last entries in order, 0 all,
    and `divisor` divides values, 0 as 1. Without entries both give nothing."""

    def __init__(self, map: Map, handle: Handle, world: World) -> None:
        self.map = map
        self.handle = handle
        self.world = world
        self.name = map.name.encode()
        self.kind = _KINDS.get(type(map.value), "map")
        self._boxed = self.kind in ("hist", "tseries")
        self._key = key_reader(map.keys, world)
        self._json_key = json_key_reader(map.keys, world)

    def text(self, top: int = 0, divisor: int = 1) -> bytes:
        """As text: a line for each entry, or a box with an empty line after it."""
        found = ordered(self.map, entries(self.map, self.handle))
        value = text_of(self.map.value, self.world, found, divisor or 1)
        return b"".join([self._entry(entry, value) for entry in found[-top:]])

    def json(self, top: int = 0, divisor: int = 1) -> bytes:
        """As one line of JSON."""
        found = ordered(self.map, entries(self.map, self.handle))
        return self._json_line(found[-top:], json_of(self.map.value, self.world, found, divisor or 1))

    def entry_text(self, key: bytes) -> bytes:
        """One entry as text; nothing when it is not there."""
        entry = self._look(key)
        return b"" if entry is None else self._entry(entry, text_of(self.map.value, self.world, [entry]))

    def entry_json(self, key: bytes) -> bytes:
        """One entry as a line of JSON."""
        entry = self._look(key)
        return b"" if entry is None else self._json_line([entry], json_of(self.map.value, self.world, [entry]))

    def value_text(self, key: bytes, value: bytes) -> bytes:
        """One entry as text whose value a record brought along."""
        return self._entry(Entry(key, value), lambda data: text_reader(self.map.value, self.world)(data, 0))

    def value_json(self, key: bytes, value: bytes) -> bytes:
        """The same as a line of JSON."""
        return self._json_line([Entry(key, value)], lambda data: json_reader(self.map.value, self.world)(data, 0))

    def _look(self, key: bytes) -> Entry | None:
        if not self.map.keys:
            return next(iter(entries(self.map, self.handle)), None)
        found = self.handle.lookup(key)
        if found is None:
            return None
        size, stride = self.map.value.size, self.map.value.size + 7 & ~7
        many = self.map.per_cpu or isinstance(self.map.value, Aggregate)
        slots = [found[at:at + size] for at in range(0, len(found), stride)] if many else [found]
        return Entry(key, merge(self.map.value, slots))

    # one line each

    def _entry(self, entry: Entry, value: Callable[[Any], bytes]) -> bytes:
        name = b"%b[%b]" % (self.name, self._key(entry.key)) if self.map.keys else self.name
        return b"%b%b%b\n" % (name, b":\n" if self._boxed else b": ", value(entry.value))

    def _json_line(self, found: list[Entry], value: Callable[[Any], bytes]) -> bytes:
        if not found:
            return b""
        if self.map.keys:
            data = b"{%b}" % b", ".join([self._json_key(entry.key) + b": " + value(entry.value) for entry in found])
        else:
            data = value(found[0].value)
        return b'{"type": "%b", "data": {%b: %b}}\n' % (self.kind.encode(), json_text(self.name), data)


def text_of(type: Type, world: World, found: list[Entry], divisor: int = 1) -> Callable[[Any], bytes]:
    """What shows merged values of a type; series share the end of their time axis, so it needs all entries."""
    match type:
        case Histogram():
            return lambda counters: histogram_text(type, counters, divisor)
        case LinearHistogram():
            return lambda counters: histogram_text(type, counters)
        case Series():
            from bpfwright.facets.trace.output.series import series_text
            lines = _lines(type, world, found)
            return lambda values: series_text(type, lines(values))
        case Statistics():
            return lambda value: b"count %d, average %d, total %d" % (
                value.events, divided(value.average, divisor), value.total)
    read = text_reader(type, world)
    if isinstance(type, Enumeration):
        return lambda value: read(value.to_bytes(type.size, byteorder, signed=value < 0), 0)
    return lambda value: read(value, 0) if isinstance(value, bytes) else b"%d" % divided(value, divisor)


def json_of(type: Type, world: World, found: list[Entry], divisor: int = 1) -> Callable[[Any], bytes]:
    """The same as JSON."""
    match type:
        case Histogram():
            return lambda counters: histogram_json(type, counters, divisor)
        case LinearHistogram():
            return lambda counters: histogram_json(type, counters)
        case Series():
            from bpfwright.facets.trace.output.series import series_json
            lines = _lines(type, world, found)
            return lambda values: series_json(lines(values))
        case Statistics():
            return lambda value: b'{"count": %d, "average": %d, "total": %d}' % (
                value.events, divided(value.average, divisor), value.total)
    read = json_reader(type, world)
    return lambda value: read(value, 0) if isinstance(value, bytes) else b"%d" % divided(value, divisor)


def _lines(type: Series, world: World, found: list[Entry]) -> Callable[[Any], list[Any]]:
    from bpfwright.facets.trace.output.series import epochs
    last = max((epoch for entry in found for epoch in entry.value), default=0)
    return lambda values: epochs(type, values, last, world.boot_to_wall_ns)


def clear(map: Map, handle: Handle) -> None:
    """Remove all entries; a map without keys was never set then."""
    for key, value in list(handle.items()):
        if map.keys:
            handle.delete(key)
        else:
            handle.update(key, bytes(len(value)))


def zero(map: Map, handle: Handle) -> None:
    """Set all values to zero, on every processor; the keys stay."""
    stride = map.value.size + 15 & ~7
    for key, value in list(handle.items()):
        if map.keys:
            emptied = bytes(len(value))
        else:  # whether it was set stays as it is
            emptied = b"".join([value[at:at + 8].ljust(len(value[at:at + stride]), b"\0")
                                for at in range(0, len(value), stride)])
        try:
            handle.update(key, emptied, _EXISTS)
        except KernelError as error:
            if error.errno != ENOENT:  # gone meanwhile
                raise
