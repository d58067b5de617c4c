"""A walk over a map by a callback, and a subprogram that is called twice."""
from __future__ import annotations

from bpfwright import subprogram, u32, u64
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

counts = Hash[u32, u64](max_entries=128)


@subprogram
def mix(a: u64, b: u64) -> u64:
    return (a ^ (b << 7)) * 0x9E3779B1


@xdp.program
def walk(ctx: xdp.Context) -> xdp.Action:
    total: u64 = 0
    for key, value in counts.items():
        total += mix(key, value)
    counts[1] = mix(total, ctx.length)
    return xdp.PASS if total % 2 == 0 else xdp.DROP
