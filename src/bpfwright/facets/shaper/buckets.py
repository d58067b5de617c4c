"""Rates by token buckets (datapath/buckets.py): for all, for each source, destination, flow or cgroup.

A packet that comes while the burst is not used up moves its bucket on by the time that its bytes take.
"""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.buckets import REFUSED, Bucket, advanced, time_for
from bpfwright.maps import Array, LruHash
from bpfwright.types import Struct, u16, u32, u64

__all__ = ["EXCESS", "FITS", "PER", "TIGHT", "Rate", "bucket_of", "buckets_of", "size_of", "time_of"]

FITS, TIGHT, EXCESS = range(3)
"""What a bucket says: there is room; there is, but more than half of it is used; there is none."""
PER = ("all", "source", "destination", "flow", "cgroup")
_SHIFT = 16  # of the time of a byte: 100 Gbit/s is 0.08 ns
_LONGEST_NS = 1 << 40


class Rate(NamedTuple):
    """Bits a second, and the bytes that may come at once."""

    bits: int
    burst: int

    @property
    def byte_time(self) -> int:
        """The time of a byte in ns, shifted by 16 bits."""
        return max(1, (8 * 10**9 << _SHIFT) // self.bits)

    @property
    def depth_ns(self) -> int:
        """The time that a burst takes."""
        return min(self.burst * 8 * 10**9 // self.bits, _LONGEST_NS)


class End(Struct):
    """Whose bucket: an address, or the number of a cgroup."""

    high: u64
    low: u64


class Ends(Struct):
    """Whose bucket: a flow, in one direction."""

    first_high: u64
    first_low: u64
    second_high: u64
    second_low: u64
    first_port: u16
    second_port: u16
    protocol: u32


def size_of(ctx: Any) -> Any:
    """Bytes of a packet with the headers of all segments that the card makes of it."""
    return max(ctx.length, ctx.wire_length)  # 0 in test runs that do not say


def time_of(ctx: Any, byte_time: Any) -> Any:
    """The time that it takes at a rate, in ns."""
    return size_of(ctx) * byte_time >> _SHIFT


def bucket_of(rate: Rate, per: str, entries: int) -> tuple[Any, Any]:
    """(the map, a function of the dialect `take(ctx, packet)` that gives FITS, TIGHT or EXCESS)."""
    depth = rate.depth_ns

    def time(packet: Any) -> Any:
        return time_for(packet, depth)

    def fill(ctx: Any, bucket: Any, now: Any, cost: Any) -> Any:
        ahead = advanced(bucket, now, cost, 0, depth)
        if ahead == REFUSED:
            return EXCESS
        return TIGHT if ahead > depth // 2 else FITS

    return buckets_of(rate, per, entries, time, fill, FITS)


def buckets_of(rate: Rate, per: str, entries: int, time: Any, fill: Any, first: int) -> tuple[Any, Any]:
    """(the map, a function of the dialect `take(ctx, packet)`): what `fill(ctx, bucket, now, cost)` says of a packet's
    bucket, with the cost in ns; `first` where it is the first of its own. `time(packet)` is now."""
    byte_time = rate.byte_time
    if per == "all":
        single = Array[Bucket](max_entries=1)

        def take(ctx: Any, packet: Any) -> Any:
            bucket = single.get(0)
            if bucket is None:
                return first
            return fill(ctx, bucket, time(packet), time_of(ctx, byte_time))

        return single, take
    make, who = _WHO[per]
    table = make(entries)

    def take_of(ctx: Any, packet: Any) -> Any:
        now = time(packet)
        cost = time_of(ctx, byte_time)
        key = who(ctx, packet)
        bucket = table.get(key)
        if bucket is None:
            table.insert(key, Bucket(now + cost))
            return first
        return fill(ctx, bucket, now, cost)

    return table, take_of


def _source(ctx: Any, packet: Any) -> End:
    return End(packet.source_high, packet.source_low)


def _destination(ctx: Any, packet: Any) -> End:
    return End(packet.destination_high, packet.destination_low)


def _flow(ctx: Any, packet: Any) -> Ends:
    return Ends(packet.source_high, packet.source_low, packet.destination_high, packet.destination_low,
                packet.source_port, packet.destination_port, packet.protocol)


def _cgroup(ctx: Any, packet: Any) -> End:
    return End(0, ctx.cgroup_id)


def _by_end(entries: int) -> Any:
    return LruHash[End, Bucket](max_entries=entries)


def _by_flow(entries: int) -> Any:
    return LruHash[Ends, Bucket](max_entries=entries)


_WHO = {"source": (_by_end, _source), "destination": (_by_end, _destination), "flow": (_by_flow, _flow),
        "cgroup": (_by_end, _cgroup)}
"""For each `per` but all: what makes a table of so many buckets, and the function of the dialect that makes a key."""
