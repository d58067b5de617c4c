"""A token bucket under a spin lock, with frozen and configured numbers and a fetching atomic."""
from __future__ import annotations

from typing import Final

from bpfwright import Config, SpinLock, Struct, shared, u64
from bpfwright.headers import IPv4
from bpfwright.helpers import now_ns
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

BURST: Final = 64


class Limits(Config):
    per_second: u64 = 1000


class Bucket(Struct):
    tokens: u64
    at: u64
    lock: SpinLock = SpinLock()


class Totals(Struct):
    passed: u64
    dropped: u64


limits = Limits()
totals = shared(Totals(0, 0))
buckets = Hash[IPv4.Address, Bucket](max_entries=65_536)


@xdp.program
def limit(ctx: xdp.Context) -> xdp.Action:
    ip = ctx.find(IPv4)
    if ip is None:
        return xdp.PASS
    bucket = buckets.get(ip.source)
    now = now_ns()
    if bucket is None:
        buckets[ip.source] = Bucket(BURST, now)
        return xdp.PASS
    with bucket.lock:
        earned = (now - bucket.at) * limits.per_second // 1_000_000_000
        bucket.tokens = min(bucket.tokens + earned, BURST)
        if earned > 0:
            bucket.at = now
        allowed = bucket.tokens > 0
        if allowed:
            bucket.tokens -= 1
    if not allowed:
        totals.dropped += 1
        return xdp.DROP
    totals.passed += 1
    return xdp.PASS
