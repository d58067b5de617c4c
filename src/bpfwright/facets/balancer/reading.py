"""The first steps of the path: what an IPv4 or IPv6 packet says, checked; the flow that an ICMP error is about."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import swapped16
from bpfwright.datapath.stage import CONTINUE
from bpfwright.facets.balancer import work as w
from bpfwright.facets.balancer.answering import echo_answer
from bpfwright.facets.balancer.nat import NAT
from bpfwright.facets.balancer.nat_rare import EXTENSIONS
from bpfwright.facets.balancer.tables import Shape, Tables, Words
from bpfwright.types import u32

__all__ = ["describer", "ours", "reader"]

_TCP, _UDP, _ICMP, _ICMPV6, _FRAGMENT = 6, 17, 1, 58, 44
_SYN_RAW, _RST_RAW = 0x0200, 0x0400  # in the raw word of offset and flags
_UNREACHABLE, _ECHO, _UNREACHABLE6, _TOO_BIG6, _ECHO6 = 3, 8, 1, 2, 128
_NEEDED = 4 << 8 | _UNREACHABLE  # fragmentation needed: type and code as a raw word
_SMALL = 1280


def reader(shape: Shape, tables: Tables, family: int, layouts: Any, tags: int, *, elsewhere: Any) -> Any:
    """`read(ctx, work) -> GO or a verdict`: fill the work in. `elsewhere(ctx, work)`: ICMP for no VIP."""
    describe = describer(shape, family)
    is_ours = _any_address if shape.katran else ours(tables, family)
    icmp = _icmp(shape, tables, family, layouts, tags)
    Ip, short = layouts.ip, w.reason("short frame")
    icmp_number = _ICMP if family == 4 else _ICMPV6
    flow = _transport(layouts)
    refused = _refused4 if family == 4 else _refused6
    katran = shape.katran
    rare = bool(shape.flags & NAT) and not tags
    leads_on = _leads_on if family == 6 and rare else _ends_here

    def read(ctx: Any, work: Any) -> Any:
        found = ctx.find(Ip)
        if found is None:
            return short
        ip = found.raw
        work.mac = ip.first & 0xFFFF_FFFF_FFFF
        wrong = refused(ip)
        if wrong != w.GO:
            if katran:
                return wrong
            describe(ip, work)
            verdict = u32(wrong if is_ours(work) else CONTINUE)
            return verdict | w.RARE if rare else verdict
        if leads_on(ip):
            return CONTINUE | w.RARE
        describe(ip, work)
        if work.protocol == icmp_number:
            if not is_ours(work):
                return elsewhere(ctx, work)
            return icmp(ctx, work)
        return flow(ctx, work)

    return read


def describer(shape: Shape, family: int) -> Any:
    """`describe(ip, work)`: what the IP header says."""
    return _ipv4(shape) if family == 4 else _ipv6(shape)


def _refused4(ip: Any) -> Any:
    if ip.version & 15 != 5:
        return _OPTIONS
    if (ip.word >> 16) & 0xFF3F != 0:
        return _FRAGMENTS
    return w.GO


def _refused6(ip: Any) -> Any:
    return _FRAGMENTS if ip.protocol == _FRAGMENT else w.GO


def _leads_on(ip: Any) -> Any:
    return ip.protocol in EXTENSIONS


def _ends_here(ip: Any) -> Any:
    return False


_OPTIONS, _FRAGMENTS = w.reason("IP options"), w.reason("fragment")


def _any_address(work: Any) -> Any:
    return True


def ours(tables: Tables, family: int) -> Any:
    """`is(work) -> bool`: whether it goes to an address that VIPs have."""
    addresses4, addresses6 = tables.addresses4, tables.addresses6

    def four(work: Any) -> Any:
        return u32(work.destination_a) in addresses4

    def six(work: Any) -> Any:
        return Words(work.destination_a, work.destination_b) in addresses6

    return four if family == 4 else six


def _ipv4(shape: Shape) -> Any:
    sums = shape.encapsulation == "gue" and shape.checksum

    def describe(ip: Any, work: Any) -> None:
        work.source_a = ip.source
        work.destination_a = ip.destination
        work.protocol = ip.protocol
        work.tos = ip.tos
        work.bytes = swapped16(ip.length)
        if sums:
            # What the header adds over its pseudo-header: addresses are in both, the data's sum is the pseudo-header's
            # complement.
            total = 0xFFFF + ip.version + (ip.tos << 8) + ip.length + (ip.word & 0xFFFF) + (ip.word >> 16)
            total += ip.ttl + ip.check
            total += 0xFFFF - swapped16((work.bytes - 20) & 0xFFFF)
            work.inner_sum = total

    return describe


def _ipv6(shape: Shape) -> Any:
    sums = shape.encapsulation == "gue" and shape.checksum

    def describe(ip: Any, work: Any) -> None:
        work.source_a = ip.source_a
        work.source_b = ip.source_b
        work.destination_a = ip.destination_a
        work.destination_b = ip.destination_b
        work.protocol = ip.protocol
        work.tos = (ip.version & 15) << 4 | (ip.version >> 12 & 15)
        work.bytes = swapped16(ip.length)
        if sums:
            # Length and protocol are in both; the protocol's byte stands in another half of its word.
            total = 0xFFFF + ip.version + ip.protocol + (ip.hops << 8)
            work.inner_sum = total + 0xFFFF - (ip.protocol << 8)

    return describe


def _transport(layouts: Any) -> Any:
    Tcp, Udp, short = layouts.tcp, layouts.udp, w.reason("short TCP or UDP")
    transport = layouts.transport

    def flow(ctx: Any, work: Any) -> Any:
        if work.protocol == _TCP:
            found = ctx.find(Tcp)
            if found is None:
                return short
            tcp = found.raw
            work.ports = tcp.ports
            work.marks = (tcp.flags & _SYN_RAW) >> 8 | (tcp.flags & _RST_RAW) >> 8
            return w.GO
        if work.protocol == _UDP:
            datagram = ctx.find(Udp)
            if datagram is None:
                return short
            work.ports = datagram.raw.ports
            work.payload = transport + 8
            return w.GO
        return CONTINUE

    return flow


def _icmp(shape: Shape, tables: Tables, family: int, layouts: Any, tags: int) -> Any:
    Icmp, Quoted = layouts.icmp, layouts.quoted
    short, options, totals = w.reason("short ICMP"), w.reason("IP options"), tables.totals
    four = family == 4
    answer = echo_answer(shape, family, layouts)
    quoted_flow = _quoted_flow(shape, layouts)
    keep = _quoted4 if four else _quoted6
    count = _count_too_big4 if four else _count_too_big6
    echo = _ECHO if four else _ECHO6
    unreachable, too_big = (_UNREACHABLE, _UNREACHABLE) if four else (_UNREACHABLE6, _TOO_BIG6)
    no_pseudo = four and not shape.katran

    def icmp(ctx: Any, work: Any) -> Any:
        found = ctx.find(Icmp)
        if found is None:
            return short
        message = found.raw
        kind = message.about & 0xFF
        if kind == echo:
            totals.local(0).echo += 1
            return answer(ctx)
        if kind not in (unreachable, too_big):
            return CONTINUE
        count(totals, message)
        if no_pseudo:
            work.inner_sum = 0xFFFF  # ICMP's checksum has no pseudo-header: it and the IP header add nothing
        about = ctx.find(Quoted)
        if about is None:
            return short
        if four and about.raw.quoted_version & 15 != 5:
            return options
        keep(about.raw, work)
        work.marks = w.ICMP
        return quoted_flow(ctx, work)

    return icmp


def _count_too_big4(totals: Any, message: Any) -> None:
    if message.about == _NEEDED:
        totals.local(0).icmp_ptb_v4 += 1
        if swapped16(message.rest >> 16) < _SMALL:
            totals.local(0).icmp_ptb_v4_small += 1


def _count_too_big6(totals: Any, message: Any) -> None:
    if message.about & 0xFF == _TOO_BIG6:
        totals.local(0).icmp_ptb_v6 += 1
        if message.rest & 0xFFFF == 0 and swapped16(message.rest >> 16) < _SMALL:
            totals.local(0).icmp_ptb_v6_small += 1


def _quoted4(quoted: Any, work: Any) -> None:
    work.protocol = quoted.quoted_protocol
    work.source_a = quoted.quoted_destination
    work.destination_a = quoted.quoted_source


def _quoted6(quoted: Any, work: Any) -> None:
    work.protocol = quoted.quoted_protocol
    work.source_a = quoted.quoted_destination_a
    work.source_b = quoted.quoted_destination_b
    work.destination_a = quoted.quoted_source_a
    work.destination_b = quoted.quoted_source_b


def _quoted_flow(shape: Shape, layouts: Any) -> Any:
    """The quoted ports, turned around. Senders must quote 8 bytes only; Katran asks for TCP's whole header."""
    Tcp = layouts.quoted_tcp if shape.katran else layouts.quoted_udp
    Udp, short = layouts.quoted_udp, w.reason("short TCP or UDP")
    katran = shape.katran

    def flow(ctx: Any, work: Any) -> Any:
        if work.protocol == _TCP:
            found = ctx.find(Tcp)
            if found is None:
                return short
            tcp = found.raw
            work.ports = u32(tcp.ports >> 16 | tcp.ports << 16)
            if katran:
                work.marks |= (tcp.flags & _SYN_RAW) >> 8 | (tcp.flags & _RST_RAW) >> 8
            return w.GO
        if work.protocol == _UDP:
            datagram = ctx.find(Udp)
            if datagram is None:
                return short
            work.ports = u32(datagram.raw.ports >> 16 | datagram.raw.ports << 16)
            return w.GO
        return CONTINUE

    return flow
