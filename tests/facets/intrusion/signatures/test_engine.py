"""What becomes of a match: bits of flows, thresholds, passes, alerts as EVE has them."""
from __future__ import annotations

from collections.abc import Callable

import pytest

from bpfwright.facets.intrusion.signatures.model import Hostbit, Threshold
from bpfwright.facets.intrusion.signatures.packets import dissected
from bpfwright.facets.intrusion.signatures.reading import read_rules
from bpfwright.facets.intrusion.signatures.telling import eve_of, severity
from bpfwright.facets.intrusion.signatures.thresholds import Hostbits, Thresholds
from bpfwright.headers import TCP, Ethernet, IPv4

from .bed import A, B, Bed, Talk, rules_of, udp

Beds = Callable[..., Bed]
S = 10**9


@pytest.mark.parametrize(("kind", "times", "told"), [
    ("limit", range(6), [0, 1]), ("threshold", range(6), [1, 3, 5]), ("both", range(6), [1]),
    ("filter", range(6), [2, 3, 4, 5]), ("limit", [0, 1, 2, 10, 11, 12], [0, 1, 11, 12]),
    ("both", [0, 10, 11, 12], [10, 12]), ("threshold", [0, 10, 11, 12, 13], [10, 12]),
    ("threshold", [0, 5, 9, 11, 12], [5, 12]), ("filter", [0, 1, 2, 10, 11, 12, 13], [2, 10, 13]),
])
def test_thresholds(kind: str, times: list[int], told: list[int]) -> None:
    thresholds = Thresholds()
    of = Threshold(kind, "by_src", 2, 10)
    assert [at for at in times if thresholds.tells(1, of, 5, 6, 0, at * S)] == told
    assert thresholds.tells(1, of, 7, 6, 0, 0) == (kind == "limit")  # another source


def test_what_thresholds_are_of_and_how_many() -> None:
    thresholds = Thresholds(most=3)
    once = {track: Threshold("limit", track, 1, 10) for track in ("by_src", "by_dst", "by_both", "by_rule", "by_flow")}
    assert [thresholds.tells(1, once["by_dst"], source, 9, 0, 0) for source in (1, 2)] == [True, False]
    assert [thresholds.tells(2, once["by_both"], *ends, 0, 0) for ends in ((1, 2), (2, 1), (1, 3))] == [
        True, False, True]
    assert [thresholds.tells(3, once["by_rule"], source, 0, 0, 0) for source in (1, 2)] == [True, False]
    assert [thresholds.tells(4, once["by_flow"], 1, 1, flow, 0) for flow in (1, 2, 2)] == [True, True, False]
    assert thresholds.forgotten == 3


@pytest.mark.kernel
def test_bits_of_flows(in_kernel: Beds) -> None:
    watched = in_kernel(
        'alert udp any any -> any any (content:"second"; flowbits:isset,first|other; sid:1;)\n'
        'alert udp any any -> any any (content:"first"; flowbits:set,first; flowbits:noalert; sid:2;)\n'
        'alert udp any any -> any any (content:"third"; flowbits:isnotset,first; sid:3;)\n'
        'alert udp any any -> any any (content:"forget"; flowbits:unset,first; noalert; sid:4;)\n'
        'alert udp any any -> any any (content:"turn"; flowbits:toggle,first; sid:5;)\n')
    assert watched.say(udp(b"second"), udp(b"third")) == [3]
    assert watched.say(udp(b"first"), udp(b"second"), udp(b"third"), udp(b"second", sport=9)) == [1]
    assert watched.say(udp(b"second", source=B, to=A, sport=53, dport=5000)) == [1]  # the answer is of the same flow
    assert watched.say(udp(b"forget"), udp(b"second")) == []
    assert watched.say(udp(b"turn"), udp(b"second"), udp(b"turn"), udp(b"second")) == [5, 1, 5]
    assert watched.say(udp(b"first and second", sport=7)) == [1]


@pytest.mark.kernel
def test_bits_of_addresses(in_kernel: Beds) -> None:
    watched = in_kernel(
        'alert udp any any -> any any (content:"knock"; xbits:set,knocked,track ip_src,expire 60; noalert; sid:1;)\n'
        'alert udp any any -> any any (content:"enter"; xbits:isset,knocked,track ip_src; sid:2;)\n'
        'alert udp any any -> any any (content:"answer"; hostbits:isset,knocked,dst; sid:3;)\n'
        'alert udp any any -> any any (content:"first"; xbits:isnotset,knocked,track ip_src; sid:4;)\n'
        'alert udp any any -> any any (content:"pair"; xbits:toggle,both,track ip_pair; sid:5;)\n'
        'alert udp any any -> any any (content:"couple"; xbits:isset,both,track ip_pair; sid:6;)\n'
        'alert udp any any -> any any (content:"leave"; hostbits:unset,knocked; noalert; sid:7;)\n')
    other = "192.0.2.77"
    assert watched.say(udp(b"enter"), udp(b"first")) == [4]
    assert watched.say(udp(b"knock", sport=1), udp(b"enter", sport=2), udp(b"first", sport=3)) == [2]  # of another flow
    assert watched.say(udp(b"enter", source=other)) == []
    assert watched.say(udp(b"answer", source=B, to=A), udp(b"answer", source=B, to=other)) == [3]
    assert watched.say(udp(b"pair"), udp(b"couple", source=B, to=A), udp(b"couple", source=other)) == [5, 6]
    assert watched.say(udp(b"pair", sport=9), udp(b"couple")) == [5]
    assert watched.say(udp(b"leave"), udp(b"enter")) == []


def test_how_long_bits_of_addresses_last_and_how_many() -> None:
    bits = Hostbits(most=2)
    bit = Hostbit("set", "a", "by_src", 10)
    bits.change(bit, 1, 2, 0)
    assert bits.there(bit, 1, 9, 9 * S) and not bits.there(bit, 1, 2, 10 * S) and not bits.there(bit, 2, 1, 0)
    bits.change(bit, 3, 0, 0)
    bits.change(bit, 4, 0, 0)
    assert bits.forgotten == 1 and not bits.there(bit, 1, 2, 0) and bits.there(bit, 4, 0, 0)


@pytest.mark.kernel
def test_a_limit_is_of_alerts_and_not_of_drops(in_kernel: Beds) -> None:
    limit, both = "type limit, track by_src, count 1, seconds 60", "type both, track by_src, count 2, seconds 60"
    watched = in_kernel(rules_of(f'content:"limited"; threshold:{limit};',
                                 f'content:"at the second"; threshold:{both};', header="drop udp any any -> any any"))
    watched.run(*(udp(data, sport=number) for number, data in enumerate([b"limited", b"at the second"] * 3, 1)))
    assert [(each.rule.sid, each.quiet) for each in watched.found()] == [
        (1, False), (1, True), (2, False), (1, True)]
    assert watched.engine.figures()["alerts"] == 2


@pytest.mark.kernel
def test_what_streams_and_packets_are_asked(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('flow:established,only_stream; content:"one two";',
                                 'flow:established,no_stream; content:"one two";',
                                 'flow:established; content:"one two"; dsize:<100;',
                                 'flow:established; content:"one two";'), egress=True)
    assert Talk(watched).send((0, b"." * 20 + b"one two" + b"." * 20)) == [2, 3, 4, 1]
    assert sorted(Talk(watched, sport=2).send((0, b"." * 20 + b"one "), (24, b"two" + b"." * 20))) == [1, 4]
    repeated = Talk(watched, sport=3)
    assert repeated.send((0, b"." * 20 + b"one two"), (27, b"." * 20 + b"one two")).count(1) == 1


@pytest.mark.kernel
def test_an_alert_as_a_line_of_eve(in_kernel: Beds) -> None:
    watched = in_kernel('alert tcp any any -> any 80 (msg:"the \\"name\\""; flow:established,to_server; '
                        'content:"query"; classtype:trojan-activity; reference:cve,2024-1; '
                        'metadata:a b, a c, d e; target:dest_ip; '
                        'sid:9; rev:3; gid:2;)\n'
                        'alert icmp any any -> any any (itype:8; priority:1; target:src_ip; sid:10;)\n', egress=True)
    talk = Talk(watched, sport=41000)
    watched.run(talk.client(0, b"some query"))
    (found,) = watched.found()
    line = eve_of(found, 1_700_000_000_000_000_000 - found.time_ns, "eth0")
    flow = line.pop("flow_id")
    assert 0 < flow < 1 << 53
    assert line == {
        "timestamp": "2023-11-14T22:13:20.000000+0000", "in_iface": "eth0", "event_type": "alert", "src_ip": A,
        "src_port": 41000, "dest_ip": B, "dest_port": 80, "proto": "TCP", "direction": "to_server", "stream": 0,
        "alert": {"action": "allowed", "gid": 2, "signature_id": 9, "rev": 3, "signature": 'the "name"',
                  "category": "A Network Trojan was detected", "severity": 1, "source": {"ip": A, "port": 41000},
                  "target": {"ip": B, "port": 80}, "metadata": {"a": ["b", "c"], "d": ["e"]},
                  "references": ["cve:2024-1"]}}
    watched.run(talk.client(10, b"again a query"))
    (again,) = watched.found()
    assert eve_of(again, 0, "eth0")["flow_id"] == flow
    from bpfwright.headers import ICMP
    watched.run(Ethernet() / IPv4(source=A, destination=B) / ICMP(type=8))
    (ping,) = watched.found()
    line = eve_of(ping, 0, "eth0", until_ns=1_700_000_000_000_000_000)
    assert (line["proto"], line["icmp_type"], line["icmp_code"], severity(ping)) == ("ICMP", 8, 0, 1)
    assert line["alert"]["source"] == {"ip": B} and "src_port" not in line
    assert line["alert"]["action"] == "allowed"  # it has passed
    assert line["follows"] == {"action": "block", "src_ip": A, "until": "2023-11-14T22:13:20.000000+0000"}


def test_fields_of_headers() -> None:
    frame = Ethernet() / IPv4(source=A, destination=B, ttl=9, dscp=3, identification=77, dont_fragment=1) / TCP(
        sport=1, dport=2, sequence=3, acknowledgement=4, window=5, syn=1, ece=1) / b"data"
    packet = dissected(bytes(frame), 14)
    assert packet is not None and packet.payload == b"data" and packet.whole
    assert {name: packet.number(name) for name in ("ttl", "tos", "id", "seq", "ack", "window", "dsize", "ip_proto",
                                                   "itype")} == {
        "ttl": 9, "tos": 12, "id": 77, "seq": 3, "ack": 4, "window": 5, "dsize": 4, "ip_proto": 6, "itype": -1}
    assert packet.fragbits == 2 and packet.flags == 0x42
    cut = dissected(bytes(frame)[:-2], 14)
    assert cut is not None and not cut.whole and cut.payload == b"da" and cut.size == 4
    for size in range(14, 54):
        assert dissected(bytes(frame)[:size], 14) is None
    options = bytearray(bytes(frame)[:34]) + bytes([131, 3, 4, 1])
    options[14], options[16:18], options[23] = 0x46, (24).to_bytes(2, "big"), 103
    optional = dissected(bytes(options), 14)
    assert optional is not None and optional.ipopts == {131, 1}


def test_the_pattern_that_is_looked_for() -> None:
    def fast(options: str) -> bytes:
        (rule,) = read_rules(f"alert tcp any any -> any any ({options} sid:1;)").signatures
        return rule.fast.pattern if rule.fast else b""

    assert fast('content:"GET "; content:"/some/path.php"; distance:0;') == b"/some/path.php"
    assert fast('content:"aaaaaaaaaa"; content:"|90 e8 17 c0 44 31 07|";') == b"\x90\xe8\x17\xc0\x44\x31\x07"
    assert fast('content:"GET "; fast_pattern; content:"/some/path.php";') == b"GET "
    assert fast('content:!"not there at all"; content:"ab";') == b"ab" and fast('content:!"not there";') == b""
