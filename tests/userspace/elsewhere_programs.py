"""A program for systems that are not Linux; see elsewhere.py."""
from __future__ import annotations

from bpfwright import u32, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

seen = Hash[u32, u64](max_entries=16)


@xdp.program
def counted(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    seen.increment(ip.ttl)
    ip.ttl = 7
    return xdp.DROP
