"""The look-ups of prefix tables, as functions of the dialect: closures over the maps of one table."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.datapath.prefixes.lines import FORWARD, LEADS
from bpfwright.helpers import unknown
from bpfwright.types import u32, u64

__all__ = ["DEEP", "INDIRECT", "finder_of_four", "finder_of_six"]

DEEP, INDIRECT = 1 << 29, 1 << 28
"""Flags of labels in lines for IPv6: the rest is the line that knows the lower half; the rest is a place in the table
of the answers of prefixes that cover several cells."""
_NUMBER = FORWARD - 1
_LABEL = INDIRECT - 1
_DEPTH_FOUR, _DEPTH_SIX = 6, 24

Find = Callable[..., Any]


def finder_of_four(cells: Any, lines: Any, wide: Any, bits: int) -> Find:
    """`find(address)`: the label of the longest prefix of an IPv4 address, 0 for none. `bits`: of a cell's number."""
    shift, mask, indirect = 32 - bits, (1 << bits) - 1, 1 << bits - 1

    def find(address: Any) -> Any:
        line = cells.get(address >> shift)
        if line is None:
            return 0
        key = unknown(u32(address << bits) | mask)
        head = line.words[0]
        if head != 0:
            for _ in range(_DEPTH_FOUR):
                following = head & _NUMBER
                if head & FORWARD == 0:
                    following = u32(following + _place(line, key) - 1)
                line = lines.get(following)
                if line is None:
                    return 0
                head = line.words[0]
                if head == 0:
                    break
        label = line.words[unknown(_place(line, key)) & 15] & mask
        if label & indirect != 0:
            found = wide.get(u32(label ^ indirect))
            return 0 if found is None else found
        return label

    return find


def _place(line: Any, key: Any) -> Any:
    """The last place in a line that is not behind the key; the first is never behind it. Without a branch.

    Masks stand behind `unknown`, or LLVM would leave them out: the verifier of Linux 6.1 cannot follow what it knows.
    """
    place = u64(u64(line.words[8]) - key) >> 63 << 3
    place |= u64(u64(line.words[place + 4]) - key) >> 63 << 2
    place = unknown(place) & 12
    place |= u64(u64(line.words[place + 2]) - key) >> 63 << 1
    place = unknown(place) & 14
    return place | u64(u64(line.words[place + 1]) - key) >> 63


def finder_of_six(cells: Any, lines: Any, wide: Any, bits: int) -> Find:
    """`find(high, low)` for IPv6. Cells are those of 2000::/3, one for all that is below it and one for all above."""
    shift, first, end = 61 - bits, 1 << bits, 2 << bits

    def find(high: Any, low: Any) -> Any:
        cell = u64(high >> shift)
        number = 0
        if cell >= end:
            number = first + 1
        elif cell >= first:
            number = u32(cell - first + 1)
        line = cells.get(number)
        key = u64(high)
        for _ in range(_DEPTH_SIX):
            if line is None:
                return 0
            head = line.labels[0]
            following = head & _NUMBER
            if head & LEADS == 0:
                place = _wide_place(line, key)
                if place != 0:
                    head = line.labels[place]
                if head & DEEP == 0:
                    if head & INDIRECT == 0:
                        return head
                    found = wide.get(head & _LABEL)
                    return 0 if found is None else found
                following = head & _LABEL
                key = low
            elif head & FORWARD == 0:
                following += _wide_place(line, key)
            line = lines.get(following)
        return 0

    return find


def _wide_place(line: Any, key: Any) -> Any:
    if line.before[2] < key:
        if line.before[3] >= key:
            return 3
        return 5 if line.before[4] < key else 4
    if line.before[0] >= key:
        return 0
    return 2 if line.before[1] < key else 1
