"""Frames against scapy and checksums added up by hand; lengths, captures, signatures."""
from __future__ import annotations

import random
import struct
import warnings
from importlib import import_module
from typing import Any

import pytest

from bpfwright.errors import FormatError, UsageError
from bpfwright.facets.blast import Frames
from bpfwright.facets.blast.frames import IMIX, lengths_of, signature
from bpfwright.facets.blast.values import key_of, mix
from bpfwright.formats.pcap import write_capture
from bpfwright.headers import UDP, Ethernet, IPv4

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    scapy: Any = import_module("scapy.all")

MACS = 'Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02")'
S = scapy.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")


def drawn(number: int, seed: int, slot: int, size: int) -> int:
    return (mix(number, key_of(seed, slot)) >> 32) * size >> 32


def four(number: int) -> Any:
    return S / scapy.IP(src=f"10.0.{number >> 8 & 255}.{number & 255}", dst="10.1.0.1", id=0, ttl=3 + number % 7) / \
        scapy.UDP(sport=(5, 7)[number % 2], dport=1 + number // 3 % 99) / b"hello"


def six(number: int) -> Any:
    return S / scapy.Dot1Q(vlan=1 + number % 4094) / scapy.IPv6(src=f"2001:db8::{number % 65536:x}", dst="::1") / \
        scapy.TCP(sport=1, dport=2, seq=mix(number, key_of(1, 2)) >> 32, flags="S" if number % 2 else 0) / b"odd"


def ping(number: int) -> Any:
    return S / scapy.IP(src="1.2.3.4", dst="5.6.7.8", id=number % 65536, tos=number % 64 << 2) / \
        scapy.ICMP(id=7, seq=number % 65536) / bytes(9)


def ping6(number: int) -> Any:
    return S / scapy.IPv6(src="::5", dst="::6", fl=number % (1 << 20)) / \
        scapy.ICMPv6EchoRequest(id=7, seq=number * 3 % 65535) / b"x"


def tunnel(number: int) -> Any:
    return S / scapy.IP(src="9.9.9.9", dst="8.8.8.8", id=0) / \
        scapy.UDP(sport=1000 + drawn(number, 1, 0, 500), dport=4789) / scapy.VXLAN(vni=number % 4096, flags=8) / \
        scapy.Ether(src=f"02:00:00:00:00:{number % 9:02x}", dst="02:00:00:00:00:aa") / \
        scapy.IP(src=f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", dst="10.0.0.1", id=0) / \
        scapy.UDP(sport=4, dport=5) / b"inner"


CASES: dict[str, tuple[str, Any]] = {
    "udp": (f'{MACS} / IPv4(source="10.0.0.0/16", destination="10.1.0.1", ttl=range(3, 10)) / '
            'UDP(sport=[5, 7], dport=hold(3, range(1, 100))) / b"hello"', four),
    "tcp over ipv6 in a vlan": (
        f'{MACS} / Vlan(vid=range(1, 4095)) / IPv6(source="2001:db8::/112", destination="::1") / '
        'TCP(sport=1, dport=2, sequence=random(), syn=range(2)) / b"odd"', six),
    "icmp": (f'{MACS} / IPv4(source="1.2.3.4", destination="5.6.7.8", identification=range(65536), dscp=range(64)) / '
             'ICMP(type=8, identifier=7, sequence=range(65536)) / (b"\\0" * 9)', ping),
    "icmp6": (f'{MACS} / IPv6(source="::5", destination="::6", flow_label=range(1048576)) / '
              'ICMPv6(type=128, identifier=7, sequence=range(0, 65535, 3)) / b"x"', ping6),
    "vxlan": (f'{MACS} / IPv4(source="9.9.9.9", destination="8.8.8.8") / '
              'UDP(sport=random(range(1000, 1500)), dport=4789) / VXLAN(vni=range(4096)) / '
              'Ethernet(source="02:00:00:00:00:00-02:00:00:00:00:08", '
              'destination="02:00:00:00:00:aa") / IPv4(source="10.0.0.0/8", destination="10.0.0.1") / '
              'UDP(sport=4, dport=5) / b"inner"', tunnel),
}
NUMBERS = (*range(40), 255, 256, 4095, 4096, 65_535, 65_536, 1_000_003)


@pytest.mark.parametrize("name", CASES)
def test_frames_are_those_of_scapy(name: str) -> None:
    text, reference = CASES[name]
    frames = Frames.of(text)
    for number in NUMBERS:
        assert frames.frame(number).hex() == bytes(reference(number)).hex(), number


def added(data: bytes) -> int:
    """Sixteen-bit words with the carries, written without a look at ours."""
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] << 8 | (data[at + 1] if at + 1 < len(data) else 0)
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total


@pytest.mark.parametrize("length", ["60-200", "imix"])
def test_checksums_of_signed_frames_add_up(length: str) -> None:
    text = f'{MACS} / IPv4(source=random("10.0.0.0/8")) / UDP(sport=random())'
    frames = Frames.of(text, length=length, signed=True)
    for number in range(300):
        data = frames.frame(number, magic=0xBEEF, time_ns=number << 40 | 12345)
        assert len(data) == len(frames.shapes[number % len(frames)])
        header, rest = data[14:34], data[34:]
        assert added(header) == 0xFFFF
        assert added(data[26:34] + b"\0\x11" + struct.pack(">H", len(rest)) + rest) == 0xFFFF


def test_the_signature_adds_up_to_nothing() -> None:
    chance = random.Random(3)
    for _ in range(500):
        made = signature(chance.randrange(1, 65536), chance.randrange(1 << 32), chance.randrange(1 << 62))
        assert len(made) == 16 and added(made) == 0xFFFF


def test_lengths() -> None:
    assert lengths_of(None) == (None,) and lengths_of(64) == (64,) and lengths_of("imix") == IMIX
    assert lengths_of("60-63,100") == (60, 61, 62, 63, 100)
    assert [IMIX.count(size) for size in (60, 590, 1514)] == [7, 4, 1]
    for wrong, said in (("x", "no length"), ("0", "a frame of 0 bytes"), ("9000", "a frame of 9000 bytes"),
                        ("", "no length"), ("70-60", "end before they begin"), ("64-", "no length")):
        with pytest.raises(UsageError, match=said):
            lengths_of(wrong)


def test_lengths_that_do_not_fit_what_is_written() -> None:
    text = "Ethernet() / IPv4() / UDP() / b'12345678'"
    with pytest.raises(UsageError, match="no room for what is written") as caught:
        Frames.of(text, length=49)
    assert caught.value.cure == "Send frames of at least 50 bytes."
    assert Frames.of(text, length=50).shapes == Frames.of(text).shapes
    with pytest.raises(UsageError, match="no room"):
        Frames.of(text, length=65, signed=True)
    assert [len(Frames.of(text + extra, signed=True).shapes[0]) for extra in ("", " / b'9'")] == [66, 68]


def test_what_cannot_follow_is_refused() -> None:
    with pytest.raises(UsageError, match="the checksum of SCTP cannot follow what varies"):
        Frames.of("Ethernet() / IPv4() / SCTP(sport=range(9))")
    varied = Frames.of("Ethernet() / IPv4(source='10.0.0.0/8') / SCTP(sport=4)")  # which it does not cover
    assert len(varied.sums) == 1
    assert not Frames.of("Ethernet() / IPv4(checksum=7, source='10.0.0.0/8') / UDP(checksum=0)").sums
    with pytest.raises(UsageError, match="begins with an Ethernet header"):
        Frames.of("IPv4() / UDP()")
    with pytest.raises(UsageError, match="varies above its low 64 bits"):
        Frames.of('Ethernet() / IPv6(source="2001:db8::1-2001:db8:0:1::5")')


def test_packets_and_bytes_are_sent_as_they_are() -> None:
    packet = Ethernet() / IPv4(source="1.2.3.4") / UDP(dport=9)
    assert Frames.of(packet).frame(7) == bytes(packet) == Frames.of(bytes(packet)).frame(0)
    padded = bytes(packet) + b"\1" * 18
    assert Frames.of(padded).frame(0) == padded


def test_captures_keep_bytes_and_times() -> None:
    packets = [(10**18 + i * 7_000_000, bytes([i]) * (20 + i)) for i in range(30)]
    frames = Frames.of_capture(write_capture(packets))
    assert [frames.frame(i) for i in range(31)] == [data for _, data in packets] + [packets[0][1]]
    assert frames.times_ns == tuple(i * 7_000_000 for i in range(30))


@pytest.mark.parametrize(("data", "said"), [
    (b"", "neither pcap nor pcapng"), (b"garbage" * 9, "neither pcap nor pcapng"),
    (write_capture([]), "has no packets"), (write_capture([(0, bytes(60))])[:-3], "behind which the capture has"),
    (write_capture([(0, bytes(60))], link=101), "packet 0 of the capture is not Ethernet"),
    (write_capture([(0, bytes(60)), (0, bytes(13))]), "packet 1 of the capture has 13 bytes"),
    (write_capture([(0, bytes(9000))]), "packet 0 of the capture has 9000 bytes"),
])
def test_damaged_captures(data: bytes, said: str) -> None:
    with pytest.raises(FormatError, match=said):
        Frames.of_capture(data)
