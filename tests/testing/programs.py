"""Small programs for the tests of the test tools, some with a mistake."""
from __future__ import annotations

from bpfwright import Config, L, Struct, char, i32, u8, u16, u32, u64
from bpfwright.headers import TCP, UDP, IPv4
from bpfwright.helpers import now_ns
from bpfwright.hooks import raw_tracepoint, tc, xdp
from bpfwright.maps import Array, Hash, LpmTrie, LruHash, PerCpuArray, Queue, RingBuf


class Blocked(Struct):
    packets: u64
    reason: u32


class Seen(Struct):
    at: u64
    ttl: u32
    sport: u16


class Every(Struct):
    small: u8
    signed: i32
    big: u64
    flag: bool
    name: char[L[8]]


blocked = Hash[u32, Blocked](max_entries=16)
counts = Array[u64](max_entries=4)
each_cpu = PerCpuArray[u64](max_entries=2)
recent = LruHash[u32, u32](max_entries=64)
networks = LpmTrie[IPv4.Address, u64](max_entries=16)
seen = RingBuf[Seen](size_bytes=4096)
waiting = Queue[u32](max_entries=4)


@xdp.program
def firewall(ctx: xdp.Context) -> xdp.Action:
    """Uses one of everything, and is right."""
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    counts.increment(1)
    ip.ttl -= 1
    tcp = ctx.find(TCP)
    if tcp is not None:
        seen.emit(Seen(now_ns(), ip.ttl, tcp.sport))
    entry = blocked.get(ip.ttl)
    if entry is None:
        return xdp.PASS
    entry.packets += 1
    return xdp.DROP


@xdp.program
def collecting(ctx: xdp.Context) -> xdp.Action:
    """Maps of other kinds, all used rightly."""
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    each_cpu.increment(1, ip.ttl)
    waiting.push(ip.ttl)
    recent[ip.ttl] = ip.identification
    return xdp.PASS if networks.get(ip.source) is None else xdp.DROP


@xdp.program
def ttl_of_one(ctx: xdp.Context) -> xdp.Action:
    """Meant to drop what may go no further; forgets packets that come with 0."""
    ip = ctx.find(IPv4)
    if ip is not None and ip.ttl == 1:
        return xdp.DROP
    return xdp.PASS


@xdp.program
def wrapping(ctx: xdp.Context) -> xdp.Action:
    """Meant to drop datagrams of more than 8 bytes of data; a length below 8 wraps."""
    udp = ctx.find(UDP)
    if udp is not None and u16(udp.length - 8) > 8:
        return xdp.DROP
    return xdp.PASS


@xdp.program
def reasoned(ctx: xdp.Context) -> xdp.Action:
    """Meant to drop what is blocked; takes an entry with reason 0 for none."""
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    entry = blocked.get(ip.ttl)
    if entry is not None and entry.reason:
        return xdp.DROP
    return xdp.PASS


@tc.program
def marked(ctx: tc.Context) -> tc.Action:
    """Changes the mark, by what it was."""
    if ctx.mark == 7:
        ctx.mark = 8
        return tc.SHOT
    return tc.OK


class Limits(Config):
    least: u32 = 3


limits = Limits()


@raw_tracepoint.program("sys_enter", btf=False)
def counting(ctx: raw_tracepoint.Context, first: u64) -> None:
    """No packet, but words."""
    if first >= limits.least:
        counts.increment(2)
