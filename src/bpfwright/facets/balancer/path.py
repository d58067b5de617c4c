"""The forwarding path: one stage at XDP, from the frame to the encapsulated packet, put together for a shape."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import Outer, Plain, Tag, pusher, raw16
from bpfwright.datapath.stage import CONTINUE, REPLY, Stage
from bpfwright.facets.balancer import work as w
from bpfwright.facets.balancer.answering import too_big_answer
from bpfwright.facets.balancer.choosing import by_own, chooser, vip_finder
from bpfwright.facets.balancer.mss import LEAST, clamped
from bpfwright.facets.balancer.nat import NAT, SNAT
from bpfwright.facets.balancer.nat_path import TRANSLATE, NatPath, connections_of, nat_path
from bpfwright.facets.balancer.naming import quic, stable_udp, tcp_option
from bpfwright.facets.balancer.reading import reader
from bpfwright.facets.balancer.tables import FLAGS, MOST_VIPS, REAL_IPV6, REAL_LOCAL, Shape, Tables
from bpfwright.helpers import judged_alone, subprogram
from bpfwright.hooks import xdp
from bpfwright.types import u32

__all__ = ["sender", "stage_of"]

_NO_SOURCE_PORT, _LOCAL = FLAGS["no-source-port"], FLAGS["local"]
_DISCARD = 1            # 100::, raw (RFC 6666)
_PRIVATE = 0x10AC       # 172.16, raw
_TCP = 6


def stage_of(shape: Shape, tables: Tables) -> Stage:
    """The balancer as a stage of an XDP program."""
    translating = {family: _translating(shape, tables, family) for family in shape.families}
    paths = {(family, tags): _path(shape, tables, family, tags, translating[family]) for family in shape.families
             for tags in ((0, 1) if shape.vlans else (0,))}
    run = _untagged(shape, paths)
    if shape.vlans:
        run = _tagged(shape, paths, run)
    return Stage("balancer", run, frozenset(), w.REASONS, alone=True)


def _by_kind(families: tuple[int, ...], paths: Any, tags: int) -> Any:
    """`run(ctx, kind)`: to the path of the family that the EtherType says."""
    four, six = (paths.get((family, tags), _not_ours) for family in (4, 6))

    def run(ctx: Any, kind: Any) -> Any:
        if kind == w.IPV4_RAW:
            return four(ctx)
        if kind == w.IPV6_RAW:
            return six(ctx)
        return CONTINUE

    return run


def _not_ours(ctx: Any) -> Any:
    return CONTINUE


def _untagged(shape: Shape, paths: Any) -> Any:
    run, short = _by_kind(shape.families, paths, 0), w.reason("short frame")

    def untagged(ctx: Any, packet: Any) -> Any:
        found = ctx.find(Plain)
        if found is None:
            return short
        return run(ctx, found.raw.kind)

    return untagged


def _tagged(shape: Shape, paths: Any, untagged: Any) -> Any:
    run = _by_kind(shape.families, paths, 1)

    def tagged(ctx: Any, packet: Any) -> Any:
        found = ctx.find(Tag)
        if found is not None and found.raw.tag & 0xFFFF == w.TAG_RAW:
            return run(ctx, found.raw.kind)
        return untagged(ctx, packet)

    return tagged


def _path(shape: Shape, tables: Tables, family: int, tags: int, nat: NatPath) -> Any:
    layouts = w.layouts(family, tags)
    read = reader(shape, tables, family, layouts, tags, elsewhere=_other if tags else nat.error_returned)
    translates, hides = bool(shape.flags & NAT) and not tags, bool(shape.flags & SNAT) and not tags
    leaves = bool(shape.flags & NAT) and bool(tags)
    note, returned, translate, rare = nat.note, nat.returned, nat.translate, nat.rare
    find_vip = vip_finder(shape, tables, family)
    choose = chooser(shape, tables, family)
    by_quic = quic(shape, tables, family, layouts, tags)
    of_own = by_own(shape, tables)
    by_stable = stable_udp(shape, tables, family, layouts, tags)
    by_option = tcp_option(shape, tables, family, layouts, tags)
    send = sender(shape, tables, family, tags)
    oversized = _oversized(shape, tables, family, tags)
    clamps, clamp = shape.mss != 0, _clamper(shape, layouts, family)
    totals = tables.totals
    vip_counts, real_counts, reals = tables.vip_counts, tables.real_counts, tables.reals
    largest, nobody = shape.largest + 4 * tags, w.reason("no backend")

    def judged(ctx: Any) -> Any:
        work = w.empty_work()
        read_as = read(ctx, work)
        if read_as != w.GO:
            return read_as
        ports = work.ports
        vip = find_vip(work)
        if vip == 0:
            return returned(ctx, work, ports) if hides else CONTINUE
        flags, number = vip & 0xFFFF, vip >> 16 & 0xFFFF
        if translates and flags & NAT != 0:
            return note(work, ports, number, flags)
        if leaves and flags & NAT != 0:  # no TCP or UDP
            return CONTINUE
        if ctx.length > largest:
            return oversized(ctx)
        if flags & _NO_SOURCE_PORT != 0:
            work.ports &= 0xFFFF_0000
        named = by_quic(ctx, work, flags)
        if named != w.GO:
            return named
        of_own(ctx, work, flags, number)
        by_stable(ctx, work, flags)
        work.sport = work.ports & 0xFFFF
        if work.real == 0:
            by_option(ctx, work, flags)
        if work.real == 0 and not choose(work, flags, number):
            return nobody
        real = reals.get(work.real)
        if real is None or real.flags == 0:
            totals.local(0).ring_drop += 1
            return nobody
        for_vip = vip_counts.local(number & MOST_VIPS - 1)
        for_vip.packets += 1
        for_vip.bytes += work.bytes
        for_real = real_counts.local(work.real)
        if for_real is not None:
            for_real.packets += 1
            for_real.bytes += work.bytes
        if flags & _LOCAL != 0 and real.flags & REAL_LOCAL != 0:
            totals.local(0).local += 1
            return CONTINUE
        if clamps and work.protocol == _TCP and work.marks & (w.SYN | w.ICMP) == w.SYN and clamp(ctx) != 0:
            totals.local(0).mss_lowered += 1
        return send(ctx, work, real)

    @judged_alone  # and its stack is its own: with all features one for both families would not do
    def path(ctx: xdp.Context) -> u32:
        verdict: u32 = judged(ctx)
        return verdict

    def either(ctx: Any) -> Any:
        verdict = path(ctx)
        if verdict & w.RARE != 0:
            seen_as = rare(ctx, 14)
            verdict = verdict & ~w.RARE if seen_as == w.GO else seen_as
        return translate(ctx) if verdict == TRANSLATE else verdict

    def behind_a_tag(ctx: Any) -> Any:
        verdict = rare(ctx, 18)
        if verdict == w.GO:
            return path(ctx)
        return translate(ctx) if verdict == TRANSLATE else verdict

    if not shape.flags & NAT:
        return path
    return behind_a_tag if tags else either


def _translating(shape: Shape, tables: Tables, family: int) -> NatPath:
    if not shape.flags & NAT:
        return NatPath(_not_noted, _not_ours, _not_returned, _other, _other)
    return nat_path(shape, tables, family, w.layouts(family, 0), connections_of(shape, tables))


def _not_noted(work: Any, ports: Any, number: Any, flags: Any) -> Any:
    return CONTINUE


def _not_returned(ctx: Any, work: Any, ports: Any) -> Any:
    return CONTINUE


def _other(ctx: Any, work: Any) -> Any:
    return CONTINUE


def _clamper(shape: Shape, layouts: Any, family: int) -> Any:
    """`clamp(ctx) -> 1 where a SYN said more than it may`: apart, since it is rare."""
    if shape.mss == 0:
        return _not_ours
    fits = shape.largest - 14 - (40 if family == 4 else 60)
    clamp = clamped(layouts, max(LEAST, fits) if shape.mss < 0 else shape.mss)

    @subprogram
    def lowered(ctx: xdp.Context) -> u32:
        return clamp(ctx)  # type: ignore[no-any-return]

    return lowered


def _oversized(shape: Shape, tables: Tables, family: int, tags: int) -> Any:
    answer, dropped, four = too_big_answer(shape, family, tags), w.reason("frame too big"), family == 4
    tell, totals = shape.too_big, tables.totals

    def oversized(ctx: Any) -> Any:
        if not tell:
            return dropped
        if four:
            totals.local(0).too_big_v4 += 1
        else:
            totals.local(0).too_big_v6 += 1
        return answer(ctx)

    return oversized


def sender(shape: Shape, tables: Tables, family: int, tags: int, *, stack: bool = False) -> Any:
    """`send(ctx, work, real) -> verdict`: encapsulate for a backend of either family, and out. `stack`: at tc."""
    kind = shape.encapsulation
    push4, push6 = (pusher(kind, outer, family, tags=tags, checksum=shape.checksum,
                           zero_is_all_ones=not shape.katran, stack=stack) for outer in (4, 6))
    outer4 = (_gue_outer4 if kind == "gue" else _ipip_outer4)(shape, tables, family)
    outer6 = (_gue_outer6 if kind == "gue" else _ipip_outer6)(shape, tables, family)
    failed, totals = w.reason("no room for headers"), tables.totals
    has4, has6 = 4 in shape.reals, 6 in shape.reals
    inner_header = 0 if family == 4 else 40

    def send(ctx: Any, work: Any, real: Any) -> Any:
        given = Outer(real.mac, work.mac, 0, 0, real.address_a, real.address_b, work.bytes + inner_header, work.tos,
                      0, 0, 0, work.inner_sum)
        if has6 and real.flags & REAL_IPV6 != 0:
            outer6(given, work)
            done = push6(ctx, given)
        elif has4:
            outer4(given, work)
            done = push4(ctx, given)
        else:
            done = False
        if not done:
            totals.local(0).push_failed += 1
            return failed
        return REPLY

    return send


def _last_word(family: int) -> Any:
    """The raw 32 bits of a source that vary most: IPv4's address, the end of IPv6's."""
    def four(work: Any) -> Any:
        return u32(work.source_a)

    def six(work: Any) -> Any:
        return work.source_b >> 32

    return four if family == 4 else six


def _swapped(port: Any) -> Any:
    return (port >> 8 & 0xFF) | (port & 0xFF) << 8


def _ipip_outer4(shape: Shape, tables: Tables, family: int) -> Any:
    last = _last_word(family)

    def outer(given: Any, work: Any) -> None:
        given.source_a = _PRIVATE | ((_swapped(work.sport) << 16 ^ last(work)) & 0xFFFF_0000)

    return outer


def _ipip_outer6(shape: Shape, tables: Tables, family: int) -> Any:
    last = _last_word(family)

    def outer(given: Any, work: Any) -> None:
        given.source_a = _DISCARD
        given.source_b = (last(work) ^ work.sport) << 32

    return outer


def _gue_outer4(shape: Shape, tables: Tables, family: int) -> Any:
    last, sources, port = _last_word(family), tables.gateway, raw16(shape.gue_port)

    def outer(given: Any, work: Any) -> None:
        source = sources.get(1)
        if source is not None:
            given.source_a = source.address_a
        given.sport = _swapped(work.sport) ^ last(work) >> 16
        given.dport = port

    return outer


def _gue_outer6(shape: Shape, tables: Tables, family: int) -> Any:
    last, sources, port = _last_word(family), tables.gateway, raw16(shape.gue_port)
    shift = 16 if family == 4 else 0

    def outer(given: Any, work: Any) -> None:
        source = sources.get(2)
        if source is not None:
            given.source_a = source.address_a
            given.source_b = source.address_b
        given.sport = work.sport ^ (last(work) >> shift & 0xFFFF)
        given.dport = port

    return outer
