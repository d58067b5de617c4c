"""Connections told to another node: a packet that comes there goes where it went before."""
from __future__ import annotations

from typing import Any

import pytest
from tests.facets.balancer.loaded import Balancer, balancing, packed
from tests.facets.balancer.test_path import CLIENT, CLIENT6, MACHINES, to

from bpfwright.errors import UsageError
from bpfwright.facets.balancer.sharing import known, learn, line_of, of_line
from bpfwright.headers import TCP, UDP

pytestmark = pytest.mark.kernel

VIP, VIP6 = "198.51.100.80", "2001:db8::80"


def text(backends: str, flags: str = "[shared-connections]") -> str:
    return "gateway: 02:00:00:00:00:fe\nconnections: 1k\nvips:\n" + "".join(
        f"- {{address: '{vip}', port: 443, protocol: {protocol}, flags: {flags}, backends: [{backends}]}}\n"
        for vip in (VIP, VIP6) for protocol in ("tcp", "udp")) + \
        f"- {{address: 198.51.100.81, port: 443, backends: [{backends}]}}\n"


def backend(balancer: Balancer, frame: bytes) -> str:
    return ".".join(map(str, balancer.send(frame)[1][30:34]))


def frames(**flags: Any) -> list[bytes]:
    return [to(vip, source, TCP(sport=sport, dport=443, **flags) if sport % 2 else UDP(sport=sport, dport=443))
            for vip, source in ((VIP, CLIENT), (VIP6, CLIENT6)) for sport in range(1000, 1012)]


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_another_node_sends_them_where_they_went(machine: str) -> None:
    run = MACHINES[machine]
    with balancing(text("10.0.0.1, 10.0.0.2"), run()) as first, balancing(
            text("10.0.0.3, 10.0.0.2, {backend: 10.0.0.1, weight: 0}"), run()) as second:
        homes = [backend(first, frame) for frame in frames(syn=1)]
        assert set(homes) == {"10.0.0.1", "10.0.0.2"}
        first.send(to("198.51.100.81", CLIENT, TCP(sport=7, dport=443, syn=1)))  # of a VIP that does not share
        lines = [line_of(each) for each in known(first.settings, first.tables, first.maps)]
        assert len(lines) == len(homes)
        told = [of_line(line) for line in lines]
        assert {each.backend for each in told} == {packed("10.0.0.1"), packed("10.0.0.2")}
        assert learn(second.settings, second.tables, second.maps, told) == (len(homes), 0)
        assert [backend(second, frame) for frame in frames(ack=1)] == homes
        assert second.counters()["shared_hit"] == len(homes)
        assert "10.0.0.1" not in {backend(second, frame) for frame in frames(syn=1) if frame[23] == 6 or frame[20] == 6}
        second.refill(text("10.0.0.3, 10.0.0.2"))
        assert learn(second.settings, second.tables, second.maps, told)[1] == homes.count("10.0.0.1")


GOOD = '{"from": "10.0.0.1", "sport": 1, "to": "10.0.0.2", "dport": 2, "protocol": "tcp", "backend": "10.0.0.3"}'


@pytest.mark.parametrize("line", ["", "{}", "[]", "7", '{"from": "10.0.0.1"}', "no json", GOOD.replace("tcp", "sctp"),
                                  GOOD.replace('"sport": 1', '"sport": 70000'), GOOD.replace('"10.0.0.1"', '"::1"'),
                                  GOOD.replace('"dport": 2', '"dport": "x"'), GOOD.replace("10.0.0.3", "web1")])
def test_lines_that_tell_nothing(line: str) -> None:
    assert line_of(of_line(GOOD)) == GOOD
    with pytest.raises(UsageError):
        of_line(line)
