"""Packets of translated connections that do not stand where most do: behind a VLAN tag, IP options or extension
headers, and in fragments. Their bytes are read and written by their places; one reading for XDP and for tc.

A first fragment has the ports. What became of its address is noted by source, destination, id and protocol, and later
fragments follow it.
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import folded, halves, swapped16
from bpfwright.helpers import subprogram
from bpfwright.hooks import xdp
from bpfwright.maps import LruHash, PerCpuArray
from bpfwright.types import Struct, u8, u16, u32, u64

__all__ = ["EXTENSIONS", "FIRST", "LATER", "LEAVING", "Piece", "Rare", "Where", "destination_changed", "follower",
           "fragments", "memory", "noted", "reader", "source_changed"]

FRAGMENTS = 4096
"""How many datagrams in fragments are followed at once, both ways."""
FIRST, LATER = 1, 2
LEAVING = 1 << 16
"""Of a piece's protocol: at tc egress, where sources change."""
EXTENSIONS = (0, 51, 60)
"""Next headers that lead on: hop by hop, authentication, destination options. Routing headers are left alone: where
they lead is not where the packet goes next."""
_FRAGMENT, _AUTHENTICATION, _TCP, _UDP = 44, 51, 6, 17
_MOST_HEADERS = 6
_U32, _U64 = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF
_MORE_RAW, _OFFSET_RAW = 0x0020, 0xFF1F
_MORE6_RAW, _OFFSET6_RAW = 0x0100, 0xF8FF


class Rare(Struct):
    """Where things are in the packet at hand, and what they say, raw."""

    source_a: u64
    source_b: u64
    destination_a: u64
    destination_b: u64
    at: u32                 # of the IP header
    transport: u32          # of the transport's
    protocol: u32
    ports: u32
    identification: u32
    fragment: u32           # 0, FIRST, LATER
    flags: u32              # TCP's
    octets: u32
    to_a: u64               # what is to become of it: an address, the ports
    to_b: u64
    to_ports: u32
    spare: u32


class Piece(Struct):
    """A datagram in fragments."""

    source_a: u64
    source_b: u64
    destination_a: u64
    destination_b: u64
    identification: u32
    protocol: u32           # family << 8, LEAVING


class Where(Struct):
    """The address that its first fragment got."""

    a: u64
    b: u64


class Ip4(Struct):
    version: u8
    tos: u8
    length: u16
    word: u32
    ttl: u8
    protocol: u8
    check: u16
    source: u32
    destination: u32


class Ip6(Struct):
    version: u32
    length: u16
    protocol: u8
    hops: u8
    source_a: u64
    source_b: u64
    destination_a: u64
    destination_b: u64


class Extension(Struct):
    following: u8
    size: u8
    place: u16              # of a fragment header
    identification: u32


class Word(Struct):
    value: u32


class Half(Struct):
    value: u16


def fragments() -> Any:
    """The table of datagrams in fragments: those that were seen the longest ago make room."""
    return LruHash[Piece, Where](max_entries=FRAGMENTS)


def memory() -> Any:
    """What is known of the packet at hand, for this CPU."""
    return PerCpuArray[Rare](max_entries=1)


def reader(family: int) -> Any:
    """`read(ctx, seen, at) -> bool`: fill in what the packet says whose IP header is at `at`."""
    header = _header4 if family == 4 else _header6

    def read(ctx: Any, seen: Any, at: Any) -> Any:
        seen.at = u32(at)
        seen.ports = u32(0)
        seen.flags = u32(0)
        if not header(ctx, seen, at):
            return False
        if seen.fragment == LATER or seen.protocol not in (_TCP, _UDP):
            return True
        ports = ctx.read(seen.transport, u32)
        if ports is None:
            return False
        seen.ports = ports
        if seen.protocol == _TCP:
            flags = ctx.read(seen.transport + 12, u16)
            if flags is None:
                return False
            seen.flags = u32(flags)
        return True

    return read


def _header4(ctx: Any, seen: Any, at: Any) -> Any:
    ip = ctx.read(at, Ip4)
    if ip is None or ip.version < 0x45 or ip.version > 0x4F:
        return False
    seen.source_a, seen.source_b = u64(ip.source), u64(0)
    seen.destination_a, seen.destination_b = u64(ip.destination), u64(0)
    seen.transport = u32(at + (ip.version & 15) * 4)
    seen.protocol = u32(ip.protocol)
    seen.octets = u32(swapped16(ip.length))
    seen.identification = u32(ip.word & 0xFFFF)
    place = ip.word >> 16
    seen.fragment = u32(0)
    if place & _OFFSET_RAW != 0:
        seen.fragment = u32(LATER)
    elif place & _MORE_RAW != 0:
        seen.fragment = u32(FIRST)
    return True


def _header6(ctx: Any, seen: Any, at: Any) -> Any:
    ip = ctx.read(at, Ip6)
    if ip is None or ip.version & 0xF0 != 0x60:
        return False
    seen.source_a, seen.source_b = ip.source_a, ip.source_b
    seen.destination_a, seen.destination_b = ip.destination_a, ip.destination_b
    seen.octets = u32(swapped16(ip.length))
    seen.identification = u32(0)
    seen.fragment = u32(0)
    protocol, place = u32(ip.protocol), u32(at + 40)
    for _ in range(_MOST_HEADERS):
        if protocol not in (0, _AUTHENTICATION, 60, _FRAGMENT) or seen.fragment == LATER:
            break
        header = ctx.read(place, Extension)
        if header is None:
            return False
        grown = (header.size + 1) * 8
        if protocol == _AUTHENTICATION:
            grown = (header.size + 2) * 4
        if protocol == _FRAGMENT:
            grown = 8
            seen.identification = header.identification
            if header.place & _OFFSET6_RAW != 0:
                seen.fragment = u32(LATER)
            elif header.place & _MORE6_RAW != 0:
                seen.fragment = u32(FIRST)
        protocol = u32(header.following)
        place = u32(place + grown)
    seen.protocol = protocol
    seen.transport = place
    return True


def _piece(seen: Any, family: int, way: int) -> Any:
    return Piece(seen.source_a, seen.source_b, seen.destination_a, seen.destination_b, seen.identification,
                 u32(seen.protocol | family << 8 | way))


class _Put:
    """How an address of a header is changed: what that adds to sums, and the writing."""

    def __init__(self, family: int, source: bool) -> None:
        self.grown: Any = (_source_grown if source else _destination_grown) if family == 6 else (
            _source_grown4 if source else _destination_grown4)
        offset = (12 if source else 16) if family == 4 else (8 if source else 24)
        four = family == 4

        def write(ctx: Any, seen: Any, a: Any, b: Any, grown: Any) -> Any:
            if not four:
                return ctx.write(seen.at + offset, Where(a, b))
            check = ctx.read(seen.at + 10, u16)
            if check is None:
                return False
            made = u16(~folded((check ^ 0xFFFF) + grown))
            return ctx.write(seen.at + 10, Half(made)) and ctx.write(seen.at + offset, Word(u32(a)))

        self.write = write


def _source_grown4(seen: Any, a: Any, b: Any) -> Any:
    return (u32(seen.source_a) ^ _U32) + u32(a)


def _destination_grown4(seen: Any, a: Any, b: Any) -> Any:
    return (u32(seen.destination_a) ^ _U32) + u32(a)


def _source_grown(seen: Any, a: Any, b: Any) -> Any:
    return halves(seen.source_a ^ _U64) + halves(seen.source_b ^ _U64) + halves(a) + halves(b)


def _destination_grown(seen: Any, a: Any, b: Any) -> Any:
    return halves(seen.destination_a ^ _U64) + halves(seen.destination_b ^ _U64) + halves(a) + halves(b)


def destination_changed(tables: Any, family: int) -> Any:
    """`change(ctx) -> 1 or 0` at XDP: the destination and the ports that are noted."""
    put, room, pieces = _Put(family, False), tables.rare, tables.fragments
    grown_by, write = put.grown, put.write

    @subprogram
    def change(ctx: xdp.Context) -> u32:
        seen = room.local(0)
        a, b, ports = seen.to_a, seen.to_b, seen.to_ports
        grown = grown_by(seen, a, b)
        sum_at = u32(seen.transport + (16 if seen.protocol == _TCP else 6))
        before = ctx.read(sum_at, u16)
        if before is None:
            return 0
        if seen.protocol == _TCP or before != 0:
            made = ~folded((before ^ 0xFFFF) + grown + (seen.ports ^ _U32) + ports) & 0xFFFF
            if seen.protocol == _UDP and made == 0:
                made = 0xFFFF
            if not ctx.write(sum_at, Half(u16(made))):
                return 0
        if seen.fragment == FIRST:
            pieces[_piece(seen, family, 0)] = Where(a, b)
        if not ctx.write(seen.transport, Word(ports)) or not write(ctx, seen, a, b, grown):
            return 0
        return 1

    return change


def source_changed(tables: Any, family: int) -> Any:
    """The same at tc, of the source; sums may be left to the device."""
    put, room, pieces = _Put(family, True), tables.rare, tables.fragments
    grown_by, write = put.grown, put.write

    def change(ctx: Any) -> Any:
        seen = room.local(0)
        a, b, ports = seen.to_a, seen.to_b, seen.to_ports
        grown = grown_by(seen, a, b)
        datagram = seen.protocol == _UDP
        of_ports = folded((seen.ports ^ _U32) + ports)
        if seen.fragment == FIRST:
            pieces[_piece(seen, family, LEAVING)] = Where(a, b)
        if datagram:
            ctx.change_sum(seen.transport + 6, folded(grown), addresses=True, optional=True)
            ctx.change_sum(seen.transport + 6, of_ports, optional=True)
        else:
            ctx.change_sum(seen.transport + 16, folded(grown), addresses=True)
            ctx.change_sum(seen.transport + 16, of_ports)
        if not ctx.write(seen.transport, Word(u32(ports))):
            return 0
        return 1 if write(ctx, seen, a, b, grown) else 0

    return change


def noted(seen: Any, a: Any, b: Any, ports: Any) -> None:
    """What is to become of it."""
    seen.to_a, seen.to_b = a, b
    seen.to_ports = u32(ports)


def follower(tables: Any, family: int, *, leaving: bool) -> Any:
    """`follow(ctx) -> 1, or 0: its first fragment was not seen`: a later fragment goes where the first one did."""
    put, room, pieces, way = _Put(family, leaving), tables.rare, tables.fragments, LEAVING if leaving else 0
    grown_by, write = put.grown, put.write

    def follow(ctx: Any) -> Any:
        seen = room.local(0)
        to = pieces.get(_piece(seen, family, way))
        if to is None:
            return 0
        a, b = to.a, to.b
        return 1 if write(ctx, seen, a, b, grown_by(seen, a, b)) else 0

    return follow
