"""Pacing: packets get the time at which they are to go out (EDT), and fq at the interface's root keeps to it.

Nothing waits in a program: each bucket is one number (datapath/buckets.py), and says when the next packet may go. What
would have to wait longer than the horizon is dropped.
"""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.buckets import REFUSED, advanced
from bpfwright.datapath.conditions import first_of
from bpfwright.datapath.stage import CONTINUE, Stage, drop
from bpfwright.facets.shaper.buckets import Rate, buckets_of, size_of
from bpfwright.facets.shaper.matching import Match
from bpfwright.helpers import now_ns
from bpfwright.maps import PerCpuArray
from bpfwright.types import Struct, u64

__all__ = ["Pace", "Paced", "counts_of", "pacing"]

AT_ONCE, LATER, MUCH_LATER, TOO_LATE = range(4)


class Pace(NamedTuple):
    """A rate that is kept by waiting, `horizon_ns` at the longest."""

    name: str
    match: Match
    rate: Rate
    per: str
    entries: int
    ecn: bool
    horizon_ns: int


class Paced(Struct):
    """What a pace has done so far."""

    packets: u64
    bytes: u64
    dropped: u64
    marked: u64
    waited: u64


def counts_of(paces: tuple[Pace, ...]) -> Any:
    """The map of their counters."""
    return PerCpuArray[Paced](max_entries=len(paces))


def pacing(paces: tuple[Pace, ...], counts: Any, kept: dict[str, Any]) -> Stage:
    """The stage; the first that matches decides. `kept` takes the buckets' maps by name."""
    choices = []
    for number, pace in enumerate(paces):
        kept[f"pace-{pace.name}"], take = _pacer(pace)
        choices.append((pace.match.test, _paced(pace, take, counts, number)))
    return Stage("pacing", first_of(choices), frozenset({"network", "transport"}), tuple(pace.name for pace in paces),
                 any(pace.ecn for pace in paces))


def _paced(pace: Pace, take: Any, counts: Any, number: int) -> Any:
    ecn = pace.ecn

    def run(ctx: Any, packet: Any) -> Any:
        said = take(ctx, packet)
        count = counts.local(number)
        if said == TOO_LATE:
            count.dropped += 1
            return drop(number)
        count.packets += 1
        count.bytes += size_of(ctx)
        if said != AT_ONCE:
            count.waited += 1
        if ecn and said == MUCH_LATER and ctx.mark_congestion():
            count.marked += 1
        return CONTINUE

    return run


def _pacer(pace: Pace) -> tuple[Any, Any]:
    """(the map, a function of the dialect `take(ctx, packet)`)."""
    depth, horizon = pace.rate.depth_ns, pace.horizon_ns

    def place(ctx: Any, bucket: Any, now: Any, cost: Any) -> Any:
        ahead = advanced(bucket, now, cost, 0, depth + horizon)
        if ahead == REFUSED:
            return TOO_LATE
        if ahead <= depth:
            return AT_ONCE
        at = u64(now + ahead - depth)
        if at > ctx.tstamp:  # TCP paces by itself, too
            ctx.tstamp = at
        return MUCH_LATER if ahead - depth > horizon // 2 else LATER

    return buckets_of(pace.rate, pace.per, pace.entries, _now, place, AT_ONCE)


def _now(packet: Any) -> Any:
    return now_ns()
