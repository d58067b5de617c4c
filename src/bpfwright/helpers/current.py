"""Who runs here: `current.pid`, `current.comm`, `current.task`."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar
from bpfwright.errors import InsideOnly
from bpfwright.helpers._family import number_property, operation
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.meaning import U32, U64, KernelObject, Meaning, Reference
from bpfwright.types.ctype import CharArray

if TYPE_CHECKING:
    from bpfwright.vmlinux import task_struct

__all__ = ["current"]

_PID_TGID, _UID_GID, _COMM, _CPU, _CGROUP, _TASK, _TASK_BTF = 14, 15, 16, 8, 80, 35, 158
_IDS_IN, _ANCESTOR = 120, 123


def _check_comm(site: Any) -> Meaning:
    return Reference(CharArray(16), "stack")


def _lower_comm(b: Any, site: Any) -> Value:
    place = b.scratch(CharArray(16))
    b.fill(place, 16)  # some kernels (6.1) leave what is behind the name as it was: as a key, or compared, it counts
    b.helper(_COMM, place, b.number(16))
    return Value(Reference(CharArray(16), "stack"), place)


def _check_task(site: Any) -> Meaning:
    from bpfwright.vmlinux import task_struct
    return KernelObject(task_struct, site.target().has("current_task_btf"))


def _lower_task(b: Any, site: Any) -> Value:
    if site.node.meaning.trusted:
        return Value(site.node.meaning, b.helper_pointer(_TASK_BTF))
    return Value(site.node.meaning, b.op("toptr", "ptr", b.helper(_TASK)))


def _check_ids(site: Any) -> Meaning:
    site.bind("device", "inode")
    site.integer("device")
    site.integer("inode")
    return U64


def _lower_ids(b: Any, site: Any) -> Value:
    """struct bpf_pidns_info has the thread first, so that it reads as bpf_get_current_pid_tgid()'s word."""
    place = b.slot(8, 8, "ids")
    b.store(place, b.number(0))
    b.helper(_IDS_IN, b.numeric(site.value("device"))[0], b.numeric(site.value("inode"))[0], place, b.number(8))
    return Value(U64, b.load("i64", place, 0, 8))


class _Current:
    """The task that the program interrupted or serves."""

    __operations__: ClassVar[dict[str, Operation]] = {
        "pid": number_property(_PID_TGID, U32, shift=32), "tid": number_property(_PID_TGID, U32, width=32),
        "uid": number_property(_UID_GID, U32, width=32), "gid": number_property(_UID_GID, U32, shift=32),
        "cpu": number_property(_CPU, U32), "cgroup_id": number_property(_CGROUP, U64),
        "comm": Property(_check_comm, _lower_comm, calls=True), "task": Property(_check_task, _lower_task, calls=True),
        "ids": number_property(_PID_TGID, U64), "ids_in": Operation(_check_ids, _lower_ids),
        "ancestor_cgroup_id": operation(_ANCESTOR, U64, "level"),
    }

    if TYPE_CHECKING:
        @property
        def pid(self) -> int:
            """The process (the kernel's tgid)."""
        @property
        def tid(self) -> int:
            """The thread (the kernel's pid)."""
        @property
        def uid(self) -> int:
            """The real user."""
        @property
        def gid(self) -> int:
            """The real group."""
        @property
        def comm(self) -> str:
            """The thread's name, up to 15 bytes."""
        @property
        def task(self) -> task_struct:
            """The kernel's own description."""
        @property
        def cpu(self) -> int:
            """The processor's number."""
        @property
        def cgroup_id(self) -> int:
            """The id of its cgroup v2. Since Linux 4.18."""
        @property
        def ids(self) -> int:
            """The process in the upper, the thread in the lower 32 bits."""
        def ids_in(self, device: int, inode: int) -> int:
            """`ids` as the PID namespace sees them whose /proc/PID/ns/pid this is; 0 in another. Since Linux 5.7."""
        def ancestor_cgroup_id(self, level: int) -> int:
            """The id of the cgroup v2 above it at a level (the root's is 0); 0 when it is not that deep. Since 5.7."""
    else:
        def __getattr__(self, name):
            raise InsideOnly(f"current.{name} exists inside a kernel program only")


current = _Current()
