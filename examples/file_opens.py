"""Every file that any process opens, and how long that took: `sudo bpfwright run file_opens.py`."""
from bpfwright import L, Struct, char, i32, u32, u64
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash, RingBuf
from bpfwright.tracepoints.syscalls import sys_enter_openat, sys_exit_openat


class Asked(Struct):
    at: u64
    path: char[L[128]]


class Open(Struct):
    pid: u32
    result: i32  # a descriptor, or below 0 the error
    latency_ns: u64
    comm: char[L[16]]
    path: char[L[128]]


asked = Hash[u32, Asked](max_entries=10_240)
opens = RingBuf[Open](size_bytes=1 << 22)


@tracepoint.program
def entered(ctx: sys_enter_openat) -> None:
    path = ctx.filename.read(128)  # the caller's memory: None when it cannot be read
    if path is not None:
        asked[current.tid] = Asked(now_ns(), path)


@tracepoint.program
def opened(ctx: sys_exit_openat) -> None:
    start = asked.pop(current.tid, None)
    if start is not None:
        opens.emit(Open(current.pid, i32(ctx.ret), now_ns() - start.at, current.comm, start.path))
