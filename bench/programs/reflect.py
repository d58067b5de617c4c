"""Send UDP over IPv4 back where it came from: addresses and ports change places."""
from __future__ import annotations

from bpfwright.headers import Ethernet, IPv4
from bpfwright.hooks import xdp


@xdp.program
def reflect(ctx: xdp.Context) -> xdp.Action:
    frame = ctx.find(Ethernet)
    ip = ctx.find(IPv4)
    if frame is None or ip is None or ip.protocol != 17:
        return xdp.PASS
    frame.source, frame.destination = frame.destination, frame.source
    ip.source, ip.destination = ip.destination, ip.source
    return xdp.TX
