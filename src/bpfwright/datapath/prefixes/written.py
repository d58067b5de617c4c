"""What was written into a prefix table all at once, looked at by parts, as columns may be files of which few pages are
read; and what was changed since."""
from __future__ import annotations

from bisect import bisect_left

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterator
from bpfwright.datapath.prefixes.spans import Entries
from bpfwright.errors import MapFull

if TYPE_CHECKING:
    import numpy

__all__ = ["Key", "Numbers", "Spread", "Written", "written_of"]

Key = tuple[int, int, int]
"""A prefix: the two halves of its address, IPv4 in the upper 32 bits of the first, and its length."""


class Written:
    """Sorted prefixes with labels; as a sequence, their keys."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries

    def __len__(self) -> int:
        return len(self.entries.high)

    def __getitem__(self, at: int) -> Key:
        high, low, length, _ = self.entries
        return int(high[at]), int(low[at]), int(length[at])

    def place(self, key: Key) -> int:
        """Where a prefix stands; -1 for nowhere."""
        at = self.from_(key)
        return at if at < len(self) and self[at] == key else -1

    def from_(self, key: Key) -> int:
        """Where the first stands that is not before a prefix."""
        return bisect_left(self, key)

    def label(self, at: int) -> int:
        """The label of one."""
        return int(self.entries.label[at])

    def between(self, start: int, behind: int | None) -> Iterator[tuple[Key, int]]:
        """Those whose address's upper half is from `start` on, and before `behind`, with labels."""
        first = self.from_((start, 0, 0))
        end = len(self) if behind is None else self.from_((behind, 0, 0))
        return self._part(first, end)

    def items(self) -> Iterator[tuple[Key, int]]:
        """All, with labels."""
        return self._part(0, len(self))

    def _part(self, first: int, end: int) -> Iterator[tuple[Key, int]]:
        columns = [each[first:end].tolist() for each in self.entries]
        return (((high, low, length), label) for high, low, length, label in zip(*columns, strict=True))


def written_of(column: Callable[[str], numpy.ndarray], six: bool) -> Written:
    """What was written, out of its columns."""
    import numpy as np
    high = column("high")
    low = column("low") if six else np.zeros(len(high), np.uint64)
    return Written(Entries(high, low, column("length"), column("label")))


class Spread:
    """Prefixes that cover several cells, each with a number and its answer: `at` says which of those written they are,
    in order, `numbers` their numbers. `changed` is what was put since (None: it is gone)."""

    def __init__(self, base: Written, at: numpy.ndarray, numbers: numpy.ndarray) -> None:
        self._base = base
        self.at = at
        self.numbers = numbers
        self.changed: dict[Key, tuple[int, int] | None] = {}
        self._count = len(at)

    def get(self, key: Key) -> tuple[int, int] | None:
        """(number, answer) of one; None for none."""
        return self.changed[key] if key in self.changed else self._first(key)

    def _first(self, key: Key) -> tuple[int, int] | None:
        place = self._base.place(key) if len(self.at) else -1
        if place < 0:
            return None
        at = bisect_left(self.at, place)
        if at == len(self.at) or self.at[at] != place:
            return None
        return int(self.numbers[at]), self._base.label(place)

    def put(self, key: Key, found: tuple[int, int] | None) -> None:
        """Give one its number and answer, or take it out."""
        self._count += (found is not None) - (self.get(key) is not None)
        self.changed[key] = found

    def items(self) -> Iterator[tuple[Key, tuple[int, int]]]:
        """All of them."""
        for place, number in zip(self.at.tolist(), self.numbers.tolist(), strict=True):
            if self._base[place] not in self.changed:
                yield self._base[place], (number, self._base.label(place))
        yield from ((key, found) for key, found in self.changed.items() if found is not None)

    def __len__(self) -> int:
        return self._count


class Numbers:
    """Numbers below a bound; those given back are used again when no program that may know them runs any more."""

    def __init__(self, end: int) -> None:
        self._end = end
        self.next = 0
        self._free: list[int] = []
        self._old: list[int] = []

    @property
    def state(self) -> list[Any]:
        """All of it but the bound, as JSON can hold it."""
        return [self.next, self._free, self._old]

    @state.setter
    def state(self, known: list[Any]) -> None:
        self.next, self._free, self._old = known[0], list(known[1]), list(known[2])

    def take(self) -> int:
        """A number that nothing has."""
        if self._free:
            return self._free.pop()
        if self.next == self._end:
            raise MapFull("a prefix table has no room for more prefixes that are this short",
                          cure="Declare it with more entries.")
        self.next += 1
        return self.next - 1

    def leave(self, number: int) -> None:
        """It is read no more, but by programs that run at this moment."""
        self._old.append(number)

    def settled(self) -> None:
        """No such program runs any more."""
        self._free += self._old
        self._old = []
