"""Writes captures: pcap with nanoseconds, which every reader of the last ten years takes."""
from __future__ import annotations

from struct import pack

from bpfwright._typing import Iterable
from bpfwright.formats.pcap.reader import ETHERNET

__all__ = ["write_capture"]

_SNAP = 262_144


def write_capture(packets: Iterable[tuple[int, bytes]], link: int = ETHERNET) -> bytes:
    """The bytes of a capture of (ns since 1970, packet)."""
    parts = [pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, _SNAP, link)]
    for time_ns, data in packets:
        seconds, part = divmod(time_ns, 1_000_000_000)
        parts += [pack("<IIII", seconds & 0xFFFFFFFF, part, len(data), len(data)), data]
    return b"".join(parts)
