"""Tools on block I/O: biosnoop, biotop and biolatency, of a disk of their own."""
from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmtest.own_cache import own_cache

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "5.10"
SIZE = 8192


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache(), disk() as device:
        requests(device)
        sums(device)
        latencies(device)


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


@contextlib.contextmanager
def disk() -> Iterator[str]:
    """A disk of 16 MiB over a file in memory."""
    run("modprobe", "loop")
    with tempfile.NamedTemporaryFile(dir="/run") as file:
        file.truncate(16 << 20)
        device = run("losetup", "--find", "--show", file.name)
        try:
            yield device
        finally:
            run("losetup", "--detach", device)


def writes(device: str) -> None:
    """Past the page cache: each is a request of its own."""
    handle = os.open(device, os.O_RDWR | os.O_DIRECT)
    try:
        with mmap.mmap(-1, SIZE) as memory:
            for number in range(4):
                os.pwritev(handle, [memory], number << 20)
    finally:
        os.close(handle)


def requests(device: str) -> None:
    from bpfwright.facets.tools import tool
    with tool("biosnoop").start(pid=os.getpid(), queue=True, pattern=True, disk=device) as running:
        writes(device)
        running.wait(1.0)
        rows: list[dict[str, Any]] = running.rows()
    found = [(row["disk"], row["t"], row["sector"], row["bytes"], row["pid"], row["comm"])
             for row in rows if row["t"] == "W" and row["lat_ms"] > 0 and row["que_ms"] >= 0]
    comm = Path("/proc/self/comm").read_text().strip()
    assert found == [(Path(device).name, "W", number << 11, SIZE, os.getpid(), comm) for number in range(4)], found


def sums(device: str) -> None:
    from bpfwright.facets.tools import tool
    with tool("biotop").start(pid=os.getpid()) as running:
        writes(device)
        found = [(row["disk"], row["d"], row["i_o"], row["kbytes"]) for row in running.take()]
    assert found == [(Path(device).name, "W", 4, 4 * SIZE >> 10)], found


def latencies(device: str) -> None:
    from bpfwright.facets.tools import tool
    with tool("biolatency").start(disks=True, flags=True) as running:
        writes(device)
        found = {one.keys["flags"]: sum(count for *_, count in one.buckets) for one in running.take()
                 if one.keys["disk"] == Path(device).name}
    assert sum(found.values()) == 4 and all("Write" in flags for flags in found), found
