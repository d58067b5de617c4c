"""Captures: what is written is read again, other tools' forms too, and what is damaged is named."""
from __future__ import annotations

from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import FormatError
from bpfwright.formats.pcap import read_capture, write_capture

PACKETS = [(1_700_000_000_123_456_789, b"\x01" * 60), (1_700_000_001_000_000_000, b"\x02" * 14)]


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return pack(order + "II", kind, size) + body + pack(order + "I", size)


def pcapng(order: str = "<", options: bytes = b"") -> bytes:
    head = block(0x0A0D0D0A, pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    interface = block(1, pack(order + "HHI", 1, 0, 0) + options, order)
    ticks = 1_700_000_000_123_456
    packet = block(6, pack(order + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, 5, 60) + b"hello", order)
    return head + interface + packet + block(3, pack(order + "I", 5) + b"again", order)


def test_what_is_written_is_read() -> None:
    capture = read_capture(write_capture(PACKETS))
    assert [(r.time_ns, p) for r, p in zip(capture.records, capture, strict=True)] == PACKETS
    assert len(capture) == 2 and capture.packet(1) == b"\x02" * 14
    with pytest.raises(FormatError, match="no packet 2"):
        capture.packet(2)


@pytest.mark.parametrize(("magic", "order", "ns"), [(0xA1B2C3D4, "<", 7000), (0xA1B2C3D4, ">", 7000),
                                                    (0xA1B23C4D, "<", 7), (0xA1B23C4D, ">", 7)])
def test_byte_orders_and_resolutions(magic: int, order: str, ns: int) -> None:
    data = pack(order + "IHHiIIIIIII", magic, 2, 4, 0, 0, 65535, 1, 1, 7, 3, 9) + b"abc"
    (record,) = read_capture(data).records
    assert (record.time_ns, record.length, record.end - record.start) == (1_000_000_000 + ns, 9, 3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_pcapng(order: str) -> None:
    capture = read_capture(pcapng(order))
    assert list(capture) == [b"hello", b"again"]
    assert capture.records[0].time_ns == 1_700_000_000_123_456_000 and capture.records[0].length == 60


def test_a_resolution_in_an_option() -> None:
    capture = read_capture(pcapng(options=pack("<HHB3xHH", 9, 1, 9, 0, 0)))
    assert capture.records[0].time_ns == 1_700_000_000_123_456


@pytest.mark.parametrize(("data", "what"), [
    (b"", "neither"), (b"\x7fELF", "neither"), (write_capture(PACKETS)[:-1], "behind which"),
    (write_capture(PACKETS)[:30], "middle"), (write_capture([])[:20], "middle"),
    (pcapng()[:-4], "where the capture has"), (block(0x0A0D0D0A, pack("<IHHq", 0x1A2B3C4E, 1, 0, -1)), "byte order"),
    (pcapng()[:28] + block(6, pack("<IIIII", 3, 0, 0, 0, 0)), "does not describe")])
def test_damage_is_named(data: bytes, what: str) -> None:
    with pytest.raises(FormatError, match=what):
        read_capture(data)


@given(st.integers(0, 200), st.binary(max_size=6), st.booleans())
def test_damaged_captures_are_errors_or_captures(at: int, noise: bytes, ng: bool) -> None:
    data = bytearray(pcapng() if ng else write_capture(PACKETS))
    data[at:at + len(noise)] = noise
    try:
        list(read_capture(bytes(data)))
    except FormatError:
        pass
