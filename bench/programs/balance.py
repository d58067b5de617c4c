"""A load balancer's inside: one of 64 backends by a hash of the addresses; the frame goes to the backend's MAC."""
from __future__ import annotations

from bpfwright import Struct, subprogram, u16, u32, u64
from bpfwright.headers import Ethernet, IPv4, MacAddress
from bpfwright.hooks import xdp
from bpfwright.maps import Array


class Backend(Struct):
    mac: MacAddress
    weight: u16
    packets: u64


backends = Array[Backend](max_entries=64)


@subprogram
def mix(a: u32, b: u32) -> u32:
    value = u32(a * 0x9E37_79B1) ^ b
    value = u32((value ^ (value >> 15)) * 0x85EB_CA77)
    value = u32((value ^ (value >> 13)) * 0xC2B2_AE3D)
    return value ^ (value >> 16)


@xdp.program
def balance(ctx: xdp.Context) -> xdp.Action:
    frame = ctx.find(Ethernet)
    ip = ctx.find(IPv4)
    if frame is None or ip is None:
        return xdp.PASS
    backend = backends.get(mix(int(ip.source), int(ip.destination)) % 64)
    if backend is None:
        return xdp.ABORTED
    frame.source = frame.destination
    frame.destination = backend.mac
    backend.packets += 1
    return xdp.TX if backend.weight > 0 else xdp.DROP
