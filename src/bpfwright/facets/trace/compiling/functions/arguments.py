"""What an event brings: arguments, returned values, registers, the names of where it happened."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code

from bpfwright.facets.trace.compiling.functions.process import token
from bpfwright.facets.trace.compiling.syscalls import index_of_call, number_of_call
from bpfwright.facets.trace.compiling.typed import UINT64, Operand, Refused, Typed, constant, literal, refuse
from bpfwright.facets.trace.probes.sites import Argument
from bpfwright.facets.trace.text import Span, nearest
from bpfwright.facets.trace.types import Integer, Pointer, Type

_REGISTERS = {name: 8 * index for index, name in enumerate(
    ["r15", "r14", "r13", "r12", "bp", "bx", "r11", "r10", "r9", "r8", "ax", "cx", "dx", "si", "di", "orig_ax", "ip",
     "cs", "flags", "sp", "ss"])}
_REGISTERS_ARM = {**{f"r{number}": 8 * number for number in range(31)}, "sp": 248, "pc": 256, "pstate": 264}
_COOKIE = 174
_SPECIAL = ("begin", "end", "self", "test", "bench")


def args_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    """All arguments, as a record."""
    site = checker.site
    if not site.arguments:
        raise _without_arguments(checker, node.span)
    from bpfwright.facets.trace.compiling.expressions import tuple_of
    readable = [argument for argument in site.arguments if argument.how != "nowhere"]
    items = [read(checker, argument, node.span) for argument in readable]
    return tuple_of(checker, items, tuple(argument.name for argument in readable), node.span)


def _without_arguments(checker: Checker, span: Span) -> Refused:
    site = checker.site
    if site.left_out:
        return refuse(span, "`args` is not known where a probe is left out",
                      "There is nothing to attach the probe to: see its warning.")
    return refuse(span, f"`{site.provider}` has no `args` here", _instead(checker))


def _instead(checker: Checker) -> str:
    if checker.site.words:
        return f"Write `arg0` to `arg{checker.site.words - 1}`."
    return "tracepoint, rawtracepoint, fentry, fexit and iter probes have them, and uprobes of binaries with DWARF."


def field(checker: Checker, name: str, span: Span) -> Typed:
    """One argument by its name."""
    site = checker.site
    for argument in site.arguments:
        if argument.name == name:
            return read(checker, argument, span)
    listed = [argument.name for argument in site.arguments]
    if not listed:
        raise _without_arguments(checker, span)
    close = nearest(name, listed)
    raise refuse(span, f"`{site.shown}` has no argument `{name}`",
                 f"Did you mean `{close}`?" if close else f"It has {', '.join(listed)}.")


def read(checker: Checker, argument: Argument, span: Span) -> Typed:
    """An argument, from where the kernel puts it."""
    where, place, type = argument.how, argument.place, argument.type
    if where == "context":
        return Typed(type, span, lambda code: _in_context(code, type, place))
    if where == "word":
        return Typed(type, span, lambda code: Operand(value=code.narrowed(
            code.load("i64", code.context(), 8 * place, 8), type)))
    if where == "register":
        return Typed(type, span, lambda code: Operand(value=code.narrowed(
            code.load("i64", code.context(), place, 8), type)))
    if where == "dynamic":  # __data_loc: a u32 of which 16 bits are the offset in the record, 16 the length
        return Typed(Pointer(Integer(1, True), "kernel"), span, lambda code: Operand(value=_dynamic(code, place)))
    if where == "syscall":
        return Typed(type, span, lambda code: Operand(value=code.narrowed(
            code.load("i64", code.load("ptr", code.context(), 0, 8), place, 8), type)))
    if where == "number":
        return Typed(type, span, lambda code: Operand(value=number_of_call(code, checker)))
    if where == "usdt":
        from bpfwright.facets.trace.probes.usdt import read as read_usdt
        return Typed(type, span, lambda code: Operand(value=read_usdt(code, argument, checker.host.architecture)))
    if where == "nowhere":
        why = f"{argument.detail[:1].upper()}{argument.detail[1:]}."
        raise refuse(span, f"`{argument.name}` cannot be read here", why)
    if where == "stack":
        return Typed(type, span, lambda code: _on_stack(code, type, place, checker.host.architecture))
    if where == "words":  # a struct by value, in words of the context
        return Typed(type, span, lambda code: Operand(address=code.op("toint", "i64", code.pointer(
            code.context(), 8 * place)), space="kernel"))
    if where == "registers":
        return Typed(type, span, lambda code: _in_registers(code, type, argument.detail))
    if where == "pointer":  # an iterator's context holds pointers that the verifier knows
        return Typed(type, span, lambda code: Operand(value=code.op("toint", "i64", code.context_pointer(place))))
    raise AssertionError(where)


def _in_context(code: Code, type: Type, place: int) -> Operand:
    from bpfwright.facets.trace.compiling.typed import is_scalar
    if is_scalar(type):
        size = type.size
        raw = code.load(f"i{size * 8}", code.context(), place, size)
        return Operand(value=code.extend(raw, f"i{size * 8}", bool(getattr(type, "signed", False))))
    start = code.op("toint", "i64", code.pointer(code.context(), place))
    return Operand(address=start, space="kernel")


def _on_stack(code: Code, type: Type, place: int, architecture: str) -> Operand:
    """What the caller left above the stack pointer, at a function's entry."""
    from bpfwright.facets.trace.compiling.typed import is_scalar
    top = code.load("i64", code.context(), (_REGISTERS if architecture == "x86_64" else _REGISTERS_ARM)["sp"], 8)
    operand = Operand(address=code.op("add", "i64", top, code.number(place)), space="user")
    return Operand(value=code.scalar(operand, type)) if is_scalar(type) else operand


def _in_registers(code: Code, type: Type, places: str) -> Operand:
    """A struct that was taken apart into registers."""
    words = places.split()
    room = code.room(8 * len(words))
    for at, place in enumerate(words):
        code.store(room, code.load("i64", code.context(), int(place), 8), 8 * at)
    return Operand(memory=room)


def _dynamic(code: Code, place: int) -> int:
    found = code.extend(code.load("i32", code.context(), place, 4), "i32")
    at = code.op("and", "i64", found, code.number(0xFFFF))
    return code.op("add", "i64", code.op("toint", "i64", code.context()), at)


def numbered(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    """`arg0`, `arg1`, ..."""
    site = checker.site
    number = int(node.name[3:])
    if not site.words:
        cure = "Write `args.name`." if site.arguments else "kprobe, uprobe, rawtracepoint and usdt probes have them."
        raise refuse(node.span, f"`{site.provider}` has no `{node.name}`", cure)
    if number >= site.words:
        raise refuse(node.span, f"`{site.shown}` has no `{node.name}`", f"It has `arg0` to `arg{site.words - 1}`.")
    for argument in site.numbered:
        if argument.name == node.name:
            return read(checker, argument, node.span)
    raise refuse(node.span, f"`{site.shown}` has no `{node.name}`", "It is not passed in a register.")


def retval_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    site = checker.site
    if site.result is None:
        exits = {"fentry": "fexit", "kprobe": "kretprobe", "uprobe": "uretprobe"}.get(site.provider)
        raise refuse(node.span, f"`{site.provider}` has no `retval`",
                     f"Write `{exits}:...`." if exits else "kretprobe, uretprobe and fexit probes have one.")
    return read(checker, site.result, node.span)


def ctx_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    """An iterator's context, or the address of any other."""
    if checker.site.kind == "iter":
        return args_(checker, node, arguments)
    return Typed(Pointer(Integer(8, False), "kernel"), node.span,
                 lambda code: Operand(value=code.op("toint", "i64", code.context())))


def reg_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    name = checker.known_text(arguments[0], "a register's name").decode()
    if not checker.site.registers:
        raise refuse(node.span, f"`{checker.site.provider}` has no registers",
                     "kprobe, uprobe, usdt, profile, software, hardware and watchpoint probes do.")
    table = _REGISTERS if checker.host.architecture == "x86_64" else _REGISTERS_ARM
    if name not in table:
        close = nearest(name, table)
        raise refuse(arguments[0].span, f"there is no register `{name}`",
                     f"Did you mean `{close}`?" if close else f"There are {', '.join(table)}.")
    return Typed(UINT64, node.span, lambda code: Operand(value=code.load("i64", code.context(), table[name], 8)))


def usermode_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if checker.site.kind == "special":  # run for this process, by a system call of it
        return constant(1, Integer(1, False), node.span)
    if not checker.site.registers or checker.host.architecture != "x86_64":
        raise refuse(node.span, f"`{checker.site.provider}` does not say which mode the processor was in",
                     "profile, software, hardware, kprobe and uprobe probes do, on x86_64.")

    def emit(code: Code) -> Operand:
        selector = code.load("i64", code.context(), _REGISTERS["cs"], 8)
        return Operand(value=code.flag(code.op("eq", "i1", code.op("and", "i64", selector, code.number(3)),
                                               code.number(3))))
    return Typed(Integer(1, False), node.span, emit)


def _index(checker: Checker, span: Span) -> Typed:
    """The index of the probe that this is, in the plan's table: a number that is known, or the attachment's cookie."""
    site = checker.site
    if site.index_by == "syscall":
        return Typed(UINT64, span, lambda code: Operand(value=index_of_call(code, checker)))
    if site.index_by == "cookie":
        return Typed(UINT64, span, lambda code: Operand(value=code.helper(_COOKIE, code.context())))
    return constant(site.index, UINT64, span)


def probe_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if not checker.site.index_by:
        return literal(checker.site.shown.encode(), node.span)
    return token("probe", _index(checker, node.span))


def func_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    site = checker.site
    if site.provider not in ("kprobe", "kretprobe", "uprobe", "uretprobe", "fentry", "fexit", "usdt", "rawtracepoint"):
        raise refuse(node.span, f"`{site.provider}` traces no function", "Write `probe`.")
    if not site.index_by:
        return literal(site.function.encode(), node.span)
    return token("func", _index(checker, node.span))


def probetype_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    provider = checker.site.provider
    return literal(("special" if provider in _SPECIAL else provider).encode(), node.span)


