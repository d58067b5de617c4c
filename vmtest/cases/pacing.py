"""Pacing on real traffic: rates that arrive, nothing that is lost, and the interface's root before and after."""
from __future__ import annotations

import socket
import subprocess
import threading
import time
from typing import Any

from bpfwright.vmlinux import net_device as _net_device  # noqa: F401  # what describes the kernel stays open
from vmtest.own_cache import own_cache

HOOK = ""  # no row of its own
SINCE = "6.12"  # the stack's hooks by links (6.6)

PACED = """\
interfaces: [uplink]
shaper:
  pacing:
  - {name: slow, rate: 8Mbit, match: {destination-port: 7001}}
  - {name: each, rate: 4Mbit, per: flow, match: {destination-port: 7002}}
"""
# Bursts: a guest on a busy machine wakes late, and what it has missed by then is not to be lost.
CLASSES = """\
interfaces: [uplink]
shaper:
  rate: 8Mbit
  classes:
  - {name: all, rate: 8Mbit, burst: 32k}
"""
BOTH = """\
interfaces: [uplink]
shaper:
  rate: 20Mbit
  classes:
  - {name: gold, rate: 10Mbit, ceil: 10Mbit, burst: 32k, match: {destination-port: [7001, 7003]}}
  - {name: rest, rate: 4Mbit, ceil: 8Mbit, burst: 32k}
  pacing:
  - {name: slow, rate: 4Mbit, match: {destination-port: [7001, 7004]}}
"""
LIMITS = """\
interfaces: [uplink]
shaper:
  limits:
  - {name: all, direction: egress, rate: 1Gbit}
"""
LENGTH = 1400
FRAME = LENGTH + 42  # what the interface sends of a datagram


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache() as folder:
        with_a_wire(folder)


def with_a_wire(folder: str) -> None:
    from bpfwright.datapath.controller import Controller
    from bpfwright.datapath.ledger import Ledger
    from bpfwright.facets.shaper.facet import FACET
    from tests.datapath.wire import wired
    with wired() as wire, Controller("", {"shaper": FACET}, ledger=Ledger("pacing", state=folder)) as controller:
        free = datagrams(wire, 7003, 1)
        assert root() == "noqueue"
        controller.apply(PACED)
        try:
            assert root() == "fq"
            slow, each = datagrams(wire, 7001, 1), datagrams(wire, 7002, 2)
            assert 7.0 < slow < 8.5 and 7.0 < each < 8.5, (slow, each, free)
            assert datagrams(wire, 7003, 1) > 1.3 * slow and free > 1.3 * slow, (free, slow)
            assert 5.5 < stream(wire, 7001) < 8.5
            rows = {row["rule"]: row for row in controller.status().rows["shaper"]}
            assert all(row["waited"] > 100 and row["dropped"] == 0 for row in rows.values()), rows
            controller.apply(CLASSES)
            assert root() == "htb"
            near(8.0, datagrams(wire, 7001, 1))
            controller.rollback()
            assert root() == "fq"
            near(8.0, datagrams(wire, 7001, 1))
            controller.apply(BOTH)
            classes_that_are_paced(wire, controller)
            controller.apply(CLASSES)
            assert root() == "htb" and leaves() == 0
            near(8.0, datagrams(wire, 7001, 1))
            controller.rollback()
            assert root() == "htb" and leaves() == 2
            near(4.0, datagrams(wire, 7001, 1))
            controller.apply(LIMITS)
            assert root() == "noqueue"
        finally:
            controller.remove()
        assert root() == "noqueue"
        run("tc", "qdisc", "replace", "dev", "uplink", "root", "handle", "7:", "fq", "limit", "777")  # somebody's own
        theirs = run("tc", "qdisc", "show", "dev", "uplink", "root")
        controller.apply(BOTH)
        assert root() == "htb" and leaves() == 2
        controller.remove()
        assert run("tc", "qdisc", "show", "dev", "uplink", "root") == theirs
        controller.apply(PACED)
        assert root() == "fq"
        near(8.0, datagrams(wire, 7001, 1))
        controller.remove()
        assert run("tc", "qdisc", "show", "dev", "uplink", "root") == theirs


def classes_that_are_paced(wire: Any, controller: Any) -> None:
    """Pacing within a class, what is left of the class for others in it, and both under load at once."""
    assert root() == "htb" and leaves() == 2
    slow, free, rest = datagrams(wire, 7001, 1), datagrams(wire, 7003, 1), datagrams(wire, 7005, 1)
    assert 3.5 < slow < 4.5 and 8.5 < free < 10.6 and 7.0 < rest < 8.5, (slow, free, rest)
    paced, shared = together(wire, 7001, 7003)  # 4 are paced; the class has 10
    assert 3.0 < paced < 4.5 and 4.5 < shared < 7.0 and paced + shared < 10.6, (paced, shared)
    assert 3.3 < stream(wire, 7004) < 4.3
    rows = {row["rule"]: row for row in controller.status().rows["shaper"]}
    assert rows["egress slow"]["waited"] > 100 and rows["egress slow"]["dropped"] == 0, rows
    assert rows["uplink gold"]["bytes"] > 5e6 < 2.5 * rows["uplink rest"]["bytes"], rows


def near(wanted: float, found: float) -> None:
    """Within an eighth: what a loaded guest may lose by waking late, and a burst at the beginning."""
    assert 0.875 * wanted < found < 1.07 * wanted, (wanted, found)


def leaves() -> int:
    """How many classes have an fq."""
    return run("tc", "qdisc", "show", "dev", "uplink").count("qdisc fq ")


def root() -> str:
    return run("tc", "qdisc", "show", "dev", "uplink", "root").split()[1]


def run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


def datagrams(wire: Any, port: int, flows: int) -> float:
    """Mbit a second that arrive while so many sockets send all that goes."""
    return together(wire, port, flows=flows)[0]


def together(wire: Any, *ports: int, flows: int = 1) -> list[float]:
    """Mbit a second that arrive at each port while so many sockets for each send all that goes."""
    taking, senders = [], []
    for port in ports:
        with wire.peer_entered():
            taking.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        taking[-1].bind(("192.0.2.2", port))
        taking[-1].setblocking(False)
        for _ in range(flows):
            senders.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            senders[-1].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 15)  # it waits as long as its packets do
            senders[-1].setblocking(False)
            senders[-1].connect(("192.0.2.2", port))
    times: list[list[float]] = [[] for _ in ports]
    end = time.monotonic() + 3.0
    while (now := time.monotonic()) < end:
        for sender in senders:
            try:
                sender.send(bytes(LENGTH))
            except BlockingIOError:
                continue
        for socket_, known in zip(taking, times, strict=True):
            try:
                while socket_.recv(2048):
                    known.append(now)
            except BlockingIOError:
                continue
    for each in (*taking, *senders):
        each.close()
    return [len(known) * FRAME * 8 / 1e6 / (known[-1] - known[0]) for known in times]


def stream(wire: Any, port: int) -> float:
    """Mbit a second of a TCP connection, without its headers."""
    with wire.peer_entered():
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("192.0.2.2", port))
    listener.listen()
    size = 2_000_000
    with socket.create_connection(("192.0.2.2", port)) as sending:
        taking, _ = listener.accept()
        thread = threading.Thread(target=sending.sendall, args=(bytes(size),))
        began, came = time.monotonic(), 0
        thread.start()
        while came < size:
            came += len(taking.recv(1 << 16))
        took = time.monotonic() - began
        thread.join()
        taking.close()
    listener.close()
    return size * 8 / 1e6 / took
