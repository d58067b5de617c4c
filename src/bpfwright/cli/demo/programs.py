"""The demo's kernel programs: a firewall at the driver, and what it watches of the whole machine."""
from __future__ import annotations

from bpfwright import L, Struct, char, i32, u16, u32, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import tracepoint, xdp
from bpfwright.maps import Hash, LpmTrie, PerCpuArray, RingBuf
from bpfwright.tracepoints.syscalls import (sys_enter_connect, sys_enter_openat, sys_enter_write, sys_exit_connect,
                                            sys_exit_openat, sys_exit_write)

PASSED, DROPPED = 0, 1


class Verdicts(Struct):
    """Packets and bytes of one verdict."""

    packets: u64
    bytes: u64


class Open(Struct):
    """A file that was opened, or not (`result` below 0)."""

    pid: u32
    result: i32
    comm: char[L[16]]
    path: char[L[128]]


class Connection(Struct):
    """A connect() and what came of it; `latency` in ns."""

    pid: u32
    result: i32
    latency: u64
    comm: char[L[16]]


class State(Struct):
    """A TCP connection that went from one state to the next."""

    old: u32
    new: u32
    sport: u16
    dport: u16
    source: IPv4.Address
    destination: IPv4.Address


blocked = LpmTrie[IPv4.Address, Verdicts](max_entries=1024)
verdicts = PerCpuArray[Verdicts](max_entries=2)
opens = RingBuf[Open](size_bytes=1 << 24)
connections = RingBuf[Connection](size_bytes=1 << 20)
states = RingBuf[State](size_bytes=1 << 20)
asked = Hash[u32, u64](max_entries=10_240)
wanted = Hash[u32, char[L[128]]](max_entries=10_240)
written = Hash[u32, u64](max_entries=10_240)
latencies = PerCpuArray[u64](max_entries=64)


@xdp.program
def firewall(ctx: xdp.Context) -> xdp.Action:
    """Drop what comes from a blocked network; count everything."""
    ip = ctx.find(IPv4)
    entry = None
    if ip is not None:
        entry = blocked.get(ip.source)
    counter = verdicts.local(PASSED if entry is None else DROPPED)
    counter.packets += 1
    counter.bytes += ctx.length
    if entry is None:
        return xdp.PASS
    entry.packets += 1
    entry.bytes += ctx.length
    return xdp.DROP


@tracepoint.program
def opening(ctx: sys_enter_openat) -> None:
    """Keep the path: at the exit it may be gone."""
    path = ctx.filename.read(128)
    if path is not None:
        wanted[current.tid] = path


@tracepoint.program
def opened(ctx: sys_exit_openat) -> None:
    """Send process, result and path."""
    path = wanted.pop(current.tid, None)
    if path is None:
        return
    opens.emit(Open(current.pid, i32(ctx.ret), current.comm, path))


@tracepoint.program
def connecting(ctx: sys_enter_connect) -> None:
    """Remember when."""
    asked[current.tid] = now_ns()


@tracepoint.program
def connected(ctx: sys_exit_connect) -> None:
    """Send process, result and latency."""
    start = asked.pop(current.tid, None)
    if start is not None:
        connections.emit(Connection(current.pid, i32(ctx.ret), now_ns() - start, current.comm))


class inet_sock_set_state(tracepoint.Fields, event="sock:inet_sock_set_state"):
    """Of the kernel's event, the fields that are shown."""

    oldstate: i32
    newstate: i32
    sport: u16
    dport: u16
    saddr: IPv4.Address
    daddr: IPv4.Address


@tracepoint.program
def changed(ctx: inet_sock_set_state) -> None:
    """Send the transition."""
    states.emit(State(u32(ctx.oldstate), u32(ctx.newstate), ctx.sport, ctx.dport, ctx.saddr, ctx.daddr))


@tracepoint.program
def write_started(ctx: sys_enter_write) -> None:
    """Remember when."""
    written[current.tid] = now_ns()


@tracepoint.program
def write_ended(ctx: sys_exit_write) -> None:
    """Count by the power of two of the nanoseconds."""
    start = written.pop(current.tid, None)
    if start is not None:
        latencies.increment(min((now_ns() - start).bit_length(), 63))
