"""Processes that end: how old they were, and of what they died.

examples:
  bpfwright tool exitsnoop                 every process that ends
  bpfwright tool exitsnoop -x              with an error or by a signal only
  bpfwright tool exitsnoop -t              with the time of day
  bpfwright tool exitsnoop -p 181          one process
  bpfwright tool exitsnoop --per-thread    each thread
"""
from bpfwright.types import Config, L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._names import signal_name
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import parent, pid, tid, wanted
from bpfwright.helpers import now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf
from bpfwright.vmlinux import task_struct


class Ended(Struct):
    age: u64
    pid: u32
    ppid: u32
    tid: u32
    code: u32
    pcomm: char[L[16]]


class Choice(Config):
    failed: bool = False
    per_thread: bool = False


choice = Choice()
exits = RingBuf[Ended](size_bytes=1 << 22)


@raw_tracepoint.program("sched_process_exit")
def ended(ctx: raw_tracepoint.Context, task: ptr[task_struct]) -> None:
    code = u32(task.exit_code)
    if (task.pid != task.tgid and not choice.per_thread) or (choice.failed and code == 0) or not wanted():
        return
    exits.emit(Ended(now_ns() - task.start_time, pid(), parent(), tid(), code, task.comm))


def reason(e: Ended) -> str:
    number = e.code & 0x7F
    if number == 0:
        return f"code {e.code >> 8}" if e.code else "0"
    return f"signal {number} ({signal_name(number)})" + (", core dumped" if e.code & 0x80 else "")


TOOL = Rows(exits, (ended,), (
    Column("TIME", "<8", "@clock", "timestamp"), Column("PCOMM", "<16"), Column("PID", "<7"), Column("PPID", "<7"),
    Column("TID", "<7"), Column("AGE(s)", "<7.2f", lambda e: e.age / 1e9), Column("EXIT_CODE", "", reason)),
    options=(Option("-t, --timestamp", "show the time of day"), Option("-x, --failed", "failures only"),
             Option("--per-thread", "each thread")),
    config=Choice, rank="age_s")
