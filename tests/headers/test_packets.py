"""Headers against scapy: the same bytes out, the same fields in."""
from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.errors import UsageError, WrongType
from bpfwright.headers import (GRE, GUE, ICMP, MPLS, SCTP, TCP, UDP, VXLAN, Arp, Authentication, DestinationOptions,
                               Ethernet, Fragment, Geneve, GeneveOption, HopByHop, ICMPv6, IPv4, IPv4Option, IPv6,
                               IPv6Option, MaximumSegment, Packet, Routing, SackPermitted, TcpOption, Timestamps, Vlan,
                               WindowScale)
from bpfwright.spec.header import Header, Link, children_of, network_sum
from bpfwright.types import L, be16, bits, u8, u16
from bpfwright.types.ctype import RecordType, ctype_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    scapy: Any = import_module("scapy.all")  # its names are made at run time
    from scapy.contrib.geneve import GENEVE, GeneveOptions
    from scapy.contrib.mpls import MPLS as ScapyMPLS

E = Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02")
S = scapy.Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
I4 = IPv4(source="192.0.2.7", destination="198.51.100.9", identification=1)
S4 = scapy.IP(src="192.0.2.7", dst="198.51.100.9", id=1)
I6 = IPv6(source="2001:db8::7", destination="2001:db8:0:1::9")
S6 = scapy.IPv6(src="2001:db8::7", dst="2001:db8:0:1::9")

PAD = [IPv6Option(kind=1, data=bytes(4))]
PAIRS: dict[str, tuple[Packet, Any]] = {
    "tcp": (E / I4 / TCP(sport=1024, dport=80, syn=1) / b"hello",
            S / S4 / scapy.TCP(sport=1024, dport=80, flags="S") / b"hello"),
    "tcp options": (
        E / I4 / TCP(sport=1, dport=2, ack=1, psh=1, sequence=7, acknowledgement=9, window=77, urgent=3, options=[
            MaximumSegment(size=1460), TcpOption(kind=1), WindowScale(shift=7), SackPermitted(),
            Timestamps(value=5, echo=6)]),
        S / S4 / scapy.TCP(sport=1, dport=2, flags="AP", seq=7, ack=9, window=77, urgptr=3, options=[
            ("MSS", 1460), ("NOP", None), ("WScale", 7), ("SAckOK", b""), ("Timestamp", (5, 6))])),
    "tcp flags": (E / I6 / TCP(fin=1, rst=1, urg=1, ece=1, cwr=1, reserved=0),
                  S / S6 / scapy.TCP(sport=0, dport=0, flags="FRUEC")),
    "udp odd": (E / I4 / UDP(sport=53, dport=5353) / b"odd", S / S4 / scapy.UDP(sport=53, dport=5353) / b"odd"),
    "udp6": (E / I6 / UDP(sport=53, dport=9) / b"data", S / S6 / scapy.UDP(sport=53, dport=9) / b"data"),
    "icmp": (E / I4 / ICMP(identifier=3, sequence=4) / b"ping", S / S4 / scapy.ICMP(id=3, seq=4) / b"ping"),
    "icmp6": (E / I6 / ICMPv6(identifier=3, sequence=4) / b"ping",
              S / S6 / scapy.ICMPv6EchoRequest(id=3, seq=4) / b"ping"),
    "vlan": (E / Vlan(vid=100, priority=5) / Vlan(vid=7) / I4 / UDP(),
             S / scapy.Dot1Q(vlan=100, prio=5) / scapy.Dot1Q(vlan=7) / S4 / scapy.UDP(sport=0, dport=0)),
    "arp": (E / Arp(operation=2, sender_mac="02:00:00:00:00:01", sender="192.0.2.1", target="192.0.2.2"),
            S / scapy.ARP(op=2, hwsrc="02:00:00:00:00:01", psrc="192.0.2.1", pdst="192.0.2.2",
                          hwdst="00:00:00:00:00:00")),
    "ip fields": (
        E / IPv4(dscp=10, ecn=1, dont_fragment=1, ttl=3, identification=77, source="1.2.3.4", destination="4.3.2.1",
                 options=[IPv4Option(kind=148, data=b"\0\0")]) / UDP(sport=1, dport=2),
        S / scapy.IP(tos=41, flags="DF", ttl=3, id=77, src="1.2.3.4", dst="4.3.2.1",
                     options=[scapy.IPOption_Router_Alert()]) / scapy.UDP(sport=1, dport=2)),
    "hop by hop": (E / I6 / HopByHop(options=PAD) / UDP(sport=1, dport=2) / b"x",
                   S / S6 / scapy.IPv6ExtHdrHopByHop(options=[scapy.PadN(optdata=bytes(4))]) /
                   scapy.UDP(sport=1, dport=2) / b"x"),
    "chain": (E / I6 / HopByHop(options=PAD) / DestinationOptions(options=PAD) /
              Fragment(identification=5, more_fragments=1) / TCP(dport=22, sport=9),
              S / S6 / scapy.IPv6ExtHdrHopByHop(options=[scapy.PadN(optdata=bytes(4))]) /
              scapy.IPv6ExtHdrDestOpt(options=[scapy.PadN(optdata=bytes(4))]) /
              scapy.IPv6ExtHdrFragment(id=5, m=1) / scapy.TCP(dport=22, sport=9, flags=0)),
    "gre": (E / I4 / GRE(key_present=1, optional=bytes([0, 0, 0, 9])) / I6 / UDP(sport=1, dport=2),
            S / S4 / scapy.GRE(key_present=1, key=9) / S6 / scapy.UDP(sport=1, dport=2)),
    "vxlan": (E / I4 / UDP(sport=4, dport=4789) / VXLAN(vni=0x123456) / E / I4 / TCP(dport=80, sport=20),
              S / S4 / scapy.UDP(sport=4, dport=4789) / scapy.VXLAN(vni=0x123456, flags=8) / S / S4 /
              scapy.TCP(dport=80, sport=20, flags=0)),
    "geneve": (E / I4 / UDP(sport=4) / Geneve(vni=9, options=[GeneveOption(option_class=0x102, type=3, data=b"abcd")])
               / E / I6 / UDP(sport=1, dport=2),
               S / S4 / scapy.UDP(sport=4, dport=6081) /
               GENEVE(vni=9, options=[GeneveOptions(classid=0x102, type=3, data=b"abcd")]) / S / S6 /
               scapy.UDP(sport=1, dport=2)),
    "mpls": (E / MPLS(label=16) / MPLS(label=17, ttl=3, traffic_class=1) / b"inside",
             S / ScapyMPLS(label=16, s=0, ttl=64) / ScapyMPLS(label=17, ttl=3, cos=1, s=1) / b"inside"),
    "sctp": (E / I4 / SCTP(sport=1, dport=2, tag=3) / b"chunks",
             S / S4 / scapy.SCTP(sport=1, dport=2, tag=3) / b"chunks"),
    "ip in ip": (E / I4 / IPv4(source="10.0.0.1", destination="10.0.0.2", identification=1) / UDP(dport=1),
                 S / S4 / scapy.IP(src="10.0.0.1", dst="10.0.0.2", id=1) / scapy.UDP(sport=0, dport=1)),
    "6 in 4": (E / I4 / I6 / ICMPv6(), S / S4 / S6 / scapy.ICMPv6EchoRequest()),
    "icmp error": (E / I4 / ICMP(type=3, code=1) / I4 / UDP(sport=1, dport=2),
                   S / S4 / scapy.ICMP(type=3, code=1) / S4 / scapy.UDP(sport=1, dport=2)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_scapy_makes_the_same_bytes(name: str) -> None:
    ours, theirs = PAIRS[name]
    assert bytes(ours).hex() == bytes(theirs).hex()


@pytest.mark.parametrize("name", PAIRS)
def test_parse_is_the_inverse(name: str) -> None:
    ours, _ = PAIRS[name]
    parsed = Packet.parse(bytes(ours))
    assert [type(h) for h in parsed.headers] == [type(h) for h in ours.headers]
    assert bytes(parsed) == bytes(ours) and parsed == ours and parsed.recomputed() == ours
    assert eval(repr(parsed), globals()) == parsed


def test_fields_of_a_parsed_packet() -> None:
    packet = Packet.parse(bytes(PAIRS["tcp options"][1]))
    tcp, ip = packet.find(TCP), packet.find(IPv4)
    assert tcp is not None and ip is not None and packet.find(UDP) is None
    assert (tcp.sport, tcp.dport, tcp.ack, tcp.psh, tcp.syn, tcp.data_offset) == (1, 2, 1, 1, 0, 10)
    assert ip.source == "192.0.2.7" and ip.total_length == 60 and ip.protocol == 6
    assert [type(o) for o in tcp.options] == [MaximumSegment, TcpOption, WindowScale, SackPermitted, Timestamps]
    stamp = tcp.options[4]
    assert isinstance(stamp, Timestamps) and (stamp.value, stamp.echo) == (5, 6)


def test_match_statement() -> None:
    match Packet.parse(bytes(PAIRS["tcp"][0])).find(TCP):
        case TCP(dport=443):
            pytest.fail("the wrong case")
        case TCP(dport=80, sport=port):
            assert port == 1024
        case _:
            pytest.fail("no case")


def test_what_is_given_stays() -> None:
    packet = E / IPv4(protocol=99, checksum=1, total_length=7, ihl=5) / TCP(checksum=2, data_offset=9)
    data = bytes(packet)
    assert data[14 + 9] == 99 and data[14 + 10:14 + 12] == b"\0\1" and data[14 + 2:14 + 4] == b"\0\7"
    assert data[34 + 12] >> 4 == 9 and data[34 + 16:34 + 18] == b"\0\2"


def test_udp_checksum_is_never_zero() -> None:
    for last in range(0x10000):
        head = IPv4(source="0.0.0.0", destination="0.0.0.0") / UDP(sport=last)
        if network_sum(bytes(8) + bytes([0, 17]) + b"\0\x08" + last.to_bytes(2, "big") + b"\0\0\0\x08\0\0") == 0:
            assert bytes(head)[26:28] == b"\xff\xff"
            return
    pytest.fail("no port gives a zero sum")


def test_padding_of_short_frames_is_kept_apart() -> None:
    data = bytes(E / I4 / UDP(sport=1, dport=2) / b"x")
    packet = Packet.parse(data + bytes(60 - len(data)))
    assert packet.payload == b"x" and len(packet.padding) == 60 - len(data)
    assert bytes(packet) == data.ljust(60, b"\0")


def test_later_fragments_hold_no_header() -> None:
    packet = E / IPv4(fragment_offset=10, protocol=6, more_fragments=1) / bytes(40)
    assert Packet.parse(bytes(packet)).find(TCP) is None
    six = bytes(E / I6 / Fragment(fragment_offset=3, next_header=6) / bytes(40))
    assert Packet.parse(six).find(TCP) is None and Packet.parse(six).find(Fragment) is not None


def test_wrong_order_and_wrong_types() -> None:
    with pytest.raises(UsageError, match="TCP does not follow Ethernet"):
        bytes(Ethernet() / TCP())
    assert len(bytes(Ethernet(protocol=0x1234) / TCP())) == 34
    wrongs: list[Callable[[], Any]] = [
        lambda: TCP(dport=65536), lambda: IPv4(ihl=16), lambda: IPv4(source="1.2.3"), lambda: E / I4 / b"x" / TCP(),
        lambda: TCP(nothing=1), lambda: E / 3, lambda: IPv4(options=bytes(44)) / b""]  # type: ignore[call-arg,operator]
    for wrong in wrongs:
        with pytest.raises(UsageError):
            bytes(wrong())
    with pytest.raises(UsageError):
        UDP().rest = b"x"
    with pytest.raises(UsageError, match="claim"):
        bytes(GRE(key_present=1))
    with pytest.raises(WrongType):
        TCP(options=[IPv4Option()])  # type: ignore[list-item]


def test_gue_and_routing_and_authentication() -> None:
    packet = E / I4 / UDP() / GUE() / I6 / Routing(data=bytes(20)) / Authentication(check=bytes(12)) / UDP()
    parsed = Packet.parse(bytes(packet))
    assert [type(h) for h in parsed.headers] == [type(h) for h in packet.headers]
    gue, routing, check = parsed.find(GUE), parsed.find(Routing), parsed.find(Authentication)
    assert gue is not None and gue.protocol == 41 and parsed.headers[2].dport == 6080  # type: ignore[attr-defined]
    assert routing is not None and routing.length == 2 and routing.next_header == 51
    assert check is not None and check.length == 4 and check.next_header == 17


def test_layout_for_the_compiler() -> None:
    layout = IPv4.__layout__()
    assert (layout.size, layout.align) == (20, 1)
    version, ihl, offset = (layout.fields[name] for name in ("version", "ihl", "fragment_offset"))
    assert (version.offset, version.shift, version.width) == (0, 4, 4) and (ihl.shift, ihl.width) == (0, 4)
    assert (offset.offset, offset.shift, offset.width) == (6, 0, 13) and offset.type.align == 2
    syn, data_offset = TCP.__layout__().fields["syn"], TCP.__layout__().fields["data_offset"]
    assert (syn.offset, syn.shift, syn.width) == (12, 1, 1) and (data_offset.offset, data_offset.shift) == (12, 12)
    assert isinstance(ctype_of(TCP), RecordType) and ctype_of(TCP).size == 20
    assert IPv4.length_rule is not None and IPv4.length_rule[:3] == ("ihl", 4, 0)
    assert any(link.parent is IPv4 and link.values == (6,) for link in TCP.follows)
    assert any(link.parent is Vlan and not link.tunnel for link in Vlan.follows)
    assert TCP.option_list is not None and TCP.option_list.kinds[2] is MaximumSegment
    assert (TCP, TCP.follows[0]) in children_of(IPv4)


def test_a_header_of_ones_own() -> None:
    class Beacon(Header):
        follows = (Link(UDP, "dport", (9999,)),)
        kind: bits[u8, L[3]] = 1
        hops: bits[u8, L[5]] = 0
        number: be16 = 0

    packet = E / I4 / UDP() / Beacon(hops=9, number=77) / b"rest"
    parsed = Packet.parse(bytes(packet))
    beacon = parsed.find(Beacon)
    assert beacon is not None and (beacon.kind, beacon.hops, beacon.number) == (1, 9, 77) and parsed.payload == b"rest"


def test_a_header_that_claims_a_shipped_ones_number() -> None:
    class Rival(Header):
        follows = (Link(Ethernet, "protocol", (0x0800,)),)
        first: u8 = 0
        rest_of_it: be16 = 0

    plain = bytes(E / I4 / UDP() / b"rest")
    assert Packet.parse(plain).find(IPv4) is not None and Packet.parse(plain).find(Rival) is None
    rival = Packet.parse(plain, prefer=[Rival]).find(Rival)
    assert rival is not None and rival.first == 0x45
    made = bytes(E / Rival(first=7))
    assert made[12:15] == b"\x08\0\x07"

    class Own(Header):
        follows = (Link(Ethernet, "protocol", (0x88B5,)),)
        number: be16 = 0

    class Again(Header):  # as a notebook's cell that runs twice
        follows = (Link(Ethernet, "protocol", (0x88B5,)),)
        number: be16 = 0

    assert Packet.parse(bytes(E / Again(number=5))).find(Again) is not None


def test_declarations_that_cannot_be() -> None:
    class Host(Header):
        word: u16 = 0

    class Gap(Header):
        part: bits[u8, L[3]] = 0
        rest_of_it: u8 = 0

    class Open(Header):
        part: bits[u8, L[3]] = 0

    for cls in (Host, Gap, Open):
        with pytest.raises(UsageError):
            cls.__layout__()


@given(st.binary(max_size=200))
def test_any_bytes_parse_and_come_back(data: bytes) -> None:
    assert bytes(Packet.parse(data)) == data


@given(st.sampled_from(sorted(PAIRS)), st.data())
def test_damaged_packets_parse_and_come_back(name: str, data: st.DataObject) -> None:
    whole = bytearray(bytes(PAIRS[name][0]))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(whole[:data.draw(st.integers(0, len(whole)))])
    assert bytes(Packet.parse(cut)) == cut
    repr(Packet.parse(cut))
