"""Tools on functions of the kernel: funccount, funclatency, stackcount and argdist by kprobes with cookies."""
from __future__ import annotations

import os
from typing import Any

from vmtest.own_cache import own_cache

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "6.1"


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache():
        counted()
        timed()
        shown()


def reads() -> None:
    with open("/dev/zero", "rb", buffering=0) as file:
        for _ in range(20):
            file.read(1000)


def counted() -> None:
    from bpfwright.facets.tools import tool
    with tool("funccount").start(pattern="vfs_read*", pid=os.getpid()) as running:
        reads()
        found = {row["func"]: row["count"] for row in running.take()}
    assert found["vfs_read"] >= 20, found
    with tool("stackcount").start(pattern="vfs_read", pid=os.getpid(), kernel_only=True) as running:
        reads()
        stacks = running.take()
    assert sum(row["count"] for row in stacks) >= 20 and any("read" in row["kernel"] for row in stacks), stacks


def timed() -> None:
    from bpfwright.facets.tools import tool
    with tool("funclatency").start(pattern="vfs_read", pid=os.getpid(), microseconds=True) as running:
        reads()
        (one,) = running.take()
    assert sum(count for *_, count in one.buckets) >= 20, one


def shown() -> None:
    head = "p::vfs_read(void *file, char *buffer, size_t count):u64:"
    for ready, probe, value in (
            (True, f"{head}count", 1000), (False, f"{head}count + 1", 1001), (True, f"{head}count:count == 1000", 1000),
            (True, "r::vfs_read():s64:$retval:$retval >= 1000", 1000), (False, "r::vfs_read():s64:-$retval", -1000),
            (True, "t:syscalls:sys_enter_read():u64:args->count:args->count > 999", 1000)):
        found = {row["event"]: row["count"] for row in distribution(ready, frequency=probe)}
        assert found[value] >= 20, (probe, found)
        assert ":" not in probe.partition(":u64:count")[2] or set(found) == {1000}, found
    (one,) = distribution(True, histogram=f"{head}count:count == 1000")
    assert [low for low, _, count in one.buckets if count] == [512], one
    paths = {row["event"] for row in distribution(True, frequency="p::do_sys_openat2(int at, char *path):char*:path")}
    assert "/dev/zero" in paths, paths


def distribution(ready: bool, **options: str) -> list[Any]:
    """What argdist shows of the reads; by the program that is compiled for all such probes, or one made for it."""
    from bpfwright.facets.tools import tool
    with tool("argdist").start(pid=os.getpid(), **options) as running:
        assert (running.options.look is not None) == ready
        reads()
        found: list[Any] = running.take()
        return found
