"""How long threads stay on a CPU before they leave it: a histogram.

With -O how long they stay away.

examples:
  bpfwright tool cpudist              until Ctrl-C
  bpfwright tool cpudist -O           time off the CPU
  bpfwright tool cpudist 1 10         each second, ten times
  bpfwright tool cpudist -mT 1        in milliseconds, with the time of day
  bpfwright tool cpudist -P           a histogram for each process
  bpfwright tool cpudist -p 185       of process 185
"""
from bpfwright.types import Config, ptr, u32, u64
from bpfwright.facets.tools._run_queue import BY_THREAD, Slot
from bpfwright.facets.tools._tool import Histogram, Option, bucket
from bpfwright.facets.tools._who import pid_of, tid_of, wanted_task
from bpfwright.helpers import now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import task_struct


class Choice(Config):
    offcpu: bool = False
    milliseconds: bool = False
    pids: bool = False
    tids: bool = False


choice = Choice()
since = Hash[u32, u64](max_entries=65_536)
counts = Hash[Slot, u64](max_entries=65_536)


@raw_tracepoint.program("sched_switch")
def switched(ctx: raw_tracepoint.Context, prev: ptr[task_struct], next: ptr[task_struct]) -> None:
    ends, begins = (next, prev) if choice.offcpu else (prev, next)
    if begins.pid != 0 and wanted_task(begins):
        since[u32(begins.pid)] = now_ns()
    start = since.pop(u32(ends.pid), None)
    if start is None:
        return
    took = now_ns() - start
    slot = bucket(took // 1_000_000 if choice.milliseconds else took // 1000)
    if choice.pids or choice.tids:
        counts.increment(Slot(pid_of(ends) if choice.pids else tid_of(ends), slot, ends.comm))
    else:
        counts.increment(Slot(0, slot, ""))


TOOL = Histogram(
    counts, (switched,), unit=lambda o: "msecs" if o.milliseconds else "usecs",
    columns=BY_THREAD,
    options=(Option("-O, --offcpu", "time off the CPU"), Option("-T, --timestamp", "show the time of day"),
             Option("-m, --milliseconds", "in milliseconds"), Option("-P, --pids", "by process"),
             Option("-L, --tids", "by thread")),
    config=Choice, filters="pid tid comm")
