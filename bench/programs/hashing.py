"""Arithmetic only: Jenkins' one-at-a-time hash of 64 rounds."""
from __future__ import annotations

from bpfwright import u32
from bpfwright.hooks import xdp


@xdp.program
def hashing(ctx: xdp.Context) -> xdp.Action:
    value = u32(ctx.ifindex)
    for i in range(64):
        value = u32(value + i)
        value = u32(value + (value << 10))
        value = u32(value ^ (value >> 6))
    value = u32(value + (value << 3))
    value = u32(value ^ (value >> 11))
    value = u32(value + (value << 15))
    return xdp.PASS if value % 3 == 0 else xdp.DROP
