"""What is known while compiling: of the kernel, of the command line, of expressions."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.typed import INT64, Typed, constant, literal, refuse
from bpfwright.facets.trace.types import Array, Boolean, Integer, Pointer, Text


def _fact(node: Any, holds: bool) -> Typed:
    return constant(int(holds), Boolean(), node.span)


def kfunc_exist_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _fact(node, checker.host.has_kfunc(checker.known_text(arguments[0], "a kfunc's name").decode()))


def kfunc_allowed_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    name = checker.known_text(arguments[0], "a kfunc's name").decode()
    return _fact(node, checker.host.has_kfunc(name) and checker.host.kfunc_allowed(name, checker.site.kind))


def getopt_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    """A parameter after `--`, of the kind that its default has."""
    name = checker.known_text(arguments[0], "a parameter's name").decode("utf-8", "surrogateescape")
    default = checker.value(arguments[1]) if len(arguments) > 1 else constant(0, Boolean(), node.span)
    if default.constant is None:
        raise refuse(arguments[1].span, "a default is known while compiling")
    said = checker.known_text(arguments[2], "what it is for").decode("utf-8",
                                                                     "surrogateescape") if len(arguments) > 2 else ""
    checker.host.parameters[name] = (default.constant, isinstance(default.type, Boolean), said)
    given = checker.host.named.get(name)
    if given is None:
        return Typed(INT64, node.span, default.emit, constant=default.constant) if isinstance(default.type,
                                                                                              Integer) else default
    if isinstance(default.constant, bytes):
        return literal(given.encode("utf-8", "surrogateescape"), node.span)
    if isinstance(default.type, Boolean):
        if given not in ("", "1", "true", "0", "false"):
            raise refuse(node.span, f"--{name} is true or false, not {given!r}",
                         f"Write `--{name}` or `--{name}=false`.")
        return _fact(node, given in ("", "1", "true"))
    from bpfwright.facets.trace.compiling.expressions import number_of_word
    number = number_of_word(given)
    if number is None:
        raise refuse(node.span, f"--{name} is a number, not {given!r}", f"Write `--{name}={default.constant}`.")
    return constant(number, INT64, node.span)


def is_str_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _fact(node, isinstance(checker.expression(arguments[0]).type, Text))


def is_ptr_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _fact(node, isinstance(checker.expression(arguments[0]).type, Pointer))


def is_array_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _fact(node, isinstance(checker.expression(arguments[0]).type, Array))


def is_integer_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _fact(node, isinstance(checker.expression(arguments[0]).type, Integer))


def is_unsigned_integer_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    kind = checker.expression(arguments[0]).type
    return _fact(node, isinstance(kind, Integer) and not kind.signed)


def is_literal_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    first = arguments[0]
    while isinstance(first, tree.Block) and not first.statements and first.value is not None:
        first = first.value
    negative = isinstance(first, tree.Unary) and first.operator == "-" and isinstance(first.operand, tree.Integer)
    return _fact(node, negative or isinstance(first, (tree.Integer, tree.String, tree.Boolean, tree.Positional)))
