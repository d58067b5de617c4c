"""Time that threads slept, by who woke them and from where.

examples:
  bpfwright tool wakeuptime              until Ctrl-C
  bpfwright tool wakeuptime 5            for five seconds
  bpfwright tool wakeuptime --folded 5   for a flame graph
  bpfwright tool wakeuptime -p 185       wakers of process 185 only
"""
from bpfwright.types import Config, L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._captures import kernel_stack, stacks
from bpfwright.facets.tools._stacks import NONE, folded_or_block, stacked
from bpfwright.facets.tools._tool import Column, Option, Table
from bpfwright.facets.tools._who import wanted_task
from bpfwright.helpers import current, now_ns
from bpfwright.helpers.tasks import state_of
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash, LruHash
from bpfwright.vmlinux import task_struct


class Woken(Struct):
    pid: u32
    kernel: u32
    user: u32
    comm: char[L[16]]
    waker: char[L[16]]


class Choice(Config):
    min_ns: u64 = 0


choice = Choice()
asleep = LruHash[u32, u64](max_entries=65_536)
times = Hash[Woken, u64](max_entries=65_536)


@raw_tracepoint.program("sched_switch")
def switched(ctx: raw_tracepoint.Context, prev: ptr[task_struct], next: ptr[task_struct]) -> None:
    if state_of(prev) != 0 and wanted_task(prev):
        asleep[u32(prev.pid)] = now_ns()


@raw_tracepoint.program("sched_waking")
def waking(ctx: raw_tracepoint.Context, p: ptr[task_struct]) -> None:
    since = asleep.pop(u32(p.pid), None)
    if since is None or now_ns() - since < choice.min_ns:
        return
    times.increment(Woken(0, kernel_stack(ctx), NONE, p.comm, current.comm), (now_ns() - since) // 1000)


TOOL = Table(times, (switched, waking), (
    Column("TARGET", "<16", "comm"), Column("WAKER", "<16"), Column("US", "<12", "value"), Column("KERNEL")),
    entries=lambda running: stacked(running, times, stacks), sort="+value", block=folded_or_block("us"),
    options=(Option("duration", "seconds (until Ctrl-C)", 0.0), Option("--folded", "a line a stack, for flame graphs"),
             Option("-m, --min-block-time", "microseconds at least", 0)),
    config=lambda o: Choice(min_ns=o.min_block_time * 1000), filters="pid tid comm", positional=False)
