"""SYN cookies: the answer byte for byte, who gets none, and connections that begin with one."""
from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bpfwright import attach
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger
from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.facet import FACET
from bpfwright.headers import (TCP, UDP, Ethernet, IPv4, IPv6, MaximumSegment, SackPermitted, Timestamps, Vlan,
                               WindowScale)
from bpfwright.hooks import xdp
from bpfwright.kernel import Kernel
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink
from bpfwright.userspace import Userspace
from tests.datapath.wire import HOST, wired
from tests.facets.firewall.guard import Guard, settings_of

RULE = """
  rules:
    - {name: web, match: {protocol: tcp, destination-port: %d}, syn-cookies: true, action: allow}
    - {name: rest, match: {protocol: tcp}, action: drop}
"""
E = Ethernet(source="02:00:00:00:00:01", destination="02:00:00:00:00:02")
BACK = Ethernet(source="02:00:00:00:00:02", destination="02:00:00:00:00:01")
LINUX = [MaximumSegment(size=1400), SackPermitted(), Timestamps(value=7), WindowScale(shift=7)]
TX, PASS = 3, 2


SETTING = Path("/proc/sys/net/ipv4/tcp_syncookies")


@pytest.fixture
def space() -> Iterator[None]:
    """A namespace of the test's own, in which listeners send cookies for every SYN."""
    with NetworkNamespace.create() as made, made.entered():
        with Netlink() as netlink:
            netlink.set_up("lo")
        SETTING.write_text("2")
        yield


@xdp.program
def passing(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS


def run(guard: Guard, packet: Any) -> tuple[int, bytes]:
    result = guard.programs["lo", "xdp"].test_run(bytes(packet).ljust(60, b"\0"))
    return result.value, bytes(result.data)


@pytest.mark.kernel
@pytest.mark.parametrize("tagged", [False, True], ids=["plain", "vlan"])
@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_the_answer(space: None, six: bool, tagged: bool) -> None:
    ours, theirs = ("::1", "2001:db8::5") if six else ("127.0.0.1", "192.0.2.5")
    with socket.create_server((ours, 0), family=socket.AF_INET6 if six else socket.AF_INET) as listener:
        port = listener.getsockname()[1]
        there: Any = IPv6(source=theirs, destination=ours) if six else IPv4(source=theirs, destination=ours)
        here: Any = IPv6(source=ours, destination=theirs, hop_limit=64) if six else \
            IPv4(source=ours, destination=theirs, ttl=64, dont_fragment=1)
        head, back = (E / Vlan(vid=9), BACK / Vlan(vid=9)) if tagged else (E, BACK)
        with Kernel() as kernel, Guard(RULE % port, kernel) as guard:
            for options in ([], LINUX[:1], LINUX):
                syn = head / there / TCP(sport=4000, dport=port, sequence=0xFFFF_FFFF, syn=1, options=options)
                value, data = run(guard, syn)
                assert value == TX
                at = len(bytes(back / here)) + 4
                cookie = int.from_bytes(data[at:at + 4], "big")
                wanted = back / here / TCP(sport=port, dport=4000, sequence=cookie, acknowledgement=0, syn=1, ack=1,
                                           window=65535, options=[MaximumSegment(size=1440 if six else 1460)])
                assert data[:len(bytes(wanted))].hex() == bytes(wanted).hex() and cookie != 0
                assert len(data) == max(60, len(bytes(wanted)))
            for packet in (there / TCP(sport=4000, dport=port, ack=1), there / TCP(dport=port, syn=1, ack=1),
                           there / TCP(dport=port, syn=1, rst=1), there / UDP(dport=port)):
                assert run(guard, head / packet)[0] == PASS
            assert run(guard, head / there / TCP(dport=port - 1, syn=1))[0] == 1
            SETTING.write_text("1")  # cookies are for queues that are full
            assert run(guard, head / there / TCP(dport=port, syn=1))[0] == PASS
            SETTING.write_text("2")
        with Kernel() as kernel, Guard(RULE % (port - 1), kernel) as guard:  # nobody listens there
            assert run(guard, head / there / TCP(dport=port - 1, syn=1))[0] == PASS


@pytest.mark.userspace
def test_the_other_machine_has_no_listeners() -> None:
    with Guard(RULE % 80, Userspace()) as guard:
        assert run(guard, E / IPv4() / TCP(dport=80, syn=1))[0] == PASS


@pytest.mark.kernel
def test_connections_that_begin_with_a_cookie(tmp_path: Path) -> None:
    with wired() as wire, socket.create_server((HOST, 8080), backlog=64) as listener:
        SETTING.write_text("2")
        with wire.peer_entered():  # a veth sends what XDP answers to ends that have XDP, or GRO
            far = attach(passing, xdp.Interface("far"))
        ledger = Ledger(f"cookies-{os.getpid()}", state=str(tmp_path))
        with far, Controller("", {"firewall": FACET}, ledger=ledger) as controller:
            try:
                controller.apply("interfaces: [uplink]\nfirewall:\n  default: deny\n" + RULE.lstrip("\n") % 8080)
                before = received()
                for number in range(20):
                    with wire.peer_entered():
                        client = socket.create_connection((HOST, 8080), timeout=10)
                    with client, listener.accept()[0] as served:
                        client.sendall(b"%d" % number)
                        assert served.recv(10) == b"%d" % number
                        served.sendall(b"yes")
                        assert client.recv(10) == b"yes"
                assert received() - before == 20
            finally:
                controller.remove()


def received() -> int:
    """SyncookiesRecv of this network namespace."""
    names, values = (line.split() for line in Path("/proc/thread-self/net/netstat").read_text().splitlines()
                     if line.startswith("TcpExt:"))
    return int(values[names.index("SyncookiesRecv")])


@pytest.mark.parametrize(("more", "what"), [
    ("direction: both, action: allow", "what comes in"), ("action: drop", "what comes in"),
    ("match: {state: new}, action: allow", "no flow that is known"),
])
def test_where_cookies_mean_nothing(more: str, what: str) -> None:
    with pytest.raises(ConfigurationError, match=what):
        settings_of(f"  rules:\n    - {{name: r, syn-cookies: true, {more}}}\n")
