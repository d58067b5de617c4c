"""An XDP block list by source address."""
from __future__ import annotations

from bpfwright import Struct, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import LpmTrie

__all__ = ["firewall"]


class Blocked(Struct):
    packets: u64


blocked = LpmTrie[IPv4.Address, Blocked](max_entries=1000)


@xdp.program
def firewall(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    entry = blocked.get(ip.source)
    if entry is None:
        return xdp.PASS
    entry.packets += 1
    return xdp.DROP
