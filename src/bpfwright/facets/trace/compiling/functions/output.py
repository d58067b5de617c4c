"""What is printed."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling import maps
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.functions.pinned import is_pinned, printed
from bpfwright.facets.trace.compiling.functions.process import UINT64
from bpfwright.facets.trace.compiling.typed import Typed, refuse
from bpfwright.facets.trace.types import Aggregate, Nothing, Pointer, Struct, Text, Type

_MOST_BYTES = 64 << 10


def place_of(span: Any) -> str:
    """`file:line:first-last`, as messages about places begin."""
    last = span.end_column if span.end_line == span.line else span.column + 1
    return f"{span.text.file or 'stdin'}:{span.line}:{span.column + 1}-{last}"


def formatted(checker: Checker, node: Any, arguments: tuple[Any, ...], kind: str, *, located: bool = False) -> Typed:
    """A message of a format and values."""
    from bpfwright.facets.trace.output import formats
    content = checker.known_text(arguments[0], "a format")
    values = [_argument(checker, argument) for argument in arguments[1:]]
    form = content.decode("utf-8", "surrogateescape")
    types = tuple(checker.host.layouts.whole(value.type) for value in values)
    problems = formats.check(formats.parse(form), types)
    if problems:
        what, cure = problems[0][:2]
        raise refuse(node.span, what, cure)
    if kind == "printf" and is_pinned(checker):
        return printed(checker, node, content, values, types)
    _small_enough(node, types)
    texts = (form, place_of(node.span)) if located else (form,)
    return checker.nothing(node.span, lambda code: code.send(code.unit.message(kind, types, texts), values, types))


def _argument(checker: Checker, node: tree.Expression) -> Typed:
    typed = checker.as_number(checker.value(node))
    return typed


def _small_enough(node: Any, types: tuple[Type, ...]) -> None:
    if sum(type.size for type in types) > _MOST_BYTES:
        raise refuse(node.span, f"a message of more than {_MOST_BYTES} bytes",
                     "Print less at once, or shorten texts: `str(pointer, 64)`.")


def printf_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return formatted(checker, node, arguments, "printf")


def errorf_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return formatted(checker, node, arguments, "errorf", located=True)


def warnf_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return formatted(checker, node, arguments, "warnf", located=True)


def system_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    checker.host.needs_unsafe(node)
    return formatted(checker, node, arguments, "system")


def debugf_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    content = checker.known_text(arguments[0], "a format")
    values = [checker.scalar(argument) for argument in arguments[1:]]
    if len(values) > 3:
        raise refuse(node.span, "`debugf` takes up to three numbers", "Write `printf(...)`.")

    def emit(code: Code) -> None:
        form = code.text_constant(content)
        code.helper(6, form.memory, code.number(len(content) + 1), *(code.number_of(value) for value in values))
    return checker.nothing(node.span, emit)


def print_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    first, *rest = arguments
    if isinstance(first, tree.MapName):
        return _print_map(checker, node, first, rest)
    if rest:
        raise refuse(rest[0].span, "only a map's print takes how many entries, and a divisor",
                     "Write `print(@map, 10)`.")
    if isinstance(first, tree.Index) and isinstance(first.object, tree.MapName):
        return _print_entry(checker, node, first)
    typed = checker.expression(first)
    if isinstance(typed.type, Nothing):
        raise refuse(first.span, "this has no value that could be printed")
    if isinstance(typed.type, Pointer) and isinstance(typed.type.to, Struct) and not typed.type.to.bytes:
        typed = Typed(typed.type, typed.span, typed.emit)
    typed = checker.as_number(typed)
    types = (checker.host.layouts.whole(typed.type),)
    _small_enough(node, types)
    return checker.nothing(node.span, lambda code: code.send(code.unit.message("print", types, ("1",)), [typed], types))


def _print_map(checker: Checker, node: Any, first: tree.MapName, rest: list[Any]) -> Typed:
    facts = checker.known.map(first.name, first.span)
    if rest and facts.keys == ():
        raise refuse(rest[0].span, f"@{facts.name} has no keys to choose from", f"Write `print(@{facts.name})`.")
    values = [checker.number(argument, "how many entries are printed") for argument in rest]
    from bpfwright.facets.trace.compiling.typed import constant
    top = values[0] if values else constant(0, UINT64, node.span)
    divisor = values[1] if len(values) > 1 else constant(1, UINT64, node.span)
    if divisor.constant == 0:
        raise refuse(divisor.span, "division by zero")
    types = (UINT64, UINT64)
    return checker.nothing(node.span, lambda code: code.send(
        code.unit.message("print_map", types, (f"@{facts.name}",)), [top, divisor], types))


def _print_entry(checker: Checker, node: Any, first: tree.Index) -> Typed:
    entry = maps.entry_of(checker, first)
    facts = entry.facts
    value = facts.value
    if isinstance(value, Aggregate) and hasattr(type(value), "counters"):
        return _print_gathered(checker, node, entry)
    typed = checker.as_number(checker.value(first))
    keys = [Typed(kind, key.span, key.emit, into=key.into, constant=key.constant,
                  whole=key.whole) if key.type == kind else
            _as(key, kind) for key, kind in zip(entry.keys, facts.keys or (), strict=False)]
    types = (*(facts.keys or ()), typed.type)
    whole = tuple(checker.host.layouts.whole(type) for type in types)
    return checker.nothing(node.span, lambda code: code.send(
        code.unit.message("print_entry", whole, (f"@{facts.name}",)), [*keys, typed], whole))


def _as(key: Typed, kind: Type) -> Typed:
    from bpfwright.facets.trace.compiling.casts import built
    return built(kind, key.span, lambda code, pointer, offset: code.put(key, kind, pointer, offset)) \
        if isinstance(kind, Text) else Typed(kind, key.span, key.emit)


def _print_gathered(checker: Checker, node: Any, entry: maps.Entry) -> Typed:
    """A histogram of one key: user space reads the entry, since it is on every CPU."""
    kinds = entry.facts.keys or ()

    def emit(code: Code) -> None:
        types = tuple(checker.host.layouts.whole(kind) for kind in kinds)
        index = code.unit.message("print_entry", types, (f"@{entry.facts.name}",))
        keys = [_as(key, kind) if key.type != kind else key for key, kind in zip(entry.keys, kinds, strict=False)]
        code.send(index, keys, types)
    return checker.nothing(node.span, emit)


