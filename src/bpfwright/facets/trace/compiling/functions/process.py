"""Who runs: processes, threads, users, names, control groups."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.casts import built
from bpfwright.facets.trace.compiling.expressions import member_of
from bpfwright.facets.trace.compiling.typed import Operand, Typed, constant, refuse
from bpfwright.facets.trace.types import Boolean, Integer, Pointer, Struct, Text, Token, Type

UINT32, UINT64 = Integer(4, False), Integer(8, False)
_PID_TGID, _UID_GID, _COMM, _CGROUP, _TASK, _NS_PID_TGID = 14, 15, 16, 80, 35, 120


def helper(number: int, type: Type, span: Any, *, shift: int = 0, width: int = 64) -> Typed:
    """A helper without arguments, or some bits of what it gives."""
    def emit(code: Code) -> Operand:
        value = code.helper(number)
        if shift:
            value = code.op("lshr", "i64", value, code.number(shift))
        if width < 64:
            value = code.op("and", "i64", value, code.number((1 << width) - 1))
        return Operand(value=value)
    return Typed(type, span, emit)


def _namespaced(checker: Checker, node: Any, arguments: tuple[Any, ...], *, thread: bool) -> Typed:
    """The number that this process's user sees, unless the first namespace's is asked for."""
    mode = getattr(arguments[0], "name", None) or getattr(arguments[0], "value", b"") if arguments else "curr_ns"
    mode = mode.decode() if isinstance(mode, bytes) else mode
    if mode not in ("curr_ns", "init"):
        raise refuse(arguments[0].span, f"`{mode}` is no PID namespace", "Write `curr_ns` or `init`.")
    namespace = checker.host.pid_namespace if mode == "curr_ns" else None
    if namespace is None:
        return helper(_PID_TGID, UINT32, node.span, shift=0 if thread else 32, width=32)
    device, inode = namespace

    def emit(code: Code) -> Operand:
        place = code.room(8)
        code.store(place, code.number(0))
        code.helper(_NS_PID_TGID, code.number(device), code.number(inode), place, code.number(8))
        return Operand(value=code.read_memory(UINT32, place, 0 if thread else 4))
    return Typed(UINT32, node.span, emit)


def pid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _namespaced(checker, node, arguments, thread=False)


def tid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return _namespaced(checker, node, arguments, thread=True)


def uid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return helper(_UID_GID, UINT64, node.span, width=32)


def gid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return helper(_UID_GID, UINT64, node.span, shift=32)


def username_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    plain = helper(_UID_GID, UINT64, node.span, width=32)
    return token("username", plain)


def token(kind: str, number: Typed) -> Typed:
    """A number that user space turns into text."""
    return built(Token(kind), number.span,
                 lambda code, pointer, offset: code.write_memory(UINT64, pointer, offset, code.number_of(number)))


def cgroup_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return helper(_CGROUP, UINT64, node.span)


def comm_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if arguments:
        return _comm_of_pid(checker, node, arguments[0])
    made = built(Text(16), node.span, lambda code, pointer, offset: _drop(
        code.helper(_COMM, code.pointer(pointer, offset), code.number(16))))
    made.whole = True
    return made


def _drop(value: int) -> None:
    del value


def _comm_of_pid(checker: Checker, node: Any, argument: Any) -> Typed:
    """The name of another process: the kernel's task is found by its number (bpf_task_from_pid, since Linux 6.2)."""
    from bpfwright.types.ctype import Int
    pid = checker.number(argument, "a process id")
    if not checker.host.kfunc_allowed("bpf_task_from_pid", checker.site.kind):
        raise refuse(node.span, f"`{checker.site.provider}` finds no process by its number",
                     "fentry, fexit and iter probes do; `comm` is the running one's.")
    if not checker.host.has_kfunc("bpf_task_from_pid"):
        raise refuse(node.span, "this kernel finds no process by its number",
                     "It can since Linux 6.2; `comm` is the running one.")
    _, offset = _task_field(checker, node.span, "comm")
    number = Int("i32", 4, True)

    def into(code: Code, pointer: int, at: int) -> None:
        from bpfwright.types.ctype import Opaque, Pointer as CPointer
        handle = CPointer(Opaque("task_struct", 0, 1))
        code.zero(code.pointer(pointer, at), 16)
        wanted = code.truncate(code.number_of(pid), "i32")
        task = code.kfunc("bpf_task_from_pid", handle, [(number, wanted)])
        with code.unless(code.is_null(task)):
            code.helper(113, code.pointer(pointer, at), code.number(16), code.op("add", "i64", code.op("toint", "i64",
                                                                                                       task),
                                                                                 code.number(offset)))
            code.kfunc("bpf_task_release", None, [(handle, task)])
    made = built(Text(16), node.span, into)
    made.whole = True
    return made


def _task_field(checker: Checker, span: Any, name: str) -> tuple[Type, int]:
    found = checker.host.layouts.members(task_struct(checker, span)).get(name)
    if found is None:
        raise refuse(span, f"this kernel's task_struct has no `{name}`")
    return found.type, found.offset


def task_struct(checker: Checker, span: Any) -> Struct:
    """The kernel's description of a task."""
    found = checker.host.layouts.named("struct", "task_struct")
    if not isinstance(found, Struct):
        raise refuse(span, "this kernel has no type information, so nothing is known of its tasks")
    return found


def curtask_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return helper(_TASK, Pointer(task_struct(checker, node.span), "kernel"), node.span)


def _task(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if not arguments:
        return curtask_(checker, node, ())
    given = checker.value(arguments[0])
    if not isinstance(given.type, Pointer):
        return Typed(Pointer(task_struct(checker, node.span), "kernel"), given.span, given.emit)
    return given


def _path(checker: Checker, node: Any, typed: Typed, *fields: str) -> Typed:
    for name in fields:
        typed = member_of(checker, typed, name, node.span)
    return typed


def ppid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    found = _path(checker, node, _task(checker, node, arguments), "real_parent", "tgid")
    return Typed(UINT32, node.span, lambda code: Operand(value=code.scalar(found.emit(code), UINT32, node.span)))


def leader_tid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    found = _path(checker, node, _task(checker, node, arguments), "group_leader", "pid")
    return Typed(UINT32, node.span, lambda code: Operand(value=code.scalar(found.emit(code), UINT32, node.span)))


def leader_comm_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    found = _path(checker, node, _task(checker, node, arguments), "group_leader", "comm")

    def into(code: Code, pointer: int, offset: int) -> None:
        operand = found.emit(code)
        code.read_far(code.pointer(pointer, offset), 16, operand.address, "kernel", node.span)
    made = built(Text(16), node.span, into)
    made.whole = True
    return made


pcomm_ = leader_comm_


def cpid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if not checker.host.has_child:
        checker.known.warn(node.span, "there is no child: `cpid` is 0", "Run a command with `-c`, or test `has_cpid`.")
        return constant(0, UINT32, node.span)
    return Typed(UINT32, node.span, lambda code: Operand(value=code.told("cpid")))


def has_cpid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return constant(int(checker.host.has_child), Boolean(), node.span)


