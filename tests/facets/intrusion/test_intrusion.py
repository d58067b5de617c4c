"""What is told, what is not, and what becomes of an alert."""
from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright._host import now_ns as host_now_ns
from bpfwright.datapath.configuration import read
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.facet import Hooked, Part, Scene
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.datapath.ledger import Ledger
from bpfwright.datapath.places import Interface
from bpfwright.datapath.protocols import own_fields
from bpfwright.datapath.stage import CONTINUE, Stage, drop
from bpfwright.errors import ConfigurationError, TargetError
from bpfwright.facets.intrusion.blocking import Blocks
from bpfwright.facets.intrusion.detectors import bits_of
from bpfwright.facets.intrusion.eve import FIRST_ID, eve
from bpfwright.facets.intrusion.facet import FACET
from bpfwright.facets.intrusion.model import ALERTS, Alert
from bpfwright.kernel import Kernel
from bpfwright.headers import ICMP, TCP, UDP, Arp, Ethernet, ICMPv6, IPv4, IPv6
from bpfwright.helpers import now_ns
from bpfwright.userspace import Userspace

from tests.datapath.wire import wired

SCENE = Scene({"eth0": Interface("eth0", 1, bytes(6), 1500, ())}, None)
A, B = "192.0.2.9", "198.51.100.1"


def settings(text: str, own: str = "") -> Any:
    whole = read(f"{own}intrusion: {{{text}}}\n", "net.yaml")
    whole.sources.own_fields = own_fields(whole)
    section = whole.section("intrusion")
    assert section is not None
    found = FACET.read(section)
    section.done()
    return found


class Watched:
    def __init__(self, machine: Any, text: str, own: str = "") -> None:
        self.part = FACET.build(settings(text, own), SCENE)
        self.generation = Generation.load(plan_of({"intrusion": self.part}), machine)

    def say(self, *packets: Any, hook: str = "xdp") -> dict[str, int]:
        """The alerts so far, after these packets."""
        program = next(made.program for made in self.generation.plan.made if made.places[0].hook == hook)
        self.actions = [self.generation.session.test_of(program, packet).action.name for packet in packets]
        assert self.part.rows is not None
        return {row["alert"]: row["count"] for row in self.part.rows(self.generation.maps)}


@pytest.fixture
def watch(machine: Any) -> Iterator[Any]:
    made: list[Watched] = []

    def begin(text: str, own: str = "") -> Watched:
        made.append(Watched(machine, text, own))
        return made[-1]

    yield begin
    for each in made:
        each.generation.close()


def syn(port: int, *, source: str = A, to: str = B) -> Any:
    return Ethernet() / IPv4(source=source, destination=to) / TCP(sport=40000, dport=port, syn=1)


def test_a_scan_of_ports_is_told_once(watch: Any) -> None:
    watched = watch("scan: {targets: 20, window: 60s}")
    assert watched.say(*(syn(port) for port in range(1, 16))) == {}
    assert watched.say(*(syn(port) for port in range(16, 40))) == {"scan": 1}
    assert watched.say(*(syn(port) for port in range(40, 60))) == {"scan": 1}


def test_a_scan_of_hosts_is_one_too_and_sources_are_apart(watch: Any) -> None:
    watched = watch("scan: {targets: 20, window: 60s}")
    assert watched.say(*(syn(22, to=f"198.51.100.{host}") for host in range(40))) == {"scan": 1}
    assert watched.say(*(syn(port, source=f"192.0.2.{port}") for port in range(100, 160))) == {"scan": 1}
    six = [Ethernet() / IPv6(source="2001:db8::1", destination="2001:db8::2") / TCP(dport=port, syn=1)
           for port in range(40)]
    assert watched.say(*six) == {"scan": 2}


def test_what_is_no_scan(watch: Any) -> None:
    watched = watch("scan: {targets: 20, window: 60s}, slow-scan: {targets: 20, window: 1h}")
    many = [syn(80) for _ in range(200)]
    answers = [Ethernet() / IPv4(source=A, destination=B) / TCP(sport=80, dport=port, syn=1, ack=1)
               for port in range(200)]
    assert watched.say(*many, *answers) == {}


@pytest.mark.kernel
def test_a_slow_scan_is_seen_by_the_longer_window() -> None:
    from bpfwright.kernel import Kernel
    with Kernel() as kernel:
        watched = Watched(kernel, "scan: {targets: 20, window: 100ms}, slow-scan: {targets: 40, window: 1h}")
        with watched.generation:
            for first in range(0, 60, 10):
                found = watched.say(*(syn(port) for port in range(first, first + 10)))
                time.sleep(0.12)
            assert found == {"slow-scan": 1}


def test_bits_of_a_bitmap() -> None:
    assert [bits_of(n) for n in (3, 20, 100, 400)] == [2, 19, 82, 202]


@pytest.mark.parametrize(("name", "packet"), [
    ("syn", syn(80)), ("udp", Ethernet() / IPv4(destination=B) / UDP(dport=9)), ("icmp", Ethernet() / IPv4() / ICMP()),
    ("icmp", Ethernet() / IPv6() / ICMPv6()), ("udp", Ethernet() / IPv6() / UDP(dport=9))])
def test_floods(watch: Any, name: str, packet: Any) -> None:
    watched = watch(f"flood: {{{name}: 50}}")
    found: dict[str, int] = {}
    for _ in range(4):  # a second's end may lie between
        found = watched.say(*[packet] * 60)
        if found:
            break
    assert list(found) == [f"{name}-flood"] and 1 <= found[f"{name}-flood"] <= 2
    others = watch(f"flood: {{{'udp' if name == 'syn' else 'syn'}: 50}}")
    assert others.say(*[packet] * 120) == {}


def test_fragments(watch: Any) -> None:
    watched = watch("fragments: true")
    first = Ethernet() / IPv4(source=A, destination=B, more_fragments=1, protocol=6) / bytes(8)
    second = Ethernet() / IPv4(source=A, destination=B, fragment_offset=1, protocol=6) / bytes(24)
    fine = [Ethernet() / IPv4(source=A, destination=B, more_fragments=1, protocol=17) / UDP(dport=9) / bytes(512),
            Ethernet() / IPv4(source=A, destination=B, fragment_offset=65, protocol=17) / bytes(100),
            Ethernet() / IPv4(source=A, destination=B, fragment_offset=1, protocol=17) / bytes(100)]
    assert watched.say(*fine) == {}
    assert watched.say(first) == {"tiny-fragment": 1}
    assert watched.say(second) == {"tiny-fragment": 1, "second-fragment": 1}


def test_an_address_that_moves(watch: Any) -> None:
    watched = watch("arp: true, scan: {targets: 5}")

    def answer(address: str, mac: str) -> Any:
        return Ethernet(source=mac) / Arp(operation=2, sender=address, sender_mac=mac)

    mine, other = "02:00:00:00:00:01", "02:00:00:00:00:02"
    assert watched.say(answer("192.0.2.1", mine), answer("192.0.2.1", mine), answer("192.0.2.2", other),
                       answer("0.0.0.0", other), answer("0.0.0.0", mine)) == {}
    assert watched.say(answer("192.0.2.1", other)) == {"arp-change": 1}
    assert watched.say(answer("192.0.2.1", mine)) == {"arp-change": 2}


def test_answers_that_guess(watch: Any) -> None:
    watched = watch("dns-guesses: 10")

    def answers(ids: range, port: int = 5353) -> list[Any]:
        return [Ethernet() / IPv4(source=B, destination=A) / UDP(sport=53, dport=port) / number.to_bytes(2, "big") /
                bytes(10) for number in ids]

    for _ in range(4):  # a second's end may lie between
        found = watched.say(*answers(range(1000, 1060)))
        if found:
            break
    assert list(found) == ["dns-guessing"]
    fine = watch("dns-guesses: 10")
    assert fine.say(*(packet for port in range(60) for packet in answers(range(port, port + 1), 1000 + port))) == {}
    assert fine.say(*answers(range(7, 8)) * 60) == {}


@pytest.mark.kernel
def test_connections_at_even_intervals() -> None:
    from bpfwright.kernel import Kernel
    with Kernel() as kernel:
        watched = Watched(kernel, "beacon: {connections: 5, least: 20ms}")
        with watched.generation:
            for pause in (0.1, 0.3, 0.1, 0.5, 0.1, 0.02, 0.3):
                assert watched.say(syn(443)) == {}
                time.sleep(pause)
            began = time.monotonic()
            for number in range(20):  # evenly by the clock, however long a look takes
                time.sleep(max(0.0, began + 0.2 * number - time.monotonic()))
                if watched.say(syn(8443, to="203.0.113.7"), hook="egress"):
                    break
            assert watched.say() == {"beacon": 1} and number < 19


def test_a_source_that_is_blocked(watch: Any) -> None:
    watched = watch("scan: {targets: 10, window: 60s}, block: 1h")
    watched.say(*(syn(port) for port in range(30)))
    assert watched.actions[:9] == ["PASS"] * 9 and watched.actions[-1] == "DROP"
    assert watched.say(Ethernet() / IPv4(source=A, destination=B) / UDP(dport=9)) == {"scan": 1}
    assert watched.actions == ["DROP"]
    watched.say(syn(1, source="192.0.2.10"))
    assert watched.actions == ["PASS"]
    counted = {each.reason: each.packets for each in watched.generation.counted() if each.stage}
    assert counted["blocked"] >= 20


def passes(machine: Any, seconds: float) -> None:
    """Let time pass, as the machine sees it."""
    if isinstance(machine, Userspace):
        machine.advance(int(seconds * 1e9))
    else:
        time.sleep(seconds)


def test_a_block_ends(watch: Any, machine: Any) -> None:
    watched = watch("scan: {targets: 10, window: 60s}, block: 1s")
    watched.say(*(syn(port) for port in range(30)))
    assert watched.actions[-1] == "DROP"
    passes(machine, 1.1)
    watched.say(syn(1))
    assert watched.actions == ["PASS"]


def test_blocks_by_programs_and_from_outside_end_by_themselves(machine: Any) -> None:
    """A short one does not end a long one that somebody else began."""
    blocks = Blocks.of(64)
    block, is_blocked = blocks.block, blocks.is_blocked

    def stage(ctx: Any, packet: Any) -> Any:
        if packet.destination_port == 99:
            block(packet, now_ns() + 300_000_000)
        return drop(0) if is_blocked(packet) else CONTINUE

    part = Part([Hooked("lo", "xdp", Stage("blocks", stage, frozenset({"network", "transport"}), ("blocked",)))],
                blocks.kept)
    with Generation.load(plan_of({"x": part}), machine) as generation:
        def said(source: str, port: int) -> str:
            frame = Ethernet() / IPv4(source=source, destination=B) / UDP(dport=port)
            return str(generation.session.test_of(generation.plan.made[0].program, frame).action.name)

        passes(machine, 0.01)
        assert said(A, 1) == "PASS"
        now = host_now_ns() if isinstance(machine, Kernel) else 0
        blocks.add(generation.maps, 0, 0xFFFF_C000_020A, now + 60_000_000_000)
        assert said(A, 99) == "DROP" and said("192.0.2.10", 1) == "DROP" and said("192.0.2.11", 1) == "PASS"
        blocks.add(generation.maps, 0, 0xFFFF_C000_020B, now + 200_000_000)
        assert said("192.0.2.11", 1) == "DROP"
        passes(machine, 0.4)
        assert said(A, 1) == "PASS" and said("192.0.2.11", 1) == "PASS" and said("192.0.2.10", 1) == "DROP"


def test_an_alert_as_a_line_of_eve() -> None:
    alert = Alert(5_000_000_000, 21, 20, 0, 0xFFFF_C000_0209, 0, 0xFFFF_C633_6401, 3, 0, 40000, 22, 6, 4, 1)
    line = eve(alert, ALERTS[alert.kind], 1_700_000_000_000_000_000, "eth0")
    assert line["timestamp"] == "2023-11-14T22:13:25.000000+0000" and line["event_type"] == "alert"
    assert (line["src_ip"], line["src_port"], line["dest_ip"], line["dest_port"], line["proto"]) == (
        A, 40000, B, 22, "TCP")
    assert line["alert"]["signature_id"] == FIRST_ID
    assert line["alert"]["action"] == "allowed" and line["follows"]["action"] == "block"  # that packet has passed
    assert line["in_iface"] == "eth0" and json.loads(json.dumps(line)) == line
    arp = Alert(0, 1, 2, 0, 0xFFFF_C000_0209, 0, 0, 3, 7, 0, 0, 0, 4, 0)
    said = eve(arp, ALERTS[arp.kind], 0, "eth0")
    assert "proto" not in said and said["alert"]["action"] == "allowed"
    six = Alert(0, 1, 2, 0x20010DB8 << 32, 1, 0, 2, 3, 0, 1, 2, 17, 6, 0)
    assert eve(six, ALERTS[six.kind], 0, "eth0")["src_ip"] == "2001:db8::1"


@pytest.mark.kernel
def test_alerts_of_real_traffic_come_into_the_log(tmp_path: Path) -> None:
    import socket
    log = tmp_path / "eve.json"
    text = f"interfaces: [uplink]\nintrusion: {{scan: {{targets: 10, window: 60s}}, log: {log}}}\n"
    with wired() as wire, Controller("", {"intrusion": FACET}, ledger=Ledger(
            f"alerts-{os.getpid()}", state=str(tmp_path))) as controller:
        try:
            controller.apply(text)
            with wire.peer_entered():
                for port in range(2000, 2040):
                    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                        probe.settimeout(0.2)
                        probe.connect_ex(("192.0.2.1", port))
            controller.apply(text.replace("10,", "11,"))  # the alerts of before are not lost by a change
            with controller.generation() as (_, generation):
                part = generation.plan.parts["intrusion"]
                assert part.tend is not None
                part.tend(generation.maps)
                part.tend(generation.maps)
            (line,) = [json.loads(line) for line in log.read_text().splitlines()]
            assert (line["src_ip"], line["in_iface"], line["alert"]["metadata"]["detector"]) == (
                "192.0.2.2", "uplink", ["scan"])
            assert abs(time.time() - time.mktime(time.strptime(line["timestamp"][:19], "%Y-%m-%dT%H:%M:%S"))
                       + time.timezone) < 120
        finally:
            controller.remove()


@pytest.mark.parametrize(("text", "said"), [
    ("", "nothing is looked for"), ("scan: {targets: 2}", "not between 3 and 400"), ("flood: {}", "no rate is named"),
    ("flood: {tcp: 100}", "no rate is named"), ("arp: yes", "neither true nor false"),
    ("arp: true, log: /none/such/eve.json", "no folder"), ("arp: true, rules: [a.rules]", "there is no such key"),
    ("watch: [{name: x}]", "a watch says what it looks for"),
    ("watch: [{name: x, match: {port: x}}]", "is not a number"),
    ("watch: [{name: scan, match: {port: 1}}]", "another alert is named 'scan'"),
    ("watch: [{name: x, severity: 9, match: {port: 1}}]", "is not between 1 and 3"),
    ("beacon: {least: 5}", "is not a time"), ("scan: {window: 1ms}", "not between 0.1"),
])
def test_mistakes(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(text)
    assert said in caught.value.what and caught.value.line == 1


def test_an_interface_that_is_not_named() -> None:
    with pytest.raises(TargetError, match="eth7, which is not among"):
        FACET.build(settings("arp: true, interfaces: [eth7]"), SCENE)


def test_every_kind_has_its_words() -> None:
    assert len({kind.name for kind in ALERTS}) == len(ALERTS) and all(1 <= kind.severity <= 3 for kind in ALERTS)


def test_what_somebody_watches_for(watch: Any, tmp_path: Path) -> None:
    (tmp_path / "telemetry.py").write_text(
        "from bpfwright.headers import UDP\nfrom bpfwright.spec.header import Header, Link\n"
        "from bpfwright.types import be32, u8\n\nclass Telemetry(Header):\n"
        "    follows = (Link(UDP, 'dport', (4790,)),)\n    kind: u8 = 0\n    sensor: be32 = 0\n")
    own = f"protocols: {{telemetry: {{file: {tmp_path}/telemetry.py}}}}\n"
    watched = watch("watch: [{name: alarm, severity: 1, match: {telemetry.kind: [7, 9]}},"
                    "{name: telnet, direction: both, again: 0s, match: {protocol: tcp, destination-port: 23}}]", own)

    def telemetry(kind: int, source: str = A) -> Any:
        return Ethernet() / IPv4(source=source, destination=B) / UDP(dport=4790) / bytes([kind, 0, 0, 0, 9])

    assert watched.say(telemetry(8), syn(22)) == {}
    assert watched.say(telemetry(7), telemetry(9), telemetry(7, B)) == {"alarm": 2}  # once for each source
    assert watched.say(syn(23), syn(23)) == {"alarm": 2, "telnet": 2}
    assert watched.say(syn(23), telemetry(7, "192.0.2.99"), hook="egress") == {"alarm": 2, "telnet": 3}
