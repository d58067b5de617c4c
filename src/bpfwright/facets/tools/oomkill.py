"""Processes that are killed because memory ran out, and by whose wish for memory.

PAGES is how many there were to have, as of the cgroup whose limit was reached; where functions of the kernel cannot be
traced, how many the process had mapped.

examples:
  bpfwright tool oomkill              until Ctrl-C
  bpfwright tool oomkill -f jsonl     for a log
"""
from bpfwright.types import L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._names import load_average
from bpfwright.facets.tools._tool import Column, Rows
from bpfwright.facets.tools._who import pid, pid_of
from bpfwright.helpers import current
from bpfwright.hooks import fentry, raw_tracepoint
from bpfwright.maps import RingBuf
from bpfwright.vmlinux import oom_control, task_struct


class Killed(Struct):
    pages: u64
    fpid: u32
    tpid: u32
    fcomm: char[L[16]]
    tcomm: char[L[16]]


kills = RingBuf[Killed](size_bytes=1 << 16)


@fentry.program("oom_kill_process")
def chosen(ctx: fentry.Context, oc: ptr[oom_control]) -> None:
    kills.emit(Killed(oc.totalpages, pid(), pid_of(oc.chosen), current.comm, oc.chosen.comm))


@raw_tracepoint.program("mark_victim")
def marked(ctx: raw_tracepoint.Context, task: ptr[task_struct]) -> None:
    kills.emit(Killed(task.mm.total_vm, pid(), pid_of(task), current.comm, task.comm))


TOOL = Rows(kills, [(chosen,), (marked,)], (
    Column("TIME", "<8", "@clock"), Column("FPID", "<7"), Column("FCOMM", "<16"), Column("TPID", "<7"),
    Column("TCOMM", "<16"), Column("PAGES", "<9"), Column("LOADAVG", "", lambda e: load_average())), filters="")
