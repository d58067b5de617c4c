"""Tracepoints of a system call, with a log line and texts."""
from __future__ import annotations

from bpfwright import L, Struct, char, log, u32, u64
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, RingBuf
from bpfwright.tracepoints.syscalls import sys_enter_openat, sys_exit_openat


class Open(Struct):
    pid: u32
    latency: u64
    comm: char[L[16]]
    path: char[L[128]]


class Started(Struct):
    at: u64
    path: char[L[128]]


opens = RingBuf[Open](size_bytes=1 << 20)
started = Hash[u32, Started](max_entries=10_240)


@tracepoint.program
def entered(ctx: sys_enter_openat) -> None:
    started[current.tid] = Started(now_ns(), ctx.filename.read(128) or "")


@tracepoint.program
def opened(ctx: sys_exit_openat) -> None:
    start = started.pop(current.tid, None)
    if start is None or ctx.ret < 0:
        return
    with opens.reserve() as event:
        if event is None:
            return
        event.pid = current.pid
        event.latency = now_ns() - start.at
        event.comm = current.comm
        event.path = start.path
    log(f"{current.comm} opened a file, descriptor {ctx.ret}")
