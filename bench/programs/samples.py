"""Tell user space of every IPv4 packet, by a ring buffer: when, from whom to whom, how long, which protocol."""
from __future__ import annotations

from bpfwright import Struct, u16, u32, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import now_ns
from bpfwright.hooks import tc
from bpfwright.maps import RingBuf


class Sample(Struct):
    at: u64
    source: IPv4.Address
    destination: IPv4.Address
    ifindex: u32
    length: u32
    protocol: u16
    ttl: u16


samples = RingBuf[Sample](size_bytes=1 << 26)


@tc.program
def sampling(ctx: tc.Context) -> tc.Action:
    ip = ctx.find(IPv4)
    if ip is not None:
        samples.emit(Sample(now_ns(), ip.source, ip.destination, ctx.ifindex, ctx.length, ip.protocol, ip.ttl))
    return tc.NEXT
