"""Maps in a map, and a redirect."""
from __future__ import annotations

from bpfwright import Struct, u16, u32
from bpfwright.headers import TCP, IPv4
from bpfwright.hooks import xdp
from bpfwright.maps import Array, DevMap, HashOfMaps


class Backend(Struct):
    address: IPv4.Address
    port: u16


services = HashOfMaps[u32, Array[Backend]](max_entries=64, inner=Array[Backend](max_entries=256))
out = DevMap(max_entries=8)


@xdp.program
def balance(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    tcp = ctx.find(TCP)
    if ip is None or tcp is None:
        return xdp.PASS
    backends = services.get(tcp.dport)
    if backends is None:
        return xdp.PASS
    if backend := backends.get(tcp.sport % 256):
        ip.destination = backend.address
        tcp.dport = backend.port
        return xdp.redirect(out, 1)
    return xdp.DROP
