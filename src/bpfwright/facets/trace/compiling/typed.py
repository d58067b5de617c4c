"""An expression whose type is known, and the value that it has while code is made."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Callable
from bpfwright.facets.trace.text import Note, Span
from bpfwright.facets.trace.types import (Array, Boolean, Buffer, Chars, Enumeration, Integer, Pointer, Stack, Struct,
                                          Text, Token, Tuple, Type)

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.code import Code

__all__ = ["INT64", "UINT64", "Operand", "Refused", "Typed", "constant", "is_number", "is_scalar", "join", "literal",
           "literal_type", "refuse"]

INT64, UINT64 = Integer(8, True), Integer(8, False)


class Operand:
    """A value in a program, in one of three forms: `value`, a number of 64 bits, extended as its type says;
    `memory`, a pointer to the program's own memory, where its bytes stand; `address`, a number: where they stand in
    `space` (kernel or user), to be read when they are needed. Where a text's length is known, `length` is it, the
    NUL counted."""

    __slots__ = ("address", "length", "memory", "space", "value")

    def __init__(self, *, value: int = -1, memory: int = -1, address: int = -1, space: str = "",
                 length: int = -1) -> None:
        self.value = value
        self.memory = memory
        self.address = address
        self.space = space
        self.length = length


class Typed:
    """`emit` makes the code that gives the value; `into` the code that writes it to a pointer and offset, where that is
    cheaper. `constant` is a value that is known: a number, or the bytes of a text. `whole`: `into` writes every
    byte."""

    __slots__ = ("constant", "emit", "into", "span", "type", "whole")

    def __init__(self, type: Type, span: Span, emit: Callable[[Code], Operand], *,
                 into: Callable[[Code, int, int], None] | None = None,
                 constant: int | bytes | None = None, whole: bool = False) -> None:
        self.type = type
        self.span = span
        self.emit = emit
        self.into = into
        self.constant = constant
        self.whole = whole


class Refused(Exception):
    """What is wrong with an expression; statements collect it and go on."""

    def __init__(self, note: Note) -> None:
        super().__init__(note.what)
        self.note = note


def refuse(span: Span, what: str, cure: str = "") -> Refused:
    """The exception to raise."""
    return Refused(Note(span, what, cure))


def is_number(type: Type) -> bool:
    """What arithmetic takes."""
    return isinstance(type, (Integer, Boolean, Enumeration))


def is_scalar(type: Type) -> bool:
    """What fits a register."""
    return isinstance(type, (Integer, Boolean, Enumeration, Pointer))


def literal_type(value: int) -> Integer:
    """The smallest type that holds a number."""
    if value < 0:
        return next(Integer(size, True) for size in (1, 2, 4, 8) if value >= -(1 << size * 8 - 1) or size == 8)
    return next(Integer(size, False) for size in (1, 2, 4, 8) if value < 1 << size * 8 or size == 8)


def wrapped(value: int, type: Type) -> int:
    """A number as a type of fewer bits holds it."""
    bits = type.size * 8
    value &= (1 << bits) - 1
    signed = isinstance(type, (Integer, Enumeration)) and type.signed
    return value - (1 << bits) if signed and value >> bits - 1 else value


def constant(value: int, type: Type, span: Span) -> Typed:
    """A number that is known."""
    held = wrapped(value, type)
    return Typed(type, span, lambda code: Operand(value=code.number(held)), constant=held)


def literal(content: bytes, span: Span) -> Typed:
    """A text that is known."""
    return Typed(Text(len(content) + 1), span, lambda code: code.text_constant(content),
                 into=lambda code, pointer, offset: code.put_text(pointer, offset, content), constant=content)


def join(one: Type, other: Type) -> Type | None:
    """The type that holds the values of both; None when there is none."""
    if one == other:
        return one
    match one, other:
        case (Integer(), Integer()):
            return _integers(one, other)
        case (Boolean(), Integer()) | (Enumeration(), Integer()):
            return join(Integer(one.size, getattr(one, "signed", False)), other)
        case (Integer(), Boolean()) | (Integer(), Enumeration()):
            return join(other, one)
        case (Enumeration(), Enumeration()):
            return Integer(max(one.size, other.size), one.signed or other.signed)
        case (Text(), Text()):
            kind = Chars if isinstance(one, Chars) and isinstance(other, Chars) else Text
            return kind(max(one.length, other.length))
        case (Buffer(), Buffer()):
            return Buffer(max(one.length, other.length))
        case (Pointer(), Integer()) | (Pointer(), Pointer()):
            return one
        case (Integer(), Pointer()):
            return other
        case (Tuple(), Tuple()) if len(one.items) == len(other.items) and sorted(one.names) == sorted(other.names):
            order = in_order(one, other)
            items = tuple(join(a, other.items[at]) for a, at in zip(one.items, order, strict=True))
            return None if None in items else Tuple(items, one.names)
        case (Stack(), Stack()) if one.space == other.space and one.mode == other.mode:
            return Stack(one.space, one.mode, max(one.frames, other.frames))
    return None


def in_order(one: Tuple, other: Tuple) -> tuple[int, ...]:
    """For each item of a tuple or record the index of the one in the other that goes with it: fields go by name."""
    return tuple([other.names.index(name) for name in one.names]) if one.names else tuple(range(len(one.items)))


def _integers(one: Integer, other: Integer) -> Integer:
    if one.signed == other.signed:
        return Integer(max(one.bytes, other.bytes), one.signed)
    signed, unsigned = (one, other) if one.signed else (other, one)
    if unsigned.bytes < signed.bytes:
        return signed
    return Integer(min(8, unsigned.bytes * 2), True)


def shown(type: Type) -> str:
    """A type's name in a message."""
    match type:
        case Struct() | Array() | Token():
            return f"`{type}`"
    return f"`{type}`"
