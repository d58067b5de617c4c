"""Packets of translated connections at XDP: destinations, before the stack routes."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.stage import CONTINUE, accept
from bpfwright.facets.balancer import nat_rare, work as w
from bpfwright.facets.balancer.choosing import chooser, vip_finder
from bpfwright.facets.balancer.nat import (BACKEND_ENDED, BEGUN, CLIENT_ENDED, FULL, NAT, NO_PORT, RESET, RST_RAW, SNAT,
                                            SYN_RAW, Connecting, Ends, connecting)
from bpfwright.facets.balancer.reading import ours
from bpfwright.facets.balancer.tables import FLAGS, Shape, Tables
from bpfwright.facets.balancer.translating import Addresses, destination_changed, requoted
from bpfwright.helpers import judged_alone, subprogram
from bpfwright.hooks import xdp
from bpfwright.types import u32, u64

__all__ = ["TRANSLATE", "NatPath", "connections_of", "nat_path"]

TRANSLATE = 1 << 17
"""A verdict of the path: what was noted is to be translated."""
_NO_CONNECTIONS = FLAGS["no-connections"]

_TCP, _UDP = 6, 17
_CLOSED = BACKEND_ENDED | RESET


class NatPath(NamedTuple):
    """Functions of the dialect for a family."""

    note: Any
    """`note(work, ports, number, flags) -> TRANSLATE`: what is to be translated."""
    translate: Any
    """`translate(ctx) -> verdict`: what was noted, to the backend that it goes to, or that is chosen now."""
    returned: Any
    """`returned(ctx, work, ports) -> verdict`: what comes to an address that sources are translated to."""
    error_returned: Any
    """`error_returned(ctx, work) -> verdict`: an ICMP error that does."""
    rare: Any
    """`rare(ctx, at) -> TRANSLATE, a verdict, or GO: it is none of ours`: one whose IP header is at `at`, and its other
    headers somewhere behind."""


def connections_of(shape: Shape, tables: Tables) -> Connecting:
    """What is done with connections of these tables."""
    assert tables.nat is not None
    return connecting(tables.nat, tables.totals, shape.nat_timeouts, *shape.nat_ports)


def nat_path(shape: Shape, tables: Tables, family: int, layouts: Any, connections: Connecting) -> NatPath:
    """The functions; of what the shape does not have, ones that do nothing."""
    assert tables.nat is not None
    table, seen, port_of = tables.nat.known, tables.nat.seen, tables.nat.ports
    reals, totals, down, sources = tables.reals, tables.totals, tables.down, tables.gateway
    vip_counts, real_counts = tables.vip_counts, tables.real_counts
    translated = accept(w.REASONS.index("translated"))
    unknown, full, no_port, short, nobody = (w.reason(word) for word in (
        "no connection", "no room for connections", "no free port", "short TCP or UDP", "no backend"))
    scratch, choose = tables.nat.asked, chooser(shape, tables, family)
    begin, forget, noted = connections
    moves, four = shape.move, family == 4
    put = destination_changed(layouts, family)
    Tcp, Quoted, of, requote = layouts.tcp, layouts.quoted_udp, Addresses(family), requoted(family)
    put_destination, put_quoted = of.change_destination, of.change_quoted_source

    put_rare = nat_rare.destination_changed(tables.nat, family)
    seen_rare = tables.nat.rare

    @subprogram
    def changed(ctx: xdp.Context, a: u64, b: u64, ports: u32, protocol: u32) -> u32:
        return put(ctx, a, b, ports, protocol)  # type: ignore[no-any-return]

    def moved(ctx: Any, a: Any, b: Any, ports: Any, protocol: Any) -> Any:
        """Its destination changed; of a rare one that is noted only, since stacks are short."""
        if scratch.local(0).rare != 0:
            nat_rare.noted(seen_rare.local(0), a, b, ports)
            return w.RARE
        return translated if changed(ctx, a, b, ports, protocol) != 0 else short

    def tcp_flags(ctx: Any, protocol: Any) -> Any:
        flags = u32(0)
        if scratch.local(0).rare != 0:
            return seen_rare.local(0).flags
        if protocol & 0xFF == _TCP:
            found = ctx.find(Tcp)
            if found is not None:
                flags = u32(found.raw.flags)
        return flags

    def alive(entry: Any, number: Any) -> Any:
        """Whether the backend is the one that it was, and its connections go on."""
        real = reals.get(entry.real)
        if real is None or real.flags == 0 or real.address_a != entry.to_a or real.address_b != entry.to_b:
            return False
        return not (moves and u32(number << 16 | entry.real) in down)

    def error(ctx: Any, a: Any, b: Any, ports: Any) -> Any:
        """A client's side could not take an answer: the backend is told so, of the packet that it sent."""
        found = ctx.find(Quoted)
        if found is None:
            return short
        about = found.raw
        outer = put_destination(about, a, b)
        requote(about, u32(ports >> 16 | ports << 16), put_quoted(about, a, b), outer)
        totals.local(0).nat_errors += 1
        return translated

    @subprogram
    def known(ctx: xdp.Context) -> u32:
        asked = scratch.local(0)
        key, number, marks = asked.key, asked.number, asked.marks
        entry = table.get(key)
        if entry is not None and not alive(entry, number):
            forget(key, entry)
            entry = None
        if entry is not None and marks & (w.SYN | w.ICMP) == w.SYN and entry.state & _CLOSED != 0:
            forget(key, entry)
            entry = None
        if entry is None:
            if marks & w.ICMP != 0 or (key.protocol & 0xFF == _TCP and marks & w.SYN == 0):
                totals.local(0).nat_unknown += 1
                return unknown
            return w.GO
        if marks & w.ICMP != 0:
            told: u32 = error(ctx, entry.to_a, entry.to_b, entry.ports)
            return told
        noted(entry, key.protocol, tcp_flags(ctx, key.protocol), CLIENT_ENDED, 0)
        for_vip = vip_counts.local(number)
        if for_vip is not None:
            for_vip.packets += 1
            for_vip.bytes += asked.octets
        for_real = real_counts.local(entry.real)
        if for_real is not None:
            for_real.packets += 1
            for_real.bytes += asked.octets
        return moved(ctx, entry.to_a, entry.to_b, entry.ports, key.protocol)  # type: ignore[no-any-return]

    @subprogram
    def chosen() -> u32:
        asked = scratch.local(0)
        key = asked.key
        work = w.empty_work()
        work.source_a, work.source_b = key.source_a, key.source_b
        work.destination_a, work.destination_b = key.destination_a, key.destination_b
        work.ports = asked.ports
        work.protocol = key.protocol & 0xFF
        work.marks = asked.marks
        real: u32 = work.real if choose(work, asked.flags | _NO_CONNECTIONS, asked.number) else 0
        return real

    @subprogram
    def begun(ctx: xdp.Context) -> u32:
        asked = scratch.local(0)
        key, number, real = asked.key, asked.number, asked.real
        backend = reals.get(real)
        if backend is None or backend.flags == 0:
            totals.local(0).ring_drop += 1
            return nobody
        for_vip = vip_counts.local(number)
        if for_vip is not None:
            for_vip.packets += 1
            for_vip.bytes += asked.octets
        for_real = real_counts.local(real)
        if for_real is not None:
            for_real.packets += 1
            for_real.bytes += asked.octets
        port = key.ports >> 16
        other = port_of.get(number << 16 | real)
        if other is not None:
            port = other
        from_a, from_b = u64(0), u64(0)
        if asked.flags & SNAT != 0:
            source = sources.get(1 if four else 2)
            if source is not None:
                from_a, from_b = source.address_a, source.address_b
        how = begin(asked, backend.address_a, backend.address_b, from_a, from_b, port)
        if how == FULL:
            totals.local(0).nat_full += 1
            return full
        if how == NO_PORT:
            totals.local(0).nat_no_port += 1
            return no_port
        entry = table.get(key)
        if entry is None or (how != BEGUN and entry.real != real):
            return unknown
        return moved(ctx, entry.to_a, entry.to_b, entry.ports, key.protocol)  # type: ignore[no-any-return]

    def note(work: Any, ports: Any, number: Any, flags: Any) -> Any:
        asked = scratch.local(0)
        key = asked.key
        key.source_a, key.source_b = work.source_a, work.source_b
        key.destination_a, key.destination_b = work.destination_a, work.destination_b
        key.ports = u32(ports)
        key.protocol = u32(work.protocol | family << 8)
        asked.number = u32(number)
        asked.flags = u32(flags)
        asked.octets = work.bytes
        asked.ports = work.ports
        asked.marks = work.marks
        asked.rare = u32(0)
        return TRANSLATE

    def translate(ctx: Any) -> Any:
        how = known(ctx)
        if how == w.GO:
            real = chosen()
            if real == 0:
                return nobody
            scratch.local(0).real = real
            how = begun(ctx)
        if how == w.RARE:
            return translated if put_rare(ctx) != 0 else short
        return how

    def returned(ctx: Any, work: Any, ports: Any) -> Any:
        origin = seen.get(Ends(work.destination_a, work.destination_b, work.source_a, work.source_b,
                               u32(ports >> 16 | ports << 16), work.protocol | family << 8))
        if origin is None:
            return CONTINUE
        return translated if changed(ctx, origin.source_a, origin.source_b, u32(ports),
                                     origin.protocol) != 0 else short

    @subprogram
    def quoting(ctx: xdp.Context) -> u32:
        found = ctx.find(Quoted)
        if found is None:
            return CONTINUE
        about = found.raw
        origin = seen.get(_quoted_key(about))
        if origin is None:
            return CONTINUE
        outer = put_destination(about, origin.source_a, origin.source_b)
        requote(about, about.ports, put_quoted(about, origin.source_a, origin.source_b), outer)
        totals.local(0).nat_errors += 1
        return translated

    def error_returned(ctx: Any, work: Any) -> Any:
        return quoting(ctx)

    def _quoted_key4(about: Any) -> Any:
        return Ends(about.quoted_source, 0, about.quoted_destination, 0, about.ports, about.quoted_protocol | 4 << 8)

    def _quoted_key6(about: Any) -> Any:
        return Ends(about.quoted_source_a, about.quoted_source_b, about.quoted_destination_a,
                    about.quoted_destination_b, about.ports, about.quoted_protocol | 6 << 8)

    _quoted_key: Any = _quoted_key4 if four else _quoted_key6
    rare = _rare(shape, tables, family, note, put_rare, translated)
    if not shape.flags & SNAT:
        return NatPath(note, translate, _not_returned, _error_not_ours, rare)
    return NatPath(note, translate, returned, error_returned, rare)


def _rare(shape: Shape, tables: Tables, family: int, note: Any, put: Any, translated: int) -> Any:
    assert tables.nat is not None
    room, asked, returns, totals = tables.nat.rare, tables.nat.asked, tables.nat.seen, tables.totals
    read, follow = nat_rare.reader(family), nat_rare.follower(tables.nat, family, leaving=False)
    find_vip, is_ours = vip_finder(shape, tables, family), ours(tables, family)
    hides = bool(shape.flags & SNAT)

    def answer(ctx: Any, seen: Any) -> Any:
        origin = returns.get(Ends(seen.destination_a, seen.destination_b, seen.source_a, seen.source_b,
                                  u32(seen.ports >> 16 | seen.ports << 16), u32(seen.protocol | family << 8)))
        if origin is None:
            return w.GO
        nat_rare.noted(seen, origin.source_a, origin.source_b, seen.ports)
        return w.RARE

    def later(ctx: Any, seen: Any) -> Any:
        if follow(ctx) != 0:
            totals.local(0).nat_fragments += 1
            return translated
        if is_ours(seen):
            totals.local(0).nat_early += 1
        return w.GO

    @judged_alone
    def looked(ctx: xdp.Context, at: u32) -> u32:
        seen = room.local(0)
        if not read(ctx, seen, at):
            return w.GO
        if seen.fragment == nat_rare.LATER:
            return later(ctx, seen)  # type: ignore[no-any-return]
        if seen.protocol not in (_TCP, _UDP):
            return w.GO
        work = w.empty_work()
        work.source_a, work.source_b = seen.source_a, seen.source_b
        work.destination_a, work.destination_b = seen.destination_a, seen.destination_b
        work.ports = seen.ports
        work.protocol = seen.protocol
        work.bytes = seen.octets
        work.marks = (seen.flags & SYN_RAW) >> 8 | (seen.flags & RST_RAW) >> 8
        vip = find_vip(work)
        if vip == 0:
            if hides:
                return answer(ctx, seen)  # type: ignore[no-any-return]
            return w.GO
        if vip & NAT == 0:
            return w.GO
        note(work, seen.ports, vip >> 16 & 0xFFFF, vip & 0xFFFF)
        asked.local(0).rare = u32(1)
        return TRANSLATE

    def rare(ctx: Any, at: Any) -> Any:
        verdict = looked(ctx, at)
        if verdict == w.RARE:
            return translated if put(ctx) != 0 else w.GO
        return verdict

    return rare


def _not_returned(ctx: Any, work: Any, ports: Any) -> Any:
    return CONTINUE


def _error_not_ours(ctx: Any, work: Any) -> Any:
    return CONTINUE
