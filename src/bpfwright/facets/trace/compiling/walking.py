"""Loops whose bodies become callbacks, which share the program's variables through one piece of its stack: walking a
map by bpf_for_each_map_elem (since Linux 5.13), and long ranges by bpf_loop."""
from __future__ import annotations

from bpfwright._typing import Callable
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling import maps
from bpfwright.facets.trace.compiling.checker import Checker, Done
from bpfwright.facets.trace.compiling.code import Code, Loop, Variable
from bpfwright.facets.trace.compiling.typed import INT64, UINT64, Operand, is_scalar, refuse
from bpfwright.facets.trace.types import Aggregate, Tuple, Type, offsets
from bpfwright.lang import ir

__all__ = ["repeat", "walk"]

_FOR_EACH, _LOOP = 164, 181
_MOST_ROUNDS = 1 << 23
_KEY, _VALUE, _SHARED = 1, 2, 3
_LEAVING = 8


def walk(checker: Checker, node: tree.For, over: tree.MapName, body_of: Callable[[Checker, tree.Block], Done]) -> Done:
    """`for ($kv : @map) { ... }`."""
    facts = checker.known.map(over.name, over.span)
    if facts.keys is None:
        facts_keys: tuple[Type, ...] = (UINT64,)
    else:
        facts_keys = facts.keys
    if not facts_keys:
        raise refuse(over.span, f"@{facts.name} has no keys to go over", "Use its value: it has only one.")
    checker.wait_for(facts, over.span)
    value = facts.value or INT64
    if hasattr(type(value), "counters") or type(value).__name__ == "Series":
        raise refuse(over.span, f"`{value}` is no value that a program can read", "Print the map: `print(@name)`.")
    if isinstance(value, Aggregate):
        value = UINT64 if not getattr(value, "signed", False) else INT64
    key = maps.key_type(facts_keys)
    pair = Tuple((key, value), ())
    checker.uses_frame = True
    checker.scopes.enter()
    try:
        variable = checker.declare(node.name, pair, node.span, fixed=True)
        body = body_of(checker, node.body)
    finally:
        checker.scopes.leave()

    def emit(code: Code) -> None:
        function = ir.Function(f"{code.outermost.out.name}_walk{len(code.unit.module.functions)}",
                               [("map", "ptr"), ("key", "ptr"), ("value", "ptr"), ("shared", "ptr")], "i64",
                               static=True, line=node.span.line, file=code.unit.file(node.span.text.file or "stdin"))
        code.unit.add(function)
        inner = _callback(code, function, _SHARED)
        place = inner.variable(variable)
        for pointer in (_KEY, _VALUE):
            inner.alignments[pointer] = 8
        at_key, at_value = offsets(pair.items)
        _put(inner, pair.items[0], place, at_key, Operand(memory=_KEY))
        if isinstance(facts.value, Aggregate):
            entry = _AtKey(facts, [], node.span)
            _put(inner, pair.items[1], place, at_value, Operand(value=maps.total(inner, entry)))
        else:
            _put(inner, pair.items[1], place, at_value, Operand(memory=_VALUE))
        body(inner)
        _end(inner)
        said = code.op("global", "ptr", maps.store_name(facts.name))
        code.helper(_FOR_EACH, said, code.op("function", "ptr", function.name), code.frame_pointer, code.number(0))
        _leave_if_told(code)
    return emit


def repeat(code: Code, variable: Variable, first: int, last: int, signed: bool, body: Done, node: tree.For) -> None:
    """A range's loop as a callback of bpf_loop (since Linux 5.17), where the kernel has no number iterator."""
    some = code.op("slt" if signed else "ult", "i1", first, last)
    rounds = code.op("select", "i64", some, code.op("sub", "i64", last, first), code.number(0))
    base = code.frame_room()
    code.store(code.pointer(code.frame_pointer, base), first)
    function = ir.Function(f"{code.outermost.out.name}_round{len(code.unit.module.functions)}",
                           [("number", "i64"), ("shared", "ptr")], "i64", static=True, line=node.span.line,
                           file=code.unit.file(node.span.text.file or "stdin"))
    code.unit.add(function)
    inner = _callback(code, function, 1)
    start = inner.load("i64", inner.pointer(inner.frame_pointer, base))
    number = inner.op("and", "i64", 0, inner.number(0xFFFFFFFF))
    inner.store(inner.variable(variable), inner.op("add", "i64", start, number))
    body(inner)
    _end(inner)
    held = code.op("select", "i64", code.op("ult", "i1", rounds, code.number(_MOST_ROUNDS)), rounds,
                   code.number(_MOST_ROUNDS))
    code.helper(_LOOP, held, code.op("function", "ptr", function.name), code.frame_pointer, code.number(0))
    _leave_if_told(code)


def _callback(code: Code, function: ir.Function, shared: int) -> Code:
    """The code of a callback, with what leaving it and its loop means."""
    inner = Code(function, code.unit, code.scratch_map, reports=code.reports, frame=code.frame, outer=code)
    inner.frame_pointer = shared
    inner.span = code.span

    def leave_all() -> None:
        inner.store(shared, inner.number(1), _LEAVING)
        inner.effect("return", inner.number(1))

    inner.leave = leave_all
    inner.loops.append(Loop(lambda: inner.effect("return", inner.number(0)),
                            lambda: inner.effect("return", inner.number(1))))
    return inner


def _end(inner: Code) -> None:
    inner.leave = lambda: inner.effect("return", inner.number(0))
    inner.finish()


def _leave_if_told(code: Code) -> None:
    leaving = code.op("ne", "i1", code.load("i64", code.frame_pointer, _LEAVING), code.number(0))
    with code.when(leaving):
        code.leave()


def _put(code: Code, type: Type, place: int, offset: int, operand: Operand) -> None:
    if is_scalar(type):
        code.write_memory(type, place, offset, code.scalar(operand, type))
    else:
        code.put_operand(operand, type, place, offset)


class _AtKey(maps.Entry):
    """The entry that the callback is called for."""

    def key(self, code: Code) -> int:
        return _KEY


