"""How long threads that could run waited for a CPU: a histogram.

examples:
  bpfwright tool runqlat              until Ctrl-C
  bpfwright tool runqlat 1 10         each second, ten times
  bpfwright tool runqlat -mT 1        in milliseconds, with the time of day
  bpfwright tool runqlat -P           a histogram for each process
  bpfwright tool runqlat -L           a histogram for each thread
  bpfwright tool runqlat --pidnss     a histogram for each PID namespace
  bpfwright tool runqlat -p 185       of process 185
"""
from bpfwright.types import Config, ptr, u32, u64
from bpfwright.facets.tools._run_queue import Slot, begun, ready, woken
from bpfwright.facets.tools._tool import MSECS, STAMP, Column, Histogram, Option, bucket
from bpfwright.facets.tools._who import pid_of, tid_of, wanted_task
from bpfwright.helpers import now_ns
from bpfwright.helpers.tasks import state_of
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import task_struct


class Choice(Config):
    milliseconds: bool = False
    pids: bool = False
    tids: bool = False
    pidnss: bool = False


choice = Choice()
counts = Hash[Slot, u64](max_entries=65_536)


@raw_tracepoint.program("sched_switch")
def switched(ctx: raw_tracepoint.Context, prev: ptr[task_struct], next: ptr[task_struct]) -> None:
    if state_of(prev) == 0 and prev.pid != 0:  # it could go on, and waits from now
        ready[u32(prev.pid)] = now_ns()
    since = ready.pop(u32(next.pid), None)
    if since is None or not wanted_task(next):
        return
    waited = now_ns() - since
    slot = bucket(waited // 1_000_000 if choice.milliseconds else waited // 1000)
    if choice.pidnss:
        counts.increment(Slot(next.nsproxy.pid_ns_for_children.ns.inum, slot, ""))
    elif choice.pids or choice.tids:
        counts.increment(Slot(pid_of(next) if choice.pids else tid_of(next), slot, next.comm))
    else:
        counts.increment(Slot(0, slot, ""))


TOOL = Histogram(
    counts, (woken, begun, switched), unit=lambda o: "msecs" if o.milliseconds else "usecs",
    columns=(Column("pid", of="id", when="pids !pidnss"), Column("tid", of="id", when="tids !pidnss"),
             Column("comm", when="pids !pidnss"), Column("comm", when="tids !pidnss"),
             Column("pidns", of="id", when="pidnss")),
    options=(STAMP, MSECS, Option("-P, --pids", "by process"), Option("-L, --tids", "by thread"),
             Option("--pidnss", "by PID namespace")),
    config=Choice, filters="pid comm")
