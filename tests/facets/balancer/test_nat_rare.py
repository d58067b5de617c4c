"""Translated packets behind VLAN tags, options and extension headers, and in fragments: both ways, on both machines."""
from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from tests.facets.balancer.loaded import Balancer, balancing
from tests.facets.balancer.test_nat import BACKEND, CLIENT, OTHER, OWN, VIP, back, forward, leaving, made, text
from tests.facets.balancer.test_path import MACHINES

from bpfwright.headers import TCP, UDP
from bpfwright.hooks import xdp
from bpfwright.spec.header import network_sum

pytestmark = pytest.mark.kernel

TAG = bytes.fromhex("81000064")
OPTIONS = {4: bytes.fromhex("94040000 01010100"), 6: b""}            # router alert, nothing
HOWS = ("tag", "extra", "tag and extra")


def plain(frame: bytes) -> tuple[bytes, bytes, bytes]:
    """(Ethernet with tag, IP header with what leads to the transport, transport)."""
    at = 18 if frame[12:14] == b"\x81\0" else 14
    if frame[at] >> 4 == 4:
        end = at + (frame[at] & 15) * 4
    else:
        end, following = at + 40, frame[at + 6]
        while following in (0, 60, 44):
            following, end = frame[end], end + (8 if following == 44 else (frame[end + 1] + 1) * 8)
    return frame[:at], frame[at:end], frame[end:]


def protocol_of(ip: bytes) -> int:
    if ip[0] >> 4 == 4:
        return ip[9]
    following, at = ip[6], 40
    while at < len(ip):
        following, at = ip[at], at + (8 if following == 44 else (ip[at + 1] + 1) * 8)
    return following


def ends(frame: bytes) -> tuple[bytes, int, bytes, int]:
    _, ip, transport = plain(frame)
    first, last = (ip[12:16], ip[16:20]) if ip[0] >> 4 == 4 else (ip[8:24], ip[24:40])
    return first, int.from_bytes(transport[:2], "big"), last, int.from_bytes(transport[2:4], "big")


def right(frame: bytes) -> bool:
    """Whether its sums are."""
    _, ip, transport = plain(frame)
    if ip[0] >> 4 == 4 and network_sum(ip) != 0:
        return False
    return whole_sum(ip, transport)


def whole_sum(ip: bytes, transport: bytes) -> bool:
    addresses = ip[12:20] if ip[0] >> 4 == 4 else ip[8:40]
    if protocol_of(ip) == 17 and ip[0] >> 4 == 4 and transport[6:8] == bytes(2):
        return True
    return network_sum(addresses + protocol_of(ip).to_bytes(2, "big") + len(transport).to_bytes(2, "big")
                       + transport) == 0


def header4(ip: bytes, **changed: int) -> bytes:
    """An IPv4 header with other lengths or fragment words, and the right sum."""
    found = bytearray(ip)
    found[0] = 0x40 | len(ip) // 4
    for name, value in changed.items():
        at = {"size": 2, "id": 4, "place": 6}[name]
        found[at:at + 2] = value.to_bytes(2, "big")
    found[10:12] = bytes(2)
    found[10:12] = network_sum(bytes(found)).to_bytes(2, "big")
    return bytes(found)


def shaped(frame: bytes, how: str) -> bytes:
    """The same packet with a tag, with options or extension headers."""
    ethernet, ip, transport = plain(frame)
    if "extra" in how and ip[0] >> 4 == 4:
        ip = header4(ip + OPTIONS[4], size=len(ip) + len(OPTIONS[4]) + len(transport))
    elif "extra" in how:
        options = bytes([60, 0]) + bytes([1, 4]) + bytes(4) + bytes([ip[6], 1, 1, 12]) + bytes(12)
        ip = ip[:4] + (len(options) + len(transport)).to_bytes(2, "big") + b"\0" + ip[7:] + options
    if "tag" in how:
        ethernet = ethernet[:12] + TAG + ethernet[12:]
    return ethernet + ip + transport


def pieces(frame: bytes, size: int, number: int) -> list[bytes]:
    """Its fragments, each with so many bytes behind the headers."""
    ethernet, ip, transport = plain(frame)
    found = []
    for at in range(0, len(transport), size):
        data, more = transport[at:at + size], at + size < len(transport)
        if ip[0] >> 4 == 4:
            head = header4(ip, size=len(ip) + len(data), id=number, place=at // 8 | more << 13)
        else:
            fragment = bytes([ip[6], 0]) + (at | more).to_bytes(2, "big") + number.to_bytes(4, "big")
            head = ip[:4] + (8 + len(data)).to_bytes(2, "big") + b"\x2c" + ip[7:] + fragment
        found.append(ethernet + head + data)
    return found


def joined(found: list[bytes]) -> tuple[bytes, bytes]:
    """(the first one's headers, the whole of what they carry)."""
    assert all(frame[14] >> 4 == 6 or network_sum(plain(frame)[1]) == 0 for frame in found)
    return plain(found[0])[1], b"".join(plain(frame)[2] for frame in found)


def packed(address: str) -> bytes:
    import ipaddress
    return ipaddress.ip_address(address).packed


@pytest.fixture(scope="module", params=[(machine, snat) for machine in ("kernel", "jit") for snat in (False, True)],
                ids=lambda each: f"{each[0]}-{'snat' if each[1] else 'dnat'}")
def translating(request: Any) -> Iterator[tuple[Balancer, bool]]:
    machine, snat = request.param
    with balancing(text(snat, "vlans: true\nnat-timeouts: {tcp-new: 10m, udp-new: 10m}").replace(
            "nat-connections: 64", ""), MACHINES[machine]()) as balancer:
        yield balancer, snat


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("family", [4, 6])
def test_there_and_back(translating: tuple[Balancer, bool], family: int, how: str) -> None:
    balancer, snat = translating
    draw = Random(f"{family}{how}")
    for datagram in (False, True):
        port, inside = (53, 5353) if datagram else (80, 8080)
        for _ in range(10):
            payload, sport = draw.randbytes(draw.randrange(40)), draw.randrange(1024, 60000)
            transport: Any = UDP(sport=sport, dport=port) if datagram else TCP(sport=sport, dport=port, syn=1)
            frame = shaped(made(CLIENT[family], VIP[family], transport / payload), how)
            assert right(frame)
            if datagram and family == 4 and sport % 3 == 0:
                frame = frame[:-len(payload) - 2] + bytes(2) + payload
            there = forward(balancer, frame)
            source, own, destination, dport = ends(there)
            assert right(there) and len(there) == len(frame) and there.endswith(payload)
            assert (destination, dport, source) == (packed(BACKEND[family]), inside,
                                                    packed((OWN if snat else CLIENT)[family]))
            assert protocol_of(plain(there)[1]) == (17 if datagram else 6) and plain(there)[0] == plain(frame)[0]
            answer: Any = UDP(sport=inside, dport=own) if datagram else TCP(sport=inside, dport=own, syn=1, ack=1)
            reply = shaped(made(BACKEND[family], (OWN if snat else CLIENT)[family], answer / payload), how)
            again = back(balancer, reply)
            assert right(again) and ends(again) == (packed(VIP[family]), port, packed(CLIENT[family]), sport)
            # What is like all others goes the same way.
            same = forward(balancer, made(CLIENT[family], VIP[family], transport / payload))
            assert ends(same) == (source, own, destination, dport)


@pytest.mark.parametrize("family", [4, 6])
def test_fragments_follow_their_first(translating: tuple[Balancer, bool], family: int) -> None:
    balancer, snat = translating
    for number, (size, unit) in enumerate(((3000, 1400), (100, 16), (2000, 1048)), 7):
        sport = 2000 + size
        whole = made(CLIENT[family], VIP[family], UDP(sport=sport, dport=53) / Random(size).randbytes(size))
        sent = pieces(whole, unit, number)
        before = balancer.counters()
        got = [forward(balancer, frame) for frame in (sent[0], *sent[:0:-1])]  # the others in any order
        ip, data = joined([got[0], *got[:0:-1]])
        assert whole_sum(ip, data) and data[8:] == plain(whole)[2][8:]
        source, own, destination, dport = ends(got[0])
        assert (destination, dport) == (packed(BACKEND[family]), 5353)
        assert all((plain(each)[1][12:20] if family == 4 else plain(each)[1][8:40]) == source + destination
                   for each in got)
        assert balancer.counters()["nat_fragments"] >= before.get("nat_fragments", 0) + len(sent) - 1
        answer = made(BACKEND[family], (OWN if snat else CLIENT)[family], UDP(sport=5353, dport=own) / data[8:])
        got = [back(balancer, frame) for frame in pieces(answer, unit, number + 100)]
        ip, data = joined(got)
        assert whole_sum(ip, data) and ends(got[0]) == (packed(VIP[family]), 53, packed(CLIENT[family]), sport)
        assert all((plain(each)[1][12:20] if family == 4 else plain(each)[1][8:40])
                   == packed(VIP[family]) + packed(CLIENT[family]) for each in got)


@pytest.mark.parametrize("family", [4, 6])
def test_one_that_comes_before_its_first_is_dropped_and_counted(translating: tuple[Balancer, bool],
                                                                family: int) -> None:
    balancer, _ = translating
    sent = pieces(made(CLIENT[family], VIP[family], UDP(sport=77, dport=53) / bytes(90)), 48, 900)
    before = balancer.counters().get("nat_early", 0)
    assert balancer.send(sent[1]) == (xdp.DROP, sent[1])
    assert balancer.counters()["nat_early"] == before + 1
    assert balancer.send(sent[0])[0] == xdp.PASS and balancer.send(sent[1])[0] == xdp.PASS
    others = pieces(made(CLIENT[family], OTHER[family].replace("80:", "99:").replace(".81", ".99"),
                         UDP(sport=77, dport=53) / bytes(90)), 48, 901)
    for frame in (*others, *reversed(others)):
        assert balancer.send(frame) == (xdp.PASS, frame) and leaving(balancer, frame) == frame


def test_what_is_no_tcp_or_udp_stays_as_it_is(translating: tuple[Balancer, bool]) -> None:
    balancer, _ = translating
    for family in (4, 6):
        frame = made(CLIENT[family], "198.51.100.99" if family == 4 else "2001:db8:99::1", TCP(dport=80, syn=1))
        for how in HOWS:
            assert balancer.send(shaped(frame, how)) == (xdp.PASS, shaped(frame, how))
            assert leaving(balancer, shaped(frame, how)) == shaped(frame, how)
        other = bytearray(shaped(made(CLIENT[family], VIP[family], TCP(dport=80, syn=1)), "extra"))
        ip = plain(bytes(other))[1]
        other[14 + (9 if family == 4 else len(ip) - 16)] = 132  # SCTP
        assert balancer.send(bytes(other))[0] == (xdp.DROP if family == 4 else xdp.PASS)


def test_any_bytes_harm_nobody(translating: tuple[Balancer, bool]) -> None:
    balancer, _ = translating
    draw = Random(3)
    seeds = [shaped(made(CLIENT[family], VIP[family], kind / b"some text"), how) for family in (4, 6)
             for kind in (TCP(sport=9, dport=80, syn=1), UDP(sport=9, dport=53)) for how in HOWS]
    seeds += [frame for family in (4, 6)
              for frame in pieces(made(CLIENT[family], VIP[family], UDP(dport=53) / bytes(99)), 40, 3)]
    assert balancer.egress is not None
    for _ in range(400):
        frame = bytearray(draw.choice(seeds))
        for _ in range(draw.randrange(4)):
            frame[draw.randrange(12, len(frame))] = draw.randrange(256)
        cut = bytes(frame[:draw.randrange(14, len(frame) + 1)])
        action, data = balancer.send(cut)
        assert action in (xdp.PASS, xdp.DROP, xdp.TX)
        balancer.egress.test_run(data.ljust(60, b"\0"), repeat=1)
