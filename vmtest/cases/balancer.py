"""The balancer's programs with all that they may have: loaded, translating there and back, probing, forgetting."""
from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vmtest.own_cache import own_cache

if TYPE_CHECKING:
    from bpfwright.spec.packet import Packet

HOOK = ""  # no row of its own
SINCE = "6.1"  # packets read by offset (5.18)

TRANSLATES = """
source: 192.0.2.1
nat-connections: 64
nat-timeouts: {tcp-new: 2s}
vips:
- {address: 198.51.100.80, port: 80, mode: nat, snat: true, backends: [{backend: 10.0.0.1, port: 8080}]}
"""
TUNNELS = """
gateway: 02:00:00:00:00:fe
check: tcp
mss: auto
established: move
encapsulation: gue
source: [192.0.2.1, "2001:db8::1"]
vips:
- {address: 198.51.100.80, port: 80, backends: [10.0.0.1, "2001:db8:9::1"]}
"""
NEXT = (1 << 32) - 1


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache():
        translated()
        probed()


def translated() -> None:
    from bpfwright.headers import TCP, Ethernet, IPv4
    from bpfwright.hooks import xdp
    from bpfwright.kernel import Kernel
    from bpfwright.spec.packet import Packet
    from tests.facets.balancer.loaded import balancing
    ethernet = Ethernet(destination="02:00:00:00:00:01", source="02:00:00:00:00:02")
    with balancing(TRANSLATES, Kernel()) as balancer:
        nat, egress = balancer.tables.nat, balancer.egress
        assert egress is not None
        syn = bytes(ethernet / IPv4(source="203.0.113.5", destination="198.51.100.80") / TCP(sport=5, dport=80, syn=1))
        action, data = balancer.send(syn)
        assert action == xdp.PASS and len(balancer.maps(nat.known)) == 1
        run = egress.test_run(data, repeat=1)
        seen = Packet.parse(bytes(run.data))
        assert run.value == NEXT and _ends(seen)[0] == "192.0.2.1" and _ends(seen)[3] == 8080
        answer = bytes(ethernet / IPv4(source="10.0.0.1", destination="192.0.2.1")
                       / TCP(sport=8080, dport=_ends(seen)[1], syn=1, ack=1))
        action, data = balancer.send(answer)
        assert action == xdp.PASS
        got = Packet.parse(bytes(egress.test_run(data, repeat=1).data))
        assert _ends(got) == ("198.51.100.80", 80, "203.0.113.5", 5)
        balancer.send(bytes(ethernet / IPv4(source="203.0.113.5", destination="198.51.100.80")
                            / TCP(sport=6, dport=80, syn=1)))
        assert len(balancer.maps(nat.known)) == 2
        ends = time.monotonic() + 20
        while len(balancer.maps(nat.known)) > 1:  # nobody answered that one
            assert time.monotonic() < ends
            time.sleep(0.05)


def _ends(packet: Packet) -> tuple[str, int, str, int]:
    from bpfwright.headers import TCP, IPv4
    ip, tcp = packet.find(IPv4), packet.find(TCP)
    assert ip is not None and tcp is not None
    return str(ip.source), tcp.sport, str(ip.destination), tcp.dport


def probed() -> None:
    from bpfwright.facets.balancer import control
    from bpfwright.facets.balancer.probing import mark_of
    from bpfwright.facets.balancer.standing import State, key_of, written
    from bpfwright.headers import TCP, Ethernet, IPv4
    from bpfwright.hooks import xdp
    from bpfwright.kernel import Kernel
    from tests.facets.balancer.loaded import balancing
    with balancing(TUNNELS, Kernel()) as balancer:
        vips, reals = control.numbers_in(balancer.settings, balancer.tables, balancer.maps)
        segment = TCP(sport=5, dport=80, syn=1, data_offset=6) / b"\2\4\5\xb4"
        syn = bytes(Ethernet(destination="02:00:00:00:00:01", source="02:00:00:00:00:01")
                    / IPv4(source="192.0.2.1", destination="198.51.100.80") / segment)
        number, egress = vips["198.51.100.80:80/tcp"], balancer.egress
        assert egress is not None
        action, data = balancer.send(syn)
        assert action == xdp.TX and data[-4:-2] == b"\2\4" and int.from_bytes(data[-2:], "big") < 1460
        for real in reals.values():
            balancer.maps(balancer.tables.standing)[key_of(number, real)] = written(State())
            context = bytes(8) + mark_of(balancer.settings.probe_mark, number, real).to_bytes(4, "little") + bytes(180)
            run = egress.test_run(syn, context=context, repeat=1)
            assert run.value == NEXT and len(run.data) > len(syn) and bytes(run.data).endswith(syn[14:])
