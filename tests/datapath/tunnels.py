"""Tunnels between the kernel's own device and a program of ours, which opens what comes and sends it back in one."""
from __future__ import annotations

import ipaddress
import socket
from typing import Any, NamedTuple

from bpfwright.datapath.encapsulation import ETHERNET_INSIDE, Outer, popper, pusher
from bpfwright.headers import UDP, Ethernet, IPv4, IPv6
from bpfwright.headers.ethernet import MacAddress
from bpfwright.hooks import xdp

__all__ = ["FAR", "INSIDE", "NEAR", "Way", "answered", "echoing", "passing", "raw"]

NEAR, FAR = {4: "192.0.2.1", 6: "2001:db8::1"}, {4: "192.0.2.2", 6: "2001:db8::2"}
INSIDE = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}
NETWORK = 77
PORT = {"gue": 6080, "gue0": 6080}


class Way(NamedTuple):
    """A kind of tunnel over one family with another inside; `keyed`: GRE with a key."""

    kind: str
    outer: int
    inner: int
    keyed: bool = False

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.kind}{'_keyed' if self.keyed else ''}_{self.inner}in{self.outer}"

    def device(self) -> list[str]:
        """What `ip` is told to make the kernel's own device `tunnel` over `wire`."""
        ends = f"remote {FAR[self.outer]} local {NEAR[self.outer]}"
        six = self.outer == 6
        if self.kind == "vxlan":
            made = f"address 02:00:00:00:00:77 type vxlan id {NETWORK} {ends} dstport 4789 dev wire" \
                + " udp6zerocsumrx" * six
        elif self.kind == "geneve":
            made = f"address 02:00:00:00:00:77 type geneve id {NETWORK} remote {FAR[self.outer]} dstport 6081" \
                + " udp6zerocsumrx" * six
        elif self.kind == "gre":
            made = f"type {'ip6gre' if six else 'gre'} {ends}{f' key {NETWORK}' if self.keyed else ''}"
        else:
            made = f"type {'ip6tnl' if six else 'ipip' if self.inner == 4 else 'sit'} {ends}" + " mode any" * six
        made += " encaplimit none" * (six and self.kind not in ETHERNET_INSIDE)  # no option in front of the tunnel
        if self.kind in PORT:
            made += f" encap {'gue' if self.kind == 'gue0' else 'fou'} encap-sport auto encap-dport {PORT[self.kind]}"
        here, there = INSIDE[self.inner]
        return [f"link add tunnel {made}", "link set tunnel up",
                f"addr add {here}/{24 if self.inner == 4 else 64} dev tunnel" + " nodad" * (self.inner == 6),
                *([f"neigh add {there} lladdr 02:00:00:00:00:88 dev tunnel"] if self.kind in ETHERNET_INSIDE else [])]

    def receiver(self) -> str:
        """What `ip` is told for datagrams to be opened: fou, or gue."""
        if self.kind not in PORT:
            return ""
        what = "gue" if self.kind == "gue0" else f"ipproto {4 if self.inner == 4 else 41}"
        return f"fou {{}} port {PORT[self.kind]} {what}"


def raw(address: str) -> tuple[int, int]:
    """An address as `Outer` has it."""
    packed = ipaddress.ip_address(address).packed.ljust(16, b"\0")
    return int.from_bytes(packed[:8], "little"), int.from_bytes(packed[8:], "little")


@xdp.program
def passing(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS


def _turned4(ctx: Any) -> Any:
    ip, udp = ctx.find(IPv4), ctx.find(UDP)
    if ip is None or udp is None:
        return False
    ip.source = IPv4.Address("10.9.0.2")
    ip.destination = IPv4.Address("10.9.0.1")
    sport = udp.sport
    udp.sport = udp.dport
    udp.dport = sport
    return True


def _turned6(ctx: Any) -> Any:
    ip, udp = ctx.find(IPv6), ctx.find(UDP)
    if ip is None or udp is None:
        return False
    ip.source = IPv6.Address("fd09::2")
    ip.destination = IPv6.Address("fd09::1")
    sport = udp.sport
    udp.sport = udp.dport
    udp.dport = sport
    return True


def echoing(way: Way) -> xdp.XdpProgram:
    """Opens a tunnel, turns the datagram inside around, whose checksum stays right, and sends it back in a tunnel."""
    pop = popper(way.kind, way.outer, way.inner, keyed=way.keyed)
    push = pusher(way.kind, way.outer, way.inner, keyed=way.keyed)
    (source_a, source_b), (destination_a, destination_b) = raw(FAR[way.outer]), raw(NEAR[way.outer])
    turned = _turned4 if way.inner == 4 else _turned6
    framed = way.kind in ETHERNET_INSIDE
    off, network = 0 if framed else 14, NETWORK

    @xdp.program
    def echo(ctx: xdp.Context) -> xdp.Action:
        if not pop(ctx):
            return xdp.PASS
        if framed:
            ethernet = ctx.find(Ethernet)
            if ethernet is None:
                return xdp.DROP
            ethernet.destination = MacAddress("02:00:00:00:00:77")
            ethernet.source = MacAddress("02:00:00:00:00:88")
        if not turned(ctx):
            return xdp.DROP
        given = Outer(0x0B0000000002, 0x0A0000000002, source_a, source_b, destination_a, destination_b,
                      ctx.length - off, 0, 0x5000, 0, network, 0)
        return xdp.TX if push(ctx, given) else xdp.DROP

    return echo


def answered(inside: socket.socket, inner: int, tries: int = 20) -> bool:
    """Whether a datagram that goes into the tunnel comes back."""
    here, there = INSIDE[inner]
    inside.bind((here, 5000))
    inside.connect((there, 6000))
    inside.settimeout(0.5)
    for _ in range(tries):
        inside.send(b"through the tunnel")
        try:
            return inside.recv(100) == b"through the tunnel"
        except TimeoutError:
            continue
    return False
