"""Call stacks, and the names of addresses."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.casts import built
from bpfwright.facets.trace.compiling.functions.process import UINT64, helper, token
from bpfwright.facets.trace.compiling.typed import Operand, Typed, refuse
from bpfwright.facets.trace.types import Integer, Pointer, Stack, Token

_GET_STACKID, _PID_TGID = 27, 14
_USER, _FAST = 1 << 8, 1 << 9
_ENOMEM, _EEXIST = 12, 17
_LOST = 1  # stacks.kept.LOST
_MODES = ("bpftrace", "perf", "raw", "build_id")
_MOST = 127
NO_STACK = 1 << 31


def _chosen(checker: Checker, node: Any, arguments: tuple[Any, ...], space: str) -> tuple[str, int]:
    """How a stack is shown, and how many frames."""
    mode, frames = str(checker.host.setting("stack_mode")), _MOST
    for argument in arguments:
        if isinstance(argument, tree.Name):
            if argument.name not in _MODES:
                raise refuse(argument.span, f"there is no way `{argument.name}` to show stacks",
                             f"There are {', '.join(_MODES)}.")
            mode = argument.name
        else:
            frames = checker.known_number(argument, "how many frames are shown")
            if not 1 <= frames <= _MOST:
                raise refuse(argument.span, f"a stack of {frames} frames", f"From 1 to {_MOST} can be had.")
    if checker.site.kind in ("iter", "special") and space != "kernel":
        checker.known.warn(node.span, f"`{checker.site.provider}` runs in bpfwright's own process: so is this stack")
    return mode, frames


def _stack(checker: Checker, node: Any, arguments: tuple[Any, ...], space: str) -> Typed:
    mode, frames = _chosen(checker, node, arguments, space)
    flags = _USER if space == "user" else 0

    def into(code: Code, pointer: int, offset: int) -> None:
        stacks = code.op("global", "ptr", code.unit.stacks())
        found = code.helper(_GET_STACKID, code.context(), stacks, code.number(flags | _FAST))
        failed = code.op("slt", "i1", found, code.number(0))
        # What has no stack of that kind (a kernel thread has none of the user's) lost none.
        with code.when(code.op("or", "i1", code.op("eq", "i1", found, code.number(-_EEXIST)),
                               code.op("eq", "i1", found, code.number(-_ENOMEM)))):
            code.count_up("stack", "")
        number = code.op("select", "i64", failed, code.number(NO_STACK), found)
        code.store(pointer, code.truncate(number, "i32"), offset, 4)
        process = code.op("lshr", "i64", code.helper(_PID_TGID), code.number(32))
        kept = process if space == "user" else code.number(0)
        code.store(pointer, code.truncate(kept, "i32"), offset + 4, 4)
    made = built(Stack(space, mode, frames), node.span, into)
    made.whole = True
    return made


def kstack_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _stack(checker, node, arguments, "kernel")


def ustack_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _stack(checker, node, arguments, "user")


def dw_ustack_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if checker.host.architecture != "x86_64":
        raise refuse(node.span, f"stacks are unwound by tables on x86-64, and not on {checker.host.architecture}",
                     "Write `ustack`, which follows frame pointers.")
    checker.host.unstable(checker.known, "unstable_dw_ustack", node.span, "`dw_ustack`")
    mode, frames = _chosen(checker, node, arguments, "tables")

    def into(code: Code, pointer: int, offset: int) -> None:
        function = code.unit.unwinder(checker.host.machine)
        name = code.op("call", "i64", function, code.number(frames))
        with code.when(code.op("eq", "i1", name, code.number(_LOST))):
            code.count_up("stack", "")
        code.store(pointer, name, offset, 4)
    made = built(Stack("tables", mode, frames), node.span, into)
    made.whole = True
    return made


def ksym_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return token("ksym", checker.scalar(arguments[0], "an address"))


def usym_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    where = checker.scalar(arguments[0], "an address")
    process = helper(_PID_TGID, UINT64, node.span, shift=32)

    def into(code: Code, pointer: int, offset: int) -> None:
        code.write_memory(UINT64, pointer, offset, code.number_of(where))
        code.write_memory(UINT64, pointer, offset + 8, code.number_of(process))
    return built(Token("usym"), node.span, into)


def kaddr_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    name = checker.known_text(arguments[0], "a kernel symbol").decode()
    found = checker.host.kernel_address(name)
    if found is None:
        raise refuse(arguments[0].span, f"the kernel has no symbol `{name}`",
                     "/proc/kallsyms lists them: many kernels keep functions only.")
    return Typed(Pointer(UINT64, "kernel"), node.span, lambda code: Operand(value=code.number(found)), constant=found)


def uaddr_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    name = checker.known_text(arguments[0], "a binary's symbol").decode()
    found = checker.host.user_address(checker.site, name)
    if found is None:
        raise refuse(arguments[0].span, f"the traced binary has no symbol `{name}`",
                     "Names are those of its symbol table.")
    address, size, moved = found
    kind = Integer(size, False) if size in (1, 2, 4, 8) else UINT64
    if moved:
        if checker.site.provider == "uretprobe":
            raise refuse(node.span, f"where `{name}` is, each process decides: the binary is position-independent",
                         "Take it in a uprobe, where the probe's own address tells, or name the process with -p.")
        register = 128 if checker.host.architecture == "x86_64" else 256  # the instruction pointer, in pt_regs
        return Typed(Pointer(kind, "user"), node.span, lambda code: Operand(value=code.op(
            "add", "i64", code.load("i64", code.context(), register, 8), code.number(address))))
    return Typed(Pointer(kind, "user"), node.span, lambda code: Operand(value=code.number(address)), constant=address)


def percpu_kaddr_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    name = checker.known_text(arguments[0], "a per-CPU symbol").decode()
    base = checker.host.kernel_address("__per_cpu_offset")
    found = checker.host.kernel_address(name)
    if found is None or base is None:
        raise refuse(arguments[0].span, f"the kernel shows no per-CPU symbol `{name}`",
                     "/proc/kallsyms lists them: many kernels keep functions only.")
    which = checker.number(arguments[1], "a processor's number") if len(arguments) > 1 else helper(8, UINT64, node.span)

    def emit(code: Code) -> Operand:
        at = code.op("shl", "i64", code.number_of(which), code.number(3))
        word = code.word()
        code.read_far(word, 8, code.op("add", "i64", at, code.number(base)), "kernel")
        return Operand(value=code.op("add", "i64", code.load("i64", word, 0, 8), code.number(found)))
    return Typed(Pointer(UINT64, "kernel"), node.span, emit)

