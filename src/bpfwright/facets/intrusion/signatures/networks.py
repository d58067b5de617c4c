"""Addresses in the kernel's part: prefix tables whose answers are classes of addresses."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.datapath.prefixes import Content, PrefixTable
from bpfwright.facets.intrusion.signatures.compiling import Compiled
from bpfwright.facets.intrusion.signatures.spans import Spans
from bpfwright.helpers import judged_alone
from bpfwright.types import u32, u64

__all__ = ["Networks", "prefixes_of"]

_MAPPED = 0xFFFF << 32


def prefixes_of(spans: Spans) -> list[tuple[int, int]]:
    """The fewest prefixes that make up a set of addresses: (first address, length of 128)."""
    found = []
    for low, high in spans:
        while low <= high:
            size = min((low & -low).bit_length() - 1 if low else 128, (high - low + 1).bit_length() - 1)
            found.append((low, 128 - size))
            low += 1 << size
    return found


class Networks:
    """The tables of both ends, and `nets(packet, tables, seen)`, which takes off what addresses do not fit."""

    def __init__(self, compiled: Compiled) -> None:
        self._sides = [[(prefix, answer + 1) for answer, spans in enumerate(side) for prefix in prefixes_of(spans)]
                       for side in compiled.nets]
        self.tables = [_table(side, len(classes)) if classes else None
                       for side, classes in zip(self._sides, compiled.nets, strict=True)]
        self.nets = _both(_of(self.tables[0], compiled.layout.classes["from"], source=True),
                          _of(self.tables[1], compiled.layout.classes["to"], source=False))

    def fill(self, maps: Callable[[Any], Any]) -> None:
        """Write them."""
        import numpy as np
        for table, side in zip(self.tables, self._sides, strict=True):
            if table is None:
                continue
            with Content(table, maps) as content:
                content.write(np.array([prefix[0] >> 64 for prefix, _ in side], np.uint64),
                              np.array([prefix[0] & (1 << 64) - 1 for prefix, _ in side], np.uint64),
                              np.array([prefix[1] for prefix, _ in side], np.uint8),
                              np.array([answer for _, answer in side], np.uint32))


def _table(side: list[tuple[tuple[int, int], int]], classes: int) -> PrefixTable:
    four = sum(first >> 32 == 0xFFFF and length >= 96 for (first, length), _ in side)
    return PrefixTable(four=_rounded(four) if four else 0,
                       six=_rounded(len(side) - four) if len(side) > four else 0, highest=_rounded(classes))


def _rounded(count: int) -> int:
    return 1 << max(count - 1, 1).bit_length()


def _none(packet: Any, t: Any, seen: Any) -> None:
    return None


def _of(table: PrefixTable | None, classes: int, *, source: bool) -> Any:
    if table is None:
        return _none
    find = table.find

    # Judged alone: a look-up has loops, and without this each path out of them is walked through all that follows.
    @judged_alone
    def class_of_source(high: u64, low: u64) -> u32:
        return u32(find(high, low))

    @judged_alone
    def class_of_destination(high: u64, low: u64) -> u32:
        return u32(find(high, low))

    def of_source(packet: Any, t: Any, seen: Any) -> None:
        place = class_of_source(packet.source_high, packet.source_low) % classes
        seen.content &= t.froms[place]
        seen.head &= t.from_heads[place]

    def of_destination(packet: Any, t: Any, seen: Any) -> None:
        place = class_of_destination(packet.destination_high, packet.destination_low) % classes
        seen.content &= t.tos[place]
        seen.head &= t.to_heads[place]

    return of_source if source else of_destination


def _both(first: Any, second: Any) -> Any:
    if first is _none or second is _none:
        return second if first is _none else first

    def both(packet: Any, t: Any, seen: Any) -> None:
        first(packet, t, seen)
        second(packet, t, seen)

    return both
