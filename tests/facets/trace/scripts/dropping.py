"""A segment of TCP that the kernel drops on its way out: a program at the sending cgroup says no."""
from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bpfwright import attach
from bpfwright.hooks import cgroup
from bpfwright.kernel.mounts import cgroup2

__all__ = ["dropped_segment", "lost_segment"]


@cgroup.egress
def refused(ctx: cgroup.Skb) -> cgroup.Action:
    return cgroup.DENY


@cgroup.ingress
def unheard(ctx: cgroup.Skb) -> cgroup.Action:
    return cgroup.DENY


@contextlib.contextmanager
def _connection() -> Iterator[tuple[Path, socket.socket, socket.socket]]:
    """A cgroup, a socket of it, and the one at the other end, which is nobody's."""
    home = Path(cgroup2()) / f"bpfwright-dropping-{os.getpid()}"
    home.mkdir()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            with _connected(home, server.getsockname()[1]) as inside:
                outside, _ = server.accept()
                with outside:
                    yield home, inside, outside
    finally:
        _leave(home)
        home.rmdir()


@contextlib.contextmanager
def dropped_segment() -> Iterator[tuple[int, Callable[[], None]]]:
    """The port that a connection goes to, and what sends a segment that does not leave."""
    with _connection() as (home, inside, outside):
        def send() -> None:
            with attach(refused, cgroup.Path(str(home))), contextlib.suppress(OSError):
                inside.send(b"dropped")
        yield outside.getsockname()[1], send


@contextlib.contextmanager
def lost_segment() -> Iterator[Callable[[], None]]:
    """What sends a segment that is not heard, so that it is sent again."""
    with _connection() as (home, _, outside):
        def send() -> None:
            with attach(unheard, cgroup.Path(str(home))):
                outside.send(b"lost")
                time.sleep(0.5)
        yield send


def _connected(home: Path, port: int) -> socket.socket:
    """A connection whose socket belongs to the cgroup: that is decided when it is made."""
    before = _own()
    (home / "cgroup.procs").write_text(str(os.getpid()))
    try:
        return socket.create_connection(("127.0.0.1", port))
    finally:
        (before / "cgroup.procs").write_text(str(os.getpid()))


def _own() -> Path:
    line = next(line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
    return Path(cgroup2()) / line[4:]


def _leave(home: Path) -> None:
    for pid in (home / "cgroup.procs").read_text().split():
        (Path(cgroup2()) / "cgroup.procs").write_text(pid)
