"""Packets of translated connections at tc egress: sources, behind the stack's routing; and what ICMP errors quote.

Errors that the stack itself sends are among them: it quotes packets as it saw them.
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import Plain, Tag
from bpfwright.datapath.stage import CONTINUE, Stage, accept
from bpfwright.facets.balancer import nat_rare, work as w
from bpfwright.facets.balancer.nat import BACKEND_ENDED, REPLIED, SNAT, Connecting, Ends
from bpfwright.facets.balancer.tables import Shape, Tables
from bpfwright.facets.balancer.translating import Addresses, requoted, source_changed
from bpfwright.helpers import subprogram
from bpfwright.hooks import tc
from bpfwright.types import u32

__all__ = ["nat_egress"]

_TCP, _UDP, _ICMP, _ICMPV6, _FRAGMENT = 6, 17, 1, 58, 44


def nat_egress(shape: Shape, tables: Tables, connections: Connecting) -> Stage:
    """The stage for tc egress of an interface."""
    rare = {family: _rare(shape, tables, family, connections) for family in shape.families}
    families = {family: _family(shape, tables, family, connections) for family in shape.families}
    four, six = (families.get(family, _pass) for family in (4, 6))
    rare4, rare6 = (rare.get(family, _pass_at) for family in (4, 6))
    vlans = shape.vlans

    def run(ctx: Any, packet: Any) -> Any:
        found = ctx.find(Plain)
        if found is None:
            return CONTINUE
        kind = found.raw.kind
        verdict = u32(CONTINUE)
        if kind == w.IPV4_RAW:
            verdict = four(ctx)
            if verdict == w.RARE:
                verdict = rare4(ctx, 14)
        elif kind == w.IPV6_RAW:
            verdict = six(ctx)
            if verdict == w.RARE:
                verdict = rare6(ctx, 14)
        elif vlans and kind == w.TAG_RAW:
            verdict = tagged(ctx)
        return verdict

    def tagged(ctx: Any) -> Any:
        found = ctx.find(Tag)
        if found is None:
            return CONTINUE
        kind = found.raw.kind
        if kind == w.IPV4_RAW:
            return rare4(ctx, 18)
        if kind == w.IPV6_RAW:
            return rare6(ctx, 18)
        return CONTINUE

    return Stage("translating", run, frozenset(), ("translated",))


def _pass(ctx: Any) -> Any:
    return CONTINUE


def _pass_at(ctx: Any, at: Any) -> Any:
    return CONTINUE


def _rare(shape: Shape, tables: Tables, family: int, connections: Connecting) -> Any:
    """`rare(ctx, at) -> verdict`: where headers do not stand as most do."""
    inner, known, room, totals = tables.nat.inner, tables.nat.known, tables.nat.rare, tables.totals
    read, follow = nat_rare.reader(family), nat_rare.follower(tables.nat, family, leaving=True)
    put, noted, hides = nat_rare.source_changed(tables.nat, family), connections.noted, bool(shape.flags & SNAT)
    done = accept(0)

    @subprogram
    def changed(ctx: tc.Context) -> u32:
        return done if put(ctx) != 0 else CONTINUE

    def answer(ctx: Any, origin: Any, seen: Any) -> Any:
        entry = known.get(origin)
        if entry is None:
            return CONTINUE
        noted(entry, origin.protocol, seen.flags, BACKEND_ENDED, REPLIED)
        nat_rare.noted(seen, origin.destination_a, origin.destination_b, origin.ports >> 16 | origin.ports << 16)
        return w.RARE

    def request(ctx: Any, origin: Any, seen: Any) -> Any:
        entry = known.get(origin)
        if entry is None or entry.from_a == 0:
            return CONTINUE
        nat_rare.noted(seen, entry.from_a, entry.from_b, seen.ports)
        return w.RARE

    @subprogram
    def looked(ctx: tc.Context, at: u32) -> u32:
        seen = room.local(0)
        if not read(ctx, seen, at):
            return CONTINUE
        if seen.fragment == nat_rare.LATER:
            if follow(ctx) == 0:
                return CONTINUE
            totals.local(0).nat_fragments += 1
            return done
        if seen.protocol not in (_TCP, _UDP):
            return CONTINUE
        kind = u32(seen.protocol | family << 8)
        origin = inner.get(Ends(seen.destination_a, seen.destination_b, seen.source_a, seen.source_b,
                                u32(seen.ports >> 16 | seen.ports << 16), kind))
        if origin is not None:
            return answer(ctx, origin, seen)  # type: ignore[no-any-return]
        if hides:
            origin = inner.get(Ends(seen.source_a, seen.source_b, seen.destination_a, seen.destination_b, seen.ports,
                                    kind))
            if origin is not None:
                return request(ctx, origin, seen)  # type: ignore[no-any-return]
        return CONTINUE

    def rare(ctx: Any, at: Any) -> Any:
        verdict = looked(ctx, at)
        return changed(ctx) if verdict == w.RARE else verdict

    return rare


def _family(shape: Shape, tables: Tables, family: int, connections: Connecting) -> Any:
    layouts = w.layouts(family, 0)
    segment, datagram = (_transport(shape, tables, family, layouts, protocol, connections) for protocol in (_TCP, _UDP))
    error = _error(shape, tables, family, layouts)
    Ip, icmp, four = layouts.ip, _ICMP if family == 4 else _ICMPV6, family == 4

    def whole(ip: Any) -> Any:
        """The transport's header stands behind the shortest header of IPv4, and there is one."""
        return ip.version & 15 == 5 and (ip.word >> 16) & 0xFF3F == 0

    def straight(ip: Any) -> Any:
        """The transport's header stands behind that of IPv6, or this is none of ours."""
        return ip.protocol not in (0, 51, 60, _FRAGMENT)

    looked_into: Any = whole if four else straight

    @subprogram
    def leaving(ctx: tc.Context) -> u32:
        found = ctx.find(Ip)
        if found is None:
            return CONTINUE
        if not looked_into(found.raw):
            return w.RARE
        protocol = found.raw.protocol
        if protocol == _TCP:
            return segment(ctx)  # type: ignore[no-any-return]
        if protocol == _UDP:
            return datagram(ctx)  # type: ignore[no-any-return]
        if protocol == icmp:
            return error(ctx)  # type: ignore[no-any-return]
        return CONTINUE

    return leaving


def _key4(ip: Any) -> Any:
    return Ends(ip.source, 0, ip.destination, 0, ip.ports, ip.protocol | 4 << 8)


def _key6(ip: Any) -> Any:
    return Ends(ip.source_a, ip.source_b, ip.destination_a, ip.destination_b, ip.ports, ip.protocol | 6 << 8)


def _back4(ip: Any) -> Any:
    return Ends(ip.destination, 0, ip.source, 0, u32(ip.ports >> 16 | ip.ports << 16), ip.protocol | 4 << 8)


def _back6(ip: Any) -> Any:
    return Ends(ip.destination_a, ip.destination_b, ip.source_a, ip.source_b, u32(ip.ports >> 16 | ip.ports << 16),
                ip.protocol | 6 << 8)


def _transport(shape: Shape, tables: Tables, family: int, layouts: Any, protocol: int, connections: Connecting) -> Any:
    inner, known, _totals = tables.nat.inner, tables.nat.known, tables.totals
    Kind, segments = layouts.tcp if protocol == _TCP else layouts.udp, protocol == _TCP
    change = source_changed(layouts, family, protocol)
    noted, hides = connections.noted, bool(shape.flags & SNAT)
    key_of, back_of = (_key4, _back4) if family == 4 else (_key6, _back6)
    done = accept(0)

    def answer(ctx: Any, origin: Any, flags: Any) -> Any:
        entry = known.get(origin)
        if entry is None:
            return CONTINUE
        noted(entry, origin.protocol, flags, BACKEND_ENDED, REPLIED)
        ports = u32(origin.ports >> 16 | origin.ports << 16)
        return done if change(ctx, origin.destination_a, origin.destination_b, ports) != 0 else CONTINUE

    def request(ctx: Any, origin: Any, ports: Any) -> Any:
        entry = known.get(origin)
        if entry is None or entry.from_a == 0:
            return CONTINUE
        return done if change(ctx, entry.from_a, entry.from_b, ports) != 0 else CONTINUE

    def run(ctx: Any) -> Any:
        found = ctx.find(Kind)
        if found is None:
            return CONTINUE
        flags = u32(0)
        if segments:
            flags = u32(found.raw.flags)
        ports = found.raw.ports
        origin = inner.get(back_of(found.raw))
        if origin is not None:
            return answer(ctx, origin, flags)
        if hides:
            origin = inner.get(key_of(found.raw))
            if origin is not None:
                return request(ctx, origin, ports)
        return CONTINUE

    return run


def _quoted_key4(about: Any) -> Any:
    return Ends(about.quoted_source, 0, about.quoted_destination, 0, about.ports, about.quoted_protocol | 4 << 8)


def _quoted_key6(about: Any) -> Any:
    return Ends(about.quoted_source_a, about.quoted_source_b, about.quoted_destination_a, about.quoted_destination_b,
                about.ports, about.quoted_protocol | 6 << 8)


def _quoted_back4(about: Any) -> Any:
    return Ends(about.quoted_destination, 0, about.quoted_source, 0, u32(about.ports >> 16 | about.ports << 16),
                about.quoted_protocol | 4 << 8)


def _quoted_back6(about: Any) -> Any:
    return Ends(about.quoted_destination_a, about.quoted_destination_b, about.quoted_source_a, about.quoted_source_b,
                u32(about.ports >> 16 | about.ports << 16), about.quoted_protocol | 6 << 8)


def _error(shape: Shape, tables: Tables, family: int, layouts: Any) -> Any:
    inner, known, totals = tables.nat.inner, tables.nat.known, tables.totals
    Quoted, of, requote, hides = layouts.quoted_udp, Addresses(family), requoted(family), bool(shape.flags & SNAT)
    put_source, put_quoted = of.change_source, of.change_quoted_destination
    key_of, back_of = (_quoted_key4, _quoted_back4) if family == 4 else (_quoted_key6, _quoted_back6)
    from_backend = _from4 if family == 4 else _from6
    done, four = accept(0), family == 4

    def is_error(about: Any) -> Any:
        """Of a packet whose ports stand where they are looked for."""
        kind = about.about & 0xFF
        if four:
            return kind in (3, 11, 12) and about.quoted_version == 0x45
        return 1 <= kind <= 4

    def to_client(about: Any, origin: Any) -> Any:
        """What the client sent is quoted: as it was sent. An error of the backend's own comes from the VIP."""
        outer = u32(0)
        grown = u32(0)
        if from_backend(about):
            outer = put_source(about, origin.destination_a, origin.destination_b)
        grown = put_quoted(about, origin.destination_a, origin.destination_b)
        requote(about, origin.ports, grown, outer)
        totals.local(0).nat_errors += 1
        return done

    def to_backend(about: Any, origin: Any) -> Any:
        entry = known.get(origin)
        if entry is None or entry.from_a == 0:
            return CONTINUE
        grown = put_quoted(about, entry.from_a, entry.from_b)
        requote(about, about.ports, grown, 0)
        totals.local(0).nat_errors += 1
        return done

    def run(ctx: Any) -> Any:
        found = ctx.find(Quoted)
        if found is None or not is_error(found.raw):
            return CONTINUE
        origin = inner.get(key_of(found.raw))
        if origin is not None:
            return to_client(found.raw, origin)
        if hides:
            origin = inner.get(back_of(found.raw))
            if origin is not None:
                return to_backend(found.raw, origin)
        return CONTINUE

    return run


def _from4(about: Any) -> Any:
    return about.source == about.quoted_destination


def _from6(about: Any) -> Any:
    return about.source_a == about.quoted_destination_a and about.source_b == about.quoted_destination_b
