"""Threads that could run: since when; and counts of times by thread or process."""
from bpfwright.types import L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._tool import Column
from bpfwright.facets.tools._who import wanted_task
from bpfwright.helpers import now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash
from bpfwright.vmlinux import task_struct

__all__ = ["BY_THREAD", "Slot", "begun", "ready", "woken"]


class Slot(Struct):
    """A bucket of a thread's or a process's histogram; of id 0, everybody's."""

    id: u32
    slot: u32
    comm: char[L[16]]


BY_THREAD = (Column("pid", of="id", when="pids"), Column("tid", of="id", when="tids"), Column("comm", when="pids"),
             Column("comm", when="tids"))
ready = LruHash[u32, u64](max_entries=65_536)


@raw_tracepoint.program("sched_wakeup")
def woken(ctx: raw_tracepoint.Context, p: ptr[task_struct]) -> None:
    """A thread has something to do again."""
    if wanted_task(p):
        ready[u32(p.pid)] = now_ns()


@raw_tracepoint.program("sched_wakeup_new")
def begun(ctx: raw_tracepoint.Context, p: ptr[task_struct]) -> None:
    """A new thread."""
    if wanted_task(p):
        ready[u32(p.pid)] = now_ns()
