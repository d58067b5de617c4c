"""Lines: 64 bytes that answer for a piece of the address space, or lead to lines that do. Laid out by NumPy.

A line is a leaf, which holds places where the answer changes with the answers, or it leads on: to up to as many lines
as it has places, one behind the other, with where each begins. Both kinds are searched in the same way.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from bpfwright.errors import MapFull

if TYPE_CHECKING:
    import numpy

__all__ = ["FORWARD", "LEADS", "WORDS", "Form", "Laid", "Narrow", "Room", "Wide", "laid"]

WORDS = 16
LEADS, FORWARD = 1 << 31, 1 << 30
"""Flags of a line's head: the rest of the head is the number of the first line that it leads to; and: there is one
such line alone, whatever else stands here."""


class Form(Protocol):
    """How places and labels stand in a line: rows of 16 numbers of 32 bits."""

    fan: int

    def leaves(self, row: numpy.ndarray, place: numpy.ndarray, key: numpy.ndarray, label: numpy.ndarray,
               last: numpy.ndarray) -> numpy.ndarray: ...

    def leading(self, row: numpy.ndarray, place: numpy.ndarray, key: numpy.ndarray, first: numpy.ndarray,
                ) -> numpy.ndarray: ...


class Narrow:
    """Of a part of an address that has `32 - bits` bits: 15 numbers, each the place, and in the lower `bits` the label.

    The head is 0 in a leaf. Places that are left over repeat the last one in leaves; where a line leads on they are
    larger than all that is looked for, which ends in `2 ** bits - 2`.
    """

    fan = 15

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.most = (1 << bits) - 2

    def leaves(self, row: numpy.ndarray, place: numpy.ndarray, key: numpy.ndarray, label: numpy.ndarray,
               last: numpy.ndarray) -> numpy.ndarray:
        """Leaves out of their places; `last` is where each one's last place stands in the columns."""
        import numpy as np
        words = (key.astype(np.uint32) << np.uint32(self.bits)) | label.astype(np.uint32)
        made = np.empty((len(last), WORDS), np.uint32)
        made[:] = words[last, None]
        made[row, place + 1] = words
        made[:, 0] = 0
        return made

    def leading(self, row: numpy.ndarray, place: numpy.ndarray, key: numpy.ndarray, first: numpy.ndarray,
                ) -> numpy.ndarray:
        """Lines that lead on; `first` is the number of the first line that each leads to."""
        import numpy as np
        made = np.full((len(first), WORDS), 0xFFFF_FFFF, np.uint32)
        made[row, place + 1] = key.astype(np.uint32) << np.uint32(self.bits)
        made[:, 0] = np.uint32(LEADS) | first.astype(np.uint32)
        return made


class Wide:
    """Of 64 bits: up to six labels, the first of them the head, and the places of the second to the sixth, less one.

    Words 0 to 9 are the places, 10 to 15 the labels.
    """

    fan = 6
    head = 10

    def leaves(self, row: numpy.ndarray, place: numpy.ndarray, key: numpy.ndarray, label: numpy.ndarray,
               last: numpy.ndarray) -> numpy.ndarray:
        """Leaves out of their places; what is left over repeats the last."""
        import numpy as np
        made = np.zeros((len(last), WORDS), np.uint32)
        made[:, self.head:] = label[last, None]
        made[row, place + self.head] = label
        places = made.view(np.uint64)
        before = key.astype(np.uint64) - np.uint64(1)
        places[:, :5] = np.where(key[last] > 0, before[last], np.uint64(0))[:, None]
        later = place > 0
        places[row[later], place[later] - 1] = before[later]
        return made

    def leading(self, row: numpy.ndarray, place: numpy.ndarray, key: numpy.ndarray, first: numpy.ndarray,
                ) -> numpy.ndarray:
        """Lines that lead on; what is left over is larger than all that is looked for."""
        import numpy as np
        made = np.zeros((len(first), WORDS), np.uint32)
        places = made.view(np.uint64)
        places[:, :5] = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
        later = place > 0
        places[row[later], place[later] - 1] = key[later].astype(np.uint64) - np.uint64(1)
        made[:, self.head] = np.uint32(LEADS) | first.astype(np.uint32)
        return made


class Room:
    """Which lines of a table are free, from `first` on; those given back are used again when `settle` has run."""

    def __init__(self, first: int, end: int) -> None:
        self.next = first
        self.end = end
        self._free: dict[int, list[int]] = {}
        self._left: list[tuple[int, int]] = []

    @property
    def state(self) -> list[Any]:
        """All of it but its end, as JSON can hold it."""
        return [self.next, list(self._free.items()), self._left]

    @state.setter
    def state(self, known: list[Any]) -> None:
        self.next = known[0]
        self._free = {size: list(rows) for size, rows in known[1]}
        self._left = [(first, count) for first, count in known[2]]

    def take(self, count: int) -> int:
        """The first of so many lines in a row."""
        for size in sorted(size for size, rows in self._free.items() if rows and size >= count):
            found = self._free[size].pop()
            if size > count:
                self._free.setdefault(size - count, []).append(found + count)
            return found
        if self.next + count > self.end:
            raise MapFull("a prefix table has no lines left", cure="Declare it with more entries, or write it anew.")
        found = self.next
        self.next += count
        return found

    def leave(self, first: int, count: int) -> None:
        """These are read no more, but for programs that run at this moment."""
        self._left.append((first, count))

    @property
    def waiting(self) -> int:
        """Rows of lines that wait for `settled`."""
        return len(self._left)

    def settled(self) -> None:
        """No program that began before the last `leave` runs any more."""
        for first, count in self._left:
            self._free.setdefault(count, []).append(first)
        self._left.clear()


class Laid(NamedTuple):
    """The first line of each group, and lines below in pieces: the number of the first, lines, each line's group."""

    roots: numpy.ndarray
    pieces: list[tuple[int, numpy.ndarray, numpy.ndarray]]


def laid(form: Form, sizes: numpy.ndarray, key: numpy.ndarray, label: numpy.ndarray, room: Room) -> Laid:
    """Trees of lines: group by group `sizes` places each, `key` and `label` in columns one group behind the other."""
    import numpy as np
    roots = np.zeros((len(sizes), WORDS), np.uint32)
    begin = np.cumsum(sizes) - sizes
    small = sizes <= form.fan
    group = np.repeat(np.arange(len(sizes)), sizes)
    place = np.arange(len(key)) - begin[group]
    chosen = small[group]
    if small.any():
        numbers = np.cumsum(small) - 1
        last = np.cumsum(sizes[small]) - 1
        roots[small] = form.leaves(numbers[group[chosen]], place[chosen], key[chosen], label[chosen], last)
    pieces: list[tuple[int, numpy.ndarray, numpy.ndarray]] = []
    if not small.all():
        large = np.flatnonzero(~small)
        roots[large] = _grown(form, sizes[large], key[~chosen], label[~chosen], room, pieces)
        pieces = [(base, lines, large[groups]) for base, lines, groups in pieces]
    return Laid(roots, pieces)


def _grown(form: Form, sizes: numpy.ndarray, key: numpy.ndarray, label: numpy.ndarray, room: Room,
           pieces: list[tuple[int, numpy.ndarray, numpy.ndarray]]) -> numpy.ndarray:
    """The roots of groups that need more than one line: a layer of lines at a time, from the leaves up."""
    import numpy as np
    first: numpy.ndarray | None = None
    roots = np.zeros((len(sizes), WORDS), np.uint32)
    groups = np.arange(len(sizes))
    while len(groups):
        done = sizes <= form.fan  # never in the first layer
        here = np.repeat(done, sizes)
        if first is not None and done.any():
            row, place = _rows(sizes[done], form.fan)[:2]
            ends = np.cumsum(sizes[done]) - sizes[done]
            roots[groups[done]] = form.leading(row, place, key[here], first[here][ends])
        rest = ~done
        groups, sizes, key = groups[rest], sizes[rest], key[~here]
        if not len(groups):
            break
        row, place, begin, counts = _rows(sizes, form.fan)
        base = room.take(int(counts.sum()))
        if first is None:
            last = np.append(begin[1:], len(key)) - 1
            made = form.leaves(row, place, key, label, last)
        else:
            made = form.leading(row, place, key, first[~here][begin])
        pieces.append((base, made, np.repeat(groups, counts)))
        key, sizes = key[begin], counts
        first = base + np.arange(len(key), dtype=np.int64)
    return roots


def _rows(sizes: numpy.ndarray, fan: int) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
    """Groups cut into lines: each place's line and place in it; where each line begins; lines of each group."""
    import numpy as np
    begin = np.cumsum(sizes) - sizes
    group = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(int(sizes.sum())) - begin[group]
    counts = -(-sizes // fan)
    row = (np.cumsum(counts) - counts)[group] + within // fan
    place = within % fan
    return row, place, np.flatnonzero(place == 0), counts
