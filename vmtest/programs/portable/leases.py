"""A timer in a map's value, a subprogram with a loop."""
from __future__ import annotations

from bpfwright import Struct, subprogram, u32, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import tc
from bpfwright.maps import Hash, Timer


class Lease(Struct):
    hits: u64
    timer: Timer[u32, Lease] = Timer()


leases = Hash[u32, Lease](max_entries=1024)


def expire(key: u32, lease: Lease) -> None:
    leases.pop(key, None)


@subprogram
def weigh(hits: u64, rounds: u32) -> u64:
    total = hits
    for i in range(16):
        if i >= rounds:
            break
        total = total * 31 + i
    return total


@tc.program
def lease(ctx: tc.Context) -> tc.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return tc.OK
    found = leases.get(ip.protocol)
    if found is None:
        leases.insert(ip.protocol, Lease(0))
        return tc.OK
    found.hits += weigh(found.hits, ip.ttl)
    found.timer.start(leases, expire, after_ns=5_000_000_000)
    return tc.OK
