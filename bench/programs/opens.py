"""File opens with path, result and latency: kept at the entry, sent at the exit."""
from __future__ import annotations

from bpfwright import L, Struct, char, i32, u32, u64
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, RingBuf
from bpfwright.tracepoints.syscalls import sys_enter_openat, sys_exit_openat


class Started(Struct):
    at: u64
    path: char[L[64]]


class Open(Struct):
    pid: u32
    result: i32
    latency: u64
    comm: char[L[16]]
    path: char[L[64]]


started = Hash[u32, Started](max_entries=10_240)
opens = RingBuf[Open](size_bytes=1 << 23)


@tracepoint.program
def opening(ctx: sys_enter_openat) -> None:
    path = ctx.filename.read(64)
    if path is not None:
        started[current.tid] = Started(now_ns(), path)


@tracepoint.program
def opened(ctx: sys_exit_openat) -> None:
    tid = current.tid
    start = started.get(tid)
    if start is None:
        return
    opens.emit(Open(current.pid, i32(ctx.ret), now_ns() - start.at, current.comm, start.path))
    started.discard(tid)
