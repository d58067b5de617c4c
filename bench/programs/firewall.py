"""Drop what comes from a blocked network, and count it."""
from __future__ import annotations

from bpfwright import Struct, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import LpmTrie


class Blocked(Struct):
    packets: u64
    bytes: u64


blocked = LpmTrie[IPv4.Address, Blocked](max_entries=100_000)


@xdp.program
def firewall(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    entry = blocked.get(ip.source)
    if entry is None:
        return xdp.PASS
    entry.packets += 1
    entry.bytes += ctx.length
    return xdp.DROP
