"""IR of one function: room for values, reading memory of the kernel and of processes, comparing, sending messages.

Values that fit a register are i64 numbers, extended as their type says. Others stand in memory of the program's own:
up to a budget on its stack, then in a per-CPU map's entry that it looks up once. Room is taken like a stack's and given
back at the end of each statement; variables keep theirs.
"""
from __future__ import annotations

from contextlib import contextmanager

from bpfwright._typing import Callable, Iterator
from bpfwright.errors import CompileError
from bpfwright.facets.trace.compiling.rounds import Rounds
from bpfwright.facets.trace.compiling.typed import Operand, Typed, in_order, is_scalar
from bpfwright.facets.trace.compiling.unit import RING, Unit
from bpfwright.facets.trace.text import Span
from bpfwright.facets.trace.types import (Boolean, Buffer, Enumeration, Integer, Text, Tuple, Type,
                                          offsets, padded)
from bpfwright.lang import ir

__all__ = ["Code", "Frame", "Loop", "PROBE_READ", "Variable"]

PROBE_READ = {"kernel": (113, 115), "user": (112, 114)}
"""bpf_probe_read_kernel and _user, and their variants that end at a NUL, by space."""
_LOOKUP, _RING_OUTPUT, _RING_RESERVE, _RING_SUBMIT = 1, 130, 131, 132
_STACK_ROOM, _LARGEST_ON_STACK = 224, 64
_MOST_SCRATCH = 32768 - 64
"""The largest entry of a per-CPU map."""
_INLINE = 128
"""Up to so many bytes are copied and filled by stores, more by a helper."""
_FRAME_CONTEXT, _FRAME_LEAVING, _FRAME_FIRST = 0, 8, 16


class Frame:
    """Variables that callbacks share with the program that calls them: offsets in one piece of its stack."""

    __slots__ = ("names", "size")

    def __init__(self) -> None:
        self.size = _FRAME_FIRST
        self.names: dict[int, int] = {}

    def take(self) -> int:
        """The offset of 8 more bytes."""
        self.size += 8
        return self.size - 8


class Variable:
    """A scratch variable: one for each place of a declaration; `key` tells it apart while types are found, None once
    its type is fixed. `unset`: it was declared without a value, and what comes first decides what it is."""

    __slots__ = ("key", "name", "type", "unset")

    def __init__(self, name: str, type: Type) -> None:
        self.name = name
        self.type = type
        self.key: tuple[int, int, int] | None = None
        self.unset = False


class Loop:
    """What `break` and `continue` do in a loop."""

    __slots__ = ("again", "leave")

    def __init__(self, again: Callable[[], None], leave: Callable[[], None]) -> None:
        self.again = again
        self.leave = leave


class Code(Rounds):
    """The builder of one function. `reports`: whether failed helpers are said (-k)."""

    def __init__(self, function: ir.Function, unit: Unit, scratch: str, *, reports: bool = False,
                 frame: Frame | None = None, outer: Code | None = None) -> None:
        super().__init__(function, unit)
        self.unit = unit
        self.reports = reports
        self.first = self.at
        self.scratch_map = scratch
        self.outermost: Code = outer.outermost if outer is not None else self
        self.frame = frame
        self.frame_pointer = -1
        self._stack: ir.Op | None = None
        self._stack_top = self._stack_most = self._stack_floor = 0
        self._scratch_pointer = -1
        self._scratch_top = self._scratch_floor = 0
        self._word = -1
        self._last_length: tuple[int, ir.Block] = (-1, self.at)
        self._missing: Callable[[], None] = lambda: self.effect("return", self.number(0, _result(function)))
        self.context_pointers: dict[int, int] = {}
        self.kept: dict[Variable, int] = {}
        self.slots: dict[Variable, int] = {}
        self.loops: list[Loop] = []
        self.leave: Callable[[], None] = self._missing
        self.result: Variable | None = None
        if frame is not None and outer is None:
            self.frame_pointer = self.slot(8, 8, "frame")
            self._frame_op = self.entry.ops[-1]
            self.store(self.frame_pointer, self.context(), _FRAME_CONTEXT)
            self.store(self.frame_pointer, self.number(0), _FRAME_LEAVING)

    # the whole

    def context(self) -> int:
        """The program's context."""
        if self.outermost is self:
            return 0
        return self.load("ptr", self.frame_pointer, _FRAME_CONTEXT)

    def context_pointer(self, place: int) -> int:
        """A pointer of the context; where it was tested for null, that very value."""
        known = self.context_pointers.get(place)
        return known if known is not None else self.load("ptr", self.context(), place, 8)

    def finish(self) -> None:
        """End the function: fill in what is known only now."""
        self.leave()
        if self._stack is not None:
            self._stack.args = (max(8, padded(self._stack_most, 8)), 8, "room")
        if self.frame is not None and self.outermost is self:
            size = padded(self.frame.size, 8)
            self._frame_op.args = (size, 8, "frame")
            self.entry.ops.append(ir.Op("fill", "void", (self.frame_pointer, size, 0, 8), -1, ir.NOWHERE))
        if self._scratch_pointer >= 0:
            self._look_scratch_up()
        else:
            self.entry.ops.append(ir.Op("goto", "void", (self.first.id,), -1, ir.NOWHERE))

    def _look_scratch_up(self) -> None:
        prologue, missing = self.block(), self.block()
        self.entry.ops.append(ir.Op("goto", "void", (prologue.id,), -1, ir.NOWHERE))
        self.at, self.span = prologue, ir.NOWHERE
        key = self.slot(4, 4, "scratch key")
        self.entry.ops.insert(0, self.entry.ops.pop())  # its slot, before the goto
        self.store(key, self.number(0, "i32"), 0, 4)
        found = self.helper_pointer(_LOOKUP, self.op("global", "ptr", self.scratch_map), key)
        self.at.ops[-1].id = self._scratch_pointer
        self.branch(self.op("eq", "i1", self._scratch_pointer, self.null()), missing, self.first)
        del found
        self.at = missing
        self._missing()

    # room

    def room(self, size: int) -> int:
        """A pointer to `size` bytes, aligned to 8, until the statement ends."""
        wanted = padded(max(size, 1), 8)
        if wanted <= _LARGEST_ON_STACK and self._stack_top + wanted <= _STACK_ROOM:
            base = self._stack_base()
            at = self._stack_top
            self._stack_top += wanted
            self._stack_most = max(self._stack_most, self._stack_top)
            return self.pointer(base, at)
        return self._scratch_room(wanted)

    def frame_room(self) -> int:
        """The offset of 8 more bytes of the frame that callbacks share."""
        assert self.frame is not None
        return self.frame.take()

    def _stack_base(self) -> int:
        if self._stack is None:
            self._stack_pointer = self.slot(8, 8, "room")
            self._stack = self.entry.ops[-1]
        return self._stack_pointer

    def _scratch_room(self, wanted: int) -> int:
        base = self._scratch()
        return self.pointer(base, self._take_scratch(wanted))

    def _scratch(self) -> int:
        """The pointer to this program's entry of the per-CPU map; `finish` puts the look-up at the function's entry."""
        if self._scratch_pointer < 0:
            self._scratch_pointer = self.out.value("ptr")
            self.alignments[self._scratch_pointer] = 8
        return self._scratch_pointer

    def _take_scratch(self, wanted: int) -> int:
        outermost = self.outermost
        at = outermost._scratch_top
        outermost._scratch_top += wanted
        sizes = self.unit.scratch
        size = sizes[self.scratch_map] = max(sizes.get(self.scratch_map, 0), outermost._scratch_top)
        if size > _MOST_SCRATCH:
            raise CompileError(f"a probe needs {size} bytes of room for texts and tuples, of {_MOST_SCRATCH}",
                               cure="Read shorter texts: `str(pointer, 64)`, BPFTRACE_MAX_STRLEN=256.")
        return at

    @contextmanager
    def statement(self) -> Iterator[None]:
        """What is taken inside is given back at the end."""
        stack, scratch = self._stack_top, self.outermost._scratch_top
        yield
        self._stack_top = stack
        self.outermost._scratch_top = max(scratch, self.outermost._scratch_floor)

    def word(self) -> int:
        """Eight bytes for one helper to write to and one load to read from."""
        if self._word < 0:
            self._word = self.slot(8, 8, "word")
        return self._word

    # variables

    def variable(self, variable: Variable) -> int:
        """Where a variable stands."""
        if not is_scalar(variable.type):
            outermost = self.outermost
            at = outermost.kept.get(variable)
            if at is None:
                at = outermost.kept[variable] = self._take_scratch(padded(variable.type.size, 8))
                outermost._scratch_floor = outermost._scratch_top
            return self.pointer(self._scratch(), at)
        if self.frame is not None:
            offset = self.frame.names.get(id(variable))
            if offset is None:
                offset = self.frame.names[id(variable)] = self.frame.take()
            return self.pointer(self.frame_pointer, offset)
        known = self.slots.get(variable)
        if known is None:
            known = self.slots[variable] = self.slot(8, 8, variable.name)
            self.zeroed(known)
        return known

    def put_variable(self, variable: Variable, typed: Typed) -> None:
        """Assign to a variable."""
        if is_scalar(variable.type):
            self.store(self.variable(variable), self.narrowed(self.number_of(typed), variable.type))
        else:
            self.put(typed, variable.type, self.variable(variable), 0)

    def clear(self, variable: Variable) -> None:
        """Make a variable 0, or empty."""
        place = self.variable(variable)
        if is_scalar(variable.type):
            self.store(place, self.number(0))
        else:
            self.zero(place, variable.type.size)

    def leave_with(self, value: int) -> None:
        """End the program with a value of its own; inside of a walk it only ends."""
        if self.outermost is self:
            self.effect("return", self.truncate(value, _result(self.out)))
        else:
            self.leave()

    def told(self, kind: str) -> int:
        """A number that user space puts into the object before programs run."""
        at = self.unit.count(kind, "")
        return self.load("i64", self.op("global", "ptr", self.unit.counters.name), at, 8)

    def trusted(self, typed: Typed) -> int:
        """A pointer that the verifier knows, for helpers that want one: loaded from the context, not made of a
        number."""
        operand = typed.emit(self)
        number = operand.address if operand.address >= 0 else self.scalar(operand, typed.type, typed.span)
        return self.op("toptr", "ptr", number)

    # memory

    def zero(self, pointer: int, size: int) -> None:
        """Fill with NULs. A read from address 0 fails and leaves NULs: one call, however many there are."""
        if size <= _INLINE:
            self.fill(pointer, size)
        elif size:
            self.helper(PROBE_READ["kernel"][0], pointer, self.number(size), self.number(0))

    def move(self, target: int, source: int, size: int) -> None:
        """Copy bytes of the program's own memory."""
        if size <= _INLINE:
            self.copy(target, source, size, self.alignments.get(target, 1), self.alignments.get(source, 1))
        else:
            self.helper(PROBE_READ["kernel"][0], target, self.number(size), source)

    def read_memory(self, type: Type, pointer: int, offset: int = 0) -> int:
        """A number out of the program's own memory, extended."""
        size = type.size
        align = self.alignments.get(pointer, 0)
        while align > 1 and offset % align:
            align //= 2
        kind = f"i{size * 8}"
        raw = self.load(kind, pointer, offset, min(size, align) if align else 1)
        return self.extend(raw, kind, _signed(type))

    def write_memory(self, type: Type, pointer: int, offset: int, value: int) -> None:
        """A number into memory."""
        align = self.alignments.get(pointer, 8)
        while align > 1 and offset % align:
            align //= 2
        self.store(pointer, self.truncate(value, f"i{type.size * 8}"), offset, min(type.size, align))

    def read_far(self, pointer: int, size: int, address: int, space: str, span: Span | None = None) -> int:
        """Bytes at an address into the program's memory; what cannot be read becomes NULs. What the helper said."""
        number = PROBE_READ[space or "kernel"][0]
        said = self.helper(number, pointer, self.number(size), address)
        if self.reports and span is not None:
            self.report(said, f"probe_read_{space or 'kernel'}", span)
        return said

    def report(self, said: int, helper: str, span: Span) -> None:
        """Send a message about a helper that failed."""
        with self.when(self.op("slt", "i1", said, self.number(0))):
            self.send_numbers("helper", (helper, _place(span)), [(Integer(8, True), said)])

    def report_division(self, by_zero: int, span: Span) -> None:
        """Send a message when an i1 says that something is divided by zero."""
        with self.when(by_zero):
            self.send_numbers("division", (_place(span),), [(Integer(8, True), self.number(0))])

    # values

    def number_of(self, typed: Typed) -> int:
        """A scalar expression's value."""
        return self.scalar(typed.emit(self), typed.type, typed.span)

    def scalar(self, operand: Operand, type: Type, span: Span | None = None) -> int:
        """An operand as a number."""
        if operand.value >= 0:
            return operand.value
        if operand.memory >= 0:
            return self.read_memory(type, operand.memory)
        word = self.word()
        self.read_far(word, type.size, operand.address, operand.space, span)
        return self.read_memory(type, word)

    def memory_of(self, typed: Typed) -> int:
        """A pointer to an expression's bytes in the program's memory."""
        if typed.into is not None and typed.constant is None:
            place = self.room(typed.type.size)
            typed.into(self, place, 0)
            return place
        return self.own(typed.emit(self), typed.type, typed.span)

    def own(self, operand: Operand, type: Type, span: Span | None = None) -> int:
        """An operand's bytes in the program's memory."""
        if operand.memory >= 0:
            return operand.memory
        place = self.room(type.size)
        if operand.value >= 0:
            self.write_memory(type, place, 0, operand.value)
        else:
            self.read_far(place, type.size, operand.address, operand.space, span)
        return place

    def put(self, typed: Typed, wanted: Type, pointer: int, offset: int) -> None:
        """Write an expression's value, as the type that is wanted, to memory."""
        given = typed.type
        if is_scalar(wanted):
            self.write_memory(wanted, pointer, offset, self.number_of(typed))
        elif isinstance(wanted, Tuple) and isinstance(given, Tuple) and given != wanted:
            self._put_items(typed, wanted, pointer, offset)
        elif isinstance(wanted, Text) and isinstance(given, Text):
            self._put_text(typed, wanted, pointer, offset)
        elif typed.into is not None:
            if wanted.size > given.size:
                self.zero(self.pointer(pointer, offset), wanted.size)
            typed.into(self, pointer, offset)
        else:
            self.put_operand(typed.emit(self), given, pointer, offset, typed.span)

    def _put_items(self, typed: Typed, wanted: Tuple, pointer: int, offset: int) -> None:
        source = self.memory_of(typed)
        given = typed.type
        assert isinstance(given, Tuple)
        places = offsets(given.items)
        for index, kept, to in zip(in_order(wanted, given), wanted.items, offsets(wanted.items), strict=True):
            place = self.pointer(source, places[index])
            part = Typed(given.items[index], typed.span, lambda code, place=place: Operand(memory=place))  # type: ignore[misc]
            self.put(part, kept, pointer, offset + to)

    def _put_text(self, typed: Typed, wanted: Text, pointer: int, offset: int) -> None:
        if isinstance(typed.constant, bytes):
            self.put_text(pointer, offset, typed.constant[:wanted.length], wanted.length)
            return
        given = typed.type.size
        if given < wanted.length:
            self.zero(self.pointer(pointer, offset), wanted.length)
        if given <= wanted.length and typed.into is not None:
            typed.into(self, pointer, offset)
            return
        operand = typed.emit(self)
        target = self.pointer(pointer, offset)
        if operand.memory >= 0:
            self.move(target, operand.memory, min(given, wanted.length))
        else:
            self.read_far(target, min(given, wanted.length), operand.address, operand.space, typed.span)

    def put_operand(self, operand: Operand, type: Type, pointer: int, offset: int, span: Span | None = None) -> None:
        """Write an operand of exactly this type."""
        if is_scalar(type):
            self.write_memory(type, pointer, offset, self.scalar(operand, type, span))
        elif operand.memory >= 0:
            self.move(self.pointer(pointer, offset), operand.memory, type.size)
        else:
            self.read_far(self.pointer(pointer, offset), type.size, operand.address, operand.space, span)

    # texts

    def text_constant(self, content: bytes) -> Operand:
        """A text of the object's own constants."""
        at = self.unit.bytes_constant(content + b"\0")
        base = self.op("global", "ptr", self.unit.constants.name)
        self.alignments[base] = 8
        return Operand(memory=self.pointer(base, at), length=self.number(len(content) + 1))

    def put_text(self, pointer: int, offset: int, content: bytes, room: int = 0) -> None:
        """Write a known text, with NULs up to `room`."""
        size = room or len(content) + 1
        whole = content.ljust(size, b"\0")[:size]
        used = padded(len(content) + 1, 8)
        if size > used:
            self.zero(self.pointer(pointer, offset), size)
            whole = whole[:used]
        at = 0
        align = self.alignments.get(pointer, 1)
        while align > 1 and offset % align:
            align //= 2
        while at < len(whole):
            width = next(w for w in (8, 4, 2, 1) if at + w <= len(whole) and w <= align)
            value = self.number(int.from_bytes(whole[at:at + width], "little"), f"i{width * 8}")
            self.store(pointer, value, offset + at, width)
            at += width

    def equals_text(self, pointer: int, room: int, content: bytes) -> int:
        """Whether memory of `room` bytes holds this text (an i1)."""
        wanted = (content + b"\0")[:room] if len(content) >= room else content + b"\0"
        if len(content) > room:
            return self.number(0, "i1")
        same = -1
        at = 0
        while at < len(wanted):
            width = next(w for w in (8, 4, 2, 1) if at + w <= len(wanted))
            kind = f"i{width * 8}"
            found = self.load(kind, pointer, at, width)
            expected = self.number(int.from_bytes(wanted[at:at + width], "little"), kind)
            one = self.op("eq", "i1", found, expected)
            same = one if same < 0 else self.op("and", "i1", same, one)
            at += width
        return same

    # messages

    def send_numbers(self, kind: str, texts: tuple[str, ...], fields: list[tuple[Type, int]]) -> None:
        """A message whose fields are numbers at hand."""
        index = self.unit.message(kind, tuple(type for type, _ in fields), texts)
        with self.reserved(index, tuple(type for type, _ in fields)) as (record, places):
            for (type, value), at in zip(fields, places, strict=True):
                self.write_memory(type, record, at, value)

    @contextmanager
    def reserved(self, index: int, fields: tuple[Type, ...]) -> Iterator[tuple[int, list[int]]]:
        """A record in the ring, and where its fields stand; nothing is done when the ring is full, and it counts."""
        places = [8 + at for at in offsets(fields)]
        size = padded(places[-1] + fields[-1].size, 8) if fields else 8
        ring = self.op("global", "ptr", RING)
        record = self.helper_pointer(_RING_RESERVE, ring, self.number(size), self.number(0))
        self.alignments[record] = 8
        lost, found, after = self.block(), self.block(), self.block()
        self.branch(self.is_null(record), lost, found)
        self.at = lost
        self.count_up("lost", "")
        self.goto(after)
        self.at = found
        self.store(record, self.number(index), 0, 8)
        yield record, places
        if not self.at.ended:
            self.helper(_RING_SUBMIT, record, self.number(0))
        self.goto(after)
        self.at = after

    def send(self, index: int, fields: list[Typed], types: tuple[Type, ...]) -> None:
        """A message of expressions. Those that look maps up or send something themselves go first, for nothing may fail
        between reserving a record and giving it over. A long text at the end is sent as long as it is."""
        if types and isinstance(types[-1], (Text, Buffer)) and types[-1].size > _LARGEST_ON_STACK:
            self._send_cut(index, fields, types)
            return
        ready = [self._ready(field) for field in fields]
        with self.reserved(index, types) as (record, places):
            for field, type, at in zip(ready, types, places, strict=True):
                self.put(field, type, record, at)

    def _ready(self, typed: Typed) -> Typed:
        """The same value, computed."""
        if typed.constant is not None:
            return typed
        if is_scalar(typed.type):
            value = self.number_of(typed)
            return Typed(typed.type, typed.span, lambda code: Operand(value=value))
        if typed.into is not None:
            return typed
        operand = typed.emit(self)
        return Typed(typed.type, typed.span, lambda code: operand)

    def _send_cut(self, index: int, fields: list[Typed], types: tuple[Type, ...]) -> None:
        places = [8 + at for at in offsets(types)]
        last = types[-1]
        record = self.room(padded(places[-1] + last.size, 8))
        self.store(record, self.number(index), 0, 8)
        for field, type, at in zip(fields[:-1], types[:-1], places, strict=False):
            self.put(field, type, record, at)
        length = self.put_measured(fields[-1], record, places[-1])
        size = self.op("add", "i64", length, self.number(places[-1]))
        ring = self.op("global", "ptr", RING)
        said = self.helper(_RING_OUTPUT, ring, record, size, self.number(0))
        with self.when(self.op("slt", "i1", said, self.number(0))):
            self.count_up("lost", "")

    def put_measured(self, typed: Typed, pointer: int, offset: int) -> int:
        """Write a text or buffer, and say how many bytes of it count, bounded for the verifier."""
        target = self.pointer(pointer, offset)
        room = typed.type.size
        if isinstance(typed.constant, bytes):
            self.put_text(pointer, offset, typed.constant)
            return self.number(len(typed.constant) + 1)
        self.last_length = -1
        operand = typed.emit(self) if typed.into is None else Operand()
        if typed.into is not None:
            typed.into(self, pointer, offset)
        elif operand.memory >= 0:
            self.move(target, operand.memory, room)
        else:
            self.read_far(target, room, operand.address, operand.space, typed.span)
        if isinstance(typed.type, Buffer):
            length = self.op("add", "i64", self.extend(self.load("i32", target, 0, 4), "i32"), self.number(4))
        elif self.last_length >= 0:
            length = self.last_length
        else:
            return self.number(room)
        self.last_length = -1
        return self.bounded(length, room)

    @property
    def last_length(self) -> int:
        """What reading a text gave just before, in this very block; -1 when there is nothing known."""
        return self._last_length[0] if self._last_length[1] is self.at else -1

    @last_length.setter
    def last_length(self, value: int) -> None:
        self._last_length = (value, self.at)

    def count_up(self, kind: str, name: str) -> None:
        """Add one to a counter of the object."""
        at = self.unit.count(kind, name)
        place = self.pointer(self.op("global", "ptr", self.unit.counters.name), at)
        self.op("atomic", "i64", "add", place, self.number(1))

    # conditions

    def truth(self, typed: Typed) -> int:
        """Whether a scalar is not 0: an i1."""
        return self.op("ne", "i1", self.number_of(typed), self.number(0))

    def flag(self, condition: int) -> int:
        """An i1 as a number."""
        return self.extend(condition, "i1")

    def narrowed(self, value: int, type: Type) -> int:
        """A number cut to a type's width and extended again."""
        if type.size >= 8 or isinstance(type, Boolean):
            return value
        kind = f"i{type.size * 8}"
        return self.extend(self.truncate(value, kind), kind, _signed(type))


def _signed(type: Type) -> bool:
    return isinstance(type, (Integer, Enumeration)) and type.signed


def _result(function: ir.Function) -> str:
    return function.result


def _place(span: Span) -> str:
    """Where that is, for messages that come while the script runs."""
    return f"{span.text.file or 'stdin'}:{span.line}:{span.column + 1}"
