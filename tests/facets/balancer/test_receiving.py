"""A backend's side, and the command's other verbs."""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.cli.commands import command
from tests.facets.balancer.loaded import packed
from tests.facets.balancer.test_configuration import GOOD

from bpfwright import Userspace, load
from bpfwright.errors import UsageError
from bpfwright.facets.balancer.announcing import routes
from bpfwright.facets.balancer.receiving import Received, Receiver, receiving
from bpfwright.headers import GRE, ICMP, TCP, UDP, Ethernet, IPv4, IPv6
from bpfwright.hooks import xdp
from bpfwright.kernel import Kernel

pytestmark = pytest.mark.kernel

HERE, VIPS = {4: "192.0.2.21", 6: "2001:db8::21"}, {4: "198.51.100.80", 6: "2001:db8::80"}
ETHERNET = Ethernet(destination="02:00:00:00:00:15", source="02:00:00:00:00:01")


class Opened:
    def __init__(self, made: Receiver, session: Any) -> None:
        self.made, self.session = made, session

    def send(self, frame: bytes) -> tuple[Any, bytes]:
        result = self.session.test(frame)
        return result.action, bytes(result.data)

    @property
    def received(self) -> Received:
        total: Received = self.session[self.made.received][0].total()
        return total


@pytest.fixture(scope="module", params=["kernel", "jit"])
def opened(request: Any) -> Iterator[Opened]:
    made = receiving()
    with load(made.program, machine=Kernel() if request.param == "kernel" else Userspace()) as session:
        made.fill(session, [packed(each) for each in HERE.values()], [packed(each) for each in VIPS.values()])
        yield Opened(made, session)


def inside(family: int, vip: str = "", ecn: int = 0) -> Any:
    vip = vip or VIPS[family]
    if family == 4:
        return IPv4(source="203.0.113.5", destination=vip, ecn=ecn) / TCP(sport=5, dport=443) / b"hello"
    return IPv6(source="2001:db8:5::5", destination=vip, traffic_class=ecn) / TCP(sport=5, dport=443) / b"hello"


def tunnel(kind: str, outer: int, inner: int, packet: bytes, *, to: str = "", ecn: int = 0, dport: int = 6080) -> bytes:
    to = to or HERE[outer]
    protocol = 17 if kind == "gue" else 4 if inner == 4 else 41
    ip: Any = (IPv4(source="172.16.0.1", destination=to, protocol=protocol, ecn=ecn) if outer == 4 else
               IPv6(source="100::1", destination=to, next_header=protocol, traffic_class=ecn))
    return bytes(ETHERNET / ip / UDP(sport=9, dport=dport) / packet if kind == "gue" else ETHERNET / ip / packet)


@pytest.mark.parametrize("kind", ["ipip", "gue"])
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
def test_tunnels_are_opened(opened: Opened, kind: str, outer: int, inner: int) -> None:
    packet = bytes(inside(inner))
    before = opened.received.opened
    assert opened.send(tunnel(kind, outer, inner, packet)) == (xdp.PASS, bytes(ETHERNET / inside(inner)))
    assert opened.received.opened == before + 1
    for frame in (tunnel(kind, outer, inner, packet, to="192.0.2.99" if outer == 4 else "2001:db8::99"),
                  tunnel(kind, outer, inner, bytes(inside(inner, "198.51.100.9" if inner == 4 else "2001:db8::9"))),
                  bytes(ETHERNET / inside(inner)), tunnel("gue", outer, inner, packet, dport=6081),
                  tunnel(kind, outer, inner, packet)[:50]):
        assert opened.send(frame) == (xdp.PASS, frame)
    assert opened.received.opened == before + 1


@pytest.mark.parametrize("kind", ["ipip", "gue"])
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
def test_congestion_is_told_on(opened: Opened, kind: str, outer: int, inner: int) -> None:
    for ecn in (1, 2, 3):
        frame = tunnel(kind, outer, inner, bytes(inside(inner, ecn=ecn)), ecn=3)
        assert opened.send(frame) == (xdp.PASS, bytes(ETHERNET / inside(inner, ecn=3)))
    assert opened.send(tunnel(kind, outer, inner, bytes(inside(inner)), ecn=3))[0] == xdp.DROP
    frame = tunnel(kind, outer, inner, bytes(inside(inner, ecn=1)), ecn=2)
    assert opened.send(frame) == (xdp.PASS, bytes(ETHERNET / inside(inner, ecn=1)))


def test_broken_tunnels_end_alike_on_both_machines() -> None:
    random, made = Random(3), receiving()
    bases = [tunnel(kind, outer, inner, bytes(inside(inner))) for kind in ("ipip", "gue") for outer in (4, 6)
             for inner in (4, 6)] + [bytes(ETHERNET / IPv4(destination=HERE[4]) / GRE() / IPv4() / ICMP())]
    with load(made.program) as kernel, load(made.program, machine=Userspace()) as userspace:
        for session in (kernel, userspace):
            made.fill(session, [packed(each) for each in HERE.values()], [packed(each) for each in VIPS.values()])
        for _ in range(500):
            frame = bytearray(random.choice(bases))
            for _ in range(random.choice((0, 1, 2))):
                frame[random.randrange(12, len(frame))] = random.randrange(256)
            if random.random() < 0.4:
                del frame[random.randrange(14, len(frame)):]
            first, second = kernel.test(bytes(frame)), userspace.test(bytes(frame))
            assert (first.action, first.data) == (second.action, second.data), bytes(frame).hex()


def test_what_cannot_be_received_is_refused() -> None:
    for kinds in ((), ("vxlan",)):
        with pytest.raises(UsageError):
            receiving(kinds)


def test_a_speaker_is_told_what_changes() -> None:
    said: set[str] = set()
    assert list(routes(["198.51.100.80/32", "2001:db8::/64"], said)) == [
        "announce route 198.51.100.80/32 next-hop self", "announce route 2001:db8::/64 next-hop self"]
    assert list(routes(["2001:db8::/64"], said)) == ["withdraw route 198.51.100.80/32 next-hop self"]
    assert list(routes(["2001:db8::/64"], said)) == []


def test_the_command(tmp_path: Path) -> None:
    file = tmp_path / "net.yaml"
    file.write_text("interfaces: [eth0]\nbalancer:\n" + "\n".join("  " + line for line in GOOD.splitlines()))
    status, said, _ = command("balancer", "simulate", str(file), "192.0.2.7:40000", "198.51.100.80:443")
    assert status == 0 and "VIP 198.51.100.80:443/tcp, place " in said
    status, said, _ = command("balancer", "simulate", str(file), "192.0.2.7:40000", "198.51.100.99:443")
    assert status == 1 and "no VIP has this address" in said
    assert command("balancer", "routes", str(file))[1] == ("announce route 198.51.100.0/28 next-hop self\n"
                                                           "announce route 198.51.100.80/32 next-hop self\n")
    for words in (("simulate", str(file), "192.0.2.7", "198.51.100.80:443"), ("receive", "-i", "eth0"),
                  ("simulate", str(file)), ("receive", "-i", "lo", "--vip", "nonsense")):
        assert command("balancer", *words)[0] == 2
    assert command("balancer", "routes", str(tmp_path / "none.yaml"))[0] == 1
