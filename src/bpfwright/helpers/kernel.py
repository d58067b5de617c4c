"""Kernel objects: exists(), references, RCU."""
from __future__ import annotations

from contextlib import AbstractContextManager

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.helpers.basic import inside_only
from bpfwright.spec.dialect import Operation, Scope, Value
from bpfwright.spec.meaning import BOOLEAN, NOTHING, KernelObject, Meaning, Optional
from bpfwright.types import i32
from bpfwright.types.ctype import Pointer, RecordType

if TYPE_CHECKING:
    from bpfwright.vmlinux import task_struct

__all__ = ["exists", "rcu", "refused_kfunc", "task_from_pid"]

# Families of kernel functions -> program types (bpf_prog_type) that no kernel lets call them, in our words: what
# register_btf_kfunc_id_set() says in kernel/bpf/helpers.c (generic_btf_ids) and kernel/bpf/cpumask.c. Types that newer
# kernels have added are not here.
_NEVER = {1: "a socket filter", 2: "a kprobe or uprobe"}
_FAMILIES = {
    ("bpf_task_acquire", "bpf_task_from_pid", "bpf_task_from_vpid", "bpf_task_get_cgroup1", "bpf_task_release",
     "bpf_task_under_cgroup", "bpf_cgroup_acquire", "bpf_cgroup_ancestor", "bpf_cgroup_from_id", "bpf_cgroup_release"):
        _NEVER,
    ("bpf_cpumask_",): {**_NEVER, 3: "a tc program", 6: "an XDP program", 8: "a program for a cgroup's packets",
                        18: "a program for a cgroup's connections"},
}


def refused_kfunc(program: Any, name: str) -> tuple[str, str] | None:
    """Why a program's type may not call a kernel function, and the cure; None where it may, or where that is unknown.

    The generic ones, bpf_rcu_read_lock() and the iterators among them, may be called by all.
    """
    kind = program.hook.kernel_type(program) if program is not None else 0
    for names, types in _FAMILIES.items():
        if kind in types and any(name.startswith(each) if each.endswith("_") else name == each for each in names):
            return f"{types[kind]} may not call {name}()", "Call it from raw_tracepoint, fentry or an iterator."
    return None


def exists(field: object) -> bool:
    """Whether the running kernel has a field: `exists(task.in_iowait)`. Known at load, so the other branch vanishes."""
    raise inside_only("exists")


def _check_exists(site: Any) -> Meaning:
    site.bind("field")
    node = site.node_of("field")
    owner = getattr(getattr(node, "object", None), "meaning", None)
    if not isinstance(owner, KernelObject):
        site.refuse("exists() asks for a field of a kernel struct", "Write exists(task.in_iowait).")
    return BOOLEAN


def _lower_exists(b: Any, site: Any) -> Value:
    node = site.node_of("field")
    owner = node.object.meaning
    found = b.core_offset(owner.cls, (*owner.path, node.name), 2)
    return Value(BOOLEAN, b.op("ne", "i1", found, b.number(0)))


exists.__operation__ = Operation(_check_exists, _lower_exists)  # type: ignore[attr-defined]


class _Rcu:
    def __enter__(self) -> None: ...
    def __exit__(self, *exc: object) -> None: ...


def rcu() -> _Rcu:
    """`with rcu():` what is reached by RCU pointers stays alive inside. Since Linux 6.2."""
    raise inside_only("rcu")


def _check_rcu(site: Any) -> Meaning:
    site.bind()
    return NOTHING


def _enter_rcu(b: Any, site: Any) -> Value:
    b.kfunc("bpf_rcu_read_lock", None, [])
    return Value(NOTHING)


def _leave_rcu(b: Any, site: Any, value: Value) -> None:
    b.kfunc("bpf_rcu_read_unlock", None, [])


rcu.__operation__ = Scope(_check_rcu, _enter_rcu, _leave_rcu, holds="the RCU read lock")  # type: ignore[attr-defined]


def task_from_pid(pid: int) -> AbstractContextManager[task_struct | None]:
    """`with task_from_pid(1) as task:` a reference to a task, or None; given back on leaving. Since Linux 6.2."""
    raise inside_only("task_from_pid")


def _task_class() -> type[Any]:
    from bpfwright.vmlinux import task_struct
    return task_struct


def _check_task(site: Any) -> Meaning:
    site.bind("pid")
    site.integer("pid")
    refused = refused_kfunc(site.program, "bpf_task_from_pid")
    if refused is not None:
        site.refuse(refused[0].replace("bpf_task_from_pid", "task_from_pid"), refused[1])
    return Optional(KernelObject(_task_class(), True))


def _enter_task(b: Any, site: Any) -> Value:
    pid = b.truncate(b.numeric(site.value("pid"))[0], "i32")
    pointer = b.kfunc("bpf_task_from_pid", Pointer(RecordType(_task_class())), [(i32, pid)])
    return Value(Optional(KernelObject(_task_class(), True)), pointer)


def _leave_task(b: Any, site: Any, value: Value) -> None:
    with b.unless(b.is_null(value.only)):
        b.kfunc("bpf_task_release", None, [(Pointer(RecordType(_task_class())), value.only)])


task_from_pid.__operation__ = Scope(_check_task, _enter_task, _leave_task, holds="a task")  # type: ignore[attr-defined]
