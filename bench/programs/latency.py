"""How long write() takes, in powers of two of nanoseconds."""
from __future__ import annotations

from bpfwright import u32, u64
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, PerCpuArray
from bpfwright.tracepoints.syscalls import sys_enter_write, sys_exit_write

began = Hash[u32, u64](max_entries=10_240)
latencies = PerCpuArray[u64](max_entries=64)


@tracepoint.program
def entering(ctx: sys_enter_write) -> None:
    began[current.tid] = now_ns()


@tracepoint.program
def leaving(ctx: sys_exit_write) -> None:
    start = began.pop(current.tid, None)
    if start is not None:
        latencies.increment(min((now_ns() - start).bit_length(), 63))
