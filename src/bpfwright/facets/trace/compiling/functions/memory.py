"""Pointers and bytes."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.typed import INT64, Operand, Typed, constant
from bpfwright.facets.trace.types import Integer, Pointer


def bswap_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    typed = checker.number(arguments[0], "what `bswap` takes")
    size = typed.type.size
    kind = Integer(size, False)
    if isinstance(typed.constant, int):
        swapped = int.from_bytes((typed.constant & (1 << 8 * size) - 1).to_bytes(size, "little"), "big")
        return constant(swapped, kind, node.span)

    def emit(code: Code) -> Operand:
        value = code.number_of(typed)
        if size == 1:
            return Operand(value=code.narrowed(value, kind))
        width = f"i{size * 8}"
        return Operand(value=code.extend(code.op("bswap", width, code.truncate(value, width)), width))
    return Typed(kind, node.span, emit)


def _spaced(checker: Checker, node: Any, argument: Any, space: str) -> Typed:
    typed = checker.scalar(argument, f"what `{node.name}` takes")
    kind = typed.type
    to = kind.to if isinstance(kind, Pointer) else INT64
    return Typed(Pointer(to, space), node.span, typed.emit, constant=typed.constant)


def kptr_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _spaced(checker, node, arguments[0], "kernel")


def uptr_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _spaced(checker, node, arguments[0], "user")
