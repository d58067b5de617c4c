"""Translation packet by packet, on both machines: there and back, all sums, ports, errors, ends, full tables."""
from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.facets.balancer.loaded import Balancer, balancing
from tests.facets.balancer.test_path import MACHINES, to

from bpfwright.errors import ConfigurationError
from bpfwright.headers import ICMP, TCP, UDP, ICMPv6, IPv4, IPv6
from bpfwright.hooks import xdp
from bpfwright.spec.header import network_sum
from bpfwright.spec.packet import Packet
from bpfwright.userspace import Userspace

pytestmark = pytest.mark.kernel

CLIENT, VIP, OTHER, BACKEND, OWN = (
    {4: "203.0.113.5", 6: "2001:db8:5::5"}, {4: "198.51.100.80", 6: "2001:db8:80::80"},
    {4: "198.51.100.81", 6: "2001:db8:80::81"}, {4: "10.0.0.1", 6: "2001:db8:9::1"},
    {4: "192.0.2.1", 6: "2001:db8::1"})


_SYN: dict[Any, dict[str, int]] = {UDP: {}, TCP: {"syn": 1}}


def text(snat: bool = False, more: str = "") -> str:
    vips = "".join(
        f"- {{address: '{address}', port: {port}, protocol: {protocol}, mode: nat, snat: {str(snat).lower()}, "
        f"backends: [{{backend: '{BACKEND[family]}', port: {inside}}}]}}\n"
        for family in (4, 6) for address in (VIP[family], OTHER[family])
        for protocol, port, inside in (("tcp", 80, 8080), ("udp", 53, 5353)))
    source = f"source: [{OWN[4]}, '{OWN[6]}']\n" if snat else ""
    return f"{source}nat-connections: 64\n{more}\nvips:\n{vips}"


def sums(frame: bytes) -> bool:
    """Whether the checksums of a frame are right: IPv4's, and the transport's."""
    packet = frame[14:]
    if packet[0] >> 4 == 4:
        pseudo = packet[12:20] + b"\0" + packet[9:10] + (len(packet) - 20).to_bytes(2, "big")
        inside = packet[20:]
        if network_sum(packet[:20]) != 0:
            return False
        if packet[9] == 1:
            return network_sum(inside) == 0
        if packet[9] == 17 and inside[6:8] == bytes(2):
            return True
        return network_sum(pseudo + inside) == 0
    return network_sum(packet[8:40] + (len(packet) - 40).to_bytes(4, "big") + bytes(3) + packet[6:7] + packet[40:]) == 0


def ends(frame: bytes) -> tuple[str, int, str, int]:
    packet = Packet.parse(frame)
    ip: Any = packet.find(IPv4) or packet.find(IPv6)
    transport: Any = packet.find(TCP) or packet.find(UDP)
    return str(ip.source), transport.sport, str(ip.destination), transport.dport


def made(source: str, destination: str, transport: Any) -> bytes:
    """A frame with right sums."""
    return to(destination, source, transport)


def leaving(balancer: Balancer, frame: bytes) -> bytes:
    assert balancer.egress is not None
    run = balancer.egress.test_run(frame, repeat=1)
    assert run.value == (1 << 32) - 1  # NEXT
    return bytes(run.data)


def forward(balancer: Balancer, frame: bytes) -> bytes:
    """A client's frame as a backend gets it."""
    action, data = balancer.send(frame)
    assert action == xdp.PASS
    return leaving(balancer, data)


def back(balancer: Balancer, frame: bytes) -> bytes:
    """A backend's frame as the client gets it."""
    action, data = balancer.send(frame)
    assert action == xdp.PASS
    return leaving(balancer, data)


@pytest.fixture(scope="module", params=[(machine, snat) for machine in ("kernel", "jit") for snat in (False, True)],
                ids=lambda each: f"{each[0]}-{'snat' if each[1] else 'dnat'}")
def translating(request: Any) -> Iterator[tuple[Balancer, bool]]:
    machine, snat = request.param
    with balancing(text(snat, "nat-timeouts: {tcp-new: 10m, udp-new: 10m}").replace("nat-connections: 64", ""),
                   MACHINES[machine]()) as balancer:
        yield balancer, snat


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([4, 6]), st.booleans(), st.integers(1, 65535), st.binary(max_size=40), st.booleans())
def test_there_and_back(translating: tuple[Balancer, bool], family: int, datagram: bool, sport: int, payload: bytes,
                        summed: bool) -> None:
    balancer, snat = translating
    port, inside = (53, 5353) if datagram else (80, 8080)
    transport: Any = UDP(sport=sport, dport=port) if datagram else TCP(sport=sport, dport=port, syn=1)
    frame = made(CLIENT[family], VIP[family], transport / payload)
    if datagram and family == 4 and not summed:
        frame = frame[:40] + bytes(2) + frame[42:]
    there = forward(balancer, frame)
    assert sums(there) and len(there) == len(frame) and there[:14] == frame[:14]
    source, own, destination, dport = ends(there)
    assert (source, destination, dport) == ((OWN if snat else CLIENT)[family], BACKEND[family], inside)
    assert own == sport or (snat and 61000 <= own <= 65535)
    assert there.endswith(payload)
    if datagram and family == 4 and not summed:
        assert there[40:42] == bytes(2)
    answer: Any = UDP(sport=inside, dport=own) if datagram else TCP(sport=inside, dport=own, syn=1, ack=1)
    again = back(balancer, made(BACKEND[family], source, answer / payload))
    assert sums(again) and ends(again) == (VIP[family], port, CLIENT[family], sport) and again.endswith(payload)


@pytest.mark.parametrize("family", [4, 6])
def test_errors_are_about_what_their_receiver_sent(translating: tuple[Balancer, bool], family: int) -> None:
    balancer, _ = translating
    router, far = ({4: "10.0.0.99", 6: "2001:db8:9::99"}[family], {4: "203.0.113.99", 6: "2001:db8:5::99"}[family])
    too_big: Any = ICMP(type=3, code=4, sequence=1300) if family == 4 else ICMPv6(type=2, sequence=1300)
    unreachable: Any = ICMP(type=3, code=3) if family == 4 else ICMPv6(type=1, code=4)
    for datagram in (False, True):
        sport = 4000 + datagram
        port, inside = (53, 5353) if datagram else (80, 8080)

        def packet(source: str, sport: int, destination: str, dport: int, kind: Any = UDP if datagram else TCP,
                   ) -> bytes:
            return made(source, destination, kind(sport=sport, dport=dport, **_SYN[kind]) / b"abcd")[14:]

        def quoted(frame: bytes) -> bytes:
            return frame[14 + (20 if family == 4 else 40) + 8:]

        sent = packet(CLIENT[family], sport, VIP[family], port)
        seen = forward(balancer, to(VIP[family], CLIENT[family], b"")[:14] + sent)[14:]
        source, own, _, _ = ends(bytes(14 - 2) + (b"\x08\0" if family == 4 else b"\x86\xdd") + seen)
        header = 20 if family == 4 else 40
        # From a router towards the backend, and from the backend itself: to the client, of what it sent.
        for sender, shown in ((router, router), (BACKEND[family], VIP[family])):
            for error in (too_big, unreachable):
                frame = to(source, sender, error / seen[:header + (8 if not datagram else len(seen))])
                assert sums(frame)
                got = back(balancer, frame)
                assert sums(got)
                ip: Any = Packet.parse(got).find(IPv4 if family == 4 else IPv6)
                assert (str(ip.source), str(ip.destination)) == (shown, CLIENT[family])
                about = quoted(got)
                assert about[:header] == sent[:header] and about[header:header + 4] == sent[header:header + 4]
                if datagram:
                    assert about == sent
        # From somebody towards the client, and from the client itself: to the backend, of what it sent.
        answered = packet(BACKEND[family], inside, source, own)
        shown_answer = back(balancer, to(source, BACKEND[family], b"")[:14] + answered)[14:]
        for sender in (far, CLIENT[family]):
            frame = to(VIP[family], sender, too_big / shown_answer[:header + (8 if not datagram else len(answered))])
            got = forward(balancer, frame)
            assert sums(got)
            ip = Packet.parse(got).find(IPv4 if family == 4 else IPv6)
            assert (str(ip.source), str(ip.destination)) == (sender, BACKEND[family])
            about = quoted(got)
            assert about[:header] == answered[:header] and about[header:header + 4] == answered[header:header + 4]
            if datagram:
                assert about == answered


@pytest.mark.parametrize("machine", ["kernel", "jit", "interpreter"])
def test_what_belongs_to_no_connection(machine: str) -> None:
    with balancing(text(), MACHINES[machine]()) as balancer:
        for frame in (made(CLIENT[4], VIP[4], TCP(sport=1, dport=80, ack=1)),
                      made(CLIENT[6], VIP[6], TCP(sport=1, dport=80, rst=1)),
                      to(VIP[4], "203.0.113.9", ICMP(type=3, code=1) / IPv4(source=VIP[4], destination=CLIENT[4])
                         / UDP(sport=53, dport=9))):
            assert balancer.send(frame) == (xdp.DROP, frame)
        assert balancer.counters()["nat_unknown"] == 3
        for frame in (made(CLIENT[4], "198.51.100.99", TCP(dport=80, syn=1)),
                      made(BACKEND[4], CLIENT[4], TCP(sport=8080)),
                      made(CLIENT[4], VIP[4], TCP(sport=1, dport=81, syn=1))):
            assert balancer.send(frame) == (xdp.PASS, frame) and leaving(balancer, frame) == frame


@pytest.mark.parametrize("machine", ["kernel", "jit"])
@pytest.mark.parametrize("snat", [False, True])
def test_ports_are_not_given_twice(machine: str, snat: bool) -> None:
    """The same client and port, to two VIPs that have the same backend: the second gets another port."""
    with balancing(text(snat, "nat-ports: 61000-61001"), MACHINES[machine]()) as balancer:
        given = []
        for vip in (VIP[4], OTHER[4]):
            for sport in (1111, 2222):
                frame = made(CLIENT[4], vip, TCP(sport=sport, dport=80, syn=1))
                action, data = balancer.send(frame)
                if action == xdp.PASS:
                    given.append((vip, sport, ends(leaving(balancer, data))[1]))
        ports = [port for _, _, port in given]
        assert len(set(ports)) == len(ports)
        assert {port for port in ports if port not in (1111, 2222)} <= {61000, 61001}
        assert (len(given), balancer.counters().get("nat_no_port", 0)) == ((2, 2) if snat else (4, 0))
        for vip, sport, port in given:  # each answer finds its own way
            got = back(balancer, made(BACKEND[4], OWN[4] if snat else CLIENT[4], TCP(sport=8080, dport=port, ack=1)))
            assert ends(got) == (vip, 80, CLIENT[4], sport) and sums(got)


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_a_full_table_takes_nobody_new_and_says_so(machine: str) -> None:
    with balancing(text(True), MACHINES[machine]()) as balancer:
        verdicts = [balancer.send(made(CLIENT[4], VIP[4], TCP(sport=port, dport=80, syn=1)))[0]
                    for port in range(1, 100)]
        assert verdicts == [xdp.PASS] * 64 + [xdp.DROP] * 35
        assert balancer.counters()["nat_full"] == 35 and balancer.counters()["nat_new"] == 64
        again = [balancer.send(made(CLIENT[4], VIP[4], TCP(sport=port, dport=80, ack=1)))[0] for port in range(1, 100)]
        assert again == verdicts
        nat = balancer.tables.nat
        assert [len(balancer.maps(each)) for each in (nat.known, nat.inner, nat.seen)] == [64] * 3


TIMES = "nat-timeouts: {tcp-new: 300ms, tcp: 4s, tcp-closing: 100ms, udp-new: 200ms, udp: 1s}"


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_how_long_an_idle_connection_is_known(machine: str) -> None:
    ran = MACHINES[machine]()
    with balancing(text(True, TIMES), ran) as balancer:
        nat = balancer.tables.nat

        def let_pass(seconds: float) -> None:
            if isinstance(ran, Userspace):
                ran.advance(int(seconds * 1e9))
            else:
                time.sleep(seconds)

        def there() -> list[int]:
            return [len(balancer.maps(each)) for each in (nat.known, nat.inner, nat.seen)]

        def opened(sport: int, transport: Any) -> int:
            return ends(forward(balancer, made(CLIENT[4], VIP[4], transport)))[1]

        # A SYN that nobody answers.
        opened(1, TCP(sport=1, dport=80, syn=1))
        assert there() == [1] * 3
        let_pass(0.6)
        assert there() == [0] * 3 and balancer.counters()["nat_ended"] == 1
        # One that is answered stays, until both ends are done.
        port = opened(2, TCP(sport=2, dport=80, syn=1))
        back(balancer, made(BACKEND[4], OWN[4], TCP(sport=8080, dport=port, syn=1, ack=1)))
        let_pass(0.6)
        assert there() == [1] * 3
        opened(2, TCP(sport=2, dport=80, fin=1, ack=1))
        let_pass(0.3)
        assert there() == [1] * 3
        back(balancer, made(BACKEND[4], OWN[4], TCP(sport=8080, dport=port, fin=1, ack=1)))
        let_pass(0.3)
        assert there() == [0] * 3
        # A reset ends it, whoever sends it.
        opened(3, TCP(sport=3, dport=80, syn=1))
        opened(3, TCP(sport=3, dport=80, rst=1))
        let_pass(0.25)
        assert there() == [0] * 3
        # Datagrams: longer, once there was an answer; as long as there is traffic.
        port = opened(4, UDP(sport=4, dport=53))
        for _ in range(3):
            let_pass(0.12)
            opened(4, UDP(sport=4, dport=53))
        assert there() == [1] * 3
        back(balancer, made(BACKEND[4], OWN[4], UDP(sport=5353, dport=port)))
        let_pass(0.5)
        assert there() == [1] * 3
        let_pass(1.6)
        assert there() == [0] * 3 and balancer.counters()["nat_new"] == balancer.counters()["nat_ended"] == 4


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_a_backend_that_is_gone_loses_its_connections(machine: str) -> None:
    with balancing(text(), MACHINES[machine]()) as balancer:
        assert ends(forward(balancer, made(CLIENT[4], VIP[4], TCP(sport=1, dport=80, syn=1))))[2] == BACKEND[4]
        balancer.refill(text().replace(BACKEND[4] + "'", "10.0.0.7'"))
        assert balancer.send(made(CLIENT[4], VIP[4], TCP(sport=1, dport=80, ack=1)))[0] == xdp.DROP
        assert ends(forward(balancer, made(CLIENT[4], VIP[4], TCP(sport=1, dport=80, syn=1))))[2] == "10.0.0.7"


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_tunnels_and_translation_beside_each_other(machine: str) -> None:
    both = text() + "- {address: 198.51.100.90, port: 80, backends: [10.0.0.5]}\n"
    with balancing("gateway: 02:00:00:00:00:fe\n" + both, MACHINES[machine]()) as balancer:
        action, data = balancer.send(made(CLIENT[4], "198.51.100.90", TCP(sport=5, dport=80, syn=1)))
        assert action == xdp.TX and data[23] == 4
        assert ends(forward(balancer, made(CLIENT[4], VIP[4], TCP(sport=5, dport=80, syn=1))))[2] == BACKEND[4]


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_frames_of_all_kinds_harm_nobody(machine: str) -> None:
    random = Random(11)
    with balancing(text(True), MACHINES[machine]()) as balancer:
        seeds = [made(CLIENT[4], VIP[4], TCP(sport=9, dport=80, syn=1) / b"some text"),
                 made(CLIENT[6], VIP[6], UDP(dport=53)),
                 to(VIP[4], CLIENT[4], ICMP(type=3, code=4) / IPv4(source=VIP[4], destination=CLIENT[4])
                    / UDP(sport=53)),
                 to(OWN[6], CLIENT[6], ICMPv6(type=2) / IPv6(source=OWN[6], destination=BACKEND[6]) / TCP(dport=8080))]
        for _ in range(400):
            frame = bytearray(random.choice(seeds))
            for _ in range(random.randrange(4)):
                frame[random.randrange(12, len(frame))] = random.randrange(256)
            cut = bytes(frame[:random.randrange(14, len(frame) + 1)])
            action, data = balancer.send(cut)
            assert action in (xdp.PASS, xdp.DROP, xdp.TX)
            assert balancer.egress is not None
            balancer.egress.test_run(data.ljust(60, b"\0"), repeat=1)


def test_all_ports_of_an_address_that_sources_are_translated_to() -> None:
    from tests.facets.balancer.loaded import settings_of
    vip = "- {{address: {}, port: any, mode: nat, backends: [10.0.0.1]}}\n"
    assert settings_of(text(True) + vip.format("192.0.2.9")).translates
    with pytest.raises(ConfigurationError, match="takes all ports"):
        settings_of(text(True) + vip.format(OWN[4]))


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_a_vip_of_any_port_chooses_as_it_is_told(machine: str) -> None:
    from bpfwright.facets.balancer.simulate import simulate
    from tests.facets.balancer.loaded import packed
    given = "vips:\n- {address: 198.51.100.80, port: any, mode: nat, backends: [10.0.0.1, 10.0.0.2, 10.0.0.3]}\n"
    with balancing(given, MACHINES[machine]()) as balancer:
        for sport in range(1000, 1030):
            there = forward(balancer, made(CLIENT[4], VIP[4], TCP(sport=sport, dport=sport + 7, syn=1)))
            found = simulate(balancer.settings, packed(CLIENT[4]), sport, packed(VIP[4]), sport + 7)
            assert found.backend is not None
            assert ends(there) == (CLIENT[4], sport, found.backend.name, sport + 7)


@pytest.mark.parametrize(("change", "message"), [
    (("mode: nat, snat: false", "snat: true"), "a tunnel keeps the client's address"),
    (("mode: nat, snat: false", "mode: tunnel"), "in a tunnel the port stays"),
    (("nat-connections: 64", "hash: katran"), "Katran does not translate"),
    (("snat: false", "snat: true"), "no IPv4 address for that"),
    (("backend: '10.0.0.1'", "backend: '2001:db8::7'"), "of the other family"),
    (("mode: nat", "flags: [no-source-port], mode: nat"), "no-source-port is for tunnels"),
    (("nat-connections: 64", "nat-ports: 80-90"), "no range from 1024"),
    (("nat-connections: 64", "nat-timeouts: {icmp: 3s}"), "no such key"),
    (("mode: nat", "mode: dnat"), "tunnel, nat")])
def test_mistakes(change: tuple[str, str], message: str) -> None:
    from tests.facets.balancer.loaded import settings_of
    with pytest.raises(ConfigurationError, match=message):
        settings_of(text().replace(*change, 1))
