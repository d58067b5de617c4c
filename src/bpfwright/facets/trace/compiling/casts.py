"""Casts: numbers, pointers, arrays and texts made of one another."""
from __future__ import annotations

from bpfwright._typing import Callable
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.typed import Operand, Typed, constant, is_number, is_scalar, refuse, wrapped
from bpfwright.facets.trace.text import Span
from bpfwright.facets.trace.types import Array, Boolean, Buffer, Enumeration, Integer, Pointer, Struct, Text, Type

__all__ = ["built", "cast"]


def built(type: Type, span: Span, into: Callable[[Code, int, int], None]) -> Typed:
    """A value that is made in memory."""
    def emit(code: Code) -> Operand:
        place = code.room(type.size)
        into(code, place, 0)
        return Operand(memory=place)
    return Typed(type, span, emit, into=into)


def cast(checker: Checker, node: tree.Cast) -> Typed:
    wanted = checker.type(node.type)
    given = checker.as_number(checker.value(node.operand))
    source = given.type
    if isinstance(wanted, Pointer):
        if isinstance(source, Array) and not is_number(source.of):
            raise refuse(node.span, f"`{source}` is no pointer", "Take its address: `&...`.")
        if isinstance(source, (Array, Struct)):
            given = _address_of_value(given)
        elif not is_scalar(source):
            raise refuse(node.span, f"`{source}` cannot be made a pointer", "Numbers and pointers can.")
        space = source.space if isinstance(source, Pointer) else checker.space()
        return Typed(Pointer(_spaced(wanted.to, space), space), node.span, given.emit, constant=given.constant)
    if isinstance(wanted, (Integer, Boolean, Enumeration)):
        return _to_number(checker, node, given, wanted)
    if isinstance(wanted, Array):
        return _to_array(node, given, wanted)
    if isinstance(wanted, Text):
        if isinstance(source, Text):
            return built(wanted, node.span, lambda code, pointer, offset: code.put(given, wanted, pointer, offset))
        if isinstance(source, Array) and source.of.size == 1:
            return Typed(Text(source.count), node.span, lambda code: Operand(memory=code.memory_of(given)))
        raise refuse(node.span, f"`{source}` cannot be made a text", "Write `str(...)` for what a pointer points to.")
    if isinstance(wanted, Struct):
        raise refuse(node.span, f"a value cannot be cast to `{wanted}`",
                     f"Cast a pointer and look through it: `*({wanted} *)...`.")
    raise refuse(node.span, f"`{source}` cannot be cast to `{wanted}`",
                 "Casts make numbers, pointers and arrays of numbers.")


def _spaced(type: Type, space: str) -> Type:
    return Pointer(_spaced(type.to, space), space) if isinstance(type, Pointer) else type


def _address_of_value(given: Typed) -> Typed:
    def emit(code: Code) -> Operand:
        operand = given.emit(code)
        if operand.address >= 0:
            return Operand(value=operand.address)
        return Operand(value=code.op("toint", "i64", operand.memory))
    return Typed(Pointer(given.type, "kernel"), given.span, emit)


def _to_number(checker: Checker, node: tree.Cast, given: Typed, wanted: Type) -> Typed:
    source = given.type
    if isinstance(source, (Array, Struct)) and isinstance(wanted, Integer):
        if source.size != wanted.bytes:
            raise refuse(node.span, f"`{source}` has {source.size} bytes, `{wanted}` has {wanted.bytes}",
                         f"Cast it to a type of {source.size} bytes.")
        return Typed(wanted, node.span, lambda code: Operand(value=code.read_memory(wanted, code.memory_of(given))))
    if isinstance(source, Text) and isinstance(wanted, Boolean):
        return _filled(node, given)
    if not is_scalar(source):
        raise refuse(node.span, f"`{source}` cannot be made a number", checker.cure_for(source))
    if isinstance(given.constant, int):
        known = int(bool(given.constant)) if isinstance(wanted, Boolean) else given.constant
        return constant(known, wanted, node.span)
    if isinstance(wanted, Boolean):
        return Typed(wanted, node.span, lambda code: Operand(value=code.flag(code.truth(given))))
    return Typed(wanted, node.span, lambda code: Operand(value=code.narrowed(code.number_of(given), wanted)))


def _filled(node: tree.Cast, given: Typed) -> Typed:
    """Whether a text has any bytes."""
    if isinstance(given.constant, bytes):
        return constant(int(given.constant[:1] not in (b"", b"\0")), Boolean(), node.span)

    def emit(code: Code) -> Operand:
        first = code.load("i8", code.memory_of(given), 0, 1)
        return Operand(value=code.flag(code.op("ne", "i1", first, code.number(0, "i8"))))
    return Typed(Boolean(), node.span, emit)


def _to_array(node: tree.Cast, given: Typed, wanted: Array) -> Typed:
    source = given.type
    literally = node.operand.operand if isinstance(node.operand, tree.Unary) else node.operand
    if isinstance(literally, tree.Integer) and isinstance(given.constant, int):  # as wide as it is wanted
        source = Integer(wanted.size if wanted.size in (1, 2, 4, 8) else 8, False)
        given = constant(wrapped(given.constant, source), source, given.span)
    if not is_number(wanted.of):
        raise refuse(node.span, f"`{source}` cannot be cast to `{wanted}`", "Arrays of numbers can be had.")
    room = source.length if isinstance(source, Text) else source.size
    if isinstance(source, (Integer, Text, Buffer, Array)) and not wanted.count:
        wanted = Array(wanted.of, max(1, room // wanted.of.size))
    if not isinstance(source, (Integer, Array, Text)) or wanted.size != room:
        raise refuse(node.span, f"`{source}` has {room} bytes, `{wanted}` has {wanted.size}",
                     "Both have the same size; without a number between the brackets the size follows.")
    kind = wanted

    def into(code: Code, pointer: int, offset: int) -> None:
        code.put(given, source, pointer, offset)
    return built(kind, node.span, into)
