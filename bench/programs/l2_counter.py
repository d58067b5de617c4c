"""Packets and bytes by kind of Ethernet frame."""
from __future__ import annotations

from bpfwright import Struct, u64
from bpfwright.headers import Ethernet
from bpfwright.hooks import xdp
from bpfwright.maps import PerCpuArray


class Count(Struct):
    packets: u64
    bytes: u64


counts = PerCpuArray[Count](max_entries=4)


@xdp.program
def l2_counter(ctx: xdp.Context) -> xdp.Action:
    frame = ctx.find(Ethernet)
    if frame is None:
        return xdp.PASS
    match frame.protocol:
        case 0x0800:
            slot = 0
        case 0x86DD:
            slot = 1
        case 0x0806:
            slot = 2
        case _:
            slot = 3
    count = counts.local(slot)
    count.packets += 1
    count.bytes += ctx.length
    return xdp.PASS
