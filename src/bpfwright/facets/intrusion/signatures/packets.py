"""Frames taken apart for signatures, in this process: what rules ask headers for, and the payload."""
from __future__ import annotations

from struct import unpack_from

from bpfwright._typing import NamedTuple

__all__ = ["Packet", "Piece", "dissected"]

_MAPPED = 0xFFFF << 32
_EXTENSIONS = (0, 43, 60)
_FRAGMENT, _AUTHENTICATION = 44, 51
_MOST_EXTENSIONS = 16
_NO_OPTIONS: frozenset[int] = frozenset()
_FIELDS = {"dsize": "size", "ip_proto": "protocol", "itype": "type", "icode": "code"}


class Packet:
    """A packet. Addresses are numbers of 128 bits, IPv4 mapped; fields of headers that it has not are -1. `size`: bytes
    of payload, as headers say; `whole`: none of it is missing. One object from header to header: there is one for every
    copy."""

    __slots__ = ("ack", "code", "destination", "destination_port", "family", "flags", "fragbits", "fragoffset",
                 "icmp_id", "icmp_seq", "id", "ipopts", "payload", "piece", "protocol", "seq", "size", "source",
                 "source_port", "tos", "ttl", "type", "whole", "window")

    def __init__(self, family: int, source: int, destination: int, protocol: int, ttl: int, tos: int) -> None:
        self.family, self.source, self.destination = family, source, destination
        self.protocol, self.ttl, self.tos = protocol, ttl, tos
        self.id = self.source_port = self.destination_port = self.flags = self.seq = self.ack = self.window = -1
        self.type = self.code = self.icmp_id = self.icmp_seq = -1
        self.fragbits = self.fragoffset = self.size = 0
        self.ipopts: frozenset[int] = _NO_OPTIONS
        self.payload = b""
        self.whole = True
        self.piece: Piece | None = None

    def number(self, field: str) -> int:
        """A field by a rule's word; -1 where the packet has none."""
        found: int = getattr(self, _FIELDS.get(field, field))
        return found


class Piece(NamedTuple):
    """Of a datagram in fragments: which one, where this lies in it, whether it is the last, its bytes."""

    key: tuple[int, int, int, int]
    offset: int
    last: bool
    data: bytes


def dissected(frame: bytes, offset: int) -> Packet | None:
    """The packet that begins at `offset` of a frame; None for what is cut off within its headers."""
    if len(frame) <= offset:
        return None
    try:
        found = _four(frame, offset) if frame[offset] >> 4 == 4 else _six(frame, offset)
    except (IndexError, _Short):
        return None
    if found is None or found[0].piece is not None:
        return found[0] if found else None
    return with_body(*found)


class _Short(Exception):
    pass


def _need(data: bytes, size: int) -> None:
    if len(data) < size:
        raise _Short


def _four(frame: bytes, at: int) -> tuple[Packet, bytes, int] | None:
    _need(frame, at + 20)
    first, tos, total, ident, fragment, ttl, protocol, _, source, destination = unpack_from("!BBHHHBBHII", frame, at)
    header = (first & 15) * 4
    if header < 20:
        return None
    bits, place = fragment >> 13, fragment & 0x1FFF
    size = max(0, total - header)
    body = frame[at + header:at + max(total, header)]
    packet = Packet(4, source | _MAPPED, destination | _MAPPED, protocol, ttl, tos)
    packet.id, packet.fragbits, packet.fragoffset = ident, bits, place
    if header > 20:
        packet.ipopts = _options(frame[at + 20:at + header])
    if bits & 1 or place:
        packet.piece = Piece((source, destination, ident, protocol), place * 8, not bits & 1, body)
    return packet, body, size


def _options(data: bytes) -> frozenset[int]:
    found, at = set(), 0
    while at < len(data):
        found.add(data[at])
        if data[at] == 0:
            break
        length = 1 if data[at] == 1 else data[at + 1] if at + 1 < len(data) else 0
        if length < 1:
            break
        at += length
    return frozenset(found)


def _six(frame: bytes, at: int) -> tuple[Packet, bytes, int] | None:
    _need(frame, at + 40)
    head, length, following, hops = unpack_from("!IHBB", frame, at)
    source, destination = (int.from_bytes(frame[at + 8 + 16 * n:at + 24 + 16 * n], "big") for n in (0, 1))
    packet = Packet(6, source, destination, following, hops, head >> 20 & 0xFF)
    end = at + 40 + length
    at += 40
    for _ in range(_MOST_EXTENSIONS):
        if following in _EXTENSIONS:
            _need(frame, at + 2)
            following, at = frame[at], at + 8 + frame[at + 1] * 8
        elif following == _AUTHENTICATION:
            _need(frame, at + 2)
            following, at = frame[at], at + 8 + frame[at + 1] * 4
        elif following == _FRAGMENT:
            _need(frame, at + 8)
            following, _, fragment, ident = unpack_from("!BBHI", frame, at)
            at += 8
            packet.id, packet.protocol, packet.fragbits, packet.fragoffset = (ident, following, fragment & 1,
                                                                              fragment >> 3)
            if fragment & 0xFFF9:
                packet.piece = Piece((source, destination, ident, 6 << 8 | following), fragment & 0xFFF8,
                                     not fragment & 1, frame[at:end])
                return packet, b"", 0
        else:
            break
    packet.protocol = following
    return packet, frame[at:end], max(0, end - at)


def with_body(packet: Packet, body: bytes, size: int) -> Packet | None:
    """The packet with what is behind its IP headers, `size` bytes as they say; None where that is cut off."""
    header = 0
    if packet.protocol == 6:
        if len(body) < 20:
            return None
        source, destination, seq, ack, control, window = unpack_from("!HHIIHH", body)
        header = (control >> 12) * 4
        packet.source_port, packet.destination_port, packet.seq, packet.ack = source, destination, seq, ack
        packet.flags, packet.window = control & 0xFF, window
        if header < 20:
            return None
    elif packet.protocol == 17:
        if len(body) < 8:
            return None
        source, destination = unpack_from("!HH", body)
        header, packet.source_port, packet.destination_port = 8, source, destination
    elif packet.protocol in (1, 58):
        if len(body) < 8:
            return None
        kind, code, _, ident, number = unpack_from("!BBHHH", body)
        header, packet.type, packet.code = 8, kind, code
        if kind in ((0, 8, 13, 14, 15, 16, 17, 18) if packet.protocol == 1 else (128, 129)):
            packet.icmp_id, packet.icmp_seq = ident, number
    payload = body[header:size]
    packet.payload, packet.size, packet.whole = payload, max(0, size - header), len(body) >= size
    return packet
