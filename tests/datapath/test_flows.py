"""Flows by what their packets are, in both machines."""
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bpfwright.datapath.facet import Hooked, Part
from bpfwright.datapath.flows import BEGUN, ESTABLISHED, INVALID, NEW, RELATED, UNTRACKED, Flow, Flows, Timeouts
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.datapath.stage import Stage, accept, drop
from bpfwright.headers import ICMP, TCP, UDP, Arp, Ethernet, Fragment, ICMPv6, IPv4, IPv6

A, B, A6, B6 = "192.0.2.9", "192.0.2.2", "2001:db8::9", "2001:db8::2"


class Table:
    def __init__(self, machine: Any, **options: Any) -> None:
        self.flows = Flows.of(**options)
        state, remember = self.flows.state, self.flows.remember

        def look(ctx: Any, packet: Any) -> Any:
            said = state(ctx, packet)
            if said == NEW and not remember(packet):
                return drop(0)
            return accept(said)

        stage = Stage("look", look, frozenset({"network", "transport"}),
                      ("untracked", "new", "established", "related", "invalid", "begun"))
        self.generation = Generation.load(plan_of({"x": Part([Hooked("lo", "xdp", stage)])}), machine)
        self.counts = [0] * 7

    def say(self, *packets: Any) -> list[int]:
        said = []
        for packet in packets:
            self.generation.session.test(packet)  # type: ignore[attr-defined]
            counts = [each.packets for each in self.generation.counted()]
            (number,) = (at for at, (new, old) in enumerate(zip(counts, self.counts, strict=True)) if new != old)
            said.append(number - 1)
            self.counts = counts
        return said

    def entries(self) -> list[Any]:
        return [value for _, value in self.generation.maps(self.flows.table).items()]


@pytest.fixture
def table(machine: Any) -> Iterator[Table]:
    made = Table(machine, max_entries=1000)
    yield made
    made.generation.close()


def ip(there: bool, six: bool = False) -> Any:
    if six:
        return Ethernet() / (IPv6(source=A6, destination=B6) if there else IPv6(source=B6, destination=A6))
    return Ethernet() / (IPv4(source=A, destination=B) if there else IPv4(source=B, destination=A))


def tcp(there: bool, six: bool = False, **flags: Any) -> Any:
    return ip(there, six) / (TCP(sport=5000, dport=443, **flags) if there else TCP(sport=443, dport=5000, **flags))


def udp(there: bool, six: bool = False) -> Any:
    return ip(there, six) / (UDP(sport=5000, dport=53) if there else UDP(sport=53, dport=5000))


@pytest.mark.parametrize("six", [False, True])
@pytest.mark.parametrize("first", [True, False], ids=["low to high", "high to low"])
def test_a_connection(table: Table, six: bool, first: bool) -> None:
    other = not first
    assert table.say(tcp(first, six, syn=1), tcp(first, six, syn=1)) == [NEW, BEGUN]
    assert table.say(tcp(other, six, syn=1, ack=1), tcp(first, six, ack=1), tcp(other, six, ack=1, psh=1)) == [
        ESTABLISHED] * 3
    (entry,) = table.entries()
    assert (entry.sent_packets, entry.got_packets) == (3, 2)  # a repeated SYN is one more
    size = 60 if six else 40
    assert (entry.sent_bytes, entry.got_bytes) == (3 * size, 2 * size)


def test_ports_are_used_again_after_an_end(table: Table) -> None:
    assert table.say(tcp(True, syn=1), tcp(False, syn=1, ack=1), tcp(True, ack=1, fin=1), tcp(False, ack=1, fin=1),
                     tcp(True, ack=1)) == [NEW] + [ESTABLISHED] * 4
    assert table.say(tcp(True, syn=1), tcp(False, syn=1, ack=1)) == [NEW, ESTABLISHED]


def test_a_packet_whose_clock_was_read_before_the_last_one_s(table: Table) -> None:
    """As when another CPU has judged a later packet of the flow meanwhile."""
    assert table.say(tcp(True, syn=1), tcp(False, syn=1, ack=1)) == [NEW, ESTABLISHED]
    flows = table.generation.maps(table.flows.table)
    ((key, flow),) = flows.items()
    flows[key] = Flow(flow.last_ns + 1_000_000_000, flow.sent_packets, flow.sent_bytes, flow.got_packets,
                      flow.got_bytes, flow.flags, 0)
    assert table.say(tcp(True, ack=1), tcp(False, ack=1)) == [ESTABLISHED] * 2


def test_what_cannot_begin_a_flow(table: Table) -> None:
    assert table.say(tcp(True, ack=1), tcp(True, rst=1), tcp(True), tcp(True, syn=1, ack=1),
                     ip(True) / ICMP(type=0, identifier=5), ip(True) / ICMP(type=14),
                     ip(True, True) / ICMPv6(type=129)) == [INVALID] * 7
    assert table.entries() == []
    assert table.say(ip(True) / ICMP(type=13, identifier=1), ip(True) / ICMP(type=15, identifier=2),
                     ip(True) / ICMP(type=17, identifier=3), ip(True, True) / ICMPv6(type=139)) == [NEW] * 4


def test_what_belongs_to_the_link(table: Table) -> None:
    """Listeners, neighbours and routers: of no flow, and not invalid."""
    kinds = (130, 131, 132, 133, 134, 135, 136, 143, 151)
    assert table.say(*(ip(True, True) / ICMPv6(type=kind) for kind in kinds)) == [UNTRACKED] * len(kinds)
    assert table.say(*(ip(True, True) / ICMPv6(type=kind) for kind in (137, 141, 144))) == [INVALID] * 3
    assert table.entries() == []


@pytest.mark.parametrize("six", [False, True])
def test_datagrams_and_echoes(table: Table, six: bool) -> None:
    said = table.say(udp(True, six), udp(True, six), udp(False, six), udp(True, six))
    assert said == [NEW, BEGUN, ESTABLISHED, ESTABLISHED]
    echo: Any = ICMPv6 if six else ICMP
    ask, answer = (128, 129) if six else (8, 0)
    assert table.say(ip(True, six) / echo(type=ask, identifier=7), ip(False, six) / echo(type=answer, identifier=7),
                     ip(False, six) / echo(type=answer, identifier=8)) == [NEW, ESTABLISHED, INVALID]


def test_errors_about_known_flows(table: Table) -> None:
    router = Ethernet() / IPv4(source="10.0.0.1", destination=A)
    about = IPv4(source=A, destination=B) / UDP(sport=5000, dport=53)
    assert table.say(router / ICMP(type=3, code=3) / about) == [INVALID]
    assert table.say(udp(True)) == [NEW]
    for type, code in ((3, 3), (3, 4), (11, 0), (12, 0)):
        assert table.say(router / ICMP(type=type, code=code) / about) == [RELATED]
    other = IPv4(source=A, destination=B) / UDP(sport=5001, dport=53)
    assert table.say(router / ICMP(type=3, code=3) / other) == [INVALID]
    cut = bytes(router / ICMP(type=3, code=3) / about)[:14 + 20 + 8 + 20 + 3]
    assert table.say(cut) == [INVALID]
    echo = IPv4(source=A, destination=B) / ICMP(type=8, identifier=70)
    assert table.say(Ethernet() / echo, router / ICMP(type=11) / echo) == [NEW, RELATED]
    assert table.say(udp(True, True)) == [NEW]
    router6 = Ethernet() / IPv6(source="2001:db8:1::1", destination=A6)
    about6 = IPv6(source=A6, destination=B6) / UDP(sport=5000, dport=53)
    assert table.say(router6 / ICMPv6(type=2) / about6, router6 / ICMPv6(type=1) / about6) == [RELATED, RELATED]


def test_what_has_no_flow(table: Table) -> None:
    assert table.say(Ethernet() / Arp(), Ethernet() / IPv4(source=A, destination=B, fragment_offset=9, protocol=17) /
                     b"12345678", ip(True, True) / Fragment(fragment_offset=9, next_header=17) / b"12345678",
                     bytes(udp(True))[:37]) == [UNTRACKED] * 4


def test_other_protocols_by_their_ends(table: Table) -> None:
    assert table.say(ip(True) / IPv4(source="10.0.0.1"), ip(False) / IPv4(source="10.0.0.2")) == [NEW, ESTABLISHED]


@pytest.mark.kernel
def test_idle_flows_are_forgotten() -> None:
    import time

    from bpfwright.kernel import Kernel
    with Kernel() as kernel:
        table = Table(kernel, max_entries=10, timeouts=Timeouts(udp_new=0.4, tcp_closing=0.05, tcp=0.6, udp=0.3))
        with table.generation:
            assert table.say(udp(True)) == [NEW]
            time.sleep(0.45)
            assert table.say(udp(False), udp(True)) == [NEW, ESTABLISHED]  # who speaks first now is the originator
            assert table.say(tcp(True, syn=1), tcp(False, syn=1, ack=1), tcp(True, rst=1)) == [NEW] + [ESTABLISHED] * 2
            time.sleep(0.06)
            assert table.say(tcp(True, ack=1)) == [INVALID]
            time.sleep(0.3)
            assert table.say(udp(False)) == [NEW]


def test_a_full_table_forgets_the_oldest(machine: Any) -> None:
    table = Table(machine, max_entries=100)
    with table.generation:
        for number in range(400):
            packet = Ethernet() / IPv4(source=A, destination=B) / UDP(sport=number + 1, dport=53)
            assert table.say(packet) == [NEW]
        assert 50 <= len(table.entries()) <= 100
