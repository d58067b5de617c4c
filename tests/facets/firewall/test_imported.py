"""Rules of iptables-save and of nft's JSON: what they mean here, and what is refused with its line."""
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.imported import imported
from bpfwright.headers import ICMP, TCP, UDP, Ethernet, ICMPv6, IPv4, IPv6
from bpfwright.userspace import Userspace
from tests.facets.firewall.guard import Guard, settings_of

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
    ("-A INPUT -j LOG --log-uid", "--log-uid"),
    ("-A INPUT -p udp -m multiport --ports 5 -j LOG", "ports of either side"),
    ("-A FORWARD -j DROP", "chain FORWARD"),
    ("-A mine -j DROP", "chain mine"), ("-A INPUT -i eth+ -j DROP", "by pattern"),
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
    assert (error.value.file, error.value.line) == (str(file), 5)


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
    ([{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["new", {"jump": {"target": "x"}}]]}}}], "jump has"),
    ([{"set": {"op": "add", "set": "@none", "elem": {"payload": {"protocol": "ip", "field": "saddr"}},
               "stmt": [LIMIT]}}, DROP], "there is no such set"),
    ([ACCEPT, {"log": None}], "log behind a verdict"),
    ([{"jump": {"target": "x"}}], "jump"), ([{"match": {"op": "=="}}], "not what nft prints"),
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
                       ('{"nftables": [{"chain": {"family": "ip", "table": "t", "name": "c"}}]}', "no hook has")):
        with pytest.raises(ConfigurationError, match=what):
            imported(text, "nft-json", "f")
