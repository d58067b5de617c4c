"""Prefixes that lie in one another, flattened: where in the address space the answer changes, and to what."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy

__all__ = ["Entries", "Points", "flattened", "host_bits", "parents", "sorted_entries"]

_FULL, _NARROW = (1 << 64) - 1, (1 << 32) - 1
_PLACES = (1 << 23) - 1


class Entries(NamedTuple):
    """Prefixes in columns: the address's two halves of 64 bits, the length (0 to 128), and a label (u32, not 0)."""

    high: numpy.ndarray
    low: numpy.ndarray
    length: numpy.ndarray
    label: numpy.ndarray


class Points(NamedTuple):
    """Addresses in their order, the first is 0; from each on, up to the next, the answer is its label (0: none)."""

    high: numpy.ndarray
    low: numpy.ndarray
    label: numpy.ndarray


def host_bits(length: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The two halves of what lies behind prefixes of these lengths: all ones."""
    import numpy as np
    if not length.max(initial=0) > 32:
        return _full_behind(length), np.full(len(length), _FULL, np.uint64)
    counts = range(129)
    high = np.array([_FULL >> min(count, 64) for count in counts], np.uint64)
    low = np.array([_FULL >> max(count - 64, 0) for count in counts], np.uint64)
    return high[length], low[length]


def _full_behind(length: numpy.ndarray) -> numpy.ndarray:
    import numpy as np
    made: numpy.ndarray = np.uint64(_FULL) >> length.astype(np.uint64)
    return made


def sorted_entries(entries: Entries) -> Entries:
    """By address, the shorter first."""
    import numpy as np
    order = _order(entries.high, entries.low, entries.length)
    high, low, length, label = (each[order] for each in entries)
    return Entries(high, low, length, label.astype(np.uint32, copy=False))


def flattened(ordered: Entries) -> Points:
    """Where the longest prefix changes, equal neighbours joined, of `sorted_entries`; none may stand there twice."""
    import numpy as np
    zero = np.zeros(1, np.uint64)
    if not len(ordered.high):
        return Points(zero, zero, np.zeros(1, np.uint32))
    high, low, length, label = ordered
    more_high, more_low = host_bits(length)
    end_high, end_low = high | more_high, low | more_low
    above = parents(end_high, end_low)
    behind = np.where(above >= 0, label[above], np.uint32(0))
    after_low = end_low + np.uint64(1)
    after_high = end_high + (after_low == 0)
    inside = (after_high != 0) | (after_low != 0)  # nothing is behind the last address
    if inside.all():
        inside = slice(None)
    # Of what begins at an address, the longest counts (rank 128 and less); of what ends before it, the shortest does.
    rank = np.concatenate([128 - length.astype(np.int16), 129 + length[inside].astype(np.int16)])
    high, low = np.concatenate([high, after_high[inside]]), np.concatenate([low, after_low[inside]])
    label = np.concatenate([label, behind[inside]])
    order = _order(high, low, rank)
    return _joined(high[order], low[order], label[order])


def _order(high: numpy.ndarray, low: numpy.ndarray, rank: numpy.ndarray) -> numpy.ndarray:
    """By address and then rank, which is below 512. What stands in the upper 32 bits alone, as IPv4 does, fits into
    one number together with its place, which sorts several times faster."""
    import numpy as np
    if len(high) <= _PLACES + 1 and not low.any() and not (high & np.uint64(_NARROW)).any():
        keys = high | rank.astype(np.uint64) << np.uint64(23) | np.arange(len(high), dtype=np.uint64)
        keys.sort()
        places: numpy.ndarray = (keys & np.uint64(_PLACES)).astype(np.int64)
        return places
    ordered: numpy.ndarray = np.lexsort((rank, low, high))
    return ordered


def parents(end_high: numpy.ndarray, end_low: numpy.ndarray) -> numpy.ndarray:
    """The prefix around each, -1 for none. All that are not settled jump at once, twice as far each time."""
    import numpy as np
    above = np.arange(-1, len(end_high) - 1)
    furthest = np.maximum.accumulate(end_high)
    free = np.ones(len(end_high), bool)
    free[1:] = furthest[:-1] < end_high[1:]  # nothing before reaches as far: most of a flat list
    above[free] = -1
    open_ = np.flatnonzero(~free)
    while len(open_):
        at = above[open_]
        here_high, here_low = end_high[at], end_low[at]
        mine_high, mine_low = end_high[open_], end_low[open_]
        around = (here_high > mine_high) | ((here_high == mine_high) & (here_low >= mine_low))
        open_ = open_[(at >= 0) & ~around]
        above[open_] = above[above[open_]]
    return above


def _joined(high: numpy.ndarray, low: numpy.ndarray, label: numpy.ndarray) -> Points:
    """The first of each address, and of these those that change the label."""
    import numpy as np
    first = np.ones(len(high), bool)
    first[1:] = high[1:] != high[:-1]
    first[1:] |= low[1:] != low[:-1]
    high, low, label = high[first], low[first], label[first]
    if high[0] or low[0]:
        high, low, label = (np.concatenate([np.zeros(1, each.dtype), each]) for each in (high, low, label))
    new = np.ones(len(high), bool)
    new[1:] = label[1:] != label[:-1]
    return Points(high[new], low[new], label[new]) if not new.all() else Points(high, low, label)
