"""Addresses and ports of a packet exchanged for others, with all the sums that they are in: at XDP and at tc."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import folded, halves
from bpfwright.types import u16, u32

__all__ = ["Addresses", "destination_changed", "requoted", "source_changed"]

_U32, _U64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
_TCP, _UDP = 6, 17


class Addresses:
    """How a family's addresses stand in a header, and what changing one adds to a sum. `change(ip, a, b)` writes."""

    def __init__(self, family: int) -> None:
        four = family == 4
        self.four = four
        self.change_source: Any = _source4 if four else _source6
        self.change_destination: Any = _destination4 if four else _destination6
        self.change_quoted_source: Any = _quoted_source4 if four else _quoted_source6
        self.change_quoted_destination: Any = _quoted_destination4 if four else _quoted_destination6
        self.source_sum: Any = _source_sum4 if four else _source_sum6
        self.destination_sum: Any = _destination_sum4 if four else _destination_sum6


def _source_sum4(ip: Any, a: Any, b: Any) -> Any:
    return (ip.source ^ _U32) + u32(a)


def _source_sum6(ip: Any, a: Any, b: Any) -> Any:
    return halves(ip.source_a ^ _U64) + halves(ip.source_b ^ _U64) + halves(a) + halves(b)


def _destination_sum4(ip: Any, a: Any, b: Any) -> Any:
    return (ip.destination ^ _U32) + u32(a)


def _destination_sum6(ip: Any, a: Any, b: Any) -> Any:
    return halves(ip.destination_a ^ _U64) + halves(ip.destination_b ^ _U64) + halves(a) + halves(b)


def _source4(ip: Any, a: Any, b: Any) -> Any:
    grown = _source_sum4(ip, a, b)
    ip.source = u32(a)
    ip.check = u16(~folded((ip.check ^ 0xFFFF) + grown))
    return grown


def _source6(ip: Any, a: Any, b: Any) -> Any:
    grown = _source_sum6(ip, a, b)
    ip.source_a = a
    ip.source_b = b
    return grown


def _destination4(ip: Any, a: Any, b: Any) -> Any:
    grown = _destination_sum4(ip, a, b)
    ip.destination = u32(a)
    ip.check = u16(~folded((ip.check ^ 0xFFFF) + grown))
    return grown


def _destination6(ip: Any, a: Any, b: Any) -> Any:
    grown = _destination_sum6(ip, a, b)
    ip.destination_a = a
    ip.destination_b = b
    return grown


def _quoted_source4(ip: Any, a: Any, b: Any) -> Any:
    """A quoted header's own sum follows, so that what quotes it sums up to what it did."""
    grown = (ip.quoted_source ^ _U32) + u32(a)
    ip.quoted_source = u32(a)
    ip.quoted_check = u16(~folded((ip.quoted_check ^ 0xFFFF) + grown))
    return grown


def _quoted_source6(ip: Any, a: Any, b: Any) -> Any:
    grown = halves(ip.quoted_source_a ^ _U64) + halves(ip.quoted_source_b ^ _U64) + halves(a) + halves(b)
    ip.quoted_source_a = a
    ip.quoted_source_b = b
    return grown


def _quoted_destination4(ip: Any, a: Any, b: Any) -> Any:
    grown = (ip.quoted_destination ^ _U32) + u32(a)
    ip.quoted_destination = u32(a)
    ip.quoted_check = u16(~folded((ip.quoted_check ^ 0xFFFF) + grown))
    return grown


def _quoted_destination6(ip: Any, a: Any, b: Any) -> Any:
    grown = halves(ip.quoted_destination_a ^ _U64) + halves(ip.quoted_destination_b ^ _U64) + halves(a) + halves(b)
    ip.quoted_destination_a = a
    ip.quoted_destination_b = b
    return grown


def destination_changed(layouts: Any, family: int) -> Any:
    """`change(ctx, a, b, ports, protocol) -> 1, or 0: there is no such header` at XDP: another destination, and both
    ports."""
    Tcp, Udp, put = layouts.tcp, layouts.udp, Addresses(family).change_destination

    def change(ctx: Any, a: Any, b: Any, ports: Any, protocol: Any) -> Any:
        if protocol & 0xFF == _TCP:
            found = ctx.find(Tcp)
            if found is None:
                return 0
            tcp = found.raw
            grown = put(tcp, a, b) + (tcp.ports ^ _U32) + ports
            tcp.ports = ports
            tcp.sum = u16(~folded((tcp.sum ^ 0xFFFF) + grown))
            return 1
        datagram = ctx.find(Udp)
        if datagram is None:
            return 0
        udp = datagram.raw
        grown = put(udp, a, b) + (udp.ports ^ _U32) + ports
        udp.ports = ports
        if udp.sum != 0:
            made = ~folded((udp.sum ^ 0xFFFF) + grown) & 0xFFFF
            udp.sum = u16(0xFFFF if made == 0 else made)
        return 1

    return change


def source_changed(layouts: Any, family: int, protocol: int) -> Any:
    """`change(ctx, a, b, ports) -> 1 or 0` at tc: another source, and both ports; sums may be left to the device."""
    Kind = layouts.tcp if protocol == _TCP else layouts.udp
    sum_at, of, datagram = layouts.transport + (16 if protocol == _TCP else 6), Addresses(family), protocol == _UDP
    source_sum, put = of.source_sum, of.change_source

    def change(ctx: Any, a: Any, b: Any, ports: Any) -> Any:
        before = ctx.find(Kind)
        if before is None:
            return 0
        of_addresses = folded(source_sum(before.raw, a, b))
        of_ports = folded((before.raw.ports ^ _U32) + ports)
        ctx.change_sum(sum_at, of_addresses, addresses=True, optional=datagram)
        ctx.change_sum(sum_at, of_ports, optional=datagram)
        again = ctx.find(Kind)
        if again is None:
            return 0
        put(again.raw, a, b)
        again.raw.ports = ports
        return 1

    return change


def requoted(family: int) -> Any:
    """`change(error, ports, grown)`: the ports that an ICMP error quotes, and its sum. `grown`: by what the addresses
    quoted have changed, and `outer`: those of the error itself, which ICMPv6's sum covers."""
    four = family == 4

    def change(error: Any, ports: Any, grown: Any, outer: Any) -> None:
        of_ports = (error.ports ^ _U32) + ports
        total = of_ports
        if error.quoted_protocol == _UDP and error.udp_sum != 0:
            before = error.udp_sum
            made = ~folded((before ^ 0xFFFF) + grown + of_ports) & 0xFFFF
            error.udp_sum = u16(0xFFFF if made == 0 else made)
            total += (before ^ 0xFFFF) + (0xFFFF if made == 0 else made)
        error.ports = ports
        if not four:
            total += grown + outer
        error.sum = u16(~folded((error.sum ^ 0xFFFF) + total))

    return change
