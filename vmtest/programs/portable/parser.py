"""An XDP parser with a prefix tree, a hash and a ring."""
from __future__ import annotations

from bpfwright import Struct, u16, u32, u64
from bpfwright.headers import TCP, UDP, IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash, LpmTrie, RingBuf


class Blocked(Struct):
    packets: u64


class Seen(Struct):
    address: IPv4.Address
    port: u16
    length: u32


blocked = LpmTrie[IPv4.Address, Blocked](max_entries=1000)
ports = Hash[u16, u64](max_entries=1024)
seen = RingBuf[Seen](size_bytes=1 << 16)


@xdp.program
def parse(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    entry = blocked.get(ip.source)
    if entry is not None:
        entry.packets += 1
        return xdp.DROP
    match ctx.find(TCP, UDP):
        case TCP(dport=port) | UDP(dport=port):
            ports.increment(port)
            seen.emit(Seen(ip.source, port, ctx.length))
    return xdp.PASS
