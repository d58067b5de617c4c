"""A BTF raw tracepoint: relocated reads of a task, bit fields, a field that may not be there."""
from __future__ import annotations

from bpfwright import L, Struct, char, exists, ptr, u32, u64
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf
from bpfwright.types import KernelStruct
from bpfwright.vmlinux import task_struct


class Exit(Struct):
    parent: u32
    comm: char[L[16]]
    waiting: u32
    has_state: u32
    nothing: u64


class task_of_old(KernelStruct, type="task_struct"):
    state: u64
    never_was: u64


exits = RingBuf[Exit](size_bytes=1 << 16)


@raw_tracepoint.program("sched_process_exit")
def exited(ctx: raw_tracepoint.Context, task: ptr[task_struct]) -> None:
    exits.emit(Exit(task.real_parent.tgid, task.comm, task.in_iowait, 1 if exists(task.exit_state) else 0, 0))


@raw_tracepoint.program("sched_process_fork")
def forked(ctx: raw_tracepoint.Context, parent: ptr[task_of_old], child: ptr[task_struct]) -> None:
    gone = parent.never_was if exists(parent.never_was) else 7
    exits.emit(Exit(child.tgid, child.comm, 0, 1 if exists(parent.state) else 0, gone))
