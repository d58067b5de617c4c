"""Writes captures: pcap with nanoseconds, which every reader of the last ten years takes."""
from __future__ import annotations

from struct import pack

from bpfwright._typing import Iterable
from bpfwright.formats.pcap.reader import ETHERNET

__all__ = ["capture_header", "capture_record", "write_capture"]

_SNAP = 262_144


def capture_header(link: int = ETHERNET) -> bytes:
    """What a capture begins with."""
    return pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _SNAP, link)


def capture_record(time_ns: int, data: bytes, whole: int = 0) -> bytes:
    """One packet, taken `time_ns` after 1970 began; `whole` is its length where only a part of it is kept."""
    seconds, part = divmod(time_ns, 1_000_000_000)
    return pack("<IIII", seconds & 0xFFFFFFFF, part, len(data), max(len(data), whole)) + data


def write_capture(packets: Iterable[tuple[int, bytes]], link: int = ETHERNET) -> bytes:
    """The bytes of a capture of (ns since 1970, packet)."""
    return b"".join([capture_header(link), *(capture_record(time_ns, data) for time_ns, data in packets)])
