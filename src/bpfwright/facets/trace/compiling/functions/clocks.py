"""Time, processors and chance."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.casts import built
from bpfwright.facets.trace.compiling.functions.process import UINT32, UINT64, helper
from bpfwright.facets.trace.compiling.typed import Operand, Typed, constant, refuse
from bpfwright.facets.trace.types import Token

_MONOTONIC, _BOOT, _TAI, _JIFFIES, _CPU, _NODE, _RANDOM = 5, 125, 208, 118, 8, 42, 7
_CLOCKS = {"boot": _BOOT, "monotonic": _MONOTONIC, "tai": _TAI}


def nsecs_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    name = getattr(arguments[0], "name", "") if arguments else "boot"
    if name == "sw_tai":
        plain = helper(_BOOT, UINT64, node.span)
        return Typed(UINT64, node.span, lambda code: Operand(
            value=code.op("add", "i64", code.number_of(plain), code.told("tai"))))
    if name not in _CLOCKS:
        raise refuse(arguments[0].span, "there is no such clock", "There are boot, monotonic, tai and sw_tai.")
    return helper(_CLOCKS[name], UINT64, node.span)


def elapsed_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    now = helper(_BOOT, UINT64, node.span)
    return Typed(UINT64, node.span, lambda code: Operand(
        value=code.op("sub", "i64", code.number_of(now), code.told("started"))))


def jiffies_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return helper(_JIFFIES, UINT64, node.span)


def cpu_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return helper(_CPU, UINT32, node.span, width=32)


def numaid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return helper(_NODE, UINT32, node.span, width=32)


def ncpus_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return constant(checker.host.cpus, UINT64, node.span)


def rand_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return helper(_RANDOM, UINT32, node.span, width=32)


def strftime_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    form = checker.known_text(arguments[0], "the form of a time").decode("utf-8", "surrogateescape")
    when = checker.number(arguments[1], "a time in nanoseconds")

    def into(code: Code, pointer: int, offset: int) -> None:
        code.write_memory(UINT64, pointer, offset, code.number_of(when))
        code.write_memory(UINT64, pointer, offset + 8, code.number(code.unit.text(form)))
    return built(Token("strftime"), node.span, into)


def time_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    form = checker.known_text(arguments[0], "the form of a time").decode("utf-8", "surrogateescape") if arguments \
        else "%H:%M:%S\n"
    return checker.nothing(node.span, lambda code: code.send(code.unit.message("time", (), (form,)), [], ()))
