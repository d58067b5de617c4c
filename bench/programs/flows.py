"""A flow table: packets, bytes and last sight of each TCP and UDP flow over IPv4."""
from __future__ import annotations

from bpfwright import Struct, u8, u16, u64
from bpfwright.headers import TCP, UDP, IPv4
from bpfwright.helpers import now_ns
from bpfwright.hooks import xdp
from bpfwright.maps import LruHash


class Flow(Struct):
    source: IPv4.Address
    destination: IPv4.Address
    sport: u16
    dport: u16
    protocol: u8
    unused: u8
    unused2: u16


class Traffic(Struct):
    packets: u64
    bytes: u64
    last: u64
    first: u64


flows = LruHash[Flow, Traffic](max_entries=65_536)


@xdp.program
def flow_table(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    match ctx.find(TCP, UDP):
        case TCP(sport=sport, dport=dport) | UDP(sport=sport, dport=dport):
            flow = Flow(ip.source, ip.destination, sport, dport, ip.protocol, 0, 0)
        case _:
            return xdp.PASS
    now = now_ns()
    known = flows.get(flow)
    if known is None:
        flows.insert(flow, Traffic(1, ip.total_length, now, now))
        return xdp.PASS
    known.packets += 1
    known.bytes += ip.total_length
    known.last = now
    return xdp.PASS
