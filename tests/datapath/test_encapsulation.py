"""Tunnel headers: byte for byte as the header classes build them, off again, in both machines; VXLAN with the kernel's
own device."""
from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from bpfwright import Userspace, attach, load
from bpfwright.datapath.encapsulation import ETHERNET_INSIDE, KINDS, Outer, overhead, popper, pusher
from bpfwright.errors import UsageError
from bpfwright.headers import GRE, GUE, UDP, VXLAN, Ethernet, Geneve, IPv4, IPv6, Vlan
from bpfwright.hooks import xdp
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.spec.header import network_sum

from tests.datapath import tunnels

SOURCE = {4: "192.0.2.1", 6: "2001:db8::1"}
DESTINATION = {4: "192.0.2.2", 6: "2001:db8::2"}
WAYS = list(product(KINDS, (4, 6), (4, 6)))
SHIMS: dict[str, Callable[[int], Any]] = {
    "ipip": lambda inner: b"", "gue": lambda inner: b"", "gue0": lambda inner: GUE(protocol=4 if inner == 4 else 41),
    "gre": lambda inner: GRE(protocol=0x0800 if inner == 4 else 0x86DD),
    "vxlan": lambda inner: VXLAN(vni=77), "geneve": lambda inner: Geneve(vni=77, protocol=0x6558)}
PORTS = {"gue": 6080, "gue0": 6080, "vxlan": 4789, "geneve": 6081}


def frame(inner: int, *, tag: bool = False) -> bytes:
    ip: Any = IPv4(source="10.0.0.1", destination="10.0.0.2")
    if inner == 6:
        ip = IPv6(source="fc00::1", destination="fc00::2")
    ethernet = Ethernet(destination="02:00:00:00:00:01", source="02:00:00:00:00:09")
    inside = (Vlan(vid=7) / ip if tag else ip) / UDP(sport=1, dport=2) / b"hello"
    return bytes(ethernet / inside)


def pushing(kind: str, outer: int, inner: int, **more: Any) -> xdp.XdpProgram:
    push = pusher(kind, outer, inner, **more)
    (source_a, source_b), (destination_a, destination_b) = tunnels.raw(SOURCE[outer]), tunnels.raw(DESTINATION[outer])
    off = 0 if kind in ETHERNET_INSIDE else 18 if more.get("tags") else 14
    inner_sum = 0xFFFF if more.get("checksum") else 0

    @xdp.program
    def push_it(ctx: xdp.Context) -> xdp.Action:
        given = Outer(0x0B0000000002, 0x0A0000000002, source_a, source_b, destination_a, destination_b,
                      ctx.length - off, 0x12, 0x5000, 0, 77, inner_sum)
        return xdp.TX if push(ctx, given) else xdp.DROP

    return push_it


def popping(*given: Any, **more: Any) -> xdp.XdpProgram:
    pop = popper(*given, **more)

    @xdp.program
    def pop_it(ctx: xdp.Context) -> xdp.Action:
        return xdp.TX if pop(ctx) else xdp.DROP

    return pop_it


def expected(kind: str, outer: int, inner: int, packet: bytes) -> bytes:
    """What the header classes make of it; the UDP checksum is 0."""
    inside = packet if kind in ETHERNET_INSIDE else packet[14:]
    protocol = 17 if kind in PORTS else 47 if kind == "gre" else 4 if inner == 4 else 41
    ip = (IPv4(source=SOURCE[4], destination=DESTINATION[4], dscp=4, ecn=2, protocol=protocol) if outer == 4 else
          IPv6(source=SOURCE[6], destination=DESTINATION[6], traffic_class=0x12, next_header=protocol))
    rest = bytes(SHIMS[kind](inner)) + inside
    if kind in PORTS:
        datagram = bytearray(bytes(ip / UDP(sport=80, dport=PORTS[kind]) / rest))
        start = 20 if outer == 4 else 40
        datagram[start + 6:start + 8] = b"\0\0"
        whole = bytes(datagram)
    else:
        whole = bytes(ip / rest)
    kind_of = 0x0800 if outer == 4 else 0x86DD
    return bytes(Ethernet(destination="02:00:00:00:00:0b", source="02:00:00:00:00:0a", protocol=kind_of)) + whole


@pytest.mark.kernel
@pytest.mark.parametrize(("kind", "outer", "inner"), WAYS)
def test_headers_are_put_around_a_packet_and_taken_off(kind: str, outer: int, inner: int) -> None:
    packet = frame(inner)
    wanted = expected(kind, outer, inner, packet)
    assert len(wanted) - len(packet) == overhead(kind, outer)
    for machine in (None, Userspace()):
        with load(pushing(kind, outer, inner), machine=machine) as program:
            result = program.test(packet)
        assert (result.action, result.data.hex()) == (xdp.TX, wanted.hex())
        with load(popping(kind, outer, inner), machine=machine) as program:
            result = program.test(wanted)
            assert (result.action, result.data[14:]) == (xdp.TX, packet[14:])
            for cut in range(14, len(wanted) - len(packet) + 14, 3):  # cut off in the headers: untouched
                short = program.test(wanted[:cut])
                assert (short.action, short.data) == (xdp.DROP, wanted[:cut])
            assert program.test(packet).action == xdp.DROP


@pytest.mark.kernel
@pytest.mark.parametrize("outer", (4, 6))
def test_keys_tags_and_checksums(outer: int) -> None:
    with load(pushing("gre", outer, 4, keyed=True)) as program:
        data = program.test(frame(4)).data
        start = 14 + (20 if outer == 4 else 40)
        assert data[start:start + 8].hex() == "200008000000004d"
    with load(popping("gre", outer, 4, keyed=True)) as program:
        assert program.test(data).data[14:] == frame(4)[14:]
    with load(pushing("ipip", outer, 6, tags=1)) as program:
        tagged = program.test(frame(6, tag=True)).data
        assert tagged[12:16] == b"\x81\x00\x00\x07" and tagged[16:18] == (b"\x08\x00" if outer == 4 else b"\x86\xdd")
        assert tagged.endswith(frame(6, tag=True)[18:])
    # An inner packet whose words add up to nothing: the checksum is that of the headers alone.
    with load(pushing("gue", outer, 4, checksum=True)) as program:
        made = program.test(frame(4)).data[14:]
    pseudo = made[12:20] + b"\0\x11" + made[24:26]
    if outer == 6:
        pseudo = made[8:40] + b"\0\0" + made[44:46] + b"\0\0\0\x11"
    udp = made[20:28] if outer == 4 else made[40:48]
    assert network_sum(pseudo + udp) == 0


def test_what_does_not_exist_is_refused() -> None:
    for given in (("stt", 4, 4), ("ipip", 5, 4), ("ipip", 4, 3)):
        with pytest.raises(UsageError):
            pusher(*given)
    with pytest.raises(UsageError):
        pusher("ipip", 4, 4, tags=2)


@pytest.mark.kernel
@pytest.mark.parametrize("family", (4, 6))
def test_vxlan_is_what_the_kernels_device_sends_and_takes(family: int) -> None:
    """A datagram goes into the kernel's tunnel and comes out by our program; the answer goes the other way. The other
    kinds, whose devices this kernel may lack: vmtest/cases/tunnels.py."""
    way = tunnels.Way("vxlan", family, 4)
    with NetworkNamespace.create() as near, NetworkNamespace.create() as far:
        paths = {space: f"/proc/{os.getpid()}/fd/{space.fd}" for space in (near, far)}
        run(paths[near], f"ip link add wire type veth peer name wire netns {paths[far]}")
        run(paths[near], "ip link set wire address 02:00:00:00:00:0b")
        run(paths[far], "ip link set wire address 02:00:00:00:00:0a")
        for space, host in ((near, tunnels.NEAR), (far, tunnels.FAR)):
            run(paths[space], "ethtool -K wire tx off; ip link set wire up")
            run(paths[space], f"ip addr add {host[family]}/{24 if family == 4 else 64} dev wire"
                + (" nodad" if family == 6 else ""))
        # Near is a host with the kernel's device, far has our programs: it opens and puts around, in turn.
        run(paths[near], "; ".join(f"ip {words}" for words in way.device()))
        run(paths[near], f"ip neigh replace {tunnels.FAR[family]} lladdr 02:00:00:00:00:0a dev wire")
        with near.entered():
            inside = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with inside, far.entered(), attach(tunnels.echoing(way), xdp.Interface("wire")):
            with near.entered(), attach(tunnels.passing, xdp.Interface("wire")):  # XDP_TX is for ends with a program
                assert tunnels.answered(inside, way.inner)


def run(path: str, commands: str) -> None:
    for command in commands.split(";"):
        done = subprocess.run(["nsenter", f"--net={path}", *command.split()], capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"
