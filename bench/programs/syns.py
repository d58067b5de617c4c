"""New TCP connections by source address."""
from __future__ import annotations

from bpfwright import u64
from bpfwright.headers import TCP, IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import LruHash

sources = LruHash[IPv4.Address, u64](max_entries=65_536)


@xdp.program
def syns(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    tcp = ctx.find(TCP)
    if ip is not None and tcp is not None and tcp.syn and not tcp.ack:
        sources.increment(ip.source)
    return xdp.PASS
