"""What is not Katran's: VLAN tags, right checksums, other traffic left alone, limits; TPR, floods; frames of all kinds
on both machines."""
from __future__ import annotations

from random import Random
from typing import Any

import pytest
from tests.facets.balancer.loaded import balancing, packed
from tests.facets.balancer.test_path import (CLIENT, CLIENT6, GUE, KATRAN, MACHINES, VIP, VIP6, configured,
                                             encapsulated, ethernet, to)

from bpfwright.facets.balancer.sets import LAYOUT4, entries_of
from bpfwright.facets.balancer.simulate import simulate
from bpfwright.headers import GRE, ICMP, TCP, UDP, HopByHop, ICMPv6, IPv4, IPv6, Vlan
from bpfwright.hooks import xdp
from bpfwright.kernel import Kernel
from bpfwright.spec.header import network_sum
from bpfwright.userspace import Userspace

pytestmark = pytest.mark.kernel

OWN = KATRAN.replace("hash: katran", "hash: maglev").format(more="{more}", vip=VIP, vip6=VIP6)


def own(more: str) -> str:
    return OWN.replace("{more}", more)


def transport_sum(packet: bytes) -> int:
    """What a datagram or segment with its pseudo-header adds up to: 0 when its checksum is right."""
    if packet[0] >> 4 == 4:
        return network_sum(packet[12:20] + b"\0" + packet[9:10] + (len(packet) - 20).to_bytes(2, "big") + packet[20:])
    return network_sum(packet[8:40] + (len(packet) - 40).to_bytes(4, "big") + b"\0\0\0" + packet[6:7] + packet[40:])


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_gue_checksums_are_right_for_what_is_inside(machine: str) -> None:
    with balancing(own(GUE), MACHINES[machine]()) as made:
        inside = [to(VIP, CLIENT, TCP(sport=9, dport=443, ack=1) / b"odd"), to(VIP, CLIENT, UDP(sport=9, dport=443)),
                  to(VIP6, CLIENT6, TCP(sport=9, dport=443, ack=1) / b"even"),
                  to(VIP, CLIENT, TCP(sport=9, dport=8443, ack=1) / b"odd"),
                  to(VIP, "203.0.113.9", ICMP(type=3, code=4) / IPv4(source=VIP, destination=CLIENT)
                     / UDP(sport=443, dport=9)),
                  to(VIP6, "2001:db8:5::1", ICMPv6(type=2) / IPv6(source=VIP6, destination=CLIENT6)
                     / TCP(sport=443, dport=9, ack=1))]
        for frame in inside:
            action, data = made.send(frame)
            assert action == xdp.TX and transport_sum(data[14:]) == 0
            assert data.endswith(frame[14:])


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_other_traffic_is_left_alone(machine: str) -> None:
    with balancing(own("vlans: true"), MACHINES[machine]()) as made:
        other = "203.0.113.77"
        for frame in (to(other, CLIENT, ICMP(type=8)), to(other, CLIENT, UDP(dport=443), more_fragments=1),
                      to("2001:db8:5::5", CLIENT6, ICMPv6(type=128)),
                      to("2001:db8:5::5", CLIENT6, b"12345678", next_header=44),
                      to(other, CLIENT, ICMP(type=3, code=1) / bytes(40))):
            assert made.send(frame) == (xdp.PASS, frame)
        assert made.send(to(VIP, CLIENT, ICMP(type=8, identifier=1) / b"abc"))[0] == xdp.TX
        assert made.send(to(VIP, CLIENT, UDP(dport=443), fragment_offset=9))[0] == xdp.DROP
        reply = made.send(to(VIP6, CLIENT6, ICMPv6(type=128, identifier=0xFFFF, sequence=0xFFFE) / b"q"))[1]
        assert transport_sum(reply[14:]) == 0


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_vlan_tags_stay_with_their_frames(machine: str) -> None:
    with balancing(own("vlans: true"), MACHINES[machine]()) as made:
        for vip, source, ip in ((VIP, CLIENT, IPv4), (VIP6, CLIENT6, IPv6)):
            segment: Any = ip(source=source, destination=vip) / TCP(sport=7, dport=443, ack=1) / b"tagged"
            plain = bytes(ethernet() / segment)
            tagged = bytes(ethernet() / Vlan(vid=123, priority=3) / segment)
            action, untagged = made.send(plain)
            assert action == xdp.TX
            action, data = made.send(tagged)
            assert action == xdp.TX and data[:12] == untagged[:12] and data[12:16] == tagged[12:16]
            assert data[16:] == untagged[12:]
        segment = IPv4(source=CLIENT, destination=VIP) / TCP(dport=443, ack=1) / bytes(1460)
        big = bytes(ethernet() / Vlan(vid=5) / segment)
        action, data = made.send(big)
        assert action == xdp.TX and data[14:18] == big[14:18] and data[38] == 3
        assert int.from_bytes(data[44:46], "big") == 1500 - 40  # what fits once the tunnel's header is around it


def test_limits_follow_the_mtu() -> None:
    with balancing(own("mtu: 9000\ntoo-big: false"), Kernel()) as made:
        assert made.send(to(VIP, CLIENT, TCP(dport=443, ack=1) / bytes(2000)))[0] == xdp.TX
    with balancing(own("too-big: false"), Kernel()) as made:
        assert made.send(to(VIP, CLIENT, TCP(dport=443, ack=1) / bytes(1460)))[0] == xdp.DROP


def option(number: int, before: bytes = b"", size: int = 6) -> bytes:
    whole = before + bytes([0xB7, size]) + number.to_bytes(4, "little")
    return whole + b"\1" * (-len(whole) % 4)


@pytest.mark.parametrize("machine", ["kernel", "jit"])
@pytest.mark.parametrize(("vip", "source"), [(VIP, CLIENT), (VIP6, CLIENT6)])
def test_segments_that_name_their_server(machine: str, vip: str, source: str) -> None:
    with balancing(configured("tcp-server-ids: true"), MACHINES[machine]()) as made:
        by_id = {each.id: each.address for each in made.settings.backends}
        for sport, options in enumerate((option(1024), option(1024, b"\1\1"), option(1024, b"\2\4\5\xb4"),
                                         option(1024, b"\1" * 14)), 1000):
            frame = to(vip, source, TCP(sport=sport, dport=443, ack=1, options=options))
            wanted = encapsulated(frame, "ipip", by_id[1024], sport, packed(source))
            assert made.send(frame) == (xdp.TX, wanted)
            plain = to(vip, source, TCP(sport=sport, dport=443, ack=1))  # it is in the table now
            assert made.send(plain)[1] == encapsulated(plain, "ipip", by_id[1024], sport, packed(source))
            moved = to(vip, source, TCP(sport=sport, dport=443, ack=1, options=option(70000)))
            assert made.send(moved)[1] == encapsulated(moved, "ipip", by_id[70000], sport, packed(source))
        others = (option(99), option(1024, size=5), option(1024, b"\0"), option(1024, b"\1" * 15),
                  option(1024, b"\3\50"), option(0), b"\1\1\1\1")
        for sport, options in enumerate(others, 2000):
            frame = to(vip, source, TCP(sport=sport, dport=443, ack=1, options=options))
            found = simulate(made.settings, packed(source), sport, packed(vip), 443)
            assert found.backend is not None
            assert made.send(frame)[1] == encapsulated(frame, "ipip", found.backend.address, sport, packed(source))
        syn = to(vip, source, TCP(sport=1000, dport=443, syn=1, options=option(70000)))
        found = simulate(made.settings, packed(source), 1000, packed(vip), 443)
        assert found.backend is not None
        assert made.send(syn)[1] == encapsulated(syn, "ipip", found.backend.address, 1000, packed(source))
        counted = made.counters()
        assert counted["tpr_by_id"] == 8 and counted["tpr_syn"] == 1 and counted["tpr_table_changed"] == 4


def test_under_a_flood_new_connections_are_not_remembered() -> None:
    with balancing(own("flood: 100"), Kernel()) as made:
        for number in range(150):
            assert made.send(to(VIP, CLIENT, TCP(sport=1000 + number, dport=443, syn=1)))[0] == xdp.TX
        counted = made.counters()
        assert 0 < counted["flooded"] <= 50
        with made.maps(made.tables.connections4).handle.map_values() as memory:
            known = sum(1 for _ in entries_of(bytes(memory.view), LAYOUT4))
        assert known == 150 - counted["flooded"]


def test_datagrams_are_forgotten_after_their_time() -> None:
    machine = Userspace()
    more = "udp-timeout: 30s"
    with balancing(own(more).replace("two, 10.20.30.42", "two"), machine) as made:
        frame = to(VIP, CLIENT, UDP(sport=4242, dport=77))
        _, first = made.send(frame)
        sends_elsewhere = own(more).replace("port: any, protocol: udp, backends: [one, two]",
                                            "port: any, protocol: udp, backends: [four]")
        made.refill(sends_elsewhere)
        for _ in range(4):  # each time it is seen, it has its time again
            machine.now_ns += 29 * 10**9
            assert made.send(frame)[1] == first
        machine.now_ns += 31 * 10**9
        assert made.send(frame)[1] != first


BASES: list[Any] = [
    to(VIP, CLIENT, TCP(sport=9, dport=443, ack=1, options=option(1024)) / b"data"),
    to(VIP, CLIENT, UDP(dport=443) / (b"\x40" + bytes(20))),
    to(VIP6, CLIENT6, TCP(dport=443, syn=1)), to(VIP6, CLIENT6, UDP(dport=443) / bytes(20)),
    to(VIP, CLIENT, ICMP(type=8) / b"x"), to(VIP6, CLIENT6, ICMPv6(type=128) / b"x"),
    to(VIP, CLIENT, ICMP(type=3, code=4) / IPv4(source=VIP, destination=CLIENT) / TCP(sport=443, dport=5)),
    to(VIP6, CLIENT6, ICMPv6(type=2) / IPv6(source=VIP6, destination=CLIENT6) / UDP(sport=443, dport=5)),
    bytes(ethernet() / Vlan(vid=2) / IPv4(source=CLIENT, destination=VIP) / TCP(dport=443)),
    bytes(ethernet() / Vlan(vid=2) / Vlan(vid=3) / IPv6(source=CLIENT6, destination=VIP6) / TCP(dport=443)),
    bytes(ethernet() / IPv6(source=CLIENT6, destination=VIP6) / HopByHop() / TCP(dport=443)),
    bytes(ethernet() / IPv4(source=CLIENT, destination=VIP) / GRE() / IPv4() / UDP()),
    to(VIP, CLIENT, TCP(dport=443, ack=1) / bytes(1470)), to(VIP6, CLIENT6, TCP(dport=443, ack=1) / bytes(1470))]


@pytest.mark.parametrize("more", ["hash: katran\ntcp-server-ids: true", f"hash: katran\n{GUE}", "vlans: true",
                                  f"vlans: true\ntcp-server-ids: true\n{GUE}"], ids=["katran", "gue", "own", "own gue"])
def test_broken_frames_end_alike_on_both_machines(more: str) -> None:
    text = KATRAN.replace("hash: katran\n", "").format(more=more, vip=VIP, vip6=VIP6)
    random = Random(7)
    with balancing(text, Kernel()) as kernel, balancing(text, Userspace()) as userspace:
        for _ in range(700):
            frame = bytearray(random.choice(BASES))
            for _ in range(random.choice((0, 1, 1, 2, 5))):
                at = random.randrange(12, min(len(frame), 100))
                frame[at] = random.choice((0, 1, 0x45, 0x60, 0xFF, 6, 17, frame[at] ^ 1 << random.randrange(8)))
            if random.random() < 0.4:
                del frame[random.randrange(14, len(frame)):]
            assert kernel.send(frame) == userspace.send(frame), bytes(frame).hex()
        assert kernel.counters() == userspace.counters()


