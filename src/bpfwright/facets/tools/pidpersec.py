"""New processes each second.

examples:
  bpfwright tool pidpersec            each second, until Ctrl-C
  bpfwright tool pidpersec 5 12       each five seconds, for a minute
"""
from bpfwright.types import ptr, u32, u64
from bpfwright.facets.tools._running import clock
from bpfwright.facets.tools._tool import Column, Table
from bpfwright.facets.tools._who import wanted
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import task_struct

CLONE_THREAD = 0x10000
counts = Hash[u32, u64](max_entries=1)


@raw_tracepoint.program("task_newtask")
def created(ctx: raw_tracepoint.Context, task: ptr[task_struct], clone_flags: u64) -> None:
    if clone_flags & CLONE_THREAD == 0 and wanted():
        counts.increment(0)


TOOL = Table(counts, (created,), (
    Column("TIME", "<8", lambda e: clock()), Column("PIDS", "<8d", lambda e: e.value),
    Column("PIDS/SEC", "<8.1f", lambda e: e.value / e.key)),
    entries=lambda running: running.summed(counts), each=1.0)
