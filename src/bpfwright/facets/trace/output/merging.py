"""What a map gathered, one value for each processor made one: read from the kernel, merged, put in order."""
from __future__ import annotations

from struct import Struct as Packed
from struct import iter_unpack, unpack_from

from bpfwright._typing import Any, Callable, Iterator, NamedTuple, Protocol
from bpfwright.facets.trace.output.values import code
from bpfwright.facets.trace.plan import Map
from bpfwright.facets.trace.types import (
    Aggregate, Average, Buffer, Count, Enumeration, Extreme, Histogram, Integer, LinearHistogram, Series, Statistics,
    Sum, Text, Tuple, Type, offsets)

__all__ = ["Entry", "Handle", "Spread", "divided", "entries", "merge", "ordered"]

_BITS = 0xFFFF_FFFF_FFFF_FFFF
_WORD = Packed("=Q").unpack_from


class Handle(Protocol):
    """A kernel's map, as bpfwright.kernel has them."""

    def items(self) -> Iterator[tuple[bytes, bytes]]: ...
    def lookup(self, key: bytes, flags: int = 0) -> bytes | None: ...
    def update(self, key: bytes, value: bytes, flags: int = 0) -> None: ...
    def delete(self, key: bytes) -> bool: ...


class Spread(NamedTuple):
    """What stats gathered."""

    events: int
    average: int
    total: int


class Entry(NamedTuple):
    """A key in bytes (none in a map without keys) and what was merged: a number, a Spread, a histogram's counters, a
    series' epochs, or the bytes of any other value."""

    key: bytes
    value: Any


def divided(number: int, divisor: int) -> int:
    """C's division."""
    return number // divisor if number >= 0 else -(-number // divisor)


def entries(map: Map, handle: Handle) -> list[Entry]:
    """All entries that were ever set, in no order."""
    many = map.per_cpu or isinstance(map.value, Aggregate)
    size = map.value.size
    if map.keys:
        stride = size + 7 & ~7
        return [Entry(key, merge(map.value, [value[at:at + size] for at in range(0, len(value), stride)]
                                 if many else [value])) for key, value in handle.items()]
    found = []
    stride = size + 15 & ~7
    for _, value in handle.items():
        slots = [value[at:at + 8 + size] for at in range(0, len(value), stride)] if many else [value[:8 + size]]
        used = [slot[8:] for slot in slots if _WORD(slot, 0)[0]]
        if used:
            found.append(Entry(b"", merge(map.value, used)))
    return found


def merge(type: Type, slots: list[bytes]) -> Any:
    """One value of what each processor has."""
    for kind, merging in _MERGING.items():
        if isinstance(type, kind):
            return merging(type, slots)
    if isinstance(type, Integer) and len(slots) > 1:
        unpack = Packed("=" + code(type)[0]).unpack_from
        return _wrapped(sum(unpack(slot)[0] for slot in slots), type.bytes, type.signed)
    if isinstance(type, Integer | Enumeration) and slots:
        return unpack_from("=" + code(type)[0], slots[0])[0]
    return next((slot for slot in slots if any(slot)), slots[0])


def _wrapped(number: int, size: int = 8, signed: bool = True) -> int:
    number &= (1 << 8 * size) - 1
    return number - (1 << 8 * size) if signed and number >> 8 * size - 1 else number


def _sum(type: Any, slots: list[bytes]) -> int:
    return _wrapped(sum(_WORD(slot, 0)[0] for slot in slots), 8, getattr(type, "signed", False))


def _extreme(type: Extreme, slots: list[bytes]) -> int:
    letter = "q" if type.signed else "Q"
    had = [number for number, set_ in (unpack_from(f"={letter}Q", slot) for slot in slots) if set_]
    return (min if type.which == "min" else max)(had, default=0)


def _spread(type: Average | Statistics, slots: list[bytes]) -> Spread:
    total = _sum(type, slots)
    count = sum(_WORD(slot, 8)[0] for slot in slots) & _BITS
    return Spread(count, divided(total, count) if count else 0, total)


def _counters(type: Histogram | LinearHistogram, slots: list[bytes]) -> list[int]:
    columns = [memoryview(slot).cast("Q") for slot in slots]
    return [sum(column) for column in zip(*columns, strict=True)]


def _series(type: Series, slots: list[bytes]) -> dict[int, int]:
    form = "=qQQ" if type.signed else "=QQQ"
    from bpfwright.facets.trace.output.series import merge_series
    return merge_series(type, [place for slot in slots for place in iter_unpack(form, slot)])


_MERGING: dict[type[Type], Callable[[Any, list[bytes]], Any]] = {
    Count: _sum, Sum: _sum, Extreme: _extreme, Average: lambda type, slots: _spread(type, slots).average,
    Statistics: _spread, Histogram: _counters, LinearHistogram: _counters, Series: _series}


# --------------------------------------------------------------------------------------------------------------- order


def ordered(map: Map, found: list[Entry], top: int = 0) -> list[Entry]:
    """By value where values are numbers or gathered, by key elsewhere and among equals; the last `top`, 0 is all."""
    by_key = sorted(found, key=_key_order(map.keys))
    value = _VALUE_ORDER.get(type(map.value))
    if value is not None:
        by_key.sort(key=lambda entry: value(entry.value))
    return by_key[-top:] if 0 < top < len(by_key) else by_key


_VALUE_ORDER: dict[type[Type], Callable[[Any], int]] = {
    **dict.fromkeys((Integer, Enumeration, Count, Sum, Extreme, Average), lambda value: int(value)),
    Statistics: lambda value: int(value.average), Histogram: sum, LinearHistogram: sum,
    Series: lambda value: max(value, default=0)}


def _key_order(keys: tuple[Type, ...]) -> Callable[[Entry], tuple[Any, ...]]:
    if len(keys) == 1 and isinstance(keys[0], Tuple):
        keys = keys[0].items
    parts = [_part_order(key, at) for key, at in zip(keys, offsets(keys), strict=True)]
    return lambda entry: tuple([part(entry.key) for part in parts])


def _part_order(type: Type, at: int) -> Callable[[bytes], Any]:
    letter, _ = code(type)
    if letter:
        unpack = Packed("=" + letter).unpack_from
        return lambda key: unpack(key, at)[0]
    end = at + type.size
    if isinstance(type, Text):
        return lambda key: key[at:end].partition(b"\0")[0]
    begin = at + 4 if isinstance(type, Buffer) else at
    return lambda key: key[begin:end]
