"""Marked packets of this host at tc egress, on both machines: the headers that a client's would get."""
from __future__ import annotations

from typing import Any

import pytest
from tests.facets.balancer.loaded import HERE, Balancer, balancing, packed
from tests.facets.balancer.test_path import GUE, MACHINES, encapsulated

from bpfwright.facets.balancer import control
from bpfwright.facets.balancer.probing import mark_of
from bpfwright.facets.balancer.standing import State, key_of, written
from bpfwright.headers import TCP, Ethernet, ICMPv6, IPv4, IPv6
from bpfwright.headers.arp import Arp
from bpfwright.spec.header import network_sum

pytestmark = pytest.mark.kernel

VIP, VIP6 = "198.51.100.80", "2001:db8::80"
OWN, OWN6 = "192.0.2.1", "2001:db8::1"
NEXT, REDIRECT = -1, 7


def text(kind: str) -> str:
    return (f"{GUE if kind == 'gue' else ''}\ngateway: 02:00:00:00:00:fe\ncheck: tcp\nhash: katran\n"
            f"backends: {{one: 10.0.0.1, six: '2001:db8:9::1'}}\nvips:\n"
            f"- {{address: {VIP}, port: 80, backends: [one, six]}}\n"
            f"- {{address: '{VIP6}', port: 80, backends: [one, six]}}\n")


def leaving(balancer: Balancer, frame: bytes, mark: int = 0) -> tuple[int, bytes]:
    """What becomes of a frame that this host sends."""
    context = bytes(8) + mark.to_bytes(4, "little") + bytes(180)
    assert balancer.egress is not None
    run = balancer.egress.test_run(frame, context=context, repeat=1)
    value = run.value - (1 << 32) if run.value >> 31 else run.value
    return value, bytes(run.data)


@pytest.mark.parametrize("kind", ["ipip", "gue"])
@pytest.mark.parametrize("machine", ["kernel", "jit", "interpreter"])
def test_probes_get_the_headers_of_their_vips_packets(machine: str, kind: str) -> None:
    with balancing(text(kind), MACHINES[machine]()) as balancer:
        vips, reals = control.numbers_in(balancer.settings, balancer.tables, balancer.maps)
        standing = balancer.maps(balancer.tables.standing)
        base = balancer.settings.probe_mark
        for vip, source in ((VIP, OWN), (VIP6, OWN6)):
            ip: Any = IPv4(source=source, destination=vip) if "." in vip else IPv6(source=source, destination=vip)
            frame = bytes(Ethernet(destination=HERE, source=HERE) / ip / TCP(sport=40000, dport=80, syn=1))
            number = next(number for name, number in vips.items() if vip in name)
            for address, real in reals.items():
                mark = mark_of(base, number, real)
                standing.discard(key_of(number, real))
                assert leaving(balancer, frame, mark) == (NEXT, frame)
                standing[key_of(number, real)] = written(State())
                assert leaving(balancer, frame, mark) == (
                    NEXT, encapsulated(frame, kind, address, 40000, packed(source)))
                assert balancer.send(frame)[1][14:].endswith(frame[14:])
                for other in (0, mark + 100, mark ^ 1 << 31, mark & (1 << 21) - 1):
                    assert leaving(balancer, frame, other) == (NEXT, frame)
        assert balancer.counters()["probes"] == 4


@pytest.mark.parametrize("machine", ["kernel", "jit"])
def test_questions_for_vips_that_this_host_asks_are_answered_to_it(machine: str) -> None:
    with balancing(text("ipip"), MACHINES[machine]()) as balancer:
        asking = Ethernet(destination="ff:ff:ff:ff:ff:ff", source=HERE)
        for address, action in ((VIP, REDIRECT), ("198.51.100.81", NEXT)):
            question = bytes(asking / Arp(sender_mac=HERE, sender=OWN, target=address))
            said, data = leaving(balancer, question)
            assert said == action and (data == question) == (action == NEXT)
            if action == REDIRECT:
                here = bytes.fromhex(HERE.replace(":", ""))
                assert data[:6] == here and data[20:22] == b"\0\2" and data[22:28] == here
                assert data[28:32] == packed(address) and data[38:42] == packed(OWN)
        link = bytes.fromhex(HERE.replace(":", ""))
        for address, action in ((VIP6, REDIRECT), ("2001:db8::81", NEXT)):
            body = ICMPv6(type=135) / (packed(address) + b"\1\1" + link)
            question = bytes(asking / IPv6(source=OWN6, destination="ff02::1:ff00:80", hop_limit=255) / body)
            said, data = leaving(balancer, question)
            assert said == action
            if action == REDIRECT:
                assert data[54] == 136 and data[22:38] == packed(address) and data[38:54] == packed(OWN6)
                assert network_sum(data[22:54] + (32).to_bytes(4, "big") + b"\0\0\0\x3a" + data[54:]) == 0
