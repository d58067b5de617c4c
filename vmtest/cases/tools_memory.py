"""Tools on memory that is short: drsnoop when the whole machine's is and at a limit, oomkill in a cgroup of its own."""
from __future__ import annotations

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from typing import Any

from vmtest.cgroups import removed
from vmtest.own_cache import own_cache

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "5.10"
LIMIT = 32 << 20
READ = 128 << 20
ENOUGH = 500  # rows: there may be ten thousands, and an emulated machine reads few in a second


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache():
        reclaims()
        limits()
        kills()


def run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def reclaims() -> None:
    """A disk that holds nothing fills the page cache; who asks for huge pages then has to wait for reclaim."""
    from bpfwright.facets.tools import tool
    run("modprobe", "null_blk", "gb=8", "nr_devices=1")
    pages = Path("/proc/sys/vm/nr_hugepages")
    try:
        pages.write_text(str(max(free() - (400 << 20), 0) >> 21))  # so that little is left to fill
        with tool("drsnoop").start(comm="sh", timestamp=True) as running:
            with open("/dev/nullb0", "rb", buffering=0) as file:
                while free() > 96 << 20 and file.read(1 << 22):
                    pass
            wanted = int(pages.read_text()) + (free() >> 21) + 48
            subprocess.run(["/bin/sh", "-c", f"echo {wanted} > {pages}"], check=True)
            names = [column.name for column in running.columns]
            found: list[dict[str, Any]] = [
                dict(zip(names, cells, strict=True)) for cells in islice(running.arrived(), ENOUGH)]
    finally:
        pages.write_text("0")
        run("modprobe", "-r", "null_blk")
    # How many pages says nothing here: one where the kernel stops early because what is free can be compacted, none
    # where there is nothing to free.
    assert found and all(row["comm"] == "sh" and row["lat_ms"] > 0 for row in found), found


def limits() -> None:
    """In a cgroup, whoever reads more than its limit has to free what was read before: pages by the number."""
    from bpfwright.facets.tools import tool
    run("modprobe", "null_blk", "gb=1", "nr_devices=1")
    group = made("tools-limits")
    try:
        with tool("drsnoop").start(comm="dd", limits=True) as running:
            read = f"echo $$ > {group}/cgroup.procs; exec dd if=/dev/nullb0 of=/dev/null bs=1M count={READ >> 20}"
            subprocess.run(["/bin/sh", "-c", read], check=True, capture_output=True)
            found: list[dict[str, Any]] = list(running.rows())
    finally:
        removed(group)
        run("modprobe", "-r", "null_blk")
    assert all(row["comm"] == "dd" and row["lat_ms"] > 0 for row in found), found
    freed = sum(row["pages"] for row in found) << 12
    assert READ - LIMIT - (8 << 20) < freed < READ + (8 << 20), (freed >> 20, found[:20])


def made(name: str) -> Path:
    """A cgroup whose memory is limited."""
    top = Path("/sys/fs/cgroup")
    (top / "cgroup.subtree_control").write_text("+memory")
    group = top / name
    group.mkdir()
    (group / "memory.max").write_text(str(LIMIT))
    return group


def kills() -> None:
    """In a cgroup of its own, whose limit is what is shown."""
    from bpfwright.facets.tools import tool
    group = made("tools-blocks")
    try:
        hungry = f"open('{group}/cgroup.procs', 'w').write('0')\nx = []\nwhile True: x.append(bytearray(1 << 20))"
        with tool("oomkill").start() as running:
            done = subprocess.run([sys.executable, "-S", "-c", hungry])
            found = [(row["pages"], row["fcomm"], row["tcomm"]) for row in running.rows()]
        assert done.returncode == -9, done
    finally:
        removed(group)
    comm = os.path.basename(sys.executable)
    assert found == [(LIMIT >> 12, comm, comm)], found


def free() -> int:
    lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines["MemFree"].split()[0]) << 10
