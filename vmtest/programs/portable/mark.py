"""Two tc programs: one marks by port, one rewrites the TTL."""
from __future__ import annotations

from bpfwright import Struct, shared, u64
from bpfwright.headers import TCP, IPv4
from bpfwright.hooks import tc


class Totals(Struct):
    marked: u64
    other: u64


totals = shared(Totals(0, 0))


@tc.program
def mark(ctx: tc.Context) -> tc.Action:
    tcp = ctx.find(TCP)
    if tcp is not None and 8000 <= tcp.dport < 9000:
        ctx.mark = 7
        totals.marked += 1
    else:
        totals.other += 1
    return tc.OK


@tc.program
def shorten(ctx: tc.Context) -> tc.Action:
    ip = ctx.find(IPv4)
    if ip is not None and ip.ttl > 8:
        ip.ttl = 8
    return tc.OK
