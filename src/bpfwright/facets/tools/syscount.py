"""System calls: how many of each, or by process; with -L how long they took.

examples:
  bpfwright tool syscount              the ten commonest, at Ctrl-C
  bpfwright tool syscount -i 1         each second
  bpfwright tool syscount -P           by process
  bpfwright tool syscount -L           with the time spent in them
  bpfwright tool syscount -x           failed ones only
  bpfwright tool syscount -e ENOENT    those that failed so
  bpfwright tool syscount -d 5 -T 20   the 20 commonest of five seconds
"""
from bpfwright.types import Config, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, call, errno_of, name_of, native
from bpfwright.facets.tools._names import comm_of
from bpfwright.facets.tools._sums import Spent, spend
from bpfwright.facets.tools._tool import EACH, Column, Option, Table
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash


class Choice(Config):
    failures: bool = False
    errno: u64 = 0
    latency: bool = False
    process: bool = False


choice = Choice()
entered = Hash[u32, u64](max_entries=65_536)
calls = Hash[u32, Spent](max_entries=65_536)


@raw_tracepoint.program("sys_enter")
def enter(ctx: raw_tracepoint.Context, regs: ptr[Registers], id: i64) -> None:
    if choice.latency and wanted():
        entered[current.tid] = now_ns()


@raw_tracepoint.program("sys_exit")
def leave(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    if (choice.failures and ret >= 0) or (choice.errno != 0 and u64(-ret) != choice.errno):
        return
    if not wanted() or not native():
        return
    now = now_ns()
    start = entered.pop(current.tid, None) if choice.latency else now
    if start is None:
        return
    spend(calls, pid() if choice.process else call(regs), now - start)


TOOL = Table(
    calls, lambda o: (enter, leave) if o.latency else (leave,), (
        Column("SYSCALL", "<22", lambda e: name_of(e.key), "!process"),
        Column("PID", "<7d", lambda e: e.key, "process"), Column("COMM", "<16", lambda e: comm_of(e.key), "process"),
        Column("COUNT", ">8"), Column("TIME (us)", ">16.3f", lambda e: e.ns / 1e3, "latency")),
    options=(EACH, Option("-T, --maxrows", "rows at most", 10), Option("-x, --failures", "failed calls only"),
             Option("-e, --errno", "calls that failed so only", ""), Option("-L, --latency", "the time spent, too"),
             Option("-P, --process", "by process")),
    sort=lambda o: "ns" if o.latency else "count", filters="pid tid comm cgroup", positional=False,
    config=lambda o: Choice(failures=o.failures, errno=errno_of(o.errno), latency=o.latency, process=o.process))
