"""Tools on functions of the kernel where tracepoints are missing: capable, cachestat and tcpretrans -l by fentry."""
from __future__ import annotations

import os
import tempfile

from vmtest.own_cache import own_cache

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "6.1"


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache():
        capabilities()
        cache()
        probes()


def capabilities() -> None:
    from bpfwright.facets.tools import tool
    with tempfile.NamedTemporaryFile() as file, tool("capable").start(pid=os.getpid(), verbose=True) as running:
        os.chown(file.name, 4242, 4242)
        found = {(row["name"], row["result"], row["audit"]) for row in running.rows()}
    assert ("CAP_CHOWN", 0, 1) in found, found


def cache() -> None:
    from bpfwright import _llvm
    from bpfwright.facets.tools import tool
    with open(_llvm.__file__, "rb", buffering=0) as file, tool("cachestat").start() as running:
        for _ in range(200):
            file.seek(0)
            file.read(1 << 20)
        (row,) = running.take()
    assert row["hits"] > 100 and row["hitratio"] > 50, row


def probes() -> None:
    """A tail loss probe: the last segment goes to one whose replies are thrown away."""
    import socket
    import subprocess
    import time

    from bpfwright.facets.tools import tool
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        with link, other:
            link.sendall(b"x")  # a first round trip, so that the timer is short
            other.recv(1)
            with tool("tcpretrans").start(lossprobe=True) as running:
                subprocess.run(["ip", "link", "set", "lo", "down"], check=True)
                link.send(b"y")
                time.sleep(1.0)
                subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
                found = {row["t"] for row in running.rows()}
    assert "L>" in found, found
