"""Calls that leave the program: kernel functions by BTF, and the open-coded number iterator."""
from __future__ import annotations

from types import FunctionType

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.helpers.kernel import refused_kfunc
from bpfwright.lang.scope import MISSING, Scope
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import (BOOLEAN, NOTHING, Boolean, Integer, KernelObject, Meaning, Nothing, Optional,
                                    Reference, meaning_of)
from bpfwright.types.ctype import Bool, CType, Int, Maybe, Pointer, RecordType, ctype_of

__all__ = ["NumberIterator", "check_kfunc", "iter_num"]


def check_kfunc(checker: Any, node: Any, function: FunctionType) -> Meaning:
    """A call of a declared kernel function: its annotations are its signature."""
    scope = Scope(function)
    checker.calls_out(node)
    refused = refused_kfunc(checker.job.program, function.__name__)
    if refused is not None:
        checker.refuse(node, *refused)
    params = checker.arguments(node, function)
    types: list[CType] = []
    for name, meaning in params:
        ctype = _parameter(checker, node, scope, function, name)
        types.append(ctype)
        _accepts(checker, node, meaning, ctype, name)
    annotation = scope.annotation("return")
    if annotation is MISSING:
        checker.refuse(node, f"{function.__name__} does not say what it returns", "Annotate it: `-> i32`.")
    result, meaning = (None, NOTHING) if annotation is None else _result(checker, node, scope, annotation)
    if function.__name__ in MOVES_PACKET:
        checker.move_packet()
    names = [name for name, _ in params]
    node.operation = _Kfunc(function.__name__, result, list(zip(names, types, strict=True)), meaning)
    return meaning


def _parameter(checker: Any, node: Any, scope: Scope, function: FunctionType, name: str) -> CType:
    annotation = scope.annotation(name)
    if annotation is MISSING:
        checker.refuse(node, f"{function.__name__}: the parameter {name!r} has no type",
                       "Annotate it as the kernel declares it: `task: task_struct`.")
    try:
        ctype = ctype_of(annotation, scope.spaces)
    except UsageError as error:
        checker.refuse(node, f"{function.__name__}: {error.what}", error.cure)
    if isinstance(ctype, RecordType):
        return Pointer(ctype)
    return ctype


def _accepts(checker: Any, node: Any, meaning: Meaning, ctype: CType, name: str) -> None:
    if isinstance(ctype, Pointer):
        if isinstance(meaning, Optional):
            checker.refuse(node, f"{name} may be None", "Test it first: `if x is None: return`.")
        if not isinstance(meaning, (KernelObject, Reference, Integer)):
            checker.refuse(node, f"{name} is a pointer to {ctype.target.name}")
        return
    checker.fit(node, meaning, ctype)


def _result(checker: Any, node: Any, scope: Scope, annotation: Any) -> tuple[CType, Meaning]:
    try:
        ctype = scope.ctype(annotation)
    except UsageError as error:
        checker.refuse(node, error.what, error.cure)
    inner = ctype.inner if isinstance(ctype, Maybe) else ctype
    if isinstance(inner, RecordType) and hasattr(inner.cls, "__kernel_name__"):
        found: Meaning = KernelObject(inner.cls, True)
        inner = Pointer(inner)
    else:
        found = meaning_of(inner, "stack")
    return inner, Optional(found) if isinstance(ctype, Maybe) else found


RELEASES = {
    "bpf_cgroup_from_id": "bpf_cgroup_release", "bpf_cgroup_acquire": "bpf_cgroup_release",
    "bpf_cgroup_ancestor": "bpf_cgroup_release", "bpf_task_acquire": "bpf_task_release",
    "bpf_task_from_pid": "bpf_task_release", "bpf_task_from_vpid": "bpf_task_release",
    "bpf_task_get_cgroup1": "bpf_cgroup_release", "bpf_cpumask_create": "bpf_cpumask_release",
    "bpf_cpumask_acquire": "bpf_cpumask_release", "bpf_get_task_exe_file": "bpf_put_file",
    "bpf_skb_ct_lookup": "bpf_ct_release", "bpf_xdp_ct_lookup": "bpf_ct_release",
}
"""Kernel functions that give a reference (KF_ACQUIRE), and what gives it back."""


MOVES_PACKET = {"bpf_xdp_pull_data"}
"""Kernel functions after which the packet lies elsewhere (is_kfunc_pkt_changing() of kernel/bpf/verifier.c)."""


def _release_later(b: Any, release: str, ctype: CType, made: int) -> None:
    """Keep the reference until the function ends, on whichever way, and give it back then."""
    held = b.slot(8, 8, "reference")
    b.entry_store(held)
    b.store(held, made)

    def leave() -> None:
        pointer = b.load("ptr", held)
        with b.unless(b.is_null(pointer)):
            b.kfunc(release, None, [(ctype, pointer)])
            b.store(held, b.null())

    b.frame.scopes.insert(0, leave)
    for loop in b.frame.loops:
        loop["depth"] += 1


class _Kfunc:
    """What lowering does with a checked call. `acquires`: it gives a reference."""

    __slots__ = ("acquires", "meaning", "name", "parameters", "result")

    def __init__(self, name: str, result: CType | None, parameters: list[tuple[str, CType]], meaning: Meaning) -> None:
        self.name = name
        self.result = result
        self.parameters = parameters
        self.meaning = meaning
        self.acquires = name in RELEASES and result is not None

    def __call__(self, b: Any, node: Any) -> Value:
        arguments: list[tuple[CType, int]] = []
        for name, ctype in self.parameters:
            given = node.call[name]
            value = b.expression(given) if hasattr(given, "meaning") else b.literal(given)
            arguments.append((ctype, self.passed(b, ctype, value)))
        made = b.kfunc(self.name, self.result, arguments)
        if self.acquires and self.result is not None:
            _release_later(b, RELEASES[self.name], self.result, made)
        return self.value(b, made)

    def passed(self, b: Any, ctype: CType, value: Value) -> int:
        if isinstance(ctype, Pointer):
            number: int = b.op("toptr", "ptr", value.only) if isinstance(value.meaning, Integer) else value.only
            return number
        if isinstance(ctype, Bool):
            small: int = b.op("zext", "i8", b.as_condition(value))
            return small
        narrow: int = b.truncate(b.numeric(value)[0], f"i{ctype.size * 8}")
        return narrow

    def value(self, b: Any, made: int) -> Value:
        match self.meaning:
            case Nothing():
                return Value(NOTHING)
            case Boolean():
                return Value(BOOLEAN, b.op("ne", "i1", made, b.number(0, "i8")))
            case Integer(low=low):
                assert self.result is not None
                return Value(self.meaning, b.extend(made, f"i{self.result.size * 8}", low < 0))
        return Value(self.meaning, made)


_I32 = Int("i32", 4, True)


class bpf_iter_num:
    """The iterator's state: 8 bytes of the kernel's own (include/uapi/linux/bpf.h, since Linux 6.4)."""

    __kernel_name__ = "bpf_iter_num"

    @classmethod
    def __layout__(cls) -> Any:
        from bpfwright.types.structs import Layout
        return Layout(8, 8, {})


class NumberIterator:
    """bpf_iter_num over 0..rounds: new, next, destroy. Since Linux 6.4."""

    def __init__(self, b: Any, rounds: int) -> None:
        self.b = b
        self.state = b.slot(8, 8, "iterator")
        pointer = Pointer(RecordType(bpf_iter_num))
        self.pointer = pointer
        least = b.op("select", "i64", b.op("ult", "i1", rounds, b.number(1 << 23)), rounds, b.number(1 << 23))
        b.kfunc("bpf_iter_num_new", _I32, [(pointer, self.state), (_I32, b.number(0, "i32")),
                                           (_I32, b.truncate(least, "i32"))])

    def next(self) -> int:
        """A pointer to the next number (i32), null at the end."""
        found: int = self.b.kfunc("bpf_iter_num_next", Pointer(_I32), [(self.pointer, self.state)])
        return found

    def destroy(self) -> None:
        """What every way out of the loop must do."""
        self.b.kfunc("bpf_iter_num_destroy", None, [(self.pointer, self.state)])


def iter_num(b: Any, rounds: int) -> NumberIterator:
    """Start a number iterator."""
    return NumberIterator(b, rounds)
