"""Loops that the verifier gets through: over bytes, in pieces; numbers bounded for it, and numbers that it forgets."""
from __future__ import annotations

from contextlib import contextmanager

from bpfwright._typing import Iterator
from bpfwright.facets.trace.compiling.typed import Operand
from bpfwright.facets.trace.compiling.unit import Unit
from bpfwright.lang import ir
from bpfwright.lang.build import Builder
from bpfwright.lang.calls import iter_num

__all__ = ["Rounds"]

_SHORT = 16
_WALKED = 128
"""Loops over the bytes of a text have at most so many rounds for the verifier to walk."""


class Rounds(Builder):
    """What `Code` has for loops and for texts in the program's memory."""

    unit: Unit

    @contextmanager
    def counted(self, most: int, piece: int = 64) -> Iterator[tuple[int, ir.Block]]:
        """A loop whose index goes from 0 to `most` - 1, known to the verifier; a jump to the block leaves it. Long ones
        go by pieces of `piece` rounds, so that the verifier has no more than one of them to walk."""
        if most > max(_WALKED, piece) and self.unit.has("iter_num"):
            with self._in_pieces(most, piece) as inside:
                yield inside
            return
        with self._walked(self.number(0), most) as inside:
            yield inside

    @contextmanager
    def _in_pieces(self, most: int, piece: int) -> Iterator[tuple[int, ir.Block]]:
        pieces = -(-most // piece)
        numbers = iter_num(self, self.number(pieces))
        head, inside, after = self.block(), self.block(), self.block()
        self.goto(head)
        self.at = head
        found = numbers.next()
        self.branch(self.is_null(found), after, inside)
        self.at = inside
        which = self.bounded(self.extend(self.load("i32", found, 0, 4), "i32"), pieces - 1)
        start = self.op("mul", "i64", which, self.number(piece))
        with self._walked(start, piece) as (index, ended):
            if most % piece:
                with self.unless(self.op("ult", "i1", index, self.number(most))):
                    self.goto(after)
            yield index, after
        assert ended is self.at
        self.goto(head)
        self.at = after
        numbers.destroy()

    @contextmanager
    def _walked(self, start: int, most: int) -> Iterator[tuple[int, ir.Block]]:
        counter = self.slot(8, 8, "index")
        self.store(counter, self.number(0))
        head, body, after = self.block(), self.block(), self.block()
        self.goto(head)
        self.at = head
        index = self.load("i64", counter)
        self.branch(self.op("ult", "i1", index, self.number(most)), body, after)
        self.at = body
        yield self.op("add", "i64", start, index), after
        self.store(counter, self.op("add", "i64", self.load("i64", counter), self.number(1)))
        self.goto(head)
        self.at = after

    def bounded(self, value: int, most: int) -> int:
        """The value, between 0 and `most`, so that the verifier sees it."""
        held = self.op("held", "i64", value)  # the back end would leave the comparison out where it knows better
        return self.op("select", "i64", self.op("ult", "i1", held, self.number(most + 1)), held,
                       self.number(most))

    def held(self, pointer: int, reach: int = 0) -> int:
        """The pointer to a place in the program's memory, to which a number is added that is not known: LLVM makes
        `pointer + number` an `or` where it knows that they share no bits, which the verifier refuses. Not needed where
        the number goes farther than memory is aligned."""
        return self.op("held", "ptr", pointer) if reach <= _SHORT else pointer

    def loose(self, place: int) -> int:
        """A number in memory of which the verifier knows nothing: else it walks what follows for each of its values."""
        zero = self.load("i64", self.pointer(self.op("global", "ptr", self.unit.counters.name),
                                             self.unit.count("zero", "")))
        return self.op("xor", "i64", self.load("i64", place), zero)

    def forget(self, place: int) -> None:
        """Let the verifier know nothing of a number in memory any more: it walks loops until nothing new is known."""
        self.store(place, self.op("opaque", "i64", self.loose(place)))  # here, not where the ways of a loop meet

    def zeroed(self, slot: int) -> None:
        """Make a slot 0 where the function begins: LLVM moves stores out of loops, and then also where nothing was
        stored, which the verifier refuses."""
        id = self.out.value("i64")
        self.entry.ops.append(ir.Op("const", "i64", (0,), id, ir.NOWHERE))
        self.entry.ops.append(ir.Op("store", "void", (slot, 0, id, 0), -1, ir.NOWHERE))

    # texts

    def unless_equal(self, pointer: int, content: bytes, other: ir.Block) -> None:
        """Go on only if these bytes stand at a pointer of any alignment: the first that differs leaves for `other`."""
        for at, byte in enumerate(content):
            same = self.block()
            self.branch(self.op("eq", "i1", self.load("i8", pointer, at, 1), self.number(byte, "i8")), same, other)
            self.at = same

    def compare_texts(self, one: int, other: int, most: int, longer: int = -1) -> int:
        """The difference of the first bytes that differ, at most `most` of them or up to a NUL in both: an i64.
        `longer`: the one of them that goes on behind `most` bytes, where the other ends even without a NUL."""
        one, other = self.held(one, most), self.held(other, most)
        result = self.slot(8, 8, "difference")
        self.store(result, self.extend(self.load("i8", longer, most, 1), "i8") if longer >= 0 else self.number(0))
        with self.counted(most) as (index, after):
            a = self.extend(self.load("i8", self.op("index", "ptr", one, index, 1), 0, 1), "i8")
            b = self.extend(self.load("i8", self.op("index", "ptr", other, index, 1), 0, 1), "i8")
            with self.when(self.op("ne", "i1", a, b)):
                self.store(result, self.op("sub", "i64", a, b))
                self.goto(after)
            with self.when(self.op("eq", "i1", a, self.number(0))):
                self.store(result, self.number(0))
                self.goto(after)
        return self.loose(result)

    def length_of(self, operand: Operand, room: int) -> int:
        """How many bytes stand before the NUL: an i64."""
        if operand.length >= 0:
            return self.op("sub", "i64", operand.length, self.number(1))
        place = self.held(operand.memory, room)
        count = self.slot(8, 8, "length")
        self.store(count, self.number(room))
        with self.counted(room) as (index, after):
            found = self.load("i8", self.op("index", "ptr", place, index, 1), 0, 1)
            with self.when(self.op("eq", "i1", found, self.number(0, "i8"))):
                self.store(count, index)
                self.goto(after)
        return self.loose(count)
