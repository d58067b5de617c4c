"""Reads captures: pcap of either byte order and resolution, and pcapng (draft-ietf-opsawg-pcap, -pcapng).

Sans-IO: bytes in, where each packet stands out. What is cut off or absurd is an error with its place.
"""
from __future__ import annotations

from struct import Struct, error

from bpfwright._typing import Iterator, NamedTuple
from bpfwright.errors import FormatError

__all__ = ["ETHERNET", "RAW", "Capture", "Record", "read_capture"]

ETHERNET, RAW = 1, 101
_PCAP = {b"\xd4\xc3\xb2\xa1": ("<", 1000), b"\xa1\xb2\xc3\xd4": (">", 1000),
         b"\x4d\x3c\xb2\xa1": ("<", 1), b"\xa1\xb2\x3c\x4d": (">", 1)}
_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE, _ENHANCED = 0x0A0D0D0A, 1, 2, 3, 6
_LARGEST = 1 << 26  # bytes in a packet: more is no capture


class Record(NamedTuple):
    """One packet: when (ns since 1970), its place in the file, how long it was on the wire, and its link type."""

    time_ns: int
    start: int
    end: int
    length: int
    link: int


class Capture:
    """A capture file's packets."""

    __slots__ = ("data", "records")

    def __init__(self, data: bytes, records: list[Record]) -> None:
        self.data = data
        self.records = records

    def __len__(self) -> int:
        return len(self.records)

    def packet(self, index: int) -> bytes:
        """The bytes of a packet, counted from 0; FormatError when there are fewer."""
        if not 0 <= index < len(self.records):
            raise FormatError(f"the capture has no packet {index}", why=f"it has {len(self.records)}")
        record = self.records[index]
        return self.data[record.start:record.end]

    def __iter__(self) -> Iterator[bytes]:
        return (self.data[record.start:record.end] for record in self.records)


def read_capture(data: bytes) -> Capture:
    """Find the packets of a file. Raises FormatError."""
    try:
        if data[:4] in _PCAP:
            return Capture(data, list(_pcap(data)))
        if data[:4] == b"\x0a\x0d\x0d\x0a":
            return Capture(data, list(_pcapng(data)))
    except error:
        raise FormatError("the capture ends in the middle of something") from None
    raise FormatError("neither pcap nor pcapng", why=f"it begins with {data[:4].hex() or 'nothing'}")


def _pcap(data: bytes) -> Iterator[Record]:
    order, tick = _PCAP[data[:4]]
    major = Struct(order + "H").unpack_from(data, 4)[0]
    link = Struct(order + "I").unpack_from(data, 20)[0] & 0xFFFF
    if major != 2:
        raise FormatError(f"pcap of version {major}, which nobody writes")
    header = Struct(order + "IIII")
    at, end = 24, len(data)
    while at < end:
        seconds, part, kept, length = header.unpack_from(data, at)
        start = at + 16
        if kept > _LARGEST or start + kept > end:
            raise FormatError(f"a packet of {kept} bytes, behind which the capture has {max(0, end - start)}",
                              offset=at)
        yield Record(seconds * 1_000_000_000 + part * tick, start, start + kept, length, link)
        at = start + kept


def _pcapng(data: bytes) -> Iterator[Record]:
    order = "<"
    interfaces: list[tuple[int, int]] = []
    at, end = 0, len(data)
    while at < end:
        kind = Struct(order + "I").unpack_from(data, at)[0]
        if kind == _SECTION:
            magic = data[at + 8:at + 12]
            if magic not in (b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d"):
                raise FormatError("a pcapng section of no known byte order", offset=at)
            order = "<" if magic[0] == 0x4D else ">"
            interfaces = []
        size = Struct(order + "I").unpack_from(data, at + 4)[0]
        if size < 12 or size % 4 or at + size > end:
            raise FormatError(f"a pcapng block of {size} bytes, where the capture has {end - at}", offset=at)
        if Struct(order + "I").unpack_from(data, at + size - 4)[0] != size:
            raise FormatError("a pcapng block whose two lengths differ", offset=at)
        if kind == _INTERFACE:
            interfaces.append((Struct(order + "H").unpack_from(data, at + 8)[0], _tick(data, at, size, order)))
        elif kind in (_ENHANCED, _OLD_PACKET, _SIMPLE):
            yield _packet(data, at, size, order, kind, interfaces)
        at += size


def _tick(data: bytes, at: int, size: int, order: str) -> int:
    """Ticks a second of an interface: its option if_tsresol, microseconds by default."""
    option = Struct(order + "HH")
    place, end = at + 16, at + size - 4
    while place + 4 <= end:
        code, length = option.unpack_from(data, place)
        if code == 0:
            break
        if code == 9 and length == 1:
            value = data[place + 4]
            return 1 << (value & 0x7F) if value & 0x80 else 10 ** int(value)
        place += 4 + (length + 3 & ~3)
    return 1_000_000


def _packet(data: bytes, at: int, size: int, order: str, kind: int, interfaces: list[tuple[int, int]]) -> Record:
    number, time_ns = 0, 0
    if kind == _SIMPLE:
        length = Struct(order + "I").unpack_from(data, at + 8)[0]
        start, kept = at + 12, min(length, size - 16)
    else:
        form = "IIIII" if kind == _ENHANCED else "HHIIII"
        number, *_, high, low, kept, length = Struct(order + form).unpack_from(data, at + 8)
        start = at + 28
    if number >= len(interfaces):
        raise FormatError(f"a packet of interface {number}, which the capture does not describe", offset=at)
    link, tick = interfaces[number]
    if kind != _SIMPLE:
        time_ns = (high << 32 | low) * 1_000_000_000 // tick
    if start + kept > at + size - 4:
        raise FormatError(f"a packet of {kept} bytes in a block of {size}", offset=at)
    return Record(time_ns, start, start + kept, length, link)
