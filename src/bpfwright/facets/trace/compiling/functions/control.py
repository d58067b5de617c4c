"""Ending, asserting, and acting on what is traced."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.functions.output import place_of
from bpfwright.facets.trace.compiling.functions.process import UINT64
from bpfwright.facets.trace.compiling.typed import Operand, Typed, constant, refuse
from bpfwright.facets.trace.plan import WATCHED_AT_ONCE
from bpfwright.facets.trace.text import nearest
from bpfwright.facets.trace.types import Array, Integer, Pointer, Text

_SIGNAL, _SIGNAL_THREAD, _OVERRIDE, _WRITE_USER = 109, 117, 58, 36
_SIGSTOP = 19


def exit_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    """The program ends here too, as `exit` reads."""
    status = checker.number(arguments[0], "an exit code") if arguments else constant(0, UINT64, node.span)
    if isinstance(status.constant, int) and not 0 <= status.constant < 256:
        raise refuse(arguments[0].span, f"{status.constant} is no exit code", "They go from 0 to 255.")

    def emit(code: Code) -> None:
        code.send(code.unit.message("exit", (UINT64,)), [status], (UINT64,))
        code.leave()
    return checker.nothing(node.span, emit)


def fail_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    form = checker.known_text(arguments[0], "a format").decode("utf-8", "surrogateescape")
    values = []
    for argument in arguments[1:]:
        typed = checker.value(argument)
        if typed.constant is None:
            raise refuse(argument.span, "`fail` takes what is known while compiling")
        values.append(typed.constant.decode("utf-8", "surrogateescape") if isinstance(typed.constant,
                                                                                      bytes) else typed.constant)
    if checker.host.unreached:
        return checker.nothing(node.span, lambda code: None)
    try:
        said = form % tuple(values)
    except (TypeError, ValueError) as problem:
        raise refuse(node.span, f"this format does not fit its values: {problem}") from None
    raise refuse(node.span, said.rstrip("\n"), "")


def _message(checker: Checker, arguments: tuple[Any, ...], default: str) -> str:
    if len(arguments) < 2:
        return default
    return checker.known_text(arguments[1], "a message").decode("utf-8", "surrogateescape")


def assert_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    condition = checker.scalar(arguments[0], "what is asserted")
    said = _message(checker, arguments, "assertion failed")

    def emit(code: Code) -> None:
        with code.unless(code.truth(condition)):
            code.send(code.unit.message("assertion", (), (said, place_of(node.span))), [], ())
            code.leave()
    return checker.nothing(node.span, emit)


def static_assert_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    condition = checker.scalar(arguments[0], "what is asserted")
    if not isinstance(condition.constant, int):
        raise refuse(arguments[0].span, "this is not known while compiling", "Write `assert(...)`.")
    if not condition.constant:
        raise refuse(node.span, _message(checker, arguments, "static assertion failed"), "")
    return checker.nothing(node.span, lambda code: None)


def assert_str_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    typed = checker.expression(arguments[0])
    kind = typed.type
    like = isinstance(kind, Text) or (isinstance(kind, (Array, Pointer)) and
                                      (kind.of if isinstance(kind, Array) else kind.to).size == 1)
    if not like:
        raise refuse(arguments[0].span, f"this is a text, not `{kind}`",
                     "Write `str(...)` for what a pointer points to.")
    return checker.nothing(node.span, lambda code: None)


def _signal_number(checker: Checker, node: Any) -> Typed:
    if isinstance(node, tree.String):
        import signal
        word = node.value.decode("utf-8", "surrogateescape").upper()
        names = {name: int(value) for name, value in vars(signal).items() if name.startswith("SIG") and "_" not in name
                 and isinstance(value, int)}
        number = names.get(word, names.get(f"SIG{word}"))
        if number is None:
            close = nearest(word, names)
            raise refuse(node.span, f"there is no signal `{word}`", f"Did you mean `{close}`?" if close else "")
        return constant(number, Integer(4, False), node.span)
    typed = checker.number(node, "a signal")
    if isinstance(typed.constant, int) and not 1 <= typed.constant <= 64:
        raise refuse(node.span, f"{typed.constant} is no signal", "They go from 1 to 64.")
    return typed


def _signalled(checker: Checker, node: Any, arguments: tuple[Any, ...], helper: int) -> Typed:
    checker.host.needs_unsafe(node)
    if checker.site.kind in ("special", "iter"):
        raise refuse(node.span, f"`{checker.site.provider}` runs for no process that could be signalled")
    number = _signal_number(checker, arguments[0])

    def emit(code: Code) -> None:
        said = code.helper(helper, code.number_of(number))
        if code.reports:
            code.report(said, node.name, node.span)
    return checker.nothing(node.span, emit)


def signal_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _signalled(checker, node, arguments, _SIGNAL)


def signal_thread_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _signalled(checker, node, arguments, _SIGNAL_THREAD)


def override_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    checker.host.needs_unsafe(node)
    if checker.site.provider != "kprobe":
        raise refuse(node.span, f"`{checker.site.provider}` cannot override a function", "kprobe probes can.")
    value = checker.scalar(arguments[0], "what is returned")
    return checker.nothing(node.span, lambda code: _drop(code.helper(_OVERRIDE, code.context(), code.number_of(value))))


def write_user_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    checker.host.needs_unsafe(node)
    target = checker.scalar(arguments[0], "where it is written")
    value = checker.value(arguments[1])
    size = value.type.size
    if len(arguments) > 2:
        size = checker.known_number(arguments[2], "how many bytes")
        if not 0 < size <= value.type.size:
            raise refuse(arguments[2].span, f"`{value.type}` has {value.type.size} bytes, not {size}")

    def emit(code: Code) -> Operand:
        return Operand(value=code.helper(_WRITE_USER, code.number_of(target), code.memory_of(value), code.number(size)))
    return Typed(Integer(8, True), node.span, emit)


def unwatch_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    where = checker.scalar(arguments[0], "an address")
    return checker.nothing(node.span, lambda code: code.send(code.unit.message("unwatch", (UINT64,)), [where],
                                                             (UINT64,)))


def watch_argument_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    """At a function's entry: have what an argument points to watched, unless it is; the process waits for that."""
    where = checker.number(arguments[0], "an address")
    watcher, waits = arguments[1].value.decode(), arguments[2].value

    def emit(code: Code) -> None:
        address = code.number_of(where)
        counters = code.op("global", "ptr", code.unit.counters.name)
        for slot in range(WATCHED_AT_ONCE):
            known = code.load("i64", counters, code.unit.count("watched", f"{watcher} {slot}"), 8)
            with code.when(code.op("eq", "i1", address, known)):  # a null pointer is what nothing is watched by
                code.leave()
        if waits:  # before the message: what answers it lets the process go on
            code.helper(_SIGNAL, code.number(_SIGSTOP))
        code.send_numbers("watch", tuple(watcher.split(" ")), [(UINT64, address)])
    return checker.nothing(node.span, emit)


def _drop(value: int) -> None:
    del value


