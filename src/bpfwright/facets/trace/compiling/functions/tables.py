"""Maps as wholes: emptied, measured; entries removed and looked for."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling import maps
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.typed import INT64, Operand, Typed, is_scalar, refuse
from bpfwright.facets.trace.types import Boolean, Stack

_FOR_EACH, _SUM_ELEMENTS = 164, "bpf_map_sum_elem_count"
_KEPT_COUNT = 8  # stacks.unwinding.Kept: where its stack says how many frames it has


def map_of(checker: Checker, node: Any, name: str) -> Any:
    """The facts of the map that an argument names."""
    if not isinstance(node, tree.MapName):
        raise refuse(node.span, f"`{name}` takes a map", f"Write `{name}(@map)`.")
    return checker.known.map(node.name, node.span)


def _whole(checker: Checker, node: Any, arguments: tuple[Any, ...], kind: str) -> Typed:
    facts = map_of(checker, arguments[0], kind)
    return checker.nothing(node.span, lambda code: code.send(code.unit.message(kind, (), (f"@{facts.name}",)), [], ()))


def clear_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _whole(checker, node, arguments, "clear")


def zero_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _whole(checker, node, arguments, "zero")


def _entry(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> maps.Entry:
    """The entry of `(@map, key)`."""
    facts = map_of(checker, arguments[0], node.name)
    key = arguments[1]
    if isinstance(key, tree.Tuple) and (facts.keys is None or len(facts.keys) != 1):
        keys = [maps.key_of(checker, item) for item in key.items]
    else:
        keys = [maps.key_of(checker, key)]
    if facts.keys == ():
        raise refuse(node.span, f"@{facts.name} has no keys", f"Use its value: `@{facts.name}`.")
    return maps.keyed_entry(checker, facts, keys, node.span)


def delete_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if len(arguments) == 1:
        first = arguments[0]
        entry = maps.entry_of(checker, first)
    else:
        entry = _entry(checker, node, arguments)
    return Typed(Boolean(), node.span, lambda code: Operand(value=code.flag(
        code.op("eq", "i1", entry.delete(code), code.number(0)))))


def has_key_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    entry = _entry(checker, node, arguments)
    return Typed(Boolean(), node.span, lambda code: Operand(value=code.flag(
        code.invert(code.is_null(entry.found(code, entry.key(code)))))))


def find_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    entry = _entry(checker, node, arguments[:2])
    checker.wait_for(entry.facts, node.span)
    target = arguments[2]
    if not isinstance(target, tree.Variable):
        raise refuse(target.span, "`find` puts the value into a variable", "Write `find(@map, key, $value)`.")
    variable = checker.scopes.find(target.name)
    held = Typed(entry.value, target.span, lambda code: Operand())
    if variable is None:
        variable = checker.declare(target.name, entry.value, target.span)
    elif variable.unset and variable.key is not None and variable.type != entry.value:
        variable.type = checker.known.variables[variable.key] = entry.value
        checker.known.changed = True
    variable.unset = False
    checker.widen(variable, held)

    def emit(code: Code) -> Operand:
        place = entry.found(code, entry.key(code))
        there = code.invert(code.is_null(place))
        with code.when(there):
            at = code.variable(variable)
            if is_scalar(entry.value):
                code.store(at, code.read_memory(entry.value, place))
            else:
                code.put_operand(Operand(memory=place), entry.value, at, 0)
        return Operand(value=code.flag(there))
    return Typed(Boolean(), node.span, emit)


def len_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if not isinstance(arguments[0], tree.MapName):
        typed = checker.value(arguments[0])
        if isinstance(typed.type, Stack):
            return _frames(typed, node)
        raise refuse(arguments[0].span, f"`len` takes a map or a stack, not `{typed.type}`",
                     "A text's length is `strlen(...)`.")
    facts = map_of(checker, arguments[0], "len")
    if facts.keys == ():
        raise refuse(node.span, f"@{facts.name} has no keys to count", "Use its value.")
    from bpfwright.lang import ir
    checker.uses_frame = True

    def emit(code: Code) -> Operand:
        name = f"{code.outermost.out.name}_count{len(code.unit.module.functions)}"
        function = ir.Function(name, [("map", "ptr"), ("key", "ptr"), ("value", "ptr"), ("shared", "ptr")], "i64",
                               static=True, line=node.span.line, file=code.unit.file(node.span.text.file or "stdin"))
        code.unit.add(function)
        inner = Code(function, code.unit, code.scratch_map, frame=code.frame, outer=code)
        inner.effect("return", inner.number(0))
        inner.finish()
        walked = code.helper(_FOR_EACH, code.op("global", "ptr", maps.store_name(facts.name)),
                             code.op("function", "ptr", name), code.frame_pointer, code.number(0))
        return Operand(value=walked)
    return Typed(INT64, node.span, emit)


def _frames(typed: Typed, node: Any) -> Typed:
    """The stack map's entry is read: its addresses end with the first 0."""
    def emit(code: Code) -> Operand:
        place = code.memory_of(typed)
        count = code.slot(8, 8, "frames")
        code.store(count, code.number(0))
        if typed.type.space == "tables":
            kept = code.helper_pointer(1, code.op("global", "ptr", "kept"), place)
            with code.unless(code.is_null(kept)):
                code.store(count, code.extend(code.load("i32", kept, _KEPT_COUNT, 4), "i32"))
            return Operand(value=code.load("i64", count))
        found = code.helper_pointer(1, code.op("global", "ptr", code.unit.stacks()), place)
        with code.unless(code.is_null(found)):
            with code.counted(typed.type.frames) as (index, after):
                word = code.load("i64", code.op("index", "ptr", found, index, 8), 0, 8)
                with code.when(code.op("eq", "i1", word, code.number(0))):
                    code.goto(after)
                code.store(count, code.op("add", "i64", index, code.number(1)))
        return Operand(value=code.load("i64", count))
    return Typed(INT64, node.span, emit)
