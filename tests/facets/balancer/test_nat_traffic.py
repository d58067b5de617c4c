"""Connections that are translated, real ones: HTTP, UDP, and ICMP errors of everybody who may send them."""
from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.facets.balancer.places import Web
from tests.facets.balancer.test_path import to
from tests.facets.balancer.routed import BACKENDS, BOX, CLIENT, INSIDE, VIP, Box, bound, boxed
from tests.facets.balancer.test_health_traffic import FAST, tending, wait_for
from tests.facets.balancer.test_traffic import ask

from bpfwright.headers import TCP
from bpfwright.kernel import Kernel
from bpfwright.userspace import Userspace

pytestmark = pytest.mark.kernel

IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
IPV6_MTU_DISCOVER, IPV6_MTU = 23, 24


def configuration(snat: bool, *, vip: dict[int, str] = VIP, names: tuple[str, ...] = ("first", "second"),
                  more: str = "") -> str:
    source = f"\n  source: [{INSIDE[4]}, '{INSIDE[6]}']" if snat else ""
    vips = ""
    for family, address in vip.items():
        for protocol, port, inside in (("tcp", 80, 8080), ("udp", 53, 53)):
            uses = ", ".join(f"{{backend: '{BACKENDS[name][family]}', port: {inside}}}" for name in names)
            vips += (f"  - {{address: '{address}', port: {port}, protocol: {protocol}, mode: nat, "
                     f"snat: {str(snat).lower()}, backends: [{uses}]}}\n")
    return f"interfaces: [eth0, eth1]\nbalancer:\n  announce: true{source}{more}\n  vips:\n{vips}"


def counters(box: Box) -> dict[str, int]:
    with box.places["box"].space.entered():
        return {row["what"]: row["packets"] for row in box.controller.status().rows["balancer"]}


@contextmanager
def served(box: Box) -> Iterator[dict[str, Web]]:
    with ExitStack() as stack:
        webs = {name: Web(box.places[name], 8080) for name in BACKENDS}  # type: ignore[arg-type]
        for web in webs.values():
            stack.callback(web.close)
        yield webs


def connected(box: Box, family: int, vip: dict[int, str] = VIP) -> socket.socket:
    made = bound(box.places["client"], family, socket.SOCK_STREAM, CLIENT[family], next(box.ports))
    try:
        made.connect((vip[family], 80))
    except OSError:
        made.close()
        raise
    return made


@pytest.mark.parametrize(("snat", "vip"), [(False, BOX), (True, VIP), (True, BOX)],
                         ids=["the box's own", "sources too", "sources too, the box's own"])
def test_http_by_way_of_the_box(tmp_path: Path, snat: bool, vip: dict[int, str]) -> None:
    """Backends that cannot answer the client themselves need their sources translated."""
    with boxed(tmp_path, routes_back=not snat) as box, served(box) as webs:
        box.apply(configuration(snat, vip=vip))
        for family in (4, 6):
            names = set()
            for _ in range(10):
                with connected(box, family, vip) as connection:
                    assert connection.getpeername()[:2] == (vip[family], 80)
                    name = ask(connection)
                    assert ask(connection) == name
                    names.add(name)
            assert names == {"first", "second"}, family
        assert counters(box)["nat new"] == 20 and sum(web.served for web in webs.values()) == 40
        seen = webs["first"].peers | webs["second"].peers
        assert seen == ({INSIDE[4], INSIDE[6]} if snat else {CLIENT[4], CLIENT[6]})


def test_connections_go_on_through_changes_and_drained_backends(tmp_path: Path) -> None:
    with boxed(tmp_path) as box, served(box), ExitStack() as stack:
        box.apply(configuration(False))
        connections = [stack.enter_context(connected(box, 4)) for _ in range(8)]
        homes = [ask(each) for each in connections]
        assert set(homes) == {"first", "second"}
        box.apply(configuration(False).replace("{backend: '10.0.0.22', port: 8080}",
                                               "{backend: '10.0.0.22', port: 8080, weight: 0}"))
        assert [ask(each) for each in connections] == homes
        for _ in range(6):
            with connected(box, 4) as connection:
                assert ask(connection) == "first"
        box.apply(configuration(False, names=("first",)))
        for home, each in zip(homes, connections, strict=True):
            if home == "first":
                assert ask(each) == "first"


def test_a_connection_is_explained(tmp_path: Path) -> None:
    with boxed(tmp_path) as box, served(box):
        box.apply(configuration(False))
        with connected(box, 4) as fresh:
            assert ask(fresh)
            with box.places["box"].space.entered(), Kernel() as kernel:  # what would become of one more, for nothing
                packet = to(VIP[4], CLIENT[4], TCP(sport=fresh.getsockname()[1], dport=80, ack=1))
                for found in box.controller.explain(packet, "eth0", [kernel, Userspace()]):
                    assert found.steps[-1].reason == "translated" and found.action == "PASS"
                assert box.controller.explain(to(VIP[4], CLIENT[4], TCP(sport=9, dport=80, ack=1)), "eth0",
                                              [kernel])[0].steps[-1].reason == "no connection"


class Echo:
    """A server for datagrams: it says each again, or so many bytes as it is told to."""

    def __init__(self, box: Box, name: str, family: int) -> None:
        self.socket = bound(box.places[name], family, socket.SOCK_DGRAM, BACKENDS[name][family], 53)
        self.socket.settimeout(0.1)
        self.over = False
        self.ends: set[Any] = set()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while not self.over:
            try:
                data, peer = self.socket.recvfrom(65536)
                self.ends.add(peer)
                self.socket.sendto(data, peer)
            except OSError:  # nothing came, or an error about what was sent
                continue

    def close(self) -> None:
        self.over = True
        self.thread.join()
        self.socket.close()  # again: nothing


@pytest.mark.parametrize("snat", [False, True], ids=["dnat", "snat"])
@pytest.mark.parametrize("family", [4, 6])
def test_datagrams_and_the_errors_about_them(tmp_path: Path, family: int, snat: bool) -> None:
    with boxed(tmp_path, routes_back=not snat) as box, ExitStack() as stack:
        box.apply(configuration(snat, names=("first",)))
        echo = Echo(box, "first", family)
        stack.callback(echo.close)
        client = stack.enter_context(bound(box.places["client"], family, socket.SOCK_DGRAM, CLIENT[family]))
        client.connect((VIP[family], 53))
        for size in (0, 1, 2, 7, 1200, 1400):
            client.send(b"x" * size)
            assert client.recv(65536) == b"x" * size
        assert {end[0] for end in echo.ends} == {INSIDE[family] if snat else CLIENT[family]}
        # The wire to the backends becomes narrower: the box says so, of the packet that the client sent.
        whole_packets(client, family)
        box.places["box"].run("ip link set eth1 mtu 1300")
        assert refusal(client) == "Message too long"
        assert mtu_of(client, family) == 1300
        client.send(b"z" * 1200)
        assert client.recv(65536) == b"z" * 1200
        # The wire to the client does: the backend is told of the packet that it sent.
        box.places["box"].run("ip link set eth1 mtu 1500; ip link set eth0 mtu 1290")
        whole_packets(echo.socket, family)
        client.send(b"a" * 1200)
        assert client.recv(65536) == b"a" * 1200
        peer = next(iter(echo.ends))
        with answering(box, family, echo, peer) as backend:
            assert refusal(backend) == "Message too long" and mtu_of(backend, family) == 1290
            # The client is gone: the backend is told by whom it asked.
            client.close()
            assert refusal(backend, b"gone?") == "Connection refused"
        # And the other way round: nobody is there on the backend any more.
        other = stack.enter_context(bound(box.places["client"], family, socket.SOCK_DGRAM, CLIENT[family]))
        other.connect((VIP[family], 53))
        assert refusal(other, b"hello?") == "Connection refused"
        # The box's word to the backend is as the backend knows it, unless sources are translated.
        assert counters(box)["nat errors"] >= (4 if snat else 3)


OPTIONS = {4: (socket.IPPROTO_IP, 4, bytes.fromhex("94040000")),               # IP_OPTIONS: router alert
           6: (socket.IPPROTO_IPV6, 59, bytes.fromhex("0000010400000000"))}     # IPV6_DSTOPTS: nothing but room


@pytest.mark.parametrize("snat", [False, True], ids=["dnat", "snat"])
def test_fragments_and_options_there_and_back(tmp_path: Path, snat: bool) -> None:
    with boxed(tmp_path, routes_back=not snat) as box, ExitStack() as stack:
        box.apply(configuration(snat, names=("first",)))
        for family in (4, 6):
            echo = Echo(box, "first", family)
            stack.callback(echo.close)
            client = stack.enter_context(bound(box.places["client"], family, socket.SOCK_DGRAM, CLIENT[family]))
            client.connect((VIP[family], 53))
            before = counters(box).get("nat fragments", 0)
            for options in (False, True):
                if options:
                    for each in (client, echo.socket):
                        each.setsockopt(*OPTIONS[family])
                for size in (10, 1600, 4000, 60_000, 1473):
                    data = bytes(number * size % 251 for number in range(size))
                    client.send(data)
                    assert client.recv(65536) == data, (family, options, size)
            # At XDP there and at tc back; where sources change too, at both both ways.
            assert counters(box)["nat fragments"] - before >= 2 * 2 * (1 + 2 + 40 + 1) * (1 + snat)
            assert {end[0] for end in echo.ends} == {INSIDE[family] if snat else CLIENT[family]}


def test_a_wire_that_is_narrower_makes_fragments_that_are_translated(tmp_path: Path) -> None:
    """The host itself cuts what it forwards, behind XDP and in front of tc."""
    with boxed(tmp_path, routes_back=False) as box, ExitStack() as stack:
        box.apply(configuration(True, names=("first",)))
        box.places["box"].run("ip link set eth1 mtu 1280")
        backend = stack.enter_context(bound(box.places["first"], 4, socket.SOCK_DGRAM, BACKENDS["first"][4], 53))
        client = stack.enter_context(bound(box.places["client"], 4, socket.SOCK_DGRAM, CLIENT[4]))
        client.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, 0)  # routers may cut it
        client.connect((VIP[4], 53))
        for size in (1400, 1472, 3000):
            client.send(b"z" * size)
            data, peer = backend.recvfrom(65536)
            assert data == b"z" * size and peer[0] == INSIDE[4]
            backend.sendto(b"it came", peer)
            assert client.recv(65536) == b"it came"


@contextmanager
def answering(box: Box, family: int, echo: Echo, peer: Any) -> Iterator[socket.socket]:
    """In the server's place, a socket that is connected to its peer, and so is told of errors."""
    echo.close()
    with bound(box.places["first"], family, socket.SOCK_DGRAM, BACKENDS["first"][family], 53) as made:
        whole_packets(made, family)
        made.connect(peer)
        yield made


def whole_packets(made: socket.socket, family: int) -> None:
    """Packets are not cut up, and errors about them are told."""
    if family == 4:
        made.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    else:
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_DO)


def mtu_of(made: socket.socket, family: int) -> int:
    return made.getsockopt(socket.IPPROTO_IP, IP_MTU) if family == 4 else made.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)


def refusal(made: socket.socket, data: bytes = b"y" * 1400) -> str:
    """The error that comes for what was sent."""
    for _ in range(100):
        try:
            made.send(data)
            made.settimeout(0.05)
            made.recv(65536)
        except TimeoutError:
            continue
        except OSError as error:
            return error.strerror or ""
        finally:
            made.settimeout(10)
    return ""


def test_a_host_that_does_not_forward_is_told(tmp_path: Path) -> None:
    with boxed(tmp_path) as box:
        box.apply(configuration(False))
        assert not any("proc" in what for what in counters(box))
        with box.places["box"].space.entered():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("0")
            shown = box.controller.status().rows["balancer"]
        assert [row["state"] for row in shown if row["what"] == "/proc/sys/net/ipv4/ip_forward"] == [
            "OFF: nothing that is translated is forwarded"]


def test_checks_of_backends_that_are_translated_to(tmp_path: Path) -> None:
    with boxed(tmp_path) as box, served(box) as webs:
        box.apply(configuration(False, more=f"\n  check: {{kind: http, {FAST}}}"))
        second = f"{BACKENDS['second'][4]} of {VIP[4]}:80/tcp"
        with tending(box.controller, box.places["box"].space) as live:
            wait_for(lambda: live.fresh(BACKENDS["first"][4], BACKENDS["second"][4], BACKENDS["first"][6]))
            webs["second"].close()
            wait_for(lambda: live.all_are(second, "down: connection refused"))
            for _ in range(6):
                with connected(box, 4) as connection:
                    assert ask(connection) == "first"
