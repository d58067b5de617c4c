"""Where frames go and come from: interfaces and network namespaces, looked at before anything is sent."""
from __future__ import annotations

import os
from contextlib import contextmanager
from struct import unpack_from

from bpfwright._abi import netlink as N
from bpfwright._typing import Iterator, NamedTuple
from bpfwright.errors import TargetError, UsageError
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink, attribute, interface_index, parse_attributes

__all__ = ["Place", "inside", "look_at"]

_HEADER = 14


class Place(NamedTuple):
    """An interface: its number, whether it is up, its MTU and MAC address, its kind (`veth`, or "" for hardware), and
    whether the default route is there."""

    name: str
    number: int
    up: bool
    mtu: int
    address: str
    kind: str
    default_route: bool

    def check(self, longest: int, allow_default_route: bool) -> None:
        """Raises when frames of `longest` bytes cannot be sent from here, or should not be."""
        if not self.up:
            raise TargetError(f"the interface {self.name!r} is down", cure=f"Type: ip link set {self.name} up")
        if longest > self.mtu + _HEADER:
            raise UsageError(f"a frame of {longest} bytes does not fit {self.name!r}",
                             why=f"its MTU is {self.mtu}, so {self.mtu + _HEADER} with the Ethernet header")
        if self.default_route and not allow_default_route:
            raise UsageError(f"{self.name!r} holds the default route: this would flood the network behind it",
                             cure="Name an interface of your own, such as a veth, or add --allow-default-route.")


@contextmanager
def inside(netns: str) -> Iterator[None]:
    """This thread is in a network namespace: a name of `ip netns`, a process's number or a path; "" is its own."""
    if not netns:
        yield
        return
    path = netns if "/" in netns else f"/proc/{netns}/ns/net" if netns.isdecimal() else f"/run/netns/{netns}"
    with NetworkNamespace.open(path) as space, space.entered():
        yield


def look_at(name: str) -> Place:
    """An interface of this thread's network namespace. Raises TargetError."""
    index = interface_index(name)
    with Netlink() as netlink:
        body = bytes(4) + index.to_bytes(4, "little") + bytes(8)
        for message in netlink.request(N.RTM_GETLINK, body + attribute(N.IFLA_IFNAME, name), what="asking for a link"):
            found = message.attributes(16)
            flags = unpack_from("=I", message.body, 8)[0]
            mtu = unpack_from("=I", found.get(N.IFLA_MTU, bytes(4)))[0]
            kind = parse_attributes(found.get(N.IFLA_LINKINFO, b"")).get(N.IFLA_INFO_KIND, b"")
            address = found.get(N.IFLA_ADDRESS, b"")
            return Place(name, index, bool(flags & N.IFF_UP), mtu, address.hex(":") if len(address) == 6 else "",
                         kind.rstrip(b"\0").decode("ascii", "replace"), name in _default_routes())
    raise TargetError(f"the interface {name!r} has gone")


def _default_routes() -> set[str]:
    """The interfaces of default routes, of both families."""
    found = set()
    for row in _rows("route")[1:]:
        if len(row) > 7 and row[1] == "00000000" and row[7] == "00000000":
            found.add(row[0])
    for row in _rows("ipv6_route"):
        if len(row) > 9 and row[0] == "0" * 32 and row[1] == "00" and row[9] != "lo":
            found.add(row[9])
    return found


def _rows(name: str) -> list[list[str]]:
    try:
        with open(f"/proc/thread-self/net/{name}") as file:
            return [line.split() for line in file]
    except OSError:
        return []


def usable_cpus() -> list[int]:
    """The CPUs that this process may run on."""
    return sorted(os.sched_getaffinity(0))
