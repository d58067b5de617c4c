"""Real connections through the balancer: clients, servers, tunnels and the bridge between them in namespaces."""
from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.facets.balancer.loaded import packed
from tests.facets.balancer.places import CLIENT, VIP, Host, Web, opened, placed

from bpfwright.datapath.configuration import Section, read
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger
from bpfwright.facets.balancer.facet import FACET
from bpfwright.facets.balancer.simulate import simulate

pytestmark = pytest.mark.kernel

SOURCES = "source: [192.0.2.1, '2001:db8::1']"


def configuration(hosts: dict[str, Host], *names: str, kind: str = "ipip", backend: int = 4, more: str = "",
                  weights: dict[str, int] | None = None) -> str:
    backends = "\n".join(f"    {name}: {{address: '{hosts[name].addresses[backend]}', mac: '{hosts[name].mac}'}}"
                         for name in names)
    uses = ", ".join(f"{{backend: {name}, weight: {(weights or {}).get(name, 1)}}}" for name in names)
    vips = "\n".join(f"  - {{address: '{VIP[family]}', port: 80, backends: [{uses}]}}" for family in (4, 6))
    outer = f"\n  {SOURCES}" if kind == "gue" else ""
    return f"interfaces: [eth0]\nbalancer:\n  announce: true\n  encapsulation: {kind}{outer}{more}\n" \
           f"  backends:\n{backends}\n  vips:\n{vips}\n"


class Site:
    def __init__(self, hosts: dict[str, Host], webs: dict[str, Web], controller: Controller) -> None:
        self.hosts, self.webs, self.controller = hosts, webs, controller
        self.ports = itertools.count(20_000)  # which backend each comes to is settled, and no matter of luck

    def apply(self, text: str) -> None:
        with self.hosts["balancer"].space.entered():
            self.controller.apply(text)

    def connect(self, family: int, timeout: float = 10) -> socket.socket:
        with self.hosts["client"].space.entered():
            made = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_STREAM)
        made.settimeout(timeout)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((CLIENT[family], next(self.ports)))
            made.connect((VIP[family], 80))
        except OSError:
            made.close()
            raise
        return made


def ask(connection: socket.socket) -> str:
    """Who answers on this connection."""
    connection.sendall(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    head, body = b"", b""
    while b"\r\n\r\n" not in head:
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("closed")
        head += more
    head, body = head.split(b"\r\n\r\n", 1)
    length = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head.split(b"X-Backend: ")[1].split(b"\r\n")[0].decode()


@contextmanager
def site(tmp_path: Path, *names: str, receive: bool = True) -> Iterator[Site]:
    with ExitStack() as stack:
        hosts = stack.enter_context(placed(*names, receive=receive))
        webs = {}
        for name in names:
            webs[name] = Web(hosts[name])
            stack.callback(webs[name].close)
        ledger = Ledger(f"balancer-test-{os.getpid()}", state=str(tmp_path))
        with Controller("", {"balancer": FACET}, ledger=ledger) as controller:
            try:
                yield Site(hosts, webs, controller)
            finally:
                with hosts["balancer"].space.entered():
                    if ledger.exists:
                        controller.remove()
                assert not os.path.exists(ledger.pins)


@pytest.mark.parametrize("kind", ["ipip", "gue"])
def test_two_backends_serve_one_address(tmp_path: Path, kind: str) -> None:
    with site(tmp_path, "first", "second") as made:
        for backend in (4, 6):
            text = configuration(made.hosts, "first", "second", kind=kind, backend=backend)
            made.apply(text)
            for family in (4, 6):
                served: Counter[str] = Counter()
                for _ in range(12):
                    with made.connect(family) as connection:
                        sport = connection.getsockname()[1]
                        name = ask(connection)
                        assert ask(connection) == name
                    served[name] += 1
                    settings = FACET.read(_section(text))
                    found = simulate(settings, packed(CLIENT[family]), sport, packed(VIP[family]), 80)
                    assert found.backend is not None and found.backend.name == name
                assert set(served) == {"first", "second"}, f"{family} over {backend}: {served}"


@pytest.mark.parametrize("family", [4, 6])
def test_a_client_that_is_told_what_fits_the_tunnel_needs_no_other_word(tmp_path: Path, family: int) -> None:
    """What is too large is dropped without a word; segments of the size that the backend says come through."""
    text = "GET / HTTP/1.1\r\nX: " + "y" * 30_000 + "\r\n\r\n"
    with site(tmp_path, "first", receive=False) as made:
        made.apply(configuration(made.hosts, "first", more="\n  too-big: false\n  mss: auto"))
        for inside, arrives in ((0, False), (1480, True)):
            with opened(made.hosts["first"], inside), made.connect(family) as connection:
                connection.settimeout(20 if arrives else 1.5)
                connection.sendall(text.encode())
                if arrives:
                    assert b"X-Backend: first" in connection.recv(65536)
                else:
                    with pytest.raises(TimeoutError):
                        connection.recv(65536)


def _section(text: str) -> Section:
    section = read(text, "net.yaml").section("balancer")
    assert section is not None
    return section


def test_the_command_of_a_backend(tmp_path: Path) -> None:
    """`bpfwright balancer receive` alone makes a host a backend, and leaves it as it was."""
    with placed("first", receive=False, serve=False) as hosts:
        host = hosts["first"]
        web = Web(host)
        ledger = Ledger(f"balancer-test-{os.getpid()}", state=str(tmp_path))
        words = [sys.executable, "-m", "bpfwright", "balancer", "receive", "-i", "eth0"]
        words += ["--vip", VIP[4], "--vip", VIP[6]]
        before = shown(host)
        child = subprocess.Popen(["nsenter", f"--net={host.path}", *words], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        assert child.stderr is not None and child.stdout is not None
        with child, Controller("", {"balancer": FACET}, ledger=ledger) as controller:
            try:
                assert "are open" in child.stderr.readline()
                made = Site(hosts, {"first": web}, controller)
                made.apply(configuration(hosts, "first"))
                for family in (4, 6):
                    with made.connect(family) as connection:
                        assert ask(connection) == "first"
                child.send_signal(signal.SIGINT)
                said = child.stdout.read()
                assert child.wait(20) == 0 and int(said.split()[0]) > 5, said
            finally:
                child.kill()
                web.close()
                with hosts["balancer"].space.entered():
                    if ledger.exists:
                        controller.remove()
        assert shown(host) == before


def shown(host: Host) -> str:
    """Addresses, and what is set, of a host."""
    with host.space.entered():
        named = Path("/proc/sys/net/ipv4/conf/all")
        settings = [(named / name).read_text() for name in ("arp_ignore", "arp_announce")]
    words = ["nsenter", f"--net={host.path}", "ip", "-br", "addr", "show", "lo"]
    return subprocess.run(words, capture_output=True, text=True).stdout + "".join(settings)
