"""Connections that finish while ten times as many SYNs of nobody come in: SYN cookies at the driver, and without.

    sudo .venv/bin/python bench/syn_flood.py [--seconds N] [--rate N]

Two namespaces and a pair of veths, all on one CPU: a server that accepts, reads and answers; a client that begins
--rate connections a second, a new one whether or not those before came through; a flood of SYNs from 65,536 addresses
at ten times that rate. A good connection finishes when its answer comes within a second. `no cookies` and `the
kernel's` have net.ipv4.tcp_syncookies at 0 and 1, `ours` has it at 2 and a rule with `syn-cookies`. The queue of the
server is 128.
"""
from __future__ import annotations

import argparse
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from bench import measuring
from bpfwright import attach
from bpfwright.datapath.controller import Controller
from bpfwright.datapath.ledger import Ledger
from bpfwright.datapath.places import interface
from bpfwright.facets.blast import Blaster, Frames, Options
from bpfwright.facets.firewall.facet import FACET
from bpfwright.hooks import xdp
from bpfwright.kernel.namespace import NetworkNamespace
from bpfwright.kernel.netlink import Netlink

HOST, PEER, PORT, TIMES, BAR = "192.0.2.1", "192.0.2.2", 8080, 10, 99.0
SETTING = Path("/proc/sys/net/ipv4/tcp_syncookies")
CONFIGURATION = f"""
interfaces: [uplink]
firewall:
  rules:
    - name: web
      match: {{protocol: tcp, destination-port: {PORT}}}
      syn-cookies: true
      action: allow
"""


@xdp.program
def passing(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS


@contextmanager
def spaces() -> Iterator[NetworkNamespace]:
    """The host's namespace is this thread's, the peer's is given; both ends have XDP, so that live frames are taken."""
    with NetworkNamespace.create() as host, NetworkNamespace.create() as peer, host.entered(), ExitStack() as stack:
        with Netlink() as netlink:
            netlink.create_veth("uplink", "far")
            netlink.add_address("uplink", HOST, 24)
            netlink.set_up("uplink")
            netlink.move("far", peer.fd)
        with peer.entered(), Netlink() as netlink:
            netlink.add_address("far", PEER, 24)
            netlink.set_up("far")
        with peer.entered():
            stack.enter_context(attach(passing, xdp.Interface("far")))
        subprocess.run(["ip", "route", "add", "default", "via", PEER], check=True)  # or no SYN is worth an answer
        subprocess.run(["ethtool", "-K", "uplink", "gro", "on"], check=True, capture_output=True)
        yield peer


def serve(listener: socket.socket, stop: threading.Event) -> None:
    """Accept, read, answer, close, in one thread."""
    chooser = selectors.DefaultSelector()
    listener.setblocking(False)
    chooser.register(listener, selectors.EVENT_READ)
    while not stop.is_set():
        for key, _ in chooser.select(0.05):
            if key.fileobj is listener:
                try:
                    while True:
                        made, _ = listener.accept()
                        made.setblocking(False)
                        chooser.register(made, selectors.EVENT_READ)
                except BlockingIOError:
                    continue
            one = key.fileobj
            assert isinstance(one, socket.socket)
            chooser.unregister(one)
            try:
                if one.recv(16):
                    one.send(b"yes")
            except OSError:
                pass
            one.close()
    chooser.close()


def visit(rate: int, seconds: float) -> tuple[int, int]:
    """Begin connections at a rate; how many were begun, and how many had their answer within a second."""
    chooser = selectors.DefaultSelector()
    begun = done = 0
    since: dict[socket.socket, float] = {}
    started = time.monotonic()
    while (now := time.monotonic()) < started + seconds + 1:
        while begun < min(now - started, seconds) * rate:
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((HOST, PORT))
            chooser.register(one, selectors.EVENT_WRITE)
            since[one] = now
            begun += 1
        for key, events in chooser.select(0.001):
            each = key.fileobj
            assert isinstance(each, socket.socket)
            if events & selectors.EVENT_WRITE:
                try:
                    each.send(b"question")
                    chooser.modify(each, selectors.EVENT_READ)
                    continue
                except OSError:
                    pass
            else:
                try:
                    done += each.recv(16) == b"yes" and now - since[each] <= 1
                except OSError:
                    pass
            chooser.unregister(each)
            each.close()
            del since[each]
    for left in since:
        left.close()
    chooser.close()
    return begun, done


def run(way: str, rate: int, seconds: float) -> tuple[int, int, int]:
    """Begun, done, and SYNs of the flood."""
    with spaces() as peer, ExitStack() as stack:
        SETTING.write_text({"no cookies": "0", "the kernel's": "1"}.get(way, "2"))
        listener = stack.enter_context(socket.create_server((HOST, PORT), backlog=128))
        if way == "ours":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            controller = stack.enter_context(Controller("", {"firewall": FACET}, ledger=Ledger(
                f"flood-{os.getpid()}", state=folder)))
            controller.apply(CONFIGURATION)
            stack.callback(controller.remove)
        stop = threading.Event()
        server = threading.Thread(target=serve, args=(listener, stop))
        server.start()
        stack.callback(server.join)
        stack.callback(stop.set)
        frames = Frames.of(f"Ethernet(destination='{interface('uplink').mac.hex(':')}') / IPv4(source=random("
                           f"'198.18.0.0/16'), destination='{HOST}') / TCP(sport=random(range(1024, 65536)), "
                           f"dport={PORT}, sequence=random(), syn=1)", length=60)
        with peer.entered():
            blaster = Blaster(frames, Options("far", rate=rate * TIMES)).start()
            try:
                time.sleep(0.5)
                begun, done = visit(rate, seconds)
            finally:
                blaster.stop()
                sent = blaster.finish().sent
                blaster.close()
    return begun, done, sent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rate", type=int, default=500)
    chosen = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    print(f"{measuring.machine()}; {chosen.rate} connections and {chosen.rate * TIMES} SYNs a second\n")
    rows: list[tuple[object, ...]] = []
    share = 0.0
    for way in ("no cookies", "the kernel's", "ours"):
        begun, done, sent = run(way, chosen.rate, chosen.seconds)
        share = 100 * done / begun
        rows.append((way, begun, done, share, sent))
    print(measuring.table(("way", "begun", "finished", "%", "SYNs of the flood"), rows))
    print(f"\nours: {share:.2f} % (bar {BAR:g} %: {measuring.verdict(share >= BAR)})")
    return 0 if share >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
