"""What one parse finds in packets of every kind, on both machines."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright import Struct, load
from bpfwright.datapath.parsed import FIRST_FRAGMENT, LATER_FRAGMENT, NEEDS, NO_VLAN, Parsed, empty, parser_of
from bpfwright.errors import UsageError
from bpfwright.headers import (ICMP, TCP, UDP, Arp, DestinationOptions, Ethernet, Fragment, HopByHop, ICMPv6, IPv4,
                               IPv6, Routing, Vlan)
from bpfwright.hooks import tc, xdp
from bpfwright.maps import Array
from bpfwright.spec.machine import Machine
from bpfwright.userspace import Userspace

found = Array[Parsed](max_entries=1)
parse = parser_of(frozenset(NEEDS))


@xdp.program
def at_xdp(ctx: xdp.Context) -> xdp.Action:
    packet = empty()
    parse(ctx, packet)
    found[0] = packet
    return xdp.PASS


@tc.program
def at_tc(ctx: tc.Context) -> tc.Action:
    packet = empty()
    parse(ctx, packet)
    found[0] = packet
    return tc.NEXT


class Reader:
    def __init__(self, machine: Machine | None, program: Any) -> None:
        self.session = load(program, machine=machine)
        self.least = 54 if program is at_tc else 15  # the kernel's own test run of tc wants whole IP headers

    def __call__(self, packet: Any) -> dict[str, int]:
        self.session.test(packet)
        record: Struct = self.session[found][0]
        return {name: getattr(record, name) for name in Parsed.__layout__().fields}


@pytest.fixture(scope="module", params=[pytest.param(("xdp", False), marks=pytest.mark.userspace),
                                        pytest.param(("xdp", True), marks=pytest.mark.kernel),
                                        pytest.param(("tc", True), marks=pytest.mark.kernel)], ids=str)
def reader(request: pytest.FixtureRequest) -> Iterator[Reader]:
    hook, in_kernel = request.param
    made = Reader(None if in_kernel else Userspace(), at_xdp if hook == "xdp" else at_tc)
    yield made
    made.session.close()


ETHER = Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02")
V4 = IPv4(source="192.0.2.1", destination="198.51.100.2", ttl=9, dscp=10, ecn=1)
V6 = IPv6(source="2001:db8::1", destination="2001:db8::2", hop_limit=7, traffic_class=0xB8 | 2)
MAPPED = 0xFFFF << 32
BASE = {"source_mac": 0x020000000001, "destination_mac": 0x020000000002, "vlan": NO_VLAN}
OF_V4 = {**BASE, "ethertype": 0x800, "family": 4, "source_low": MAPPED | 0xC0000201,
         "destination_low": MAPPED | 0xC6336402, "ttl": 9, "dscp": 10, "ecn": 1, "network_offset": 14}
OF_V6 = {**BASE, "ethertype": 0x86DD, "family": 6, "source_high": 0x20010DB8 << 32, "source_low": 1,
         "destination_high": 0x20010DB8 << 32, "destination_low": 2, "ttl": 7, "dscp": 46, "ecn": 2,
         "network_offset": 14}
PORTS = {"source_port": 1000, "destination_port": 443}

PACKETS: list[tuple[str, Any, dict[str, int]]] = [
    ("tcp", ETHER / V4 / TCP(sport=1000, dport=443, syn=1, ece=1),
     {**OF_V4, **PORTS, "protocol": 6, "tcp_flags": 0x42, "length": 40, "transport_offset": 34}),
    ("every flag", ETHER / V4 / TCP(sport=1000, dport=443, fin=1, rst=1, psh=1, ack=1, urg=1, cwr=1),
     {**OF_V4, **PORTS, "protocol": 6, "tcp_flags": 0xBD, "length": 40, "transport_offset": 34}),
    ("udp6", ETHER / V6 / UDP(sport=1000, dport=443),
     {**OF_V6, **PORTS, "protocol": 17, "length": 48, "transport_offset": 54}),
    ("ping", ETHER / V4 / ICMP(type=8, code=1, identifier=77),
     {**OF_V4, "protocol": 1, "type": 8, "code": 1, "source_port": 77, "length": 28, "transport_offset": 34}),
    ("ping6", ETHER / V6 / ICMPv6(type=128, code=2, identifier=78),
     {**OF_V6, "protocol": 58, "type": 128, "code": 2, "source_port": 78, "length": 48, "transport_offset": 54}),
    ("vlan", ETHER / Vlan(vid=100) / Vlan(vid=200) / V4 / UDP(sport=1000, dport=443),
     {**OF_V4, **PORTS, "vlan": 100, "protocol": 17, "length": 28, "network_offset": 22, "transport_offset": 42}),
    ("first fragment", ETHER / IPv4(source="192.0.2.1", destination="198.51.100.2", ttl=9, dscp=10, ecn=1,
                                    more_fragments=1) / UDP(sport=1000, dport=443),
     {**OF_V4, **PORTS, "protocol": 17, "fragment": FIRST_FRAGMENT, "length": 28, "transport_offset": 34}),
    ("later fragment", ETHER / IPv4(source="192.0.2.1", destination="198.51.100.2", ttl=9, dscp=10, ecn=1,
                                    fragment_offset=3, protocol=17) / b"12345678",
     {**OF_V4, "protocol": 17, "fragment": LATER_FRAGMENT, "length": 28}),
    ("first fragment 6", ETHER / V6 / Fragment(more_fragments=1) / UDP(sport=1000, dport=443),
     {**OF_V6, **PORTS, "protocol": 17, "fragment": FIRST_FRAGMENT, "length": 56, "transport_offset": 62}),
    ("later fragment 6", ETHER / V6 / Fragment(fragment_offset=2, next_header=17) / b"12345678",
     {**OF_V6, "protocol": 17, "fragment": LATER_FRAGMENT, "length": 56}),
    ("extensions", ETHER / V6 / HopByHop() / Routing() / DestinationOptions() / TCP(sport=1000, dport=443, ack=1),
     {**OF_V6, **PORTS, "protocol": 6, "tcp_flags": 16, "length": 84, "transport_offset": 78}),
    ("other protocol", ETHER / IPv4(source="192.0.2.1", destination="198.51.100.2", ttl=9, dscp=10, ecn=1, protocol=50)
     / b"1234", {**OF_V4, "protocol": 50, "length": 24}),
    ("arp", ETHER / Arp(), {**BASE, "ethertype": 0x806}),
    ("tagged arp", ETHER / Vlan(vid=5) / Arp(), {**BASE, "ethertype": 0x806, "vlan": 5}),
]


@pytest.mark.parametrize(("packet", "wanted"), [(packet, wanted) for _, packet, wanted in PACKETS],
                         ids=[name for name, _, _ in PACKETS])
def test_what_stands_in_a_packet(reader: Reader, packet: Any, wanted: dict[str, int]) -> None:
    said = reader(packet)
    assert said == {**dict.fromkeys(said, 0), **wanted}


@pytest.mark.parametrize("name", ["tcp", "udp6", "ping", "vlan", "extensions", "first fragment"])
def test_what_is_cut_off_is_said(reader: Reader, name: str) -> None:
    packet, wanted = next((packet, wanted) for known, packet, wanted in PACKETS if known == name)
    data = bytes(packet)
    least = {6: 20, 17: 8, 1: 8, 58: 8}[wanted["protocol"]]
    for length in range(reader.least, wanted["transport_offset"] + least):
        said = reader(data[:length])
        behind_tags = wanted["vlan"] != NO_VLAN and length < 42  # of two tags only the first one's announcement is read
        assert said["malformed"] == (not behind_tags), (length, said)
        assert not said["destination_port"]
    assert not reader(data)["malformed"]


@pytest.fixture(scope="module")
def engines() -> Iterator[list[Reader]]:
    made = [Reader(machine, at_xdp) for machine in (Userspace(), Userspace(engine="interpreter"))]
    yield made
    for each in made:
        each.session.close()


@pytest.mark.userspace
@settings(max_examples=300, deadline=None)
@given(data=st.binary(min_size=14, max_size=120))
def test_noise_is_read_alike(engines: list[Reader], data: bytes) -> None:
    """Interpreter and native code agree on frames of any bytes, and nothing faults."""
    with_types = data[:12] + (b"\x08\x00" if data[0] & 1 else b"\x86\xdd") + data[14:]
    for frame in (data, with_types):
        assert engines[0](frame) == engines[1](frame)


def test_what_nobody_needs_is_not_parsed() -> None:
    with pytest.raises(UsageError, match="no parse gives payload"):
        parser_of(frozenset({"payload"}))
    assert parser_of(frozenset()) is not None
