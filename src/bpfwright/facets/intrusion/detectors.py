"""Detectors: functions of the dialect, each with the table that it remembers by. They allocate nothing and end soon.

What a source has reached is a bitmap of 256 bits by a hash of port and host, so a scan is told by bits: `bits_of` says
how many are set when so many targets were reached (linear counting). A detector tells once for each window.
"""
from __future__ import annotations

from math import exp

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.parsed import FIRST_FRAGMENT, LATER_FRAGMENT, clock, since
from bpfwright.facets.intrusion.model import ALERTS, Beacon, Scan, Settings
from bpfwright.headers import Arp, IPv4
from bpfwright.maps import LruHash
from bpfwright.types import Struct, be16, u16, u32, u64

__all__ = ["Detector", "bits_of", "detectors_of"]

_BITS = 256
_NUMBERS = {kind.name: number for number, kind in enumerate(ALERTS)}
_SYN, _ACK, _RST, _FIN = 2, 16, 4, 1
_SECOND = 1_000_000_000
_SHORTEST_FIRST = 68  # bytes of a first fragment: the longest IP header and eight bytes (RFC 791)


class Detector(NamedTuple):
    """`look(ctx, packet, tell)`-maker: given what tells of an alert, the function; the hooks it is for; its table."""

    make: Any
    hooks: tuple[str, ...]
    table: Any


class Source(Struct):
    high: u64
    low: u64


class Target(Struct):
    high: u64
    low: u64
    port: u32
    kind: u32


class Service(Struct):
    source_high: u64
    source_low: u64
    destination_high: u64
    destination_low: u64
    port: u32
    padding: u32


class Reached(Struct):
    begin_ns: u64
    first: u64
    second: u64
    third: u64
    fourth: u64
    bits: u32
    told: u32


class Counted(Struct):
    begin_ns: u64
    count: u64
    told: u64


class Neighbour(Struct):
    mac: u64


class Guessed(Struct):
    begin_ns: u64
    ids: u64
    count: u32
    told: u32


class Beat(Struct):
    last_ns: u64
    interval_ns: u64
    even: u32
    padding: u32


def bits_of(targets: int) -> int:
    """Bits that are set, as expected, when so many targets were reached."""
    return max(2, int(_BITS * (1 - exp(-targets / _BITS))))


def detectors_of(settings: Settings) -> list[Detector]:
    """The detectors that are wanted."""
    found = []
    if settings.scan is not None:
        found.append(_scan("scan", settings.scan, settings.entries))
    if settings.slow_scan is not None:
        found.append(_scan("slow-scan", settings.slow_scan, settings.entries))
    for name, protocols, limit in (("syn-flood", (6,), settings.flood.syn), ("udp-flood", (17,), settings.flood.udp),
                                   ("icmp-flood", (1, 58), settings.flood.icmp)):
        if limit:
            found.append(_flood(name, protocols, limit, settings.entries))
    if settings.fragments:
        found.append(_fragments())
    if settings.arp:
        found.append(_arp(settings.entries))
    if settings.dns:
        found.append(_dns(settings.dns, settings.entries))
    if settings.beacon is not None:
        found.append(_beacon(settings.beacon, settings.entries))
    return found


def _begins(packet: Any) -> Any:
    """A TCP segment that asks for a connection."""
    return packet.protocol == 6 and packet.tcp_flags & (_SYN | _ACK | _RST | _FIN) == _SYN


def _scan(name: str, scan: Scan, entries: int) -> Detector:
    table = LruHash[Source, Reached](max_entries=entries)
    kind, window, enough, limit = _NUMBERS[name], int(scan.window_s * 1e9), bits_of(scan.targets), scan.targets

    def fresh(reached: Any, bit: Any) -> Any:
        """Set a bit; whether it was not set before."""
        mask = 1 << (bit & 63)
        part = bit >> 6
        if part == 0:
            known = reached.first & mask
            reached.first |= mask
        elif part == 1:
            known = reached.second & mask
            reached.second |= mask
        elif part == 2:
            known = reached.third & mask
            reached.third |= mask
        else:
            known = reached.fourth & mask
            reached.fourth |= mask
        return known == 0

    def make(tell: Any) -> Any:
        def look(ctx: Any, packet: Any) -> None:
            if not _begins(packet):
                return
            now = clock(packet)
            key = Source(packet.source_high, packet.source_low)
            mixed = u64((packet.destination_low ^ packet.destination_high ^ u64(packet.destination_port << 32))
                        * 0x9E37_79B9_7F4A_7C15)
            bit = u32(mixed >> 56)
            reached = table.get(key)
            if reached is None:
                table.insert(key, Reached(now, 0, 0, 0, 0, 0, 0))
                reached = table.get(key)
                if reached is None:
                    return
            if since(now, reached.begin_ns) > window:
                reached.begin_ns = now
                reached.first = 0
                reached.second = 0
                reached.third = 0
                reached.fourth = 0
                reached.bits = 0
                reached.told = 0
            if fresh(reached, bit):
                reached.bits += 1
            if reached.bits >= enough and reached.told == 0:
                reached.told = 1
                tell(ctx, packet, kind, u64(reached.bits), limit)

        return look

    return Detector(make, ("xdp",), table)


def _flood(name: str, protocols: tuple[int, ...], limit: int, entries: int) -> Detector:
    table = LruHash[Target, Counted](max_entries=entries)
    kind, only_syn = _NUMBERS[name], name == "syn-flood"

    def make(tell: Any) -> Any:
        def look(ctx: Any, packet: Any) -> None:
            if packet.protocol not in protocols or packet.family == 0:
                return
            if only_syn and not _begins(packet):
                return
            now = clock(packet)
            key = Target(packet.destination_high, packet.destination_low, 0, kind)
            counted = table.get(key)
            if counted is None:
                table.insert(key, Counted(now, 1, 0))
                return
            if since(now, counted.begin_ns) >= _SECOND:
                counted.begin_ns = now
                counted.count = 0
                counted.told = 0
            counted.count += 1
            if counted.count > limit and counted.told == 0:
                counted.told = 1
                tell(ctx, packet, kind, counted.count, limit)

        return look

    return Detector(make, ("xdp",), table)


def _fragments() -> Detector:
    tiny, second = _NUMBERS["tiny-fragment"], _NUMBERS["second-fragment"]

    def make(tell: Any) -> Any:
        def look(ctx: Any, packet: Any) -> None:
            if packet.family != 4 or packet.fragment == 0:
                return
            if packet.fragment == FIRST_FRAGMENT and packet.length < _SHORTEST_FIRST:
                tell(ctx, packet, tiny, u64(packet.length), _SHORTEST_FIRST)
            if packet.fragment == LATER_FRAGMENT and packet.protocol == 6:
                ip = ctx.find(IPv4)
                if ip is not None and ip.fragment_offset == 1:
                    tell(ctx, packet, second, 8, 16)

        return look

    return Detector(make, ("xdp",), None)


def _arp(entries: int) -> Detector:
    table = LruHash[u32, Neighbour](max_entries=entries)
    kind = _NUMBERS["arp-change"]

    def make(tell: Any) -> Any:
        def look(ctx: Any, packet: Any) -> None:
            arp = ctx.find(Arp)
            if arp is None:
                return
            sender = int(arp.sender)
            mac = int(arp.sender_mac)
            if sender == 0:
                return
            known = table.get(u32(sender))
            if known is None:
                table.insert(u32(sender), Neighbour(mac))
                return
            if known.mac != mac:
                before = known.mac
                known.mac = mac
                packet.source_low = 0xFFFF << 32 | sender
                packet.family = 4
                tell(ctx, packet, kind, u64(mac), before)
                packet.source_low = 0
                packet.family = 0

        return look

    return Detector(make, ("xdp",), table)


def _dns(limit: int, entries: int) -> Detector:
    table = LruHash[Target, Guessed](max_entries=entries)
    kind = _NUMBERS["dns-guessing"]

    def make(tell: Any) -> Any:
        def look(ctx: Any, packet: Any) -> None:
            if packet.protocol != 17 or packet.source_port != 53:
                return
            number = ctx.read(packet.transport_offset + 8, be16)
            if number is None:
                return
            now = clock(packet)
            key = Target(packet.destination_high, packet.destination_low, packet.destination_port, 0)
            guessed = table.get(key)
            if guessed is None:
                table.insert(key, Guessed(now, 0, 0, 0))
                guessed = table.get(key)
                if guessed is None:
                    return
            if since(now, guessed.begin_ns) >= _SECOND:
                guessed.begin_ns = now
                guessed.ids = 0
                guessed.count = 0
                guessed.told = 0
            mask = 1 << (u16(number * 40503) >> 10)
            if guessed.ids & mask == 0:
                guessed.ids |= mask
                guessed.count += 1
            if guessed.count >= limit and guessed.told == 0:
                guessed.told = 1
                tell(ctx, packet, kind, u64(guessed.count), limit)

        return look

    return Detector(make, ("xdp",), table)


def _beacon(beacon: Beacon, entries: int) -> Detector:
    table = LruHash[Service, Beat](max_entries=entries)
    kind, least, enough = _NUMBERS["beacon"], int(beacon.least_s * 1e9), beacon.connections

    def make(tell: Any) -> Any:
        def look(ctx: Any, packet: Any) -> None:
            if not _begins(packet):
                return
            now = clock(packet)
            key = Service(packet.source_high, packet.source_low, packet.destination_high, packet.destination_low,
                          packet.destination_port, 0)
            beat = table.get(key)
            if beat is None:
                table.insert(key, Beat(now, 0, 1, 0))
                return
            passed = since(now, beat.last_ns)
            if passed < least:
                return
            beat.last_ns = now
            usual = beat.interval_ns
            beat.interval_ns = passed
            apart = passed - usual if passed > usual else usual - passed
            if usual != 0 and apart > usual >> 3:
                beat.even = 2
                return
            beat.even += 1
            if beat.even >= enough:
                beat.even = 1
                tell(ctx, packet, kind, passed // 1_000_000, enough)

        return look

    return Detector(make, ("xdp", "egress"), table)
