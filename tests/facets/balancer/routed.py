"""A box between a client and its backends, in namespaces of their own: what translates needs both directions."""
from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.facets.balancer.places import run, through, wait_for_links

from bpfwright import attach
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger
from bpfwright.facets.balancer.facet import FACET
from bpfwright.hooks import xdp
from bpfwright.kernel.namespace import NetworkNamespace

__all__ = ["BACKENDS", "BOX", "CLIENT", "INSIDE", "VIP", "Box", "boxed", "bound"]

CLIENT = {4: "203.0.113.10", 6: "2001:db8:1::10"}
BOX = {4: "203.0.113.1", 6: "2001:db8:1::1"}
VIP = {4: "203.0.113.80", 6: "2001:db8:1::80"}
INSIDE = {4: "10.0.0.1", 6: "2001:db8:2::1"}
BACKENDS = {"first": {4: "10.0.0.21", 6: "2001:db8:2::21"}, "second": {4: "10.0.0.22", 6: "2001:db8:2::22"}}


class Place:
    def __init__(self, name: str, space: NetworkNamespace) -> None:
        self.name, self.space = name, space
        self.path = f"/proc/{os.getpid()}/fd/{space.fd}"

    def run(self, commands: str) -> None:
        run(self.path, commands)


class Box:
    """client -- eth0 box eth1 -- backends."""

    def __init__(self, places: dict[str, Place], controller: Controller) -> None:
        self.places, self.controller = places, controller
        self.ports = itertools.count(20_000)  # which backend each comes to is settled, and no matter of luck

    def apply(self, text: str) -> None:
        with self.places["box"].space.entered():
            self.controller.apply(text)


def bound(place: Place, family: int, kind: int, address: str = "", port: int = 0) -> socket.socket:
    """A socket of a place; an empty address: any."""
    with place.space.entered():
        made = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
    made.settimeout(10)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address or port:
            made.bind((address or ("0.0.0.0" if family == 4 else "::"), port))
    except OSError:
        made.close()
        raise
    return made


@contextmanager
def boxed(tmp_path: Path, *, routes_back: bool = True) -> Iterator[Box]:
    """The places, and a controller of the box. `routes_back`: backends answer clients by way of the box."""
    with ExitStack() as stack:
        places = {name: Place(name, stack.enter_context(NetworkNamespace.create()))
                  for name in ("client", "box", *BACKENDS)}
        client, box = places["client"], places["box"]
        box.run("ip link set lo up")
        # Its links have the same addresses each time: programs that know them are compiled once for all tests.
        box.run(f"ip link add eth0 address 02:00:00:00:01:00 type veth peer name eth0 netns {client.path}")
        _address(client, "eth0", CLIENT, "via", BOX)
        _address(box, "eth0", BOX)
        # One wire for the backends: its other end is a bridge in a place of its own.
        switch = Place("switch", stack.enter_context(NetworkNamespace.create()))
        switch.run(f"ip link add bridge type bridge; ip link set bridge up; ip link add box type veth peer name eth1 "
                   f"address 02:00:00:00:01:01 netns {box.path}; ip link set box master bridge up")
        _address(box, "eth1", INSIDE)
        for name, addresses in BACKENDS.items():
            switch.run(f"ip link add {name} type veth peer name eth0 netns {places[name].path}; "
                       f"ip link set {name} master bridge up")
            _address(places[name], "eth0", addresses, "via" if routes_back else "", INSIDE)
        with box.space.entered():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
            Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
            Path("/proc/sys/net/ipv4/icmp_ratelimit").write_text("0")
        with client.space.entered():  # the driver hands answers sent by XDP to an end that has a program itself
            stack.enter_context(attach(through, xdp.Interface("eth0")))
        for place in (*places.values(), switch):
            wait_for_links(place.path)
        ledger = Ledger(f"nat-test-{os.getpid()}", state=str(tmp_path))
        with Controller("", {"balancer": FACET}, ledger=ledger) as controller:
            try:
                yield Box(places, controller)
            finally:
                with box.space.entered():
                    if ledger.exists:
                        controller.remove()
                assert not os.path.exists(ledger.pins)


def _address(place: Place, interface: str, addresses: dict[int, str], via: str = "",
             gateway: dict[int, str] | None = None) -> None:
    place.run(f"ip link set lo up; ip link set {interface} up; ethtool -K {interface} tx off")
    for family, address in addresses.items():
        length, more = ("/24", "") if family == 4 else ("/64", " nodad")
        place.run(f"ip addr add {address}{length} dev {interface}{more}")
        if via and gateway is not None:
            place.run(f"ip -{family} route add default via {gateway[family]}")
