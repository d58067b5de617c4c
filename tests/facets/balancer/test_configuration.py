"""Section `balancer`: what it reads, and the line and cure of each mistake."""
from __future__ import annotations

import pytest
from tests.facets.balancer.loaded import packed, settings_of

from bpfwright.errors import ConfigurationError
from bpfwright.facets.balancer.model import Check, Settings
from bpfwright.facets.balancer.simulate import simulate

GOOD = """
hash: maglev
encapsulation: gue
source: [192.0.2.1, "2001:db8::1"]
gateway: 02:00:00:00:00:fe
backends:
  web1: {address: 10.0.0.1, id: 7, mac: "02:00:00:00:00:11"}
  web2: 10.0.0.2
vips:
- address: 198.51.100.80
  port: 443
  backends: [web1, {backend: web2, weight: 3}, "2001:db8::9"]
- {address: 198.51.100.0/28, port: any, protocol: udp, flags: [quic, no-source-port], backends: [web2]}
sources: {203.0.113.0/24: web1}
"""


def test_what_it_reads() -> None:
    settings = settings_of(GOOD)
    first, second = settings.vips
    assert (first.text, second.text) == ("198.51.100.80:443/tcp", "198.51.100.0/28:*/udp")
    assert [(use.backend.name, use.weight) for use in first.uses] == [("web1", 1), ("web2", 3), ("2001:db8::9", 1)]
    assert second.flags == 4 | 1 and second.length == 28
    assert settings.gateway == bytes.fromhex("0200000000fe") and settings.backends[0].id == 7
    assert settings.outer == (packed("192.0.2.1"), packed("2001:db8::1"))
    assert not settings.katran and settings.connections == 1 << 20


def test_flows_are_told_without_a_packet() -> None:
    settings = settings_of(GOOD)
    found = simulate(settings, packed("192.0.2.7"), 1234, packed("198.51.100.80"), 443)
    assert found.backend is not None and 0 <= found.place < 65537
    assert simulate(settings, packed("192.0.2.7"), 1234, packed("198.51.100.9"), 53, 17).vip == settings.vips[1]
    assert simulate(settings, packed("192.0.2.7"), 1234, packed("198.51.100.80"), 80).backend is None
    drained = settings_of(GOOD.replace("backends: [web2]", "backends: [{backend: web2, weight: 0}]"))
    assert simulate(drained, packed("192.0.2.7"), 1, packed("198.51.100.9"), 53, 17).backend is None


MISTAKES = [
    ("hash: maglev", "hash: ketama", "hash.*none of maglev, katran", 2),
    ("encapsulation: gue", "encapsulation: ipip", "source.*IPIP makes its sources", 4),
    ("192.0.2.1, ", "", "backend web1 has an IPv4 address, and GUE no source", 1),
    ("02:00:00:00:00:fe", "03:00:00:00:00:fe", "gateway.*one host", 5),
    ("gateway: 02:00:00:00:00:fe\n", "", "gateway is missing", 1),
    ("id: 7", "id: 0", "not between 1", 7), ("web2: 10.0.0.2", "web2: 10.0.0.1", "web1 has the same address", 8),
    ("10.0.0.2", "10.0.0.256", "not an IPv4 address", 8),
    ("port: 443", "port: 70000", "not between 1 and 65535", 11), ("  port: 443\n", "", "port is missing", 10),
    ("[web1, {", "[wob1, {", "wob1.*Did you mean web1", 12), ("weight: 3", "weight: -3", "number|between", 12),
    ("weight: 3", "wait: 3", "no such key.*weight", 12), ("backend: web2", "backend: web1", "stands here twice", 12),
    ("198.51.100.0/28", "198.51.100.7/28", "bits behind /28", 13),
    ("protocol: udp", "protocol: tcp", "quic is for UDP", 13), ("[quic,", "[quick,", "Did you mean quic", 13),
    ("198.51.100.0/28, port: any, protocol: udp, flags: [quic, no-source-port]", "198.51.100.80, port: 443",
     "stands here twice", 9),
    ("203.0.113.0/24: web1", "203.0.113.0/33: web1", "33", 14), ("sources:", "sauces:", "Did you mean sources", 14)]


@pytest.mark.parametrize(("good", "bad", "message", "line"), MISTAKES, ids=[each[1][:30] for each in MISTAKES])
def test_mistakes_have_their_line(good: str, bad: str, message: str, line: int) -> None:
    assert good in GOOD
    with pytest.raises(ConfigurationError, match="(?s)" + message) as caught:
        settings_of(GOOD.replace(good, bad, 1))
    assert caught.value.line in (line + 1, line, line + 2), str(caught.value)


def checked(check: str, vip: str = "") -> Settings:
    return settings_of(GOOD.replace("hash: maglev", f"hash: maglev\ncheck: {check}").replace(
        "  port: 443\n", f"  port: 443\n{vip}"))


def test_checks_are_read_for_all_vips_and_for_one() -> None:
    assert not settings_of(GOOD).checked
    first, second = checked("http").vips
    assert first.check == Check("http") and second.check is None  # a prefix, and no port: nothing to connect to
    first = checked("tcp", "  check: {kind: https, host: www.example.org, path: /up, status: [200-204, 301], port: "
                    "8443, interval: 2s, timeout: 250ms, rise: 1, fall: 5, backoff: 8, calm: 5m}\n").vips[0]
    assert first.check == Check("https", 8443, "/up", "www.example.org", ((200, 204), (301, 301)), 2.0, 0.25, 1, 5, 8.0,
                                300.0, "www.example.org")
    assert checked("tcp", "  check: none\n").vips[0].check is None
    assert checked("{kind: https, sni: a.example}").vips[0].check == Check("https", sni="a.example")


@pytest.mark.parametrize(("check", "message"), [
    ("icmp", "none of none, tcp, http, https"), ("{kind: http, path: up}", "no path"),
    ("{kind: http, path: /a b}", "no path"), ("{kind: tcp, path: /}", "only connects"), ("{path: /}", "only connects"),
    ("{kind: http, status: [99]}", "no status"), ("{kind: http, status: 300-200}", "ends before"),
    ("{kind: http, sni: a}", "no TLS"), ("{kind: https, verify: true}", "for whom"),
    ("{interval: 1ms}", "not between"), ("{rise: 0}", "not between"), ("{kind: http, hosts: a}", "Did you mean host"),
    ("{kind: http, host: ''}", "no host name"), ("[tcp]", "a word or")])
def test_mistakes_in_checks(check: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"(?s){message}") as caught:
        checked(check)
    assert caught.value.line == 4
    with pytest.raises(ConfigurationError, match=f"(?s){message}"):
        checked("none", f"  check: {check}\n")


def test_checks_that_cannot_be_are_refused_where_they_stand() -> None:
    prefix = "198.51.100.0/28, port: any, protocol: udp, "
    for vip, message in ((prefix, "prefix is no address"), (prefix.replace("/28", ""), "no port to connect to")):
        with pytest.raises(ConfigurationError, match=message):
            settings_of(GOOD.replace(prefix, vip + "check: tcp, "))
    found = settings_of(GOOD.replace(prefix, prefix.replace("/28", "") + "check: {port: 80}, "))
    assert found.vips[1].check == Check("tcp", 80)
    for more, message in (("probe-mark: 0x1000", "lowest 21"), ("all-down: maybe", "keep, drop"),
                          ("established: lose", "keep, move")):
        with pytest.raises(ConfigurationError, match=message):
            settings_of(GOOD + more)


def test_what_katran_has_not_is_refused_beside_it() -> None:
    for more in ("vlans: true", "mtu: 9000"):
        with pytest.raises(ConfigurationError, match="Katran"):
            settings_of(GOOD.replace("hash: maglev", f"hash: katran\n{more}"))
    with pytest.raises(ConfigurationError, match="IPv6 only"):
        settings_of(GOOD.replace("hash: maglev", "hash: katran"))
    with pytest.raises(ConfigurationError, match="no VIP"):
        settings_of("gateway: 02:00:00:00:00:fe")
