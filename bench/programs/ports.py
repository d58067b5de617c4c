"""Packets by destination port, of TCP and UDP over IPv4 and IPv6."""
from __future__ import annotations

from bpfwright import u16, u64
from bpfwright.headers import TCP, UDP
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

ports = Hash[u16, u64](max_entries=65_536)


@xdp.program
def ports_counter(ctx: xdp.Context) -> xdp.Action:
    match ctx.find(TCP, UDP):
        case TCP(dport=port) | UDP(dport=port):
            ports.increment(port)
    return xdp.PASS
