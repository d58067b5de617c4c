"""Drop IPv4 packets whose header checksum is wrong."""
from __future__ import annotations

from bpfwright import L, array, u16
from bpfwright.headers import Ethernet
from bpfwright.hooks import xdp
from bpfwright.spec.header import Header, Link


class Words(Header):
    """An IPv4 header without options, as the sum takes it."""

    follows = (Link(Ethernet, "protocol", (0x0800,)),)
    words: array[u16, L[10]]


@xdp.program
def checksum(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(Words)
    if ip is None:
        return xdp.PASS
    total = 0
    for i in range(10):
        total += ip.words[i]
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return xdp.PASS if total == 0xFFFF else xdp.DROP
