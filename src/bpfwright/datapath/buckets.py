"""A token bucket as one number, the time at which it would be full again: the virtual scheduling of GCRA, ITU-T I.371
annex A. No locks: CPUs that come at once exchange the number by turns.

What has to be paid and what becomes of a packet for which there is not enough is for whoever has the bucket.
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.parsed import clock
from bpfwright.helpers import now_ns
from bpfwright.types import Atomic, Struct, u64

__all__ = ["REFUSED", "Bucket", "advanced", "time_for"]

REFUSED = (1 << 64) - 1
"""What `advanced` gives where there is no room."""
_MANY_TICKS_NS = 40_000_000  # four, where one is longest (100 Hz)
_TRIES = 3


class Bucket(Struct):
    """When it will be full again: bpf_ktime_get_ns."""

    full_ns: Atomic[u64]


def time_for(packet: Any, depth_ns: Any) -> Any:
    """When a packet came, by the clock of a bucket that holds so much: that of all stages, which is the last timer
    tick's, where the bucket holds many ticks. It is told the time by one clock always."""
    return clock(packet) if depth_ns >= _MANY_TICKS_NS else now_ns()


def advanced(bucket: Any, now: Any, cost: Any, counted: Any, most: Any) -> Any:
    """Move a bucket on by a cost in ns, if what it is ahead of now and what is `counted` of the cost come to `most`:
    how far it was ahead before, or REFUSED, and nothing is changed. Who loses to other CPUs three times is let pass, 0
    ahead and uncounted: an error is a packet of excess, never one too few."""
    for _ in range(_TRIES):
        known = bucket.full_ns.value
        begins = max(known, now)
        ahead = u64(begins - now)
        if ahead + counted > most:
            return REFUSED
        if bucket.full_ns.compare_exchange(known, begins + cost) == known:
            return ahead
    return 0
