"""Pushing and popping of tunnel headers at XDP: IPIP, GUE, GRE, VXLAN, Geneve, over IPv4 and IPv6.

`pusher` and `popper` give functions of the dialect for a kind of tunnel, so that a program holds what it needs and
nothing else. Numbers that only move from one header to another stay raw: as the little-endian words that the packet's
bytes are to the processor.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.errors import UsageError
from bpfwright.spec.header import Header
from bpfwright.types import Struct, u8, u16, u32, u64

__all__ = ["ETHERNET_INSIDE", "GENEVE_PORT", "GUE_PORT", "KINDS", "VXLAN_PORT", "Outer", "folded", "frame", "overhead",
           "popper", "pusher", "raw16", "swapped16", "swapped32"]

KINDS = ("ipip", "gue", "gue0", "gre", "vxlan", "geneve")
"""ipip (RFC 2003, 2473, 4213); gue: variant 1, the IP header straight behind UDP; gue0: variant 0, with a header, as
Linux's fou sends it; gre with IP inside; vxlan and geneve with whole Ethernet frames inside."""
ETHERNET_INSIDE = ("vxlan", "geneve")
GUE_PORT, VXLAN_PORT, GENEVE_PORT = 6080, 4789, 6081

_PORTS = {"gue": GUE_PORT, "gue0": GUE_PORT, "vxlan": VXLAN_PORT, "geneve": GENEVE_PORT}
_BEHIND_UDP = {"gue": 0, "gue0": 4, "vxlan": 8, "geneve": 8}
_KEYED = ("gre", "vxlan", "geneve")
_IP_BYTES = {4: 20, 6: 40}
_KIND_RAW = {4: 0x0008, 6: 0xDD86}  # EtherTypes
_INSIDE = {4: 4, 6: 41}  # IP protocol numbers
_UDP, _GRE = 17, 47
_TTL = 64

# layouts: (field, type) in the packet's order

ETHERNET = (("first", u64), ("second", u32), ("kind", u16))
TAGGED = (("first", u64), ("second", u32), ("tag", u32), ("kind", u16))
IPV4 = (("version", u8), ("tos", u8), ("length", u16), ("word", u32), ("ttl", u8), ("protocol", u8), ("check", u16),
        ("source", u32), ("destination", u32))
IPV6 = (("version", u32), ("length", u16), ("protocol", u8), ("hops", u8), ("source_a", u64), ("source_b", u64),
        ("destination_a", u64), ("destination_b", u64))
UDP_HEADER = (("ports", u32), ("size", u16), ("sum", u16))


class Outer(Struct):
    """What the outer headers say. Raw: addresses (IPv4 in the low half of the first word), MAC addresses, ports."""

    destination_mac: u64
    source_mac: u64
    source_a: u64
    source_b: u64
    destination_a: u64
    destination_b: u64
    length: u32          # bytes inside, in host order
    tos: u32             # or traffic class
    sport: u32
    dport: u32           # 0: the kind's own
    key: u32             # VXLAN and Geneve network, GRE key, in host order
    inner_sum: u64       # what the UDP checksum covers behind its header, not folded; 0: no checksum


def frame(name: str, *parts: tuple[tuple[str, Any], ...], prefix: str = "") -> Any:
    """A header to find at a frame's start: its `raw` is a packed record of all parts, behind each other."""
    fields = [field for part in parts for field in part]
    names = [field for field, _ in fields]
    if len(set(names)) < len(names):
        raise UsageError(f"{name} names a field twice: {', '.join(names)}")
    record: Any = type(name, (Struct,), {"__annotations__": dict(fields), "__module__": __name__}, packed=True)
    made: Any = type(f"{name}Frame", (Header,), {"__annotations__": {"raw": record}, "__module__": __name__})
    made.root = True  # only now: no parser of packets takes it for one of its headers
    return made


def overhead(kind: str, outer: int, *, keyed: bool = False) -> int:
    """Bytes that a tunnel adds to an IP packet."""
    inside = 14 if kind in ETHERNET_INSIDE else 0
    return _IP_BYTES[outer] + inside + _between(kind, keyed)


def _between(kind: str, keyed: bool) -> int:
    if kind in _PORTS:
        return 8 + _BEHIND_UDP[kind]
    return (8 if keyed else 4) if kind == "gre" else 0


# arithmetic of raw words

def swapped16(value: Any) -> Any:
    """Sixteen bits with their bytes exchanged."""
    return (value >> 8 & 0xFF) | (value & 0xFF) << 8


def swapped32(value: Any) -> Any:
    """Thirty-two bits with their bytes turned around."""
    return (value >> 24 & 0xFF) | (value >> 8 & 0xFF00) | (value & 0xFF00) << 8 | (value & 0xFF) << 24


def raw16(value: int) -> int:
    """A number of this process as it stands in a packet, raw."""
    return (value >> 8 & 0xFF) | (value & 0xFF) << 8


def folded(total: u64) -> Any:
    """A sum of 16- and 32-bit words in 16 bits, its carries added: never 0 unless all of them were."""
    once = (total & 0xFFFF_FFFF) + (total >> 32)
    twice = (once & 0xFFFF) + (once >> 16)
    thrice = (twice & 0xFFFF) + (twice >> 16)
    return (thrice & 0xFFFF) + (thrice >> 16)


def halves(word: Any) -> Any:
    """The two halves of 64 bits, added: the same to a checksum, and room for carries."""
    return (word & 0xFFFF_FFFF) + (word >> 32)


# pushing

def pusher(kind: str, outer: int, inner: int, *, tags: int = 0, keyed: bool = False, checksum: bool = False,
           zero_is_all_ones: bool = True, stack: bool = False) -> Callable[[Any, Outer], Any]:
    """`push(ctx, outer) -> bool`: put headers around a packet of the family `inner`, over the family `outer`.

    The Ethernet header is new (vxlan and geneve: a second one), and keeps its VLAN tag if it has `tags` 1. `checksum`:
    the UDP checksum is made of `inner_sum`; a checksum of 0 is written as all ones, unless told otherwise. `stack`: the
    context is tc's (ipip and gue only). False: there was no room, and the packet is as before. UsageError: what does
    not exist.
    """
    _check(kind, outer, inner, tags)
    if stack and (kind not in ("ipip", "gue") or tags):
        raise UsageError(f"{kind} cannot be pushed at tc", cure="ipip and gue can, without VLAN tags.")
    between = _behind_ip(kind, keyed)
    ethernet = TAGGED if tags else ETHERNET
    wire = frame(f"push_{kind}{outer}", ethernet, IPV4 if outer == 4 else IPV6, *between)
    grown = _IP_BYTES[outer] + _between(kind, keyed) + (14 + 4 * tags if kind in ETHERNET_INSIDE else 0)
    protocol = _UDP if kind in _PORTS else _GRE if kind == "gre" else _INSIDE[inner]
    put_ip = _put_ipv4 if outer == 4 else _put_ipv6
    put_behind = _put_behind(kind, inner, keyed)
    put_udp = _udp(outer, checksum, zero_is_all_ones) if kind in _PORTS else _nothing_of_udp
    behind_ip = _between(kind, keyed)
    make_room = _room_in_stack(grown, outer, kind) if stack else _room_at_driver(grown)
    kind_raw, port = _KIND_RAW[outer], raw16(_PORTS.get(kind, 0))
    tagged = tags == 1

    def push(ctx: Any, given: Any) -> Any:
        tag = 0
        if tagged:
            old = ctx.find(Tag)
            if old is None:
                return False
            tag = old.raw.tag
        if not make_room(ctx):
            return False
        found = ctx.find(wire)
        if found is None:
            return False
        new = found.raw
        new.first = given.destination_mac | given.source_mac << 48
        new.second = u32(given.source_mac >> 16)
        new.kind = kind_raw
        if tagged:
            new.tag = tag
        put_ip(new, given, given.length + behind_ip, protocol)
        put_udp(new, given, given.length + behind_ip, given.dport if given.dport != 0 else port)
        put_behind(new, given)
        return True

    return push


def _room_at_driver(grown: int) -> Any:
    def make(ctx: Any) -> Any:
        return ctx.adjust_head(-grown)

    return make


def _room_in_stack(grown: int, outer: int, kind: str) -> Any:
    datagram = kind in _PORTS

    def over4(ctx: Any) -> Any:
        return ctx.make_room(grown, 4, datagram=datagram)

    def over6(ctx: Any) -> Any:
        return ctx.make_room(grown, 6, datagram=datagram)

    return over4 if outer == 4 else over6


Tag: Any = frame("tagged", TAGGED)


def _check(kind: str, outer: int, inner: int, tags: int) -> None:
    if kind not in KINDS:
        raise UsageError(f"there is no tunnel {kind!r}", cure=f"There is {', '.join(KINDS)}.")
    if outer not in (4, 6) or inner not in (4, 6):
        raise UsageError("IP has the versions 4 and 6")
    if tags not in (0, 1):
        raise UsageError("one VLAN tag is the most")


def _behind_ip(kind: str, keyed: bool) -> list[tuple[tuple[str, Any], ...]]:
    """The parts between the outer IP header and what is inside."""
    parts: list[tuple[tuple[str, Any], ...]] = [UDP_HEADER] if kind in _PORTS else []
    if kind == "gre":
        parts.append((("gre_flags", u16), ("gre_kind", u16), *((("gre_key", u32),) if keyed else ())))
    if kind == "gue0":
        parts.append((("gue", u32),))
    if kind in ETHERNET_INSIDE:
        parts.append((("shim", u32), ("network", u32)))
    return parts


def _put_ipv4(new: Any, given: Any, length: Any, protocol: Any) -> None:
    raw_length = swapped16(length + 20)
    source, destination = u32(given.source_a), u32(given.destination_a)
    total = 0x45 + (given.tos << 8) + raw_length + (_TTL | protocol << 8)
    total = total + source + destination
    new.version = 0x45
    new.tos = u8(given.tos)
    new.length = u16(raw_length)
    new.word = 0
    new.ttl = _TTL
    new.protocol = protocol
    new.check = u16(~folded(total))
    new.source = source
    new.destination = destination


def _put_ipv6(new: Any, given: Any, length: Any, protocol: Any) -> None:
    new.version = u32(0x60 | (given.tos >> 4) | (given.tos & 15) << 12)
    new.length = u16(swapped16(length))
    new.protocol = protocol
    new.hops = _TTL
    new.source_a = given.source_a
    new.source_b = given.source_b
    new.destination_a = given.destination_a
    new.destination_b = given.destination_b


def _nothing_of_udp(new: Any, given: Any, size: Any, dport: Any) -> None:
    return None


def _udp(outer: int, checksum: bool, all_ones: bool) -> Any:
    """The UDP header. Its pseudo-header's addresses and length are added to what is inside (RFC 768, RFC 8200 8.1)."""
    four = outer == 4

    def put(new: Any, given: Any, size: Any, dport: Any) -> None:
        raw_size = swapped16(size)
        ports = given.sport | dport << 16
        new.ports = u32(ports)
        new.size = u16(raw_size)
        if checksum:
            total = given.inner_sum
            if total == 0:
                new.sum = 0
            else:
                total += ports + 2 * raw_size + (_UDP << 8)
                if four:
                    total += u32(given.source_a) + u32(given.destination_a)
                else:
                    total += halves(given.source_a) + halves(given.source_b)
                    total += halves(given.destination_a) + halves(given.destination_b)
                check = ~folded(total) & 0xFFFF
                if all_ones and check == 0:
                    check = 0xFFFF
                new.sum = u16(check)
        else:
            new.sum = 0

    return put


def _put_behind(kind: str, inner: int, keyed: bool) -> Any:
    kind_raw, number = _KIND_RAW[inner], _INSIDE[inner]

    def nothing(new: Any, given: Any) -> None:
        return None

    def gre(new: Any, given: Any) -> None:
        new.gre_flags = 0x20 if keyed else 0  # the key's bit
        new.gre_kind = kind_raw
        if keyed:
            new.gre_key = u32(swapped32(given.key))

    def gue0(new: Any, given: Any) -> None:
        new.gue = number << 8

    def network(new: Any, given: Any) -> None:
        new.shim = first
        new.network = u32(swapped32(given.key << 8))

    first = 0x08 if kind == "vxlan" else 0x5865_0000  # the network is said; or: an Ethernet frame follows
    made = {"gre": gre, "gue0": gue0, "vxlan": network, "geneve": network}
    return made.get(kind, nothing)


# popping

def popper(kind: str, outer: int, inner: int, *, keyed: bool = False, port: int = 0) -> Callable[[Any], Any]:
    """`pop(ctx) -> bool`: take such headers off a frame without VLAN tags, if it has them.

    Asks for the kind's headers without options, the whole of the inner header's first byte, and the UDP port; not for
    addresses and checksums, which are the caller's to judge. False: the packet is another, and as before.
    """
    _check(kind, outer, inner, 0)
    wire = frame(f"pop_{kind}{outer}", ETHERNET, IPV4 if outer == 4 else IPV6, *_behind_ip(kind, keyed),
                 (("inside", u8),))
    shrunk = _IP_BYTES[outer] + _between(kind, keyed) + (14 if kind in ETHERNET_INSIDE else 0)
    protocol = _UDP if kind in _PORTS else _GRE if kind == "gre" else _INSIDE[inner]
    dport = raw16(port or _PORTS.get(kind, 0))
    outer_raw, inner_raw = _KIND_RAW[outer], _KIND_RAW[inner]
    four, datagram, whole_frame = outer == 4, kind in _PORTS, kind in ETHERNET_INSIDE
    fits = _fits(kind, inner, keyed)

    def pop(ctx: Any) -> Any:
        found = ctx.find(wire)
        if found is None:
            return False
        old = found.raw
        if old.kind != outer_raw or old.protocol != protocol:
            return False
        if four:  # noqa: SIM102  (a constant alone leaves the rest uncompiled: the field exists for IPv4 only)
            if old.version != 0x45 or (old.word >> 16) & 0xFF3F != 0:
                return False
        if datagram:  # noqa: SIM102
            if old.ports >> 16 != dport:
                return False
        if not fits(old):
            return False
        first, second = old.first, old.second
        if not ctx.adjust_head(shrunk):
            return False
        if not whole_frame:
            again = ctx.find(Plain)
            if again is None:
                return False
            again.raw.first = first
            again.raw.second = second
            again.raw.kind = inner_raw
        return True

    return pop


Plain: Any = frame("plain", ETHERNET)


def _fits(kind: str, inner: int, keyed: bool) -> Any:
    """Whether what stands between the outer header and the inside is this kind's."""
    kind_raw, number = _KIND_RAW[inner], _INSIDE[inner]
    nibble = inner << 4

    def inside(old: Any) -> Any:
        return (old.inside & 0xF0) == nibble

    def gre(old: Any) -> Any:
        return old.gre_flags == (0x20 if keyed else 0) and old.gre_kind == kind_raw and (old.inside & 0xF0) == nibble

    def gue0(old: Any) -> Any:
        return old.gue == number << 8 and (old.inside & 0xF0) == nibble

    def vxlan(old: Any) -> Any:
        return (old.shim & 0x08) != 0

    def geneve(old: Any) -> Any:
        return (old.shim & 0xFFFF_803F) == 0x5865_0000  # version 0, no options, nothing critical

    return {"gre": gre, "gue0": gue0, "vxlan": vxlan, "geneve": geneve}.get(kind, inside)
