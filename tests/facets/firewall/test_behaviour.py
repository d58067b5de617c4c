"""States, limits, what a default of deny keeps, malformed packets, and rules against their plain meaning."""
from __future__ import annotations

import ipaddress
import random
from typing import Any

import pytest

from bpfwright.headers import ICMP, TCP, UDP, Arp, Ethernet, ICMPv6, IPv4, IPv6, Vlan
from bpfwright.userspace import Userspace
from tests.facets.firewall.guard import Guard

E = Ethernet()
HERE, THERE = "192.0.2.1", "192.0.2.2"
IN, OUT = IPv4(source=THERE, destination=HERE), IPv4(source=HERE, destination=THERE)
DENY = "  default: deny\n"


def test_deny_keeps_what_a_host_needs(machine: Any) -> None:
    with Guard(DENY, machine) as guard:
        neighbour = IPv6(source="fe80::1", destination="ff02::1", hop_limit=255)
        assert guard.rule(E / Arp()) == "keep arp"
        assert guard.rule(E / neighbour / ICMPv6(type=135)) == "keep neighbours"
        assert guard.rule(E / IPv6(hop_limit=64) / ICMPv6(type=135)) == "default in"
        assert guard.rule(E / IPv4(source="0.0.0.0") / UDP(sport=67, dport=68)) == "keep dhcp"
        assert guard.rule(E / IPv6() / UDP(sport=547, dport=546)) == "keep dhcp"
        assert guard.rule(E / IN / UDP(sport=67, dport=69)) == "default in"
        assert guard.drops(E / IN / TCP(sport=443, dport=5000, ack=1))
        assert not guard.drops(E / OUT / TCP(sport=5000, dport=443, syn=1), "egress")
        assert guard.rule(E / IN / TCP(sport=443, dport=5000, syn=1, ack=1)) == "keep replies"
        assert guard.rule(E / IN / TCP(sport=443, dport=5001, syn=1, ack=1)) == "default in"
        quoted = bytes(OUT / TCP(sport=5000, dport=443))
        assert guard.rule(E / IN / ICMP(type=3, code=4) / quoted) == "keep replies"
        assert guard.rule(E / IN / ICMP(type=3, code=4) / bytes(OUT / TCP(sport=5009, dport=443))) == "default in"
        assert guard.reasons()["default"] == 5


def test_keep_is_what_is_said(machine: Any) -> None:
    with Guard(DENY + "  keep: [dhcp]\n", machine) as guard:
        assert guard.drops(E / Arp()) and not guard.drops(E / IN / UDP(sport=67, dport=68))
        assert {place[1] for place in guard.programs} == {"xdp"}
    with Guard("  default: {in: deny, out: deny}\n  keep: nothing\n", machine) as guard:
        assert guard.drops(E / Arp()) and guard.drops(E / Arp(), "egress")


def test_states(machine: Any) -> None:
    with Guard("""
  rules:
    - {name: known, match: {state: [established, related]}, action: allow}
    - {name: invalid, match: {state: invalid}, action: drop, reason: invalid}
    - {name: ssh, match: {state: new, destination-port: 22}, action: allow}
    - {name: new, match: {state: new}, action: drop, reason: new}
""", machine) as guard:
        syn, answer = E / IN / TCP(sport=9, dport=22, syn=1), E / OUT / TCP(sport=22, dport=9, syn=1, ack=1)
        assert guard.rule(E / IN / TCP(sport=9, dport=22, ack=1)) == "invalid"
        assert guard.rule(E / IN / TCP(sport=9, dport=23, syn=1)) == "new"
        assert guard.rule(syn) == "ssh" and guard.rule(syn) == "ssh"
        assert not guard.drops(answer, "egress")
        assert guard.rule(E / IN / TCP(sport=9, dport=22, ack=1)) == "known"
        assert guard.rule(E / Arp()) == "default in"


def test_limits_by_rule_and_by_source(machine: Any) -> None:
    with Guard("""
  rules:
    - {name: ping, match: {icmp-type: 8}, limit: {packets: 1/h, burst: 3}, action: allow}
    - {name: dns, match: {destination-port: 53}, limit: {packets: 1/h, burst: 2, per: source}, action: allow}
    - {name: bulk, match: {destination-port: 54}, limit: {bytes: 70k/d, burst: 70000}, action: allow}
""", machine) as guard:
        ping = [guard.drops(E / IPv4(source=f"10.0.0.{n}") / ICMP(type=8)) for n in range(5)]
        assert ping == [False] * 3 + [True] * 2
        for source in ("10.1.1.1", "10.1.1.2"):
            asked = [guard.drops(E / IPv4(source=source) / UDP(dport=53)) for _ in range(4)]
            assert asked == [False, False, True, True]
        assert not guard.drops(E / IPv6(source="2001:db8::1") / UDP(dport=53))
        large = [guard.drops(E / IN / UDP(dport=54) / bytes(1000)) for _ in range(70)]
        assert large == [False] * (70_000 // 1042) + [True] * (70 - 70_000 // 1042)
        limited = {row["rule"]: row["limited"] for row in guard.rows() if "rule" in row}
        assert limited == {"ping": 2, "dns": 4, "bulk": 3, "default in": 0, "default out": 0}
        assert guard.reasons()["over a limit"] == 9


SEEDS = [E / IN / TCP(dport=22, syn=1) / b"abcd", E / IPv6() / UDP(dport=53) / b"abcd", E / Vlan(vid=5) / IN / ICMP(),
         E / IPv6() / ICMPv6(type=135), E / IN / ICMP(type=3, code=4) / bytes(OUT / TCP()), E / Arp()]


@pytest.mark.userspace
@pytest.mark.kernel
def test_damaged_packets_do_the_same_in_both_machines() -> None:
    """Cut, with bytes changed, with lengths and offsets that lie: no crash, one verdict, each packet counted."""
    from bpfwright.kernel import Kernel
    draw = random.Random(5)
    text = DENY + """
  rules:
    - {name: cut, match: {malformed: true}, action: drop, reason: malformed}
    - {name: pieces, match: {fragment: [first, later]}, action: drop, reason: fragment}
    - {name: low, match: {ttl: 0-3}, action: drop}
    - {name: web, match: {destination-port: [22, 53], source: [192.0.2.0/24, "::/0"]}, action: allow}
    - {name: lan, match: {vlan: 0-4095, length: 20-1500}, action: allow}
"""
    with Kernel() as kernel, Guard(text, kernel) as one, Guard(text, Userspace()) as two:
        for _ in range(400):
            data = bytearray(bytes(draw.choice(SEEDS)))
            for _ in range(draw.choice((0, 1, 1, 2, 6))):
                data[draw.randrange(12, len(data))] = draw.choice((0, 1, 0x45, 0x4F, 0x60, 0xFF, draw.getrandbits(8)))
            packet = bytes(data[:draw.choice((14, 15, 20, 33, 34, 40, 53, 54, 60, len(data), len(data)))])
            assert one.drops(packet) == two.drops(packet), packet.hex()
        assert one.counts() == two.counts() and one.reasons() == two.reasons()
        assert sum(one.reasons().values()) == 400 and not one.generation.errors()


class Plain:
    """Rules as they are written, looked through one after the other."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.rules = [self._rule() for _ in range(120)]

    def _rule(self) -> dict[str, Any]:
        draw = self.draw
        rule: dict[str, Any] = {}
        if draw.random() < 0.7:
            rule["source"] = [self._network() for _ in range(draw.randint(1, 3))]
        if draw.random() < 0.4:
            rule["destination"] = [self._network()]
        if draw.random() < 0.6:
            first = draw.randint(0, 60)
            rule["port"] = (first, first + draw.choice((0, 0, 3, 20)))
        if draw.random() < 0.5:
            rule["protocol"] = draw.choice((6, 17))
        but = self._network()
        if draw.random() < 0.3 and not all(each.version == but.version and each.subnet_of(but)
                                           for each in rule.get("source", [])):
            rule["but"] = [but]
        return rule or {"port": (1, 1)}

    def _network(self) -> Any:
        draw = self.draw
        if draw.random() < 0.3:
            return ipaddress.ip_network((0x20010DB8 << 96 | draw.getrandbits(8) << 64, draw.choice((40, 60, 64, 128))),
                                        strict=False)
        return ipaddress.ip_network((0x0A000000 | draw.getrandbits(10), draw.choice((22, 24, 26, 28, 30, 32))),
                                    strict=False)

    def text(self) -> str:
        lines = ["  shadowed: allow", "  rules:"]
        for number, rule in enumerate(self.rules):
            match = [f"{key}: [{', '.join(repr(str(each)) for each in rule[key])}]" for key in ("source", "destination")
                     if key in rule]
            match += [f"destination-port: {rule['port'][0]}-{rule['port'][1]}"] if "port" in rule else []
            match += [f"protocol: {rule['protocol']}"] if "protocol" in rule else []
            but = f", not: {{source: '{rule['but'][0]}'}}" if "but" in rule else ""
            lines.append(f"    - {{name: r{number}, match: {{{', '.join(match)}}}{but}, action: drop}}")
        return "\n".join(lines) + "\n"

    def found(self, source: Any, destination: Any, protocol: int, port: int) -> str:
        for number, rule in enumerate(self.rules):
            if "source" in rule and not any(source in each for each in rule["source"]):
                continue
            if "destination" in rule and not any(destination in each for each in rule["destination"]):
                continue
            if "port" in rule and not rule["port"][0] <= port <= rule["port"][1]:
                continue
            if rule.get("protocol", protocol) != protocol or ("but" in rule and source in rule["but"][0]):
                continue
            return f"r{number}"
        return "default in"


def test_rules_mean_what_they_say(machine: Any) -> None:
    draw = random.Random(11)
    plain = Plain(draw)
    with Guard(plain.text(), machine) as guard:
        for _ in range(60):
            six = draw.random() < 0.3
            source, destination = (ipaddress.ip_address(0x20010DB8 << 96 | draw.getrandbits(8) << 64 if six
                                         else 0x0A000000 | draw.getrandbits(10)) for _ in range(2))
            protocol, port = draw.choice((6, 17)), draw.randint(0, 70)
            ip: Any = (IPv6 if six else IPv4)(source=str(source), destination=str(destination))
            packet = E / ip / (TCP if protocol == 6 else UDP)(dport=port)
            assert guard.rule(packet) == plain.found(source, destination, protocol, port)
