"""Rules of iptables-save and of nft's JSON: what they mean here, and what is refused with its line."""
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.imported import imported
from bpfwright.headers import ICMP, TCP, UDP, Ethernet, ICMPv6, IPv4, IPv6
from bpfwright.userspace import Userspace
from tests.facets.firewall.guard import Guard, part_of, settings_of

E = Ethernet()
HEAD = "*filter\n:INPUT DROP [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [5:300]\n"
SAVED = HEAD + """-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m multiport --dports 22,80:90 -j ACCEPT
-A INPUT ! -s 10.0.0.0/8 -p tcp -m tcp --dport 5:9 --tcp-flags FIN,SYN,RST,ACK SYN -m comment --comment "a b" -j DROP
-A INPUT -s 10.1.0.0/16 -p tcp -m tcp --dport 5 -j ACCEPT
-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT
-A INPUT -p udp -m length --length 28:40 -m ttl --ttl-lt 5 -j ACCEPT
-A OUTPUT -p udp -m udp --dport 25 -j DROP
COMMIT
# done
"""
V4 = IPv4(source="192.0.2.1")


def importing(path: Path, format: str) -> str:
    return f"  import:\n    - {{file: {path}, format: {format}}}\n"


@pytest.mark.userspace
def test_iptables_save(tmp_path: Path) -> None:
    file = tmp_path / "rules.v4"
    file.write_text(SAVED)
    with Guard(importing(file, "iptables-save"), Userspace()) as guard:
        for packet, line in [
            (V4 / TCP(dport=85), 7), (V4 / TCP(dport=5, syn=1), 8), (IPv4(source="10.1.2.3") / TCP(dport=5, syn=1), 9),
            (V4 / ICMP(type=8), 10), (IPv4(ttl=4) / UDP(), 11), (V4 / TCP(dport=91), 2), (V4 / ICMP(type=13), 2),
            (IPv4(ttl=4) / UDP() / bytes(20), 2), (V4 / UDP(sport=67, dport=68), 0),
        ]:
            assert guard.rule(E / packet) == (f"{file}:{line}" if line else "keep dhcp"), packet
        assert guard.rule(E / IPv6() / TCP(dport=91)) == "default in"
        assert guard.drops(E / V4 / TCP(dport=91)) and guard.drops(E / V4 / UDP(dport=25), "egress")
        assert not guard.drops(E / V4 / UDP(dport=26), "egress")


SECTION_SETS = """\
  sets:
    bad: {elements: [203.0.113.0/24]}
    web: {kind: ports, elements: [80, 90-99]}
    services: {kind: endpoints, elements: ["192.0.2.9:53"]}
"""


@pytest.mark.userspace
def test_sets_of_the_section_in_rules_of_iptables(tmp_path: Path) -> None:
    file = tmp_path / "rules.v4"
    file.write_text(HEAD + """-A INPUT -m set --match-set bad src -j DROP
-A INPUT -p tcp -m set ! --match-set web dst -j ACCEPT
-A INPUT -p udp -m set --match-set services dst,dst -j ACCEPT
-A OUTPUT -j MARK --set-xmark 0x1/0x1
-A OUTPUT -p udp -m limit --limit 5/min -j ACCEPT
COMMIT
""")
    with Guard(SECTION_SETS + importing(file, "iptables-save"), Userspace()) as guard:
        for packet, line in [
            (IPv4(source="203.0.113.9") / TCP(dport=5), 5), (V4 / TCP(dport=79), 6), (V4 / TCP(dport=95), 2),
            (IPv4(destination="192.0.2.9") / UDP(dport=53), 7), (IPv4(destination="192.0.2.9") / UDP(dport=54), 2),
        ]:
            assert guard.rule(E / packet) == f"{file}:{line}", packet


@pytest.mark.parametrize(("line", "what"), [
    ("-A INPUT -j REJECT", "target REJECT"), ("-A INPUT -m recent --set -j DROP", "match recent"),
    ("-A INPUT -p tcp -m limit --limit 5/sec -m tcp --dport 9 -j ACCEPT", "asked for behind a limit"),
    ("-A INPUT -m limit --limit 512kb/s -j ACCEPT", "512kb/s has no counterpart"),
    ("-A INPUT -m limit --limit 1/day -j ACCEPT", "not had back in a day"),
    ("-A INPUT -m hashlimit --hashlimit-upto 1/hour --hashlimit-mode srcip --hashlimit-name x -j ACCEPT",
     "forgotten before"),
    ("-A INPUT -m hashlimit --hashlimit-upto 9/sec --hashlimit-mode dstip --hashlimit-name x -j ACCEPT", "by dstip"),
    ("-A INPUT -m hashlimit --hashlimit-above 9/sec --hashlimit-mode srcip --hashlimit-name x -j ACCEPT",
     "does not drop"),
    ("-A INPUT -m set --match-set none src -j DROP", "no set none"),
    ("-A INPUT -m set --match-set bad src,src -j DROP", "bad is a set of networks"),
    ("-A INPUT -m set --match-set web dst -j DROP", "web holds ports, of any protocol"),
    ("-A INPUT -m mark --mark 0x5 -j DROP", "has no mark yet"),
    ("-A INPUT -j MARK --set-xmark 0xff/0xf", "bits are turned"),
    ("-A OUTPUT -j LOG --log-uid", "whose a packet is"),
    ("-A OUTPUT -m pkttype --pkt-type broadcast -j DROP", "by the kind broadcast"),
    ("-A INPUT -m pkttype ! --pkt-type multicast -j DROP", "by the kind multicast"),
    ("-A INPUT -p udp -m multiport --ports 5 -j LOG", "ports of either side"),
    ("-A FORWARD -j DROP", "chain FORWARD"),
    ("-A mine -j DROP", "chain mine"), (":mine - [0:0]\n-A mine -j DROP", "jumps to the chain mine"),
    ("-A INPUT -j mine", "target mine"), ("-A INPUT -g mine", "chain mine is declared nowhere"),
    ("-I INPUT -j DROP", "no line of"), (":INPUT", "no line of"), (":INPUT ACCEPT [0:0]", "has a policy already"),
    ("-A INPUT ! -i eth0 -j DROP", "by exclusion"), ("-A INPUT -s 10.0.0.0/0.0.0.255 -j DROP", "no length that fits"),
    ("-A INPUT -m iprange --src-range 10.0.0.9-10.0.0.1 -j DROP", "no line of"),
    ("-A INPUT -i eth+ -j DROP", "by pattern"),
    ("-A INPUT -m ttl --ttl-lt x -j DROP", "no line of"), ('-A INPUT -m comment --comment "a', "no line of"),
    ("-A INPUT --weird 5 -j DROP", "--weird"), ("-A INPUT -p tcp -p udp -j DROP", "asked for twice"),
    ("what", "no line of iptables-save"), ("-A INPUT -p tcp --dport", "wants a value"),
    (":FORWARD DROP [0:0]", "chain FORWARD"), ("-A INPUT -s 10.0.0.300 -j DROP", "no address"),
    ("-A INPUT -m conntrack --ctstate DNAT -j DROP", "none of untracked"),
])
def test_what_iptables_has_and_we_have_not(tmp_path: Path, line: str, what: str) -> None:
    file = tmp_path / "rules.v4"
    file.write_text(f"{HEAD}{line}\nCOMMIT\n")
    with pytest.raises(ConfigurationError, match=what) as error:
        settings_of(f"  log: {tmp_path}/log\n" + SECTION_SETS + importing(file, "iptables-save"))
    assert (error.value.file, error.value.line) == (str(file), 5 + line.count("\n"))
    assert error.value.cure


JUMPS = """*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:guests - [0:0]
:names - [0:0]
:tail - [0:0]
:unused - [0:0]
-A INPUT --in-interface lo --jump guests
-A INPUT ! -i lo -s 10.1.0.77/255.255.0.0 -j guests
-A INPUT --protocol udp --goto tail
-A INPUT -p tcp -m tcp --dport 7 -j ACCEPT
-A guests -s 10.1.2.0/24 -j DROP
-A guests -s 10.9.0.0/16 -j DROP
-A guests -p icmp -j RETURN
-A guests -m iprange --src-range 10.1.3.4-10.1.3.5 -j names
-A guests ! -s 10.1.3.0/24 -j RETURN
-A guests -p tcp -m tcp --dport 5:9 -j ACCEPT
-A names -p udp -m udp --dport 53 -j ACCEPT
-A names -p tcp -m tcp --dport 53 -j ACCEPT
-A names -j RETURN
-A tail -p udp -m udp --dport 9 -j ACCEPT
COMMIT
"""


@pytest.mark.userspace
def test_jumps_of_iptables(tmp_path: Path) -> None:
    file = tmp_path / "rules.v4"
    file.write_text(JUMPS)
    with Guard(importing(file, "iptables-save"), Userspace()) as guard:
        for source, transport, line in [
            ("10.1.2.3", TCP(dport=7), "13 from 10"), ("10.1.3.4", TCP(dport=53), "20 from 16 from 10"),
            ("10.1.3.4", UDP(dport=53), "19 from 16 from 10"), ("10.1.3.4", TCP(dport=6), "18 from 10"),
            ("10.1.3.9", TCP(dport=6), "18 from 10"), ("10.1.4.9", TCP(dport=6), "2"), ("10.1.4.9", TCP(dport=7), "12"),
            ("10.1.3.9", TCP(dport=53), "2"), ("10.1.3.9", ICMP(type=8), "2"), ("10.9.0.1", TCP(dport=7), "12"),
            ("10.1.3.9", UDP(dport=9), "22 from 11"), ("10.2.0.1", UDP(dport=10), "11"),
        ]:
            assert guard.rule(E / IPv4(source=source) / transport) == f"{file}:{line}", (source, transport)


@pytest.mark.parametrize(("rules", "line", "what"), [
    ("-A INPUT -j a\n-A a -j b\n-A b -j a", 8, "comes back to itself"),
    ("-A INPUT -p tcp -j a\n-A INPUT -p udp -j a\n-A a -m limit --limit 5/sec -j ACCEPT", 8,
     "jump to more than once"),
    ("-A INPUT -m limit --limit 5/sec -j a\n-A a -j b\n-A b -j DROP", 6, "before it jumps"),
    ("-A INPUT -j a\n-A a -p tcp -m tcp --dport 5 -j RETURN\n-A a -j b", 7, "such a return"),
    ("-A INPUT -j a\n-A a -i eth0 -g b\n-A b -p tcp -j DROP", 7, "such a return"),
    ("-A INPUT -p icmp -m icmp --icmp-type 3 -j a\n-A a -p icmp -m icmp --icmp-type 3/1 -j DROP\n-A a -j b", 7,
     "icmp-type is asked for here and where"),
])
def test_jumps_of_iptables_that_have_no_counterpart(tmp_path: Path, rules: str, line: int, what: str) -> None:
    file = tmp_path / "rules.v4"
    file.write_text(f"*filter\n:INPUT DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n:a - [0:0]\n:b - [0:0]\n{rules}\nCOMMIT\n")
    with pytest.raises(ConfigurationError, match=what) as error:
        settings_of(importing(file, "iptables-save"))
    assert (error.value.file, error.value.line) == (str(file), line) and error.value.cure


def test_what_is_left_and_rejects(tmp_path: Path) -> None:
    text = ("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -p tcp -j DNAT --to-destination 10.0.0.1\nCOMMIT\n"
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n:mine - [0:0]\n-A FORWARD -j mine\n"
            "-A mine -m recent --set\n-A INPUT -p udp -j REJECT --reject-with icmp-port-unreachable\nCOMMIT\n")
    file = tmp_path / "rules.v4"
    file.write_text(text)

    def settings(more: str) -> Any:
        return settings_of(f"  import:\n    - {{file: {file}, format: iptables-save{more}}}\n")

    for more, line, cure in (("", 3, r"leave: \[nat\]"), (", leave: nat", 7, r"leave: \[forward\]"),
                             (", leave: [nat, forward]", 11, "reject: drop")):
        with pytest.raises(ConfigurationError, match=cure) as error:
            settings(more)
        assert error.value.line == line
    rules = settings(", leave: [nat, FORWARD], reject: drop").rules
    assert [(rule.line, rule.action) for rule in rules if not rule.implied] == [(11, "drop")]


def test_only_the_table_filter_is_read() -> None:
    with pytest.raises(ConfigurationError, match="table nat"):
        imported("*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j DROP\nCOMMIT\n", "iptables-save", "f")


def chain(*rules: list[Any], sets: list[Any] | None = None) -> str:
    """A ruleset as nft 1.0 prints it."""
    place = {"family": "inet", "table": "t", "chain": "input"}
    return json.dumps({"nftables": [
        {"metainfo": {"version": "1.0.6"}}, {"table": {"family": "inet", "name": "t", "handle": 1}}, *(sets or []),
        {"chain": {"family": "inet", "table": "t", "name": "input", "type": "filter", "hook": "input", "prio": 0,
                   "policy": "drop"}},
        *({"rule": {**place, "handle": number, "expr": rule}} for number, rule in enumerate(rules, 1))]})


def match(protocol: str, field: str, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": {"payload": {"protocol": protocol, "field": field}}, "right": right}}


def meta(key: str, right: Any) -> dict[str, Any]:
    return {"match": {"op": "==", "left": {"meta": {"key": key}}, "right": right}}


LIMIT = {"limit": {"rate": 10, "burst": 5, "per": "second"}}
ACCEPT, DROP = {"accept": None}, {"drop": None}
SETS = [{"set": {"family": "inet", "name": "bad", "table": "t", "type": "ipv4_addr", "flags": ["interval"], "elem": [
    {"range": ["203.0.113.1", "203.0.113.9"]}, {"prefix": {"addr": "198.51.100.0", "len": 24}}, "192.0.2.77"]}}]
FLAGS = {"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "ack"]]},
                   "right": "syn"}}


@pytest.mark.userspace
def test_nft_json(tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(chain(
        [meta("iifname", "lo"), ACCEPT],
        [match("ip", "saddr", "@bad"), DROP],
        [match("tcp", "dport", {"set": [22, {"range": [8000, 8080]}]}), {"counter": {"packets": 1}}, ACCEPT],
        [match("ip", "saddr", {"prefix": {"addr": "10.0.0.0", "len": 8}}), match("udp", "dport", 53, "!="), ACCEPT],
        [match("ip6", "nexthdr", "ipv6-icmp"), match("icmpv6", "type", {"set": ["echo-request"]}), ACCEPT],
        [FLAGS, DROP], [match("ip", "dscp", "ef"), match("ip", "ttl", 3, "<"), DROP],
        [meta("l4proto", {"set": ["tcp", "udp"]}), match("th", "dport", 99), DROP], sets=SETS))
    with Guard(importing(file, "nft-json"), Userspace()) as guard:
        for packet, number in [
            (IPv4(source="203.0.113.9") / UDP(), 2), (IPv4(source="192.0.2.77") / UDP(), 2), (V4 / TCP(dport=8001), 3),
            (IPv6() / TCP(dport=22), 3), (IPv4(source="10.2.2.2") / UDP(dport=54), 4), (IPv6() / ICMPv6(type=128), 5),
            (V4 / TCP(dport=1, syn=1), 6), (IPv4(dscp=46, ttl=2) / UDP(), 7), (V4 / UDP(dport=99), 8),
        ]:
            assert guard.rule(E / packet) == f"inet t input {number}", packet
        for packet in (IPv4(source="10.2.2.2") / UDP(dport=53), IPv4(source="203.0.113.10") / UDP(),
                       V4 / TCP(dport=1, syn=1, ack=1), IPv4(dscp=46, ttl=3) / UDP()):
            assert guard.rule(E / packet) == "inet t input" and guard.drops(E / packet)


def ruleset(chains: dict[str, tuple[dict[str, Any], list[list[Any]]]], family: str = "inet",
            maps: Sequence[Any] = ()) -> list[Any]:
    """Chains of a table by name, with what they are and their rules."""
    place = {"family": family, "table": "t"}
    handles = iter(range(1, 100))
    return [*({"map": {**place, **each}} for each in maps),
            *({"chain": {**place, "name": name, **kind}} for name, (kind, _) in chains.items()),
            *({"rule": {**place, "chain": name, "handle": next(handles), "expr": rule}}
              for name, (_, rules) in chains.items() for rule in rules)]


def hook(name: str = "input", prio: int = 0, policy: str = "accept", **more: Any) -> dict[str, Any]:
    return {"type": "filter", "hook": name, "prio": prio, "policy": policy, **more}


def jump(name: str, kind: str = "jump") -> dict[str, Any]:
    return {kind: {"target": name}}


@pytest.mark.userspace
def test_jumps_and_maps_of_nft(tmp_path: Path) -> None:
    states = {"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["new", jump("fresh")], ["invalid", DROP]]}}}
    chains = {
        "input": (hook(policy="drop"), [
            [{"vmap": {"key": {"meta": {"key": "iifname"}}, "data": "@doors"}}],
            [meta("l4proto", "udp"), jump("late", "goto")], [match("tcp", "dport", 99), ACCEPT]]),
        "outside": ({}, [[match("ip", "saddr", "192.0.2.66"), {"return": None}], [states]]),
        "fresh": ({}, [[match("tcp", "dport", {"range": [5, 9]}), ACCEPT], [match("tcp", "dport", 9), ACCEPT],
                       [{"return": None}], [match("tcp", "dport", 10), ACCEPT]]),
        "late": ({}, [[match("udp", "dport", 53), ACCEPT]])}
    doors = [{"name": "doors", "type": "ifname", "map": "verdict", "elem": [
        ["lo", ACCEPT], ["up", jump("outside")], ["side", jump("outside")]]}]
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"nftables": ruleset(chains, maps=doors)}))
    with Guard("  shadowed: allow\n" + importing(file, "nft-json"), Userspace(),
               interfaces=("up", "side")) as guard:
        for source, transport, rule in [
            ("192.0.2.1", TCP(dport=9, syn=1), "inet t fresh 6 from 5 1 from 1 2"),
            ("192.0.2.1", TCP(dport=10, syn=1), "inet t input"),
            ("192.0.2.1", TCP(dport=5), "inet t outside 5 2 from 1 2"),
            ("192.0.2.66", TCP(dport=5, syn=1), "inet t input"), ("192.0.2.66", TCP(dport=99), "inet t input 3"),
            ("192.0.2.1", UDP(dport=53), "inet t late 10 from 2"), ("192.0.2.1", UDP(dport=54), "inet t input 2"),
        ]:
            assert guard.rule(E / IPv4(source=source) / transport, interface="up") == rule, (source, transport)
        other = guard.rule(E / V4 / TCP(dport=9, syn=1), interface="side")
        assert other == "inet t fresh 6 from 5 1 from 1 3"


@pytest.mark.userspace
def test_what_rejects_of_nft_are_about(tmp_path: Path) -> None:
    """What they answer with says it, and is printed alone."""
    file = tmp_path / "rules.json"
    answers = [{"type": "tcp reset"}, {"type": "icmp", "expr": "host-unreachable"}, {"type": "icmpx"}]
    file.write_text(json.dumps({"nftables": ruleset(
        {"input": (hook(), [[{"reject": answer}] for answer in answers])})}))
    text = f"  import:\n    - {{file: {file}, format: nft-json, reject: drop}}\n"
    with Guard(text, Userspace()) as guard:
        for packet, number in ((V4 / TCP(), 1), (IPv6() / TCP(), 1), (V4 / UDP(), 2), (IPv6() / UDP(), 3)):
            assert guard.rule(E / packet) == f"inet t input {number}"


def test_rules_that_never_act_are_named_where_they_stand(tmp_path: Path) -> None:
    file = tmp_path / "rules.v4"
    file.write_text(HEAD + "-A INPUT -p tcp -j DROP\n-A INPUT -p tcp -m tcp --dport 5 -j DROP\nCOMMIT\n")
    with pytest.raises(ConfigurationError, match="never acts") as error:
        part_of(importing(file, "iptables-save"))
    assert (error.value.file, error.value.line) == (str(file), 6)


def test_several_chains_of_nft(tmp_path: Path) -> None:
    """They come by their priority, each device's first; what one accepts comes to the next."""
    file = tmp_path / "rules.json"

    def names(*objects: Any, more: str = "") -> list[tuple[str, tuple[str, ...]]]:
        file.write_text(json.dumps({"nftables": [each for part in objects for each in part]}))
        settings = settings_of(f"  import:\n    - {{file: {file}, format: nft-json{more}}}\n")
        return [(rule.name, rule.interfaces) for rule in settings.rules if not rule.implied]

    def dropping(kind: dict[str, Any], port: int, family: str = "inet", verdict: Any = DROP) -> list[Any]:
        return ruleset({f"c{port}": (kind, [[match("udp", "dport", port), verdict]])}, family)

    assert names(dropping(hook(prio=5), 1, verdict=ACCEPT), dropping(hook(prio=-5), 2),
                 dropping(hook("ingress", dev="up"), 3, "netdev")) == [
        ("netdev t c3 1", ("up",)), ("inet t c2 1", ()), ("inet t c1 1", ())]
    assert len(names(dropping(hook(prio=5), 1, "ip"), dropping(hook(), 2, "ip6", ACCEPT))) == 2
    for objects, what in (
        ((dropping(hook(), 2, verdict=ACCEPT), dropping(hook(prio=5), 1)), "inet t c2 1: what is accepted here comes"),
        ((dropping(hook(policy="drop"), 2), dropping(hook(prio=5), 1)), "inet t c1 is behind it"),
        ((dropping(hook("ingress"), 2, "netdev"),), "of which device"),
        ((dropping(hook("forward", policy="drop"), 2),), r"leave: \[forward\]"),
        ((dropping(hook("forward"), 2),), r"leave: \[forward\]"),
    ):
        with pytest.raises(ConfigurationError, match=what):
            names(*objects)
    assert names(dropping(hook("forward", policy="drop"), 2), more=", leave: forward") == []
    assert names(dropping(hook(), 2, verdict={"reject": None}), more=", reject: drop") == [("inet t c2 1", ())]


@pytest.mark.parametrize(("rule", "what"), [
    ([LIMIT, match("tcp", "dport", 5), ACCEPT], "inet t input 1: protocol is asked for behind a limit"),
    ([{"limit": {"rate": 10, "per": "second", "rate_unit": "mbytes"}}, ACCEPT], "limit of bytes"),
    ([{"limit": {"rate": 10, "per": "week"}}, ACCEPT], "by the week"), ([{"limit": "named"}, ACCEPT], "by its name"),
    ([{"limit": {"rate": 10, "per": "second", "inv": True}}, {"log": None}, DROP], "a log of what is over"),
    ([LIMIT, LIMIT, ACCEPT], "two limits"), ([{"log": {"group": 5}}, DROP], "a log with group"),
    ([{"mangle": {"key": {"meta": {"key": "priority"}}, "value": 5}}], "a change of"),
    ([{"mangle": {"key": {"meta": {"key": "mark"}}, "value": {"^": [{"meta": {"key": "mark"}}, 3]}}}],
     "bits are turned"),
    ([{"match": {"op": "==", "left": {"concat": [{"payload": {"protocol": "ip", "field": "saddr"}}, {
        "payload": {"protocol": "tcp", "field": "dport"}}]}, "right": {"concat": ["192.0.2.1", 5]}}}, DROP],
     "this concatenation"),
    ([{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["new", {"queue": None}]]}}}], "queue has"),
    ([{"set": {"op": "add", "set": "@none", "elem": {"payload": {"protocol": "ip", "field": "saddr"}},
               "stmt": [LIMIT]}}, DROP], "there is no such set"),
    ([ACCEPT, {"log": None}], "log behind a verdict"),
    ([{"jump": {"target": "x"}}], "no chain x"), ([{"reject": None}], "reject has no"),
    ([{"xt": {"type": "match", "name": "conntrack"}}, ACCEPT], "xt conntrack"),
    ([{"match": {"op": "=="}}], "not what nft prints"),
    ([match("ip", "id", 5), DROP], "payload"), ([meta("skuid", 5), DROP], "meta"),
    ([meta("iifname", "eth*"), DROP], "by pattern"),
    ([match("ip", "saddr", "@none"), DROP], "no set none"), ([match("tcp", "dport", 5, "^"), DROP], "operator"),
    ([match("tcp", "dport", 5), match("tcp", "dport", 6), DROP], "asked for twice"),
])
def test_what_nft_has_and_we_have_not(tmp_path: Path, rule: list[Any], what: str) -> None:
    file = tmp_path / "rules.json"
    file.write_text(chain(rule))
    with pytest.raises(ConfigurationError, match=what):
        settings_of(importing(file, "nft-json"))


def test_no_json_and_other_objects() -> None:
    for text, what in (("{", "not what"), ('{"nftables": [{"flowtable": {}}]}', "flowtable"),
                       ('{"nftables": [{"set": {"family": "ip", "table": "t", "name": "s", "type": "ipv4_addr", '
                        '"flags": ["timeout"], "elem": ["192.0.2.1"]}}]}', "timeouts"),
                       ('{"nftables": [{"ct helper": {"family": "ip", "table": "t", "name": "c", "handle": 3}}]}',
                        "ip t c 3: ct helper")):
        with pytest.raises(ConfigurationError, match=what):
            imported(text, "nft-json", "f")
