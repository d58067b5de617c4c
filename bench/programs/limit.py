"""A token bucket for each source."""
from __future__ import annotations

from typing import Final

from bpfwright import SpinLock, Struct, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import now_ns
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

BURST: Final = 64
PER_SECOND: Final = 1000


class Bucket(Struct):
    tokens: u64
    at: u64
    lock: SpinLock = SpinLock()


buckets = Hash[IPv4.Address, Bucket](max_entries=65_536)


@xdp.program
def limit(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    now = now_ns()
    bucket = buckets.get(ip.source)
    if bucket is None:
        buckets.insert(ip.source, Bucket(BURST - 1, now))
        return xdp.PASS
    with bucket.lock:
        earned = (now - bucket.at) * PER_SECOND // 1_000_000_000
        tokens = min(bucket.tokens + earned, BURST)
        if earned > 0:
            bucket.at = now
        allowed = tokens > 0
        bucket.tokens = tokens - 1 if allowed else 0
    return xdp.PASS if allowed else xdp.DROP
