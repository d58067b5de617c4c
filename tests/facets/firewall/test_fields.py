"""Each field of `match` and `not`: a packet that has it, and one that does not; on both machines."""
from __future__ import annotations

from typing import Any

import pytest

from bpfwright.headers import ICMP, TCP, UDP, Arp, Ethernet, Fragment, ICMPv6, IPv4, IPv6, Vlan
from bpfwright.kernel import Kernel
from tests.facets.firewall.guard import Guard

E = Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02")
V4 = IPv4(source="198.51.100.1", destination="198.51.100.2")
V6 = IPv6(source="2001:db8:1::1", destination="2001:db8:1::2")

CASES: dict[str, tuple[str, list[Any], list[Any]]] = {
    "source": ("source: [192.0.2.0/24, '2001:db8:9::/48']",
               [E / IPv4(source="192.0.2.200") / UDP(), E / IPv6(source="2001:db8:9::7") / UDP()],
               [E / IPv4(source="192.0.3.0") / UDP(), E / IPv6(source="2001:db8:8:ffff::") / UDP(), E / Arp()]),
    "destination": ("destination: '@hosts'",
                    [E / IPv4(destination="203.0.113.5") / TCP(), E / IPv6(destination="2001:db8:5::5") / TCP()],
                    [E / IPv4(destination="203.0.113.6") / TCP(), E / IPv4(source="203.0.113.5") / TCP()]),
    "table": ("source: '@countries:DE'", [E / IPv4(source="100.64.3.3") / UDP()],
              [E / IPv4(source="100.64.4.3") / UDP(), E / IPv4(source="100.65.0.1") / UDP()]),
    "source-port": ("source-port: [5, 1000-2000]",
                    [E / V4 / UDP(sport=5), E / V6 / TCP(sport=1000), E / V4 / TCP(sport=2000)],
                    [E / V4 / UDP(sport=2001), E / V4 / ICMP(type=8, identifier=5),
                     E / IPv4(protocol=17, fragment_offset=3) / b"\0\5\0\5"]),
    "destination-port": ("destination-port: ['@ports', ssh]", [E / V4 / UDP(dport=6000), E / V4 / TCP(dport=22)],
                         [E / V4 / UDP(dport=6006), E / V4 / UDP(sport=22, dport=23)]),
    "protocol": ("protocol: [gre, 99]", [E / IPv4(protocol=47) / bytes(8), E / IPv6(next_header=99) / bytes(8)],
                 [E / IPv4(protocol=48) / bytes(8)]),
    "family": ("{family: ipv6, protocol: 98}", [E / IPv6(next_header=98) / bytes(8)],
               [E / IPv4(protocol=98) / bytes(8)]),
    "icmp": ("icmp-type: [timestamp-request, 3/4]", [E / V4 / ICMP(type=13), E / V4 / ICMP(type=3, code=4)],
             [E / V4 / ICMP(type=3, code=3), E / V6 / ICMPv6(type=13)]),
    "icmpv6": ("icmpv6-type: mld-listener-query", [E / V6 / ICMPv6(type=130)], [E / V6 / ICMPv6(type=129)]),
    "flags": ("tcp-flags: ['syn fin', 'urg !ack']",
              [E / V4 / TCP(syn=1, fin=1), E / V6 / TCP(urg=1)], [E / V4 / TCP(syn=1), E / V4 / TCP(urg=1, ack=1)]),
    "dscp": ("dscp: [ef, 5-6]", [E / IPv4(dscp=46) / UDP(), E / IPv6(traffic_class=6 << 2) / UDP()],
             [E / IPv4(dscp=7) / UDP(), E / Arp()]),
    "length": ("length: 1000-1500", [E / V4 / UDP() / bytes(980), E / V6 / UDP() / bytes(1000)],
               [E / V4 / UDP() / bytes(960)]),
    "ttl": ("ttl: 0-1", [E / IPv4(ttl=1) / UDP(), E / IPv6(hop_limit=0) / UDP()], [E / IPv4(ttl=2) / UDP(), E / Arp()]),
    "fragment": ("fragment: later", [E / IPv4(fragment_offset=3, protocol=17) / bytes(8),
                                     E / V6 / Fragment(fragment_offset=9, next_header=17) / bytes(8)],
                 [E / IPv4(more_fragments=1) / UDP()]),
    "malformed": ("malformed: true", [bytes(E / V4 / TCP())[:40], bytes(E / V6 / UDP())[:56]], [E / V4 / UDP()]),
    "vlan": ("vlan: [7, 100-200]", [E / Vlan(vid=7) / V4 / UDP(), E / Vlan(vid=150) / V6 / UDP()],
             [E / Vlan(vid=8) / V4 / UDP(), E / V4 / UDP()]),
    "ethertype": ("ethertype: [arp, 0x88cc]", [E / Arp(), Ethernet(protocol=0x88CC) / bytes(46)],
                  [Ethernet(protocol=0x88CD) / bytes(46)]),
    "source-mac": ("source-mac: '02:00:00:00:00:99'", [Ethernet(source="02:00:00:00:00:99") / V4 / UDP()],
                   [Ethernet(destination="02:00:00:00:00:99") / V4 / UDP()]),
    "destination-mac": ("destination-mac: 02-00-00-00-00-77", [Ethernet(destination="02:00:00:00:00:77") / V4 / UDP()],
                        [Ethernet(source="02:00:00:00:00:77") / V4 / UDP()]),
    "endpoint": ("destination-endpoint: '@services'",
                 [E / IPv4(destination="198.51.100.9") / TCP(dport=7000),
                  E / IPv6(destination="2001:db8::9") / UDP(dport=7001)],
                 [E / IPv4(destination="198.51.100.9") / TCP(dport=7001), E / IPv4(destination="198.51.100.8") /
                  TCP(dport=7000)]),
    "source-endpoint": ("source-endpoint: '@services'", [E / IPv4(source="198.51.100.9") / TCP(sport=7000)],
                        [E / IPv4(source="198.51.100.9") / TCP(sport=7009)]),
    "anded": ("{source: 198.18.0.0/15, destination-port: 9000, protocol: udp}",
              [E / IPv4(source="198.19.0.1") / UDP(dport=9000)],
              [E / IPv4(source="198.19.0.1") / TCP(dport=9000), E / IPv4(source="198.20.0.1") / UDP(dport=9000),
               E / IPv4(source="198.19.0.1") / UDP(dport=9001)]),
    "but": ("{source: 10.0.0.0/8}\n      not: {source: 10.1.0.0/16, destination-port: 53}",
            [E / IPv4(source="10.2.0.0") / UDP(dport=54)],
            [E / IPv4(source="10.1.0.1") / UDP(dport=54), E / IPv4(source="10.2.0.0") / UDP(dport=53),
             E / IPv4(source="10.2.0.0") / ICMP(type=8)]),
}
HEAD = """
  sets:
    hosts: {elements: [203.0.113.5, "2001:db8:5::5"]}
    ports: {kind: ports, elements: [6000-6005, 6007]}
    services: {kind: endpoints, elements: ["198.51.100.9:7000", "[2001:db8::9]:7001"]}
    countries: {kind: table, file: %s}
  rules:
"""


def match_of(text: str) -> str:
    return text if text.startswith("{") else f"{{{text}}}"


def test_every_field(machine: Any, tmp_path: Any) -> None:
    countries = tmp_path / "countries"
    countries.write_text("# the first and last word of a line\n100.64.0.0/10,FR\n100.64.0.0/16, DE\n\n"
                         "100.64.4.0/24\tAT # inside\n")
    text = HEAD % countries + "".join(
        f"    - name: {name}\n      match: {match_of(match)}\n      action: drop\n"
        for name, (match, _, _) in CASES.items())
    with Guard(text, machine) as guard:
        for name, (_, yes, no) in CASES.items():
            for packet in yes:
                assert (guard.rule(packet), guard.drops(packet)) == (name, True), packet
            for packet in no:
                assert guard.rule(packet) != name, (name, packet)
        assert guard.reasons().keys() == {"passed", "rule"}
        structures = {row["field"]: row["structure"] for row in guard.rows() if "field" in row}
        assert structures["source"].startswith("prefix table, ") and structures["source-mac"].startswith("hash, 1 ")


@pytest.mark.kernel
def test_everything_at_once_is_verified(tmp_path: Any) -> None:
    """Each field, limits of both kinds, cookies, mitigation and flows in one program: the largest that there is."""
    countries = tmp_path / "countries"
    countries.write_text("100.64.0.0/10,FR\n100.64.0.0/16, DE\n")
    text = "  default: {in: deny, out: deny}\n  mitigate: {packets: 10k/s}\n" + HEAD % countries + "".join(
        f"    - name: {name}\n      match: {match_of(match)}\n      action: allow\n"
        f"      limit: {{packets: 10k/s, per: {('rule', 'source')[number % 2]}}}\n"
        + ("      syn-cookies: true\n" if number % 3 == 0 else "")
        for number, (name, (match, _, _)) in enumerate(CASES.items()))
    with Kernel() as kernel, Guard(text, kernel) as guard:
        assert guard.rule(E / IPv4(source="192.0.2.200") / UDP()) == "source"
        assert guard.rule(E / IPv6(source="2001:db8:9::7") / UDP(), "egress") == "default out"
        assert guard.rule(E / V4 / UDP(sport=5)) == "source-port"


def test_interfaces_and_directions(machine: Any) -> None:
    with Guard("""
  rules:
    - {name: one, interface: a, match: {destination-port: 1}, action: drop}
    - {name: two, interface: [a, b], direction: both, match: {destination-port: 1-2}, action: drop}
    - {name: three, direction: out, match: {destination-port: 3}, action: deny, reason: three}
""", machine, ("a", "b")) as guard:
        first, second, third = (E / V4 / UDP(dport=port) for port in (1, 2, 3))
        assert [guard.rule(first, "xdp", name) for name in "ab"] == ["one", "two"]
        assert [guard.rule(first, "egress", name) for name in "ab"] == ["two", "two"]
        assert [guard.drops(second, hook, "b") for hook in ("xdp", "egress")] == [True, True]
        assert [guard.drops(third, hook, "a") for hook in ("xdp", "egress")] == [False, True]
        assert guard.reasons() == {"passed": 1, "rule": 6, "three": 1}


def test_the_first_rule_that_matches_wins_among_hundreds(machine: Any) -> None:
    rules = "".join(f"    - {{name: r{n}, match: {{source: 10.{n % 250}.0.0/16, destination-port: "
                    f"{n % 7 * 100}-{n % 7 * 100 + 50 + n // 7}}}, action: {'drop' if n % 3 else 'allow'}}}\n"
                    for n in range(700))
    with Guard("  shadowed: allow\n  rules:\n" + rules, machine) as guard:
        for n, port in ((3, 310), (77, 20), (249, 451), (5, 590), (0, 0), (131, 515), (6, 700)):
            packet = E / IPv4(source=f"10.{n}.1.1") / UDP(dport=port)
            wanted = next((f"r{m}" for m in range(700) if m % 250 == n
                           and m % 7 * 100 <= port <= m % 7 * 100 + 50 + m // 7), "default in")
            assert guard.rule(packet) == wanted
