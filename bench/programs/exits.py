"""Processes that end: who, whose child, with what code."""
from __future__ import annotations

from bpfwright import L, Struct, char, i32, u32
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf
from bpfwright.vmlinux import task_struct


class Exit(Struct):
    pid: i32
    parent: i32
    code: i32
    flags: u32
    comm: char[L[16]]


exits = RingBuf[Exit](size_bytes=1 << 20)


@raw_tracepoint.program("sched_process_exit")
def exited(ctx: raw_tracepoint.Context, task: task_struct) -> None:
    if task.pid != task.tgid:
        return
    with exits.reserve() as event:
        if event is None:
            return
        event.pid = task.tgid
        event.parent = task.real_parent.tgid
        event.code = task.exit_code
        event.flags = task.flags
        event.comm = task.comm
