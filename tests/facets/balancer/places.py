"""Namespaces with real hosts in them, on one bridge: a client, the balancer, backends with HTTP servers."""
from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bpfwright import attach
from bpfwright.facets.balancer.receiving import Receiver, receiving
from bpfwright.hooks import tc, xdp
from bpfwright.kernel.namespace import NetworkNamespace

__all__ = ["CLIENT", "Host", "VIP", "Web", "placed"]

VIP = {4: "192.0.2.80", 6: "2001:db8::80"}
CLIENT = {4: "192.0.2.10", 6: "2001:db8::10"}


@xdp.program
def through(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS


class Host:
    """A namespace with `eth0` on the bridge."""

    def __init__(self, name: str, number: int, space: NetworkNamespace, switch: NetworkNamespace) -> None:
        self.name, self.space = name, space
        self.addresses = {4: f"192.0.2.{number}", 6: f"2001:db8::{number}"}
        self.mac = f"02:00:00:00:00:{number:02x}"
        self.path = f"/proc/{os.getpid()}/fd/{space.fd}"
        far = f"/proc/{os.getpid()}/fd/{switch.fd}"
        run(far, f"ip link add {name} type veth peer name eth0 netns {self.path}")
        run(far, f"ip link set {name} master bridge up")
        run(self.path, f"ip link set eth0 address {self.mac} up; ip link set lo up; ethtool -K eth0 tx off")
        for family, address in self.addresses.items():
            length, more = ("/24", "") if family == 4 else ("/64", " nodad")
            run(self.path, f"ip addr add {address}{length} dev eth0{more}")

    def serve_vips(self) -> None:
        """Take packets for the VIPs, without saying so on the wire."""
        run(self.path, f"ip addr add {VIP[4]}/32 dev lo; ip addr add {VIP[6]}/128 dev lo nodad")
        with self.space.entered():
            Path("/proc/sys/net/ipv4/conf/all/arp_ignore").write_text("1")
            Path("/proc/sys/net/ipv4/conf/all/arp_announce").write_text("2")


def run(path: str, commands: str) -> None:
    for command in commands.split(";"):
        done = subprocess.run(["nsenter", f"--net={path}", *command.split()], capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def wait_for_links(path: str) -> None:
    """Until all links of a namespace carry: the kernel tells itself so once a second."""
    for _ in range(200):
        shown = subprocess.run(["nsenter", f"--net={path}", "ip", "-br", "link"], capture_output=True, text=True).stdout
        if all(line.split()[1] == "UP" for line in shown.splitlines() if not line.startswith("lo ")):
            return
        time.sleep(0.02)
    raise AssertionError(f"links stay down: {shown}")


class Web:
    """An HTTP server of its own on the VIPs of a host: it says who it is, and counts."""

    def __init__(self, host: Host, port: int = 80) -> None:
        self.name, self.served, self.closing = host.name, 0, False
        self.peers: set[str] = set()
        self.answer = b""  # in place of the usual one
        self.sockets = []
        with host.space.entered():
            for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
                listening = socket.socket(family, socket.SOCK_STREAM)
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listening.bind((address, port))
                listening.listen(128)
                listening.settimeout(0.1)
                self.sockets.append(listening)
        self.threads = [threading.Thread(target=self._accept, args=(each,)) for each in self.sockets]
        for thread in self.threads:
            thread.start()

    def _accept(self, listening: socket.socket) -> None:
        while not self.closing:
            try:
                made, peer = listening.accept()
                self.peers.add(peer[0])
            except TimeoutError:
                continue
            except OSError:
                return
            threading.Thread(target=self._answer, args=(made,)).start()

    def _answer(self, made: socket.socket) -> None:
        with made:
            made.settimeout(30)
            try:
                while request := made.recv(65536):
                    if request.endswith(b"\r\n\r\n"):
                        self.served += 1
                        if self.answer:
                            made.sendall(self.answer)
                            continue
                        body = (self.name * 1000).encode()
                        made.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Backend: %s\r\n\r\n" %
                                     (len(body), self.name.encode()) + body)
            except OSError:
                return

    def close(self) -> None:
        self.closing = True
        for thread in self.threads:
            thread.join()
        for each in self.sockets:
            each.close()


@contextmanager
def placed(*backends: str, receive: bool = True, serve: bool = True) -> Iterator[dict[str, Host]]:
    """Hosts by name: client, balancer, the backends, which have opened their tunnels."""
    with ExitStack() as stack:
        switch = stack.enter_context(NetworkNamespace.create())
        far = f"/proc/{os.getpid()}/fd/{switch.fd}"
        run(far, "ip link add bridge type bridge; ip link set bridge up")
        hosts = {}
        for number, name in ((10, "client"), (1, "balancer"), *((21 + at, name) for at, name in enumerate(backends))):
            hosts[name] = Host(name, number, stack.enter_context(NetworkNamespace.create()), switch)
        with switch.entered():  # the driver hands frames that were sent by XDP to an end that has a program itself
            stack.enter_context(attach(through, xdp.Interface("balancer")))
        for path in (far, *(host.path for host in hosts.values())):
            wait_for_links(path)
        for name in backends:
            if serve:
                hosts[name].serve_vips()
            if receive:
                stack.enter_context(opened(hosts[name]))
        yield hosts


@contextmanager
def opened(host: Host, mss: int = 0) -> Iterator[Receiver]:
    made = receiving(mss=mss)
    bound: list[Any] = [made.program.on(xdp.Interface("eth0"))]
    if made.clamp is not None:
        bound.append(made.clamp.on(tc.Egress("eth0")))
    with host.space.entered():
        session = attach(*bound)
    with session:
        made.fill(session, [socket.inet_aton(host.addresses[4]), socket.inet_pton(socket.AF_INET6, host.addresses[6])],
                  [socket.inet_aton(VIP[4]), socket.inet_pton(socket.AF_INET6, VIP[6])])
        yield made
