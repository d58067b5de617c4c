"""Whole frames through the forwarding path of both machines, byte for byte as the facts about Katran say."""
from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from tests.facets.balancer.loaded import HERE, ROUTER, Balancer, balancing, packed

from bpfwright import Userspace
from bpfwright.facets.balancer.hashes import flow_hash
from bpfwright.facets.balancer.simulate import simulate
from bpfwright.headers import ICMP, TCP, UDP, Ethernet, ICMPv6, IPv4, IPv6, Vlan
from bpfwright.hooks import xdp
from bpfwright.kernel import Kernel
from bpfwright.spec.header import network_sum

pytestmark = pytest.mark.kernel

CLIENT, CLIENT6, VIP, VIP6 = "192.0.2.10", "2001:db8:1::5", "198.51.100.80", "2001:db8::80"
KATRAN = """
hash: katran
gateway: 02:00:00:00:00:fe
{more}
backends:
  one: {{address: 10.20.30.40, id: 1024}}
  two: {{address: 10.20.30.41, id: 70000}}
  three: {{address: "2001:db8::10", id: 3735928559}}
  four: {{address: "2001:db8::11"}}
vips:
- {{address: {vip}, port: 443, backends: [one, two, 10.20.30.42]}}
- {{address: {vip}, port: 443, protocol: udp, flags: [quic], backends: [one, two, three]}}
- {{address: {vip}, port: 8443, backends: [three, four]}}
- {{address: {vip}, port: any, protocol: udp, backends: [one, two]}}
- {{address: {vip}, port: 1, flags: [no-source-port], backends: [one, two, four]}}
- {{address: {vip}, port: 2, flags: [destination-port-only], backends: [one, two, four]}}
- {{address: {vip}, port: 3, protocol: udp, flags: [stable-udp], backends: [one, two, four]}}
- {{address: {vip}, port: 5, flags: [source-routing], backends: [one, two, four]}}
- {{address: {vip}, port: 6, flags: [no-connections], backends: [one, two, four]}}
- {{address: "{vip6}", port: 443, backends: [three, four]}}
- {{address: "{vip6}", port: 443, protocol: udp, flags: [quic], backends: [three, four]}}
- {{address: "{vip6}", port: any, flags: [both-ports], backends: [three, four]}}
- {{address: "2001:db8:99::/48", port: 80, backends: [three, four]}}
- {{address: "2001:db8:99:1::/64", port: any, protocol: udp, backends: [four]}}
sources: {{192.0.2.128/25: two, 192.0.2.200/32: four}}
"""
GUE = "encapsulation: gue\nsource: [10.0.13.37, 'fc00:2307::1337']"
SOURCES = {4: "10.0.13.37", 6: "fc00:2307::1337"}


def configured(more: str = "") -> str:
    return KATRAN.format(more=more, vip=VIP, vip6=VIP6)


MACHINES: dict[str, Any] = {"kernel": Kernel, "interpreter": lambda: Userspace(engine="interpreter"), "jit": Userspace}


@pytest.fixture(scope="module", params=[(machine, kind) for kind in ("ipip", "gue") for machine in ("kernel", "jit")],
                ids=str)
def katran(request: Any) -> Iterator[tuple[Balancer, str]]:
    machine, kind = request.param
    with balancing(configured(GUE if kind == "gue" else ""), MACHINES[machine]()) as made:
        yield made, kind


def ethernet(**more: Any) -> Ethernet:
    return Ethernet(destination=HERE, source="02:00:00:00:00:02", **more)


def to(vip: str, source: str, transport: Any, **more: Any) -> bytes:
    six = ":" in vip
    ip = IPv6(source=source, destination=vip, **more) if six else IPv4(source=source, destination=vip, **more)
    return bytes(ethernet() / ip / transport)


def encapsulated(frame: bytes, kind: str, backend: bytes, sport: int, source: bytes, gue_port: int = 6080) -> bytes:
    """The frame that goes to a backend, built from the facts by the header classes. `source` is the flow's."""
    inner = frame[14:]
    outer6, inner6 = len(backend) == 16, inner[0] >> 4 == 6
    tos = (inner[0] & 15) << 4 | inner[1] >> 4 if inner6 else inner[1]
    if kind == "ipip":
        if outer6:
            last = bytearray(source[-4:])
            last[0] ^= sport >> 8
            last[1] ^= sport & 255
            address = b"\x01" + bytes(11) + bytes(last)
        else:
            address = bytes([172, 16, source[-2] ^ sport & 255, source[-1] ^ sport >> 8])
        return bytes(_outer(address, backend, tos, 41 if inner6 else 4) / inner)
    address = packed(SOURCES[6 if outer6 else 4])
    raw = int.from_bytes(sport.to_bytes(2, "big"), "little")
    word = int.from_bytes(source[-4:], "little")
    if outer6:
        entropy = raw ^ (word & 0xFFFF if inner6 else word >> 16)
    else:
        entropy = sport ^ word >> 16
    port = int.from_bytes(entropy.to_bytes(2, "little"), "big")
    made = bytearray(bytes(_outer(address, backend, tos, 17) / UDP(sport=port, dport=gue_port) / inner))
    start = 14 + (40 if outer6 else 20)
    made[start + 6:start + 8] = katran_checksum(bytes(made), start, inner, outer6, inner6)
    return bytes(made)


def _outer(address: bytes, backend: bytes, tos: int, protocol: int) -> Any:
    if len(backend) == 16:
        ip: Any = IPv6(source=IPv6.Address.from_bytes(address), destination=IPv6.Address.from_bytes(backend),
                       traffic_class=tos, next_header=protocol)
    else:
        ip = IPv4(source=IPv4.Address.from_bytes(address), destination=IPv4.Address.from_bytes(backend), dscp=tos >> 2,
                  ecn=tos & 3, protocol=protocol)
    return Ethernet(destination=ROUTER, source=HERE, protocol=0x86DD if len(backend) == 16 else 0x0800) / ip


def katran_checksum(made: bytes, start: int, inner: bytes, outer6: bool, inner6: bool) -> bytes:
    """UDP's, from the inner headers: the inner transport adds up to the complement of its pseudo-header."""
    if inner6:
        header, pseudo = inner[:40], inner[8:40] + b"\0\0" + inner[4:6] + b"\0\0\0" + inner[6:7]
    else:
        length = int.from_bytes(inner[2:4], "big") - 20
        header, pseudo = inner[:20], inner[12:20] + b"\0" + inner[9:10] + length.to_bytes(2, "big")
    outer = made[26:34] + b"\0\x11" + made[start + 4:start + 6]
    if outer6:
        outer = made[22:54] + b"\0\0" + made[18:20] + b"\0\0\0\x11"
    total = 0xFFFF + _words(header) + _words(made[start:start + 6]) + _words(outer) + 0xFFFF * 64 - _words(pseudo)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")


def _words(data: bytes) -> int:
    return sum(struct.unpack(f">{len(data) // 2}H", data))


def expected(balancer: Balancer, kind: str, frame: bytes, source: str, sport: int, vip: str, dport: int,
             protocol: int) -> bytes:
    found = simulate(balancer.settings, packed(source), sport, packed(vip), dport, protocol)
    assert found.backend is not None and found.vip is not None
    flags = found.vip.flags
    flow = bytes(len(packed(source))) if flags & 8 else packed(source)
    return encapsulated(frame, kind, found.backend.address, 0 if flags & 1 else sport, flow)


def test_the_published_vector(katran: tuple[Balancer, str]) -> None:
    balancer, kind = katran
    assert flow_hash(packed(CLIENT), int.from_bytes(struct.pack(">HH", 40000, 443), "little")) % 65537 == 5755
    frame = to(VIP, CLIENT, TCP(sport=40000, dport=443, ack=1) / b"hello", dscp=11, ecn=2)
    action, data = balancer.send(frame)
    assert action == xdp.TX
    assert data.hex() == expected(balancer, kind, frame, CLIENT, 40000, VIP, 443, 6).hex()
    if kind == "ipip":
        assert data[26:30] == bytes([172, 16, 66, 150])
        assert (data[0:6], data[6:12]) == (bytes.fromhex("0200000000fe"), bytes.fromhex("020000000001"))


PORTS = ((VIP, 443, 6), (VIP, 8443, 6), (VIP, 77, 17), (VIP, 1, 6), (VIP, 2, 6), (VIP, 5, 6), (VIP, 6, 6),
         (VIP6, 443, 6), (VIP6, 444, 6), ("2001:db8:99:2::7", 80, 6), ("2001:db8:99:1::7", 5, 17))


@pytest.mark.parametrize(("vip", "dport", "protocol"), PORTS, ids=str)
def test_random_flows_are_sent_where_the_ring_says(katran: tuple[Balancer, str], vip: str, dport: int,
                                                   protocol: int) -> None:
    balancer, kind = katran
    random = Random(dport)
    for _ in range(40):
        sport = random.randrange(1, 65536)
        source = f"192.0.2.{random.randrange(1, 255)}" if vip == VIP else f"2001:db8:1::{random.randrange(1, 65536):x}"
        transport: Any = TCP(sport=sport, dport=dport, ack=1) if protocol == 6 else UDP(sport=sport, dport=dport)
        frame = to(vip, source, transport / random.randbytes(random.randrange(40)))
        for _ in range(2):  # a new connection, and one that is in the table
            action, data = balancer.send(frame)
            assert (action, data.hex()) == (xdp.TX, expected(balancer, kind, frame, source, sport, vip, dport,
                                                             protocol).hex())


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_quic_packets_go_where_their_connection_id_says(katran: tuple[Balancer, str], vip: str) -> None:
    balancer, kind = katran
    by_id = {each.id: each.address for each in balancer.settings.backends}
    source = CLIENT if vip == VIP else CLIENT6
    ids = {1024: bytes([0x40 | 1024 >> 10, 1024 >> 2 & 255, (1024 & 3) << 6, 9, 9, 9, 9, 9]),
           70000: b"\x80" + (70000).to_bytes(3, "big") + bytes(4), 3735928559: b"\xc0" + b"\xde\xad\xbe\xef" + bytes(3)}
    for number, (server, cid) in enumerate(ids.items()):
        sport = 50000 + number
        short = to(vip, source, UDP(sport=sport, dport=443) / (b"\x40" + cid))
        long = to(vip, source, UDP(sport=sport, dport=443) / (b"\xe0\0\0\0\1\x08" + cid + bytes(9)))
        initial = to(vip, source, UDP(sport=sport, dport=443) / (b"\xc0\0\0\0\1\x08" + cid + bytes(9)))
        for frame in (short, long):
            assert balancer.send(frame) == (xdp.TX, encapsulated(frame, kind, by_id[server], sport, packed(source)))
        # The id's choice is in the table: an initial packet of the same flow follows it.
        assert balancer.send(initial)[1] == encapsulated(initial, kind, by_id[server], sport, packed(source))
    for payload in (b"", b"\x40", b"\x40" + bytes(8), b"\xe0\0\0\0\1\x07" + ids[1024],
                    b"\x40\x80\0\0\1" + bytes(4), b"\xe0\0\0\0\1\x08" + ids[1024][:7]):
        frame = to(vip, source, UDP(sport=51000, dport=443) / payload)
        assert balancer.send(frame) == (xdp.TX, expected(balancer, kind, frame, source, 51000, vip, 443, 17))


def test_stable_udp_names_its_backend(katran: tuple[Balancer, str]) -> None:
    balancer, kind = katran
    for payload, chosen in ((b"\x52" + (70000).to_bytes(3, "big") + bytes(4), "10.20.30.41"),
                            (b"\x52" + (1024).to_bytes(3, "big") + bytes(4), "10.20.30.40")):
        frame = to(VIP, CLIENT, UDP(sport=5, dport=3) / payload)
        assert balancer.send(frame) == (xdp.TX, encapsulated(frame, kind, packed(chosen), 5, packed(CLIENT)))
    for payload in (b"", b"\x51" + bytes(7), b"\x52\0\0\0" + bytes(4), b"\x52\1\0", b"\x52\0\0\x09" + bytes(4)):
        frame = to(VIP, CLIENT, UDP(sport=6, dport=3) / payload)
        assert balancer.send(frame) == (xdp.TX, expected(balancer, kind, frame, CLIENT, 6, VIP, 3, 17))


def test_errors_follow_the_flow_that_they_quote(katran: tuple[Balancer, str]) -> None:
    balancer, kind = katran
    for sport in (40000, 40001, 40002):
        quoted = IPv4(source=VIP, destination=CLIENT) / TCP(sport=443, dport=sport, ack=1)
        frame = to(VIP, "203.0.113.9", ICMP(type=3, code=4, sequence=1400) / quoted)
        found = simulate(balancer.settings, packed(CLIENT), sport, packed(VIP), 443)
        assert found.backend is not None
        assert balancer.send(frame) == (xdp.TX, encapsulated(frame, kind, found.backend.address, sport, packed(CLIENT)))
        quoted6 = IPv6(source=VIP6, destination=CLIENT6) / TCP(sport=443, dport=sport, ack=1)
        frame = to(VIP6, "2001:db8:5::1", ICMPv6(type=2, code=0, sequence=1400) / quoted6)
        found = simulate(balancer.settings, packed(CLIENT6), sport, packed(VIP6), 443)
        assert found.backend is not None
        assert balancer.send(frame) == (xdp.TX, encapsulated(frame, kind, found.backend.address, sport,
                                                             packed(CLIENT6)))


def test_echo_is_answered_for_any_address(katran: tuple[Balancer, str]) -> None:
    balancer, _ = katran
    for body in (b"", b"abcdefgh" * 5):
        frame = to("203.0.113.7", CLIENT, ICMP(type=8, identifier=7, sequence=3) / body, ttl=9)
        action, data = balancer.send(frame)
        reply = bytes(Ethernet(destination="02:00:00:00:00:02", source=HERE)
                      / IPv4(source="203.0.113.7", destination=CLIENT) / ICMP(type=0, identifier=7, sequence=3) / body)
        assert action == xdp.TX and data[:34] == reply[:34] and data[38:] == reply[38:]
        raw = int.from_bytes(frame[36:38], "little") + 8 & 0xFFFF  # no carry, as Katran does it
        assert data[36:38] == raw.to_bytes(2, "little")
        frame = to("2001:db8:7::7", CLIENT6, ICMPv6(type=128, identifier=7, sequence=3) / body, hop_limit=9)
        action, data = balancer.send(frame)
        assert action == xdp.TX and data[54] == 129 and data[21] == 64
        assert (data[22:38], data[38:54]) == (frame[38:54], frame[22:38])
        assert int.from_bytes(data[56:58], "little") == int.from_bytes(frame[56:58], "little") - 1 & 0xFFFF


def test_what_is_dropped_and_what_passes(katran: tuple[Balancer, str]) -> None:
    balancer, _ = katran
    whole = to(VIP, CLIENT, TCP(sport=1, dport=443, ack=1))
    options = bytearray(whole)
    options[14] = 0x46
    cases = [(bytes(options), xdp.DROP), (to(VIP, CLIENT, UDP(dport=443), more_fragments=1), xdp.DROP),
             (to(VIP, CLIENT, UDP(dport=443), fragment_offset=3), xdp.DROP),
             (to(VIP6, CLIENT6, b"12345678", next_header=44), xdp.DROP),
             (to(VIP, CLIENT, b"1234567", protocol=17), xdp.DROP), (to(VIP, CLIENT, bytes(19), protocol=6), xdp.DROP),
             (to(VIP, CLIENT, bytes(7), protocol=1), xdp.DROP),
             (to(VIP, CLIENT, ICMP(type=3, code=1) / bytes(19)), xdp.DROP),
             (to(VIP, CLIENT, ICMP(type=11)), xdp.PASS), (to(VIP, CLIENT, bytes(8), protocol=132), xdp.PASS),
             (to(VIP, CLIENT, TCP(dport=9, ack=1)), xdp.PASS), (to("203.0.113.1", CLIENT, TCP(dport=443)), xdp.PASS),
             (bytes(ethernet(protocol=0x0806)) + bytes(28), xdp.PASS),
             (bytes(ethernet() / Vlan(vid=5) / IPv4(source=CLIENT, destination=VIP) / TCP(dport=443)), xdp.PASS)]
    for frame, action in cases:
        assert balancer.send(frame) == (action, frame)


def test_frames_that_are_too_big_are_answered(katran: tuple[Balancer, str]) -> None:
    balancer, _ = katran
    fits = to(VIP, CLIENT, TCP(sport=9, dport=443, ack=1) / bytes(1460))
    assert len(fits) == 1514 and balancer.send(fits)[0] == xdp.TX
    frame = to(VIP, CLIENT, TCP(sport=9, dport=443, ack=1) / (bytes(range(250)) * 6))
    action, data = balancer.send(frame)
    answer = bytes(Ethernet(destination="02:00:00:00:00:02", source=HERE) / IPv4(source=VIP, destination=CLIENT)
                   / ICMP(type=3, code=4, identifier=0, sequence=1500) / frame[14:98])
    assert (action, data.hex()) == (xdp.TX, answer.hex())
    frame = to(VIP6, CLIENT6, TCP(sport=9, dport=443, ack=1) / (bytes(range(250)) * 6))
    action, data = balancer.send(frame)
    answer = bytes(Ethernet(destination="02:00:00:00:00:02", source=HERE) / IPv6(source=VIP6, destination=CLIENT6)
                   / ICMPv6(type=2, code=0, identifier=0, sequence=1500) / frame[14:262])
    assert (action, data.hex()) == (xdp.TX, answer.hex())
    assert network_sum(data[22:54] + (256).to_bytes(4, "big") + b"\0\0\0\x3a" + data[54:]) == 0


def test_a_new_segment_opens_its_connection_anew_and_resets_are_not_remembered(katran: tuple[Balancer, str]) -> None:
    balancer, _ = katran
    before = balancer.counters()
    for segment in (TCP(syn=1), TCP(ack=1), TCP(syn=1), TCP(rst=1)):
        segment.sport, segment.dport = 7777, 443
        assert balancer.send(to(VIP, CLIENT, segment))[0] == xdp.TX
    assert balancer.send(to(VIP, CLIENT, TCP(sport=7778, dport=443, rst=1)))[0] == xdp.TX
    assert balancer.send(to(VIP, CLIENT, TCP(sport=7778, dport=443, ack=1)))[0] == xdp.TX
    after = balancer.counters()
    assert after["tcp_miss_syn"] - before.get("tcp_miss_syn", 0) == 2
    assert after["tcp_miss_other"] - before.get("tcp_miss_other", 0) == 2
