"""Probes take the path of their VIP's packets: at tc egress, marked ones are sent in a tunnel to one backend.

A probe is a connection of this host to the VIP. Its socket's mark names the VIP and the backend; here its packets get
the headers that the balancer would give a client's, so that the backend's tunnel and its VIP are tested too. The answer
comes back directly. Nobody has a VIP's address on the wire, so that this host's questions for it are answered here.
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.stage import CONTINUE, SENT, REPLY, Stage, accept, drop
from bpfwright.facets.balancer import work as w
from bpfwright.facets.balancer.announcing import ARP_RAW, Bare, answers
from bpfwright.facets.balancer.path import sender
from bpfwright.facets.balancer.reading import describer
from bpfwright.facets.balancer.tables import Shape, Tables
from bpfwright.hooks import tc
from bpfwright.types import u32

__all__ = ["MARK_BITS", "mark_of", "probing_stage"]

MARK_BITS = 21
"""Of a mark: 9 bits for the VIP's number above 12 for the backend's."""
_NUMBERS = (1 << MARK_BITS) - 1
_REASONS = ("probe sent", "probe has no room for headers")


def mark_of(base: int, vip: int, real: int) -> int:
    """The mark of probes of a VIP to a backend, by their numbers."""
    return base | vip << 12 | real


def probing_stage(shape: Shape, tables: Tables, base: int) -> Stage:
    """The stage for tc egress of an interface; `base` is what marks begin with."""
    tunnels = {family: _tunnel(shape, tables, family) for family in shape.families}
    four, six = (tunnels.get(family, _pass) for family in (4, 6))
    arp, solicited = answers(tables, _asker4, _asker6)
    standing, reals = tables.standing, tables.reals

    def probe(ctx: Any, kind: Any) -> Any:
        mark = ctx.mark
        if u32((mark & _NUMBERS) >> 12 << 16 | mark & 0xFFF) not in standing:
            return CONTINUE
        real = reals.get(mark & 0xFFF)
        if real is None or real.flags == 0:
            return CONTINUE
        if kind == w.IPV4_RAW:
            return four(ctx, real)
        if kind == w.IPV6_RAW:
            return six(ctx, real)
        return CONTINUE

    def run(ctx: Any, packet: Any) -> Any:
        found = ctx.find(Bare)
        if found is None:
            return CONTINUE
        kind = found.raw.kind
        if ctx.mark & ~_NUMBERS == base:
            return probe(ctx, kind)
        answered = False
        if kind == ARP_RAW:
            answered = arp(ctx)
        elif kind == w.IPV6_RAW:
            answered = solicited(ctx)
        if answered:
            tc.redirect(ctx.ifindex, incoming=True)
            return SENT
        return CONTINUE

    return Stage("probing", run, frozenset(), _REASONS)


def _pass(ctx: Any, real: Any) -> Any:
    return CONTINUE


def _asker4(asked: Any) -> Any:
    return asked.sender_mac_a | asked.sender_mac_b << 32


def _asker6(asked: Any) -> Any:
    return asked.link_a | asked.link_b << 16


def _tunnel(shape: Shape, tables: Tables, family: int) -> Any:
    layouts = w.layouts(family, 0)
    describe = describer(shape, family)
    send = sender(shape, tables, family, 0, stack=True)
    Tcp, totals = layouts.tcp, tables.totals
    sent, failed = accept(0), drop(1)

    def tunnel(ctx: Any, real: Any) -> Any:
        found = ctx.find(Tcp)
        if found is None:
            return CONTINUE
        segment = found.raw
        work = w.empty_work()
        work.mac = segment.first >> 48 | segment.second << 16
        describe(segment, work)
        work.ports = segment.ports
        work.sport = segment.ports & 0xFFFF
        totals.local(0).probes += 1
        return sent if send(ctx, work, real) == REPLY else failed

    return tunnel
