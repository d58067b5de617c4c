"""What programs ask of a task: its number in a PID namespace (what the user of a container calls it), its state."""
from __future__ import annotations

from bpfwright.helpers.basic import subprogram
from bpfwright.helpers.kernel import exists
from bpfwright.helpers.memory import address_of, kernel_object, offset_of
from bpfwright.types import KernelStruct, L, array, i32, i64, ptr, u32, u64
from bpfwright.vmlinux import pid_namespace, task_struct

__all__ = ["number_in", "state_of"]

LEVELS = 8


class Upid(KernelStruct, type="upid"):
    """A thread's number in one namespace."""

    nr: i32
    ns: ptr[pid_namespace]


class Pid(KernelStruct, type="pid"):
    """A thread's numbers, one for each namespace from the first down."""

    level: u32
    numbers: array[Upid, L[1]]


class Numbered(KernelStruct, type="task_struct"):
    """A thread with its numbers."""

    thread_pid: ptr[Pid]


@subprogram
def number_in(task: u64, namespace: u64) -> u32:
    """The number of the task at an address in a namespace, by its inode; 0 when it is not in it."""
    found: u32 = 0
    link = kernel_object(Numbered, task).thread_pid
    first = address_of(link) + offset_of(Pid, "numbers")
    for level in range(LEVELS):
        if level <= link.level:
            here = kernel_object(Upid, first + 16 * level)
            if here.ns.ns.inum == namespace:
                found = u32(here.nr)
    return found


class BeforeFourteen(KernelStruct, type="task_struct"):
    """A thread as it was up to Linux 5.13: the state had another name and width."""

    state: i64


def state_of(task: task_struct) -> u64:
    """What a task waits for (TASK_INTERRUPTIBLE and the like of include/linux/sched.h); 0 when it can run."""
    return u64(task.__state) if exists(task.__state) else u64(kernel_object(BeforeFourteen, address_of(task)).state)
