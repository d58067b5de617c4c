"""The token buckets of rules (datapath/buckets.py), one each, or one for each of its sources.

A packet takes its cost in time from the bucket when what is then missing is no more than the burst.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.datapath.buckets import REFUSED, Bucket, advanced, time_for
from bpfwright.facets.firewall.model import Limit
from bpfwright.maps import Array, LruHash
from bpfwright.types import Struct, u64

__all__ = ["BYTES", "COOKIES", "DECIDES", "PER_SOURCE", "REDIRECTS", "SAMPLES", "SCALE", "YIELDS", "Source",
           "Tokens", "interval_of", "take"]

BYTES, PER_SOURCE, COOKIES, REDIRECTS, SAMPLES, YIELDS, DECIDES = 1, 2, 4, 8, 16, 32, 64
"""Flags of an action: its bucket counts bytes; there is one for each source address; SYNs are answered; packets go to
another interface; some are kept; what is beyond the limit is for the rules behind; what is within it is not."""
SCALE = 10
"""An interval is in 1/1024 ns."""


class Source(Struct):
    """A rule and a source address, as a key."""

    high: u64
    low: u64
    rule: u64


def interval_of(limit: Limit) -> tuple[int, int]:
    """What a packet or byte costs, in 1/1024 ns, and the burst in ns."""
    interval = max(1, round((1e9 * (1 << SCALE)) / limit.rate))
    return interval, round(limit.burst * interval) >> SCALE


class Tokens(NamedTuple):
    """The buckets of all rules, and `taken(ctx, packet, rule, action)`: whether there was enough."""

    rules: Any
    sources: Any
    taken: Callable[..., Any]

    @classmethod
    def of(cls, rules: int, sources: int) -> Tokens:
        """Buckets for so many rules, and for so many sources (0: no rule has buckets for sources)."""
        by_rule = Array[Bucket](max_entries=rules)
        by_source = LruHash[Source, Bucket](max_entries=max(sources, 1))
        return cls(by_rule, by_source, _taken(by_rule, by_source, sources > 0))


def _taken(by_rule: Any, by_source: Any, has_sources: bool) -> Any:
    def taken(ctx: Any, packet: Any, rule: Any, action: Any) -> Any:
        units = ctx.length if action.flags & BYTES else 1
        cost = u64(action.interval * units) >> SCALE
        if has_sources and action.flags & PER_SOURCE:
            key = Source(packet.source_high, packet.source_low, rule)
            own = by_source.get(key)
            if own is None:
                by_source[key] = Bucket(time_for(packet, action.burst_ns) + cost)
                return True
            return take(own, packet, cost, action.burst_ns)
        bucket = by_rule.get(rule)
        if bucket is None:
            return False
        return take(bucket, packet, cost, action.burst_ns)

    return taken


def take(bucket: Any, packet: Any, cost: Any, burst_ns: Any) -> Any:
    """Take a packet's cost in ns from a bucket; false where what is then missing is more than the burst."""
    return advanced(bucket, time_for(packet, burst_ns), cost, cost, burst_ns) != REFUSED
