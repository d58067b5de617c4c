"""Two namespaces and a wire between them: a peer that sends, a host that a data path guards."""
from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink

__all__ = ["Wire", "quiet", "wired"]

HOST, PEER = "192.0.2.1", "192.0.2.2"
LAST = 0x88B5  # an EtherType for experiments: the frame that says that all before it are through
PATIENCE_S, MOMENT_S = 2.0, 0.03


def quiet() -> None:
    """The interfaces that this namespace will have say nothing of their own: no router is looked for, no group is
    joined, and what is counted is what the test sent."""
    Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")


class Wire:
    """The host's end is `uplink`; this thread is in the host's namespace."""

    def __init__(self, peer: NetworkNamespace) -> None:
        self._sent = 0
        self.peer_entered = peer.entered
        self.host = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.host.bind((HOST, 0))
        with peer.entered():
            self.peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.peer.bind((PEER, 0))
        self.peer.connect(self.host.getsockname())
        for _ in range(50):  # until the wire is up and both ends know each other
            self._sent += 1
            self.peer.send(b"%d 0" % self._sent)
            if self._came(1, 0.2):
                return
        raise AssertionError("nothing comes through the wire")

    def arrive(self, count: int = 5) -> int:
        """Send so many datagrams to the host; how many came."""
        self._sent += 1
        for number in range(count):
            self.peer.send(b"%d %d" % (self._sent, number))
        came = self._came(count, MOMENT_S)
        if came < count:
            self._drained()
            came += self._came(count - came, MOMENT_S)
        return came

    def _came(self, count: int, wait_s: float) -> int:
        came = 0
        self.host.settimeout(wait_s)
        try:
            while came < count:
                came += self.host.recv(100).startswith(b"%d " % self._sent)  # not what an earlier call's came late
        except TimeoutError:
            pass
        return came

    def _drained(self) -> None:
        """Wait until all that was sent is through: for a last frame, which no data path here has a reason to drop."""
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as ears:
            ears.bind(("uplink", LAST))
            ears.settimeout(PATIENCE_S)
            with self.peer_entered(), socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as mouth:
                mouth.bind(("far", 0))
                mouth.send(b"\xff" * 6 + mouth.getsockname()[4] + LAST.to_bytes(2, "big") + bytes(46))
            with suppress(TimeoutError):
                ears.recv(100)

    def close(self) -> None:
        self.host.close()
        self.peer.close()

@contextmanager
def wired() -> Iterator[Wire]:
    with NetworkNamespace.create() as host, NetworkNamespace.create() as peer, host.entered():
        quiet()
        with peer.entered():
            quiet()
        with Netlink() as netlink:
            netlink.create_veth("uplink", "far")
            netlink.add_address("uplink", HOST, 24)
            netlink.set_up("uplink")
            netlink.move("far", peer.fd)
        with peer.entered(), Netlink() as netlink:
            netlink.add_address("far", PEER, 24)
            netlink.set_up("far")
        wire = Wire(peer)
        try:
            yield wire
        finally:
            wire.close()
