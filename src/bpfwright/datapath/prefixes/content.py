"""What a prefix table holds, as the process knows it that writes it: written whole, and changed in place.

A change of a prefix within one cell lays out the cell's lines anew, where nobody reads, and becomes visible by one
store into the head of the cell. Prefixes that cover several cells have a number instead of an answer in all of them,
and change by one store into the table of answers. No look-up ever sees anything between old and new.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.datapath.prefixes.written import Key, Numbers, Spread, Written, written_of
from bpfwright.datapath.prefixes.finding import DEEP, INDIRECT
from bpfwright.datapath.prefixes.lines import FORWARD, LEADS, WORDS, Form, Narrow, Room, Wide, laid
from bpfwright.datapath.prefixes.spans import Entries, Points, flattened, host_bits, sorted_entries
from bpfwright.errors import MapFull

if TYPE_CHECKING:
    import numpy

__all__ = ["Half", "Key"]

_FULL = (1 << 64) - 1
_TIDY = 4096  # rows of lines that may wait, and cells that may be forwarded, before a change waits for readers


class Half:
    """One family's part of a table: its cells, lines and answers in the memory of three maps."""

    def __init__(self, bits: int, capacity: int, *, six: bool, cells: Any, lines: Any, wide: Any) -> None:
        self.six = six
        self.bits = bits
        self.capacity = capacity
        self.form: Form = Wide() if six else Narrow(bits)
        self.head = Wide.head if six else 0
        self.indirect = INDIRECT if six else 1 << bits - 1
        self._views = [each.handle.map_values() for each in (cells, lines, wide)]
        self._settle: Callable[[], None] = cells.handle.settle
        self.tidied: Callable[[], None] = _nobody_asks
        self.count = (1 << bits) + 2 if six else 1 << bits
        self._attach(cells.max_entries, lines.max_entries, wide.max_entries)
        self._forget()

    def _attach(self, cells: int, lines: int, wide: int) -> None:
        import numpy as np
        memory = [np.frombuffer(each.view, np.uint32) for each in self._views]
        self.cells = memory[0][:cells * WORDS].reshape(cells, WORDS)
        self.lines = memory[1][:lines * WORDS].reshape(lines, WORDS)
        self.answers = np.frombuffer(self._views[2].view, np.uint64)[:wide]

    def _forget(self) -> None:
        import numpy as np
        self.room = Room(0, len(self.lines))
        self.owner = np.full(len(self.lines), -1, np.int32)
        self._first_owner: numpy.ndarray = self.owner
        self.forwarded: dict[int, int] = {}
        none = np.zeros(0, np.uint64)
        self._base = Written(Entries(none, none, np.zeros(0, np.uint8), np.zeros(0, np.uint32)))
        self.spread = Spread(self._base, none, none)
        self._numbers = Numbers(len(self.answers))
        self.single: dict[int, dict[Key, int]] = {}  # cells that were looked at: all that is within
        self._changed: dict[int, dict[Key, int]] = {}  # by cell, what was put since all was written (0: removed)
        self._single_count = 0

    # what another process needs to go on

    def columns(self) -> dict[str, numpy.ndarray]:
        """What `write` left, to be kept as it is. The lower halves of IPv4's addresses are 0."""
        import numpy as np
        found = {**self._base.entries._asdict(), "owner": self.owner, "spread": self.spread.at,
                 "numbers": self.spread.numbers}
        found["label"] = found["label"].astype(np.min_scalar_type(int(found["label"].max(initial=0))))
        return found if self.six else {name: column for name, column in found.items() if name != "low"}

    def state(self) -> dict[str, Any]:
        """What changes have made of it since, as JSON can hold it."""
        return {"room": self.room.state, "owners": _runs(self.owner, self._first_owner),
                "forwarded": list(self.forwarded.items()), "numbers": self._numbers.state,
                "spread": list(self.spread.changed.items()), "count": self._single_count,
                "changed": [(key, value) for held in self._changed.values() for key, value in held.items()]}

    def go_on(self, column: Callable[[str], numpy.ndarray], state: dict[str, Any]) -> None:
        """Know what another process knew: its columns, of which owners are changed in place, and its state."""
        self._base = written_of(column, self.six)
        self.owner = column("owner")
        self.spread = Spread(self._base, column("spread"), column("numbers"))
        self._first_owner = self.owner.copy()
        self.room.state = state["room"]
        for first, behind, owner in state["owners"]:
            self.owner[first:behind] = owner
        self.forwarded = dict(state["forwarded"])
        self._numbers.state = state["numbers"]
        for key, found in state["spread"]:
            self.spread.put(tuple(key), None if found is None else tuple(found))
        self._single_count = state["count"]
        for key, value in state["changed"]:
            self._changed.setdefault(self.cell_of(key[0]), {})[tuple(key)] = value

    def close(self) -> None:
        """Let the memory go."""
        self.cells = self.lines = self.answers = None  # type: ignore[assignment]
        for each in self._views:
            each.close()

    # where a prefix stands

    def cell_of(self, high: int) -> int:
        """The cell that an address lies in."""
        if not self.six:
            return high >> 64 - self.bits
        return min(max((high >> 61 - self.bits) - (1 << self.bits) + 1, 0), self.count - 1)

    def _starts(self, first: int, end: int) -> numpy.ndarray:
        """The upper half of where cells begin."""
        import numpy as np
        cells = np.arange(first, end, dtype=np.uint64)
        if not self.six:
            return cells << np.uint64(64 - self.bits)
        starts = (cells + np.uint64((1 << self.bits) - 1)) << np.uint64(61 - self.bits)
        starts[cells == 0] = 0
        return starts

    def _last_of(self, key: Key) -> int:
        high, _, length = key
        return high | _FULL >> length if length < 64 else high

    def _is_spread(self, key: Key) -> bool:
        return self.cell_of(key[0]) != self.cell_of(self._last_of(key))

    def __len__(self) -> int:
        return self._single_count + len(self.spread)

    # all at once

    def write(self, entries: Entries) -> None:
        """Put these into maps that no program reads yet. The labels are the answers, from 1 up."""
        import numpy as np
        if len(entries.high) > self.capacity:
            raise MapFull(f"{len(entries.high):,} prefixes do not fit into a table for {self.capacity:,}",
                          cure="Declare it larger.")
        self._forget()
        entries = sorted_entries(entries)
        spread = self._cells(entries.high) != self._cells(entries.high | host_bits(entries.length)[0])
        at = np.flatnonzero(spread)
        numbers = np.array([self._numbers.take() for _ in at], np.uint32)
        self.answers[numbers] = entries.label[at]
        label = entries.label
        if len(at):
            label = label.copy()
            label[at] = numbers | np.uint32(self.indirect)
        self._base = Written(entries)
        self.spread = Spread(self._base, at, numbers)
        self._single_count = len(entries.high) - len(at)
        points = flattened(entries._replace(label=label))
        self.cells[:] = self._trees(points, 0, self.count)
        self._first_owner = self.owner.copy()

    def _cells(self, high: numpy.ndarray) -> numpy.ndarray:
        import numpy as np
        if not self.six:
            return (high >> np.uint64(64 - self.bits)).astype(np.int64)
        found = (high >> np.uint64(61 - self.bits)).astype(np.int64) - ((1 << self.bits) - 1)
        return np.clip(found, 0, self.count - 1)

    def _trees(self, points: Points, first: int, end: int) -> numpy.ndarray:
        """The lines of cells, written but for their roots, which are given back."""
        import numpy as np
        if self.six:
            points = self._lower_halves(points)
        starts = self._starts(first, end)
        at_start = points.label[np.searchsorted(points.high, starts, "right") - 1]
        low, top = np.searchsorted(points.high, starts[0], "right"), len(points.high)
        if end < self.count:
            top = np.searchsorted(points.high, self._starts(end, end + 1)[0], "left")
        high, label = points.high[low:top], points.label[low:top]
        cells = self._cells(high)
        inner = high != starts[cells - first]
        high, label, cells = high[inner], label[inner], cells[inner] - first
        sizes = np.bincount(cells, minlength=end - first) + 1
        places = np.cumsum(sizes) - sizes
        key, labels = np.zeros(int(sizes.sum()), np.uint64), np.zeros(int(sizes.sum()), np.uint32)
        labels[places] = at_start
        if self.six:
            key[places] = starts
        rest = np.ones(len(key), bool)
        rest[places] = False
        key[rest] = high if self.six else high << np.uint64(self.bits) >> np.uint64(32 + self.bits)
        labels[rest] = label
        made = laid(self.form, sizes, key, labels, self.room)
        self._put(made.pieces, np.arange(first, end))
        return made.roots

    def _put(self, pieces: list[tuple[int, numpy.ndarray, numpy.ndarray]], cells: numpy.ndarray) -> None:
        for base, lines, groups in pieces:
            self.lines[base:base + len(lines)] = lines
            self.owner[base:base + len(lines)] = cells[groups]

    def _lower_halves(self, points: Points) -> Points:
        """Points of upper halves alone: what is within one becomes lines of its own."""
        import numpy as np
        high, low, label = points
        deep = np.unique(high[low != 0])
        if not len(deep):
            return points
        begin, stop = np.searchsorted(high, deep, "left"), np.searchsorted(high, deep, "right")
        at_zero = low[begin] == 0
        before = label[np.where(at_zero, begin, begin - 1)]
        sizes = stop - begin + ~at_zero
        places = np.cumsum(sizes) - sizes
        key, labels = np.zeros(int(sizes.sum()), np.uint64), np.zeros(int(sizes.sum()), np.uint32)
        labels[places] = before
        rest = np.ones(len(key), bool)
        rest[places] = False
        within = np.isin(high, deep) & (low != 0)
        key[rest], labels[rest] = low[within], label[within]
        made = laid(self.form, sizes, key, labels, self.room)
        base = self.room.take(len(deep))
        cells = self._cells(deep)
        self._put([*made.pieces, (base, made.roots, np.arange(len(deep)))], cells)
        flat = ~np.isin(high, deep)
        numbers = (np.arange(base, base + len(deep)) | DEEP).astype(np.uint32)
        after = deep + np.uint64(1)
        new = ~np.isin(after, high) & (after != 0)
        highs = np.concatenate([high[flat], deep, after[new]])
        found = np.concatenate([label[flat], numbers, label[stop - 1][new]])
        order = np.argsort(highs, kind="stable")
        return Points(highs[order], np.zeros(len(order), np.uint64), found[order])

    # one at a time

    def put(self, key: Key, value: int) -> None:
        """Add a prefix, or give it another answer."""
        if len(self) >= self.capacity and self.get(key) is None:
            raise MapFull(f"a prefix table is full with {self.capacity:,} prefixes", cure="Declare it larger.")
        self._done(self._put_spread if self._is_spread(key) else self._set, key, value)

    def remove(self, key: Key) -> bool:
        """Take a prefix out; false when it is not there."""
        if self.get(key) is None:
            return False
        self._done(self._remove_spread if self._is_spread(key) else self._set, key, 0)
        return True

    def _done(self, change: Callable[[Key, int], None], key: Key, value: int) -> None:
        """Do it; where there is no room, once more after tidying. Whoever goes on after a tidying may use lines anew
        that were read before: that is why it is told of (`tidied`)."""
        if len(self.forwarded) >= _TIDY or self.room.waiting >= _TIDY:
            self.tidy()
        try:
            change(key, value)
        except MapFull:
            self.tidy()
            change(key, value)

    def _set(self, key: Key, value: int) -> None:
        """Of a prefix within one cell; 0 takes it out."""
        cell = self.cell_of(key[0])
        held = self._held_in(cell)
        before = held.get(key, 0)
        if before == value:
            return
        _hold(held, key, value)
        try:
            self._renew(cell)
        except MapFull:
            _hold(held, key, before)
            raise
        self._changed.setdefault(cell, {})[key] = value
        self._single_count += (value != 0) - (before != 0)

    def get(self, key: Key) -> int | None:
        """A prefix's own answer, None when it is not there."""
        if self._is_spread(key):
            found = self.spread.get(key)
            return None if found is None else found[1]
        return self._held_in(self.cell_of(key[0])).get(key)

    def items(self) -> list[tuple[Key, int]]:
        """All prefixes with their answers."""
        held = {key: label for key, label in self._base.items() if not self._is_spread(key)}
        for changed in self._changed.values():
            for key, value in changed.items():
                _hold(held, key, value)
        return [*held.items(), *((key, value) for key, (_, value) in self.spread.items())]

    def _held_in(self, cell: int) -> dict[Key, int]:
        held = self.single.get(cell)
        if held is None:
            start = int(self._starts(cell, cell + 1)[0])
            behind = int(self._starts(cell + 1, cell + 2)[0]) if cell + 1 < self.count else None
            held = self.single[cell] = {key: label for key, label in self._base.between(start, behind)
                                        if not self._is_spread(key)}
            for key, value in self._changed.get(cell, {}).items():
                _hold(held, key, value)
        return held

    def _renew(self, cell: int) -> None:
        """Lay a cell out anew beside what it is, and lead there."""
        root = self._laid_out(cell)
        at = self.room.take(1)
        old = self._reach(self.cells[cell])
        self.lines[at] = root
        self.owner[at] = cell
        self._publish(cell, LEADS | FORWARD | at)
        self._leave(old)
        self.forwarded[cell] = at

    def _laid_out(self, cell: int) -> numpy.ndarray:
        import numpy as np
        held = [(*key, value) for key, value in self._held_in(cell).items()]
        start = int(self._starts(cell, cell + 1)[0])
        held += [(*key, number | self.indirect) for key, number in self._around(start)]
        columns = list(zip(*held)) if held else [()] * 4
        kinds = (np.uint64, np.uint64, np.uint8, np.uint32)
        entries = Entries(*(np.array(each, kind) for each, kind in zip(columns, kinds, strict=True)))
        found: numpy.ndarray = self._trees(flattened(sorted_entries(entries)), cell, cell + 1)[0]
        return found

    def _publish(self, cell: int, head: int) -> None:
        if not _stores_stay_in_order():
            self._settle()
        self.cells[cell, self.head] = head

    def _reach(self, line: numpy.ndarray) -> list[tuple[int, int]]:
        """The rows of lines below a line."""
        head = int(line[self.head])
        if not head & LEADS:
            if not self.six:
                return []
            below = sorted({int(label) & ~DEEP for label in line[self.head:] if int(label) & DEEP})
            return [each for at in below for each in [(at, 1), *self._reach(self.lines[at])]]
        first = head & FORWARD - 1
        count = 1 if head & FORWARD else self._children(line)
        found = [(first, count)]
        for at in range(first, first + count):
            found += self._reach(self.lines[at])
        return found

    def _children(self, line: numpy.ndarray) -> int:
        import numpy as np
        if self.six:
            return 1 + int((line.view(np.uint64)[:5] != np.uint64(_FULL)).sum())
        return int((line[1:] != np.uint32(0xFFFF_FFFF)).sum())

    def _leave(self, rows: list[tuple[int, int]]) -> None:
        for first, count in _joined(rows):
            self.room.leave(first, count)
            self.owner[first:first + count] = -1

    def tidy(self) -> None:
        """Bring lines of changed cells back to where they are found at once, and lines that are read no more into use.

        Waits until all runs of programs that began before have ended, some milliseconds, twice at most.
        """
        self._settle()
        self.room.settled()
        self._numbers.settled()
        for cell, at in self.forwarded.items():
            line = self.lines[at].copy()
            line[self.head] = self.cells[cell, self.head]
            self.cells[cell] = line
        if self.forwarded:
            self._settle()
        for cell, at in self.forwarded.items():
            self.cells[cell, self.head] = self.lines[at, self.head]
            self.owner[at] = -1
            self.room.leave(at, 1)
        self.forwarded.clear()
        self.tidied()

    # prefixes over several cells

    def _around(self, high: int, length: int = 65) -> list[tuple[Key, int]]:
        """Prefixes over several cells around an address, of less than a length, with their numbers; the shortest
        first."""
        found = []
        for each in range(min(length, self.bits + 4)):
            key = (high >> 64 - each << 64 - each if each else 0, 0, each)
            known = self.spread.get(key)
            if known is not None:
                found.append((key, known[0]))
        return found

    def _above(self, key: Key) -> tuple[int, int]:
        """The label and the answer of what is around a prefix over several cells."""
        around = self._around(key[0], key[2])
        if not around:
            return 0, 0
        known = self.spread.get(around[-1][0])
        assert known is not None
        return known[0] | self.indirect, known[1]

    def _put_spread(self, key: Key, value: int) -> None:
        known = self.spread.get(key)
        if known is None:
            label, answer = self._above(key)
            number = self._numbers.take()
            self.answers[number] = answer
            self.spread.put(key, (number, value))
            try:
                self._relabel(key, label, number | self.indirect)
            except MapFull:
                self.spread.put(key, None)
                self._numbers.leave(number)
                raise
        else:
            number = known[0]
        if not _stores_stay_in_order():
            self._settle()
        self.answers[number] = value
        self.spread.put(key, (number, value))

    def _remove_spread(self, key: Key, _: int) -> None:
        known = self.spread.get(key)
        assert known is not None
        label, answer = self._above(key)
        self.answers[known[0]] = answer
        self.spread.put(key, None)
        try:
            self._relabel(key, known[0] | self.indirect, label)
        except MapFull:
            self.spread.put(key, known)
            self.answers[known[0]] = known[1]
            raise
        self._numbers.leave(known[0])

    def _relabel(self, key: Key, old: int, new: int) -> None:
        """Give the lines of all cells within a prefix another label; both have the same answer now."""
        import numpy as np
        first, last = self.cell_of(key[0]), self.cell_of(self._last_of(key))
        whole = last + 1
        if last == self.count - 1 and self._last_of(key) != _FULL:  # of the last cell for IPv6, a part
            self._renew(last)
            whole = last
        mask = np.uint32(self.indirect | self.indirect - 1)
        columns = slice(self.head, WORDS) if self.six else slice(1, WORDS)
        rows = np.flatnonzero((self.owner >= first) & (self.owner < whole))
        for lines, chosen in ((self.cells, np.arange(first, whole)), (self.lines, rows)):
            chosen = chosen[lines[chosen, self.head] & np.uint32(LEADS) == 0]
            words = lines[chosen, columns]
            at_row, at_word = np.nonzero((words & mask if not self.six else words) == old)
            chosen, at_word = chosen[at_row], at_word + columns.start
            lines[chosen, at_word] = lines[chosen, at_word] - np.uint32(old) + np.uint32(new)


def _runs(now: numpy.ndarray, first: numpy.ndarray) -> list[tuple[int, int, int]]:
    """(first, behind the last, value) of rows in a row that have another value now."""
    import numpy as np
    places = np.flatnonzero(now != first)
    if not len(places):
        return []
    values = now[places]
    begin = np.flatnonzero(np.concatenate([[True], (np.diff(places) > 1) | (np.diff(values) != 0)]))
    end = np.append(begin[1:], len(places)) - 1
    return list(zip(places[begin].tolist(), (places[end] + 1).tolist(), values[begin].tolist(), strict=True))


def _joined(rows: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Rows of lines, those that stand behind one another as one."""
    found: list[tuple[int, int]] = []
    for first, count in sorted(rows):
        if found and sum(found[-1]) == first:
            found[-1] = found[-1][0], found[-1][1] + count
        else:
            found.append((first, count))
    return found


def _hold(held: dict[Key, int], key: Key, value: int) -> None:
    if value:
        held[key] = value
    else:
        held.pop(key, None)


def _nobody_asks() -> None:
    """Where no other process goes on."""


def _stores_stay_in_order() -> bool:
    import os
    return os.uname().machine in ("x86_64", "amd64")
