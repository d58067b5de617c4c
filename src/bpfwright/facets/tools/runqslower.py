"""Threads that waited long for a CPU, at least MIN_US microseconds.

examples:
  bpfwright tool runqslower             10,000 us and more
  bpfwright tool runqslower 1000        1 ms and more
  bpfwright tool runqslower -P          with who had the CPU before
  bpfwright tool runqslower -p 181      of process 181
"""
from bpfwright.types import Config, L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._run_queue import begun, ready, woken
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import tid_of, wanted_task
from bpfwright.helpers import now_ns
from bpfwright.helpers.tasks import state_of
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf
from bpfwright.vmlinux import task_struct


class Waited(Struct):
    ns: u64
    tid: u32
    ptid: u32
    comm: char[L[16]]
    pcomm: char[L[16]]


class Choice(Config):
    min_ns: u64 = 0


choice = Choice()
waits = RingBuf[Waited](size_bytes=1 << 22)


@raw_tracepoint.program("sched_switch")
def switched(ctx: raw_tracepoint.Context, prev: ptr[task_struct], next: ptr[task_struct]) -> None:
    if state_of(prev) == 0 and prev.pid != 0 and wanted_task(prev):
        ready[u32(prev.pid)] = now_ns()
    since = ready.pop(u32(next.pid), None)
    if since is not None and now_ns() - since >= choice.min_ns:
        waits.emit(Waited(now_ns() - since, tid_of(next), tid_of(prev), next.comm, prev.comm))


TOOL = Rows(waits, (woken, begun, switched), (
    Column("TIME", "<8", "@clock"), Column("COMM", "<16"), Column("TID", "<7"),
    Column("LAT(us)", ">10d", lambda e: e.ns // 1000), Column("PREV COMM", "<16", "pcomm", "previous"),
    Column("PREV TID", "<8", "ptid", "previous")),
    options=(Option("min_us", "the least that is shown", 10_000), Option("-P, --previous", "who had the CPU before")),
    config=lambda o: Choice(min_ns=o.min_us * 1000), filters="pid tid comm", rank="lat_us")
