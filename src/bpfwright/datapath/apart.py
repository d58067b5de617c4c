"""Stages as functions of their own, which the verifier goes through once and which have stacks of their own.

Inlined, every way that parsing can go is one of its own through all stages behind it, and what all of them keep on the
stack adds up: stages that are fine alone would be refused together. So where a hook has several, what the parse found
goes into memory of each CPU, and a stage reads it there.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.datapath.parsed import Parsed, empty, parser_of
from bpfwright.datapath.stage import CONTINUE, Stage
from bpfwright.helpers import judged_alone
from bpfwright.hooks import tc, xdp
from bpfwright.maps import PerCpuArray
from bpfwright.types import u32

__all__ = ["apart", "judged_at", "keeper_of"]

Function = Callable[..., Any]


def apart(stages: list[Stage], hook: str) -> tuple[list[Stage], Function]:
    """Stages behind one parse, as functions of their own, like the parse itself; and `parsed(ctx)`, which puts what
    they need into memory and gives that: it is called once, before the first."""
    needs = frozenset().union(*(stage.needs for stage in stages))
    scratch = PerCpuArray[Parsed](max_entries=1)
    keep, parse = keeper_of(needs), parser_of(needs)

    def look(ctx: Any) -> int:
        packet = scratch.local(0)
        keep(packet, empty())
        parse(ctx, packet)
        return CONTINUE

    looked = judged_at(hook, look, "parse")

    def parsed(ctx: Any) -> Any:
        looked(ctx)
        return scratch.local(0)

    return [each if each.alone or each.foreign else _apart(each, hook, scratch) for each in stages], \
        parsed if needs else _nothing_of(scratch)


def _nothing_of(scratch: Any) -> Function:
    def parsed(ctx: Any) -> Any:
        packet = scratch.local(0)
        packet.now_ns = 0
        return packet

    return parsed


def _apart(stage: Stage, hook: str, scratch: Any) -> Stage:
    inner = stage.run

    def judge(ctx: Any) -> Any:
        return inner(ctx, scratch.local(0))

    judged = judged_at(hook, judge, stage.name)

    def run(ctx: Any, packet: Any) -> Any:
        return judged(ctx)

    return stage._replace(run=run)


def judged_at(hook: str, judge: Function, name: str) -> Function:
    """`judged(ctx)`: a function of the context alone, as one that is judged alone."""
    def at_xdp(ctx: xdp.Context) -> u32:
        verdict: u32 = judge(ctx)
        return verdict

    def at_tc(ctx: tc.Context) -> u32:
        verdict: u32 = judge(ctx)
        return verdict

    chosen = at_xdp if hook == "xdp" else at_tc
    chosen.__name__ = chosen.__qualname__ = "".join(letter if letter.isalnum() else "_" for letter in name) + "_stage"
    return judged_alone(chosen)


def keeper_of(needs: frozenset[str]) -> Function:
    """`keep(seen, packet)`: what a stage with these needs reads of a `Parsed`, into a record with the same names."""
    keep = _keep_clock
    for need in sorted(needs):
        keep = _and_keep(keep, _KEEP[need])
    return keep


def _and_keep(one: Function, other: Function) -> Function:
    def both(seen: Any, packet: Any) -> None:
        one(seen, packet)
        other(seen, packet)

    return both


def _keep_clock(seen: Any, packet: Any) -> None:
    seen.now_ns = packet.now_ns


def _keep_ethernet(seen: Any, packet: Any) -> None:
    seen.source_mac = packet.source_mac
    seen.destination_mac = packet.destination_mac


def _keep_vlan(seen: Any, packet: Any) -> None:
    seen.vlan = packet.vlan


def _keep_network(seen: Any, packet: Any) -> None:
    seen.source_high = packet.source_high
    seen.source_low = packet.source_low
    seen.destination_high = packet.destination_high
    seen.destination_low = packet.destination_low
    seen.length = packet.length
    seen.ethertype = packet.ethertype
    seen.network_offset = packet.network_offset
    seen.family = packet.family
    seen.protocol = packet.protocol
    seen.fragment = packet.fragment
    seen.malformed = packet.malformed
    seen.dscp = packet.dscp
    seen.ecn = packet.ecn
    seen.ttl = packet.ttl


def _keep_transport(seen: Any, packet: Any) -> None:
    _keep_network(seen, packet)
    seen.source_port = packet.source_port
    seen.destination_port = packet.destination_port
    seen.transport_offset = packet.transport_offset
    seen.tcp_flags = packet.tcp_flags
    seen.type = packet.type
    seen.code = packet.code


_KEEP = {"ethernet": _keep_ethernet, "vlan": _keep_vlan, "network": _keep_network, "transport": _keep_transport}
