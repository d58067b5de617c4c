"""Tools that show stacks, on stock kernels: offcputime, wakeuptime, memleak of a process and of the kernel."""
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from vmtest.own_cache import own_cache

from bpfwright.vmlinux import sock as _sock  # noqa: F401  # what describes the kernel stays open

HOOK = ""  # no row of its own
SINCE = "6.1"
LEAKS = """
import ctypes, sys
c = ctypes.CDLL(None)
c.malloc.restype, c.malloc.argtypes, c.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
print("ready", flush=True)
sys.stdin.readline()
for _ in range(5): c.malloc(123456)
c.free(c.malloc(777777))
print("done", flush=True)
sys.stdin.readline()
"""


def build() -> dict[str, bytes]:
    return {}


def check(files: dict[str, bytes]) -> None:
    with own_cache():
        waits()
        wakes()
        leaks()
        held()


def waits() -> None:
    from bpfwright.facets.tools import tool
    with tool("offcputime").start(pid=os.getpid(), kernel_stacks_only=True) as running:
        time.sleep(0.3)
        found = running.take()
    assert any("hrtimer_nanosleep" in row["kernel"] and row["us"] >= 250_000 for row in found), found


def wakes() -> None:
    from bpfwright.facets.tools import tool
    comm = Path("/proc/self/comm").read_text().strip()
    with tool("wakeuptime").start(comm=comm) as running:
        subprocess.run(["/bin/sleep", "0.3"], check=True)
        found = running.take()
    assert any(row["waker"] == "sleep" and row["us"] >= 200_000 for row in found), found


def leaks() -> None:
    from bpfwright.facets.tools import tool
    with subprocess.Popen([sys.executable, "-S", "-c", LEAKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                          ) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with tool("memleak").start(pid=child.pid, older=0, min_size=100_000) as running:
            child.stdin.write("\n")
            child.stdin.flush()
            assert child.stdout.readline() == "done\n"
            found = running.take()
        child.communicate("\n")
    assert (5 * 123456, 5) in {(row["bytes"], row["allocations"]) for row in found}, found


def held() -> None:
    from bpfwright.facets.tools import tool
    with tool("memleak").start(older=0, comm=Path("/proc/self/comm").read_text().strip()) as running:
        made = [os.eventfd(0) for _ in range(50)]
        found = running.take()
        for descriptor in made:
            os.close(descriptor)
    assert any("eventfd" in row["kernel"] and row["allocations"] >= 50 for row in found), found
