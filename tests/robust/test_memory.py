"""A cgroup with little memory: a map that does not fit is one clear error, and nothing of it stays."""
from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import ENVIRONMENT, TOP

pytestmark = pytest.mark.kernel
LIMIT = 128 << 20

PROGRAM = """
import os, sys
with open(sys.argv[1] + "/cgroup.procs", "w") as file:
    file.write(str(os.getpid()))
from bpfwright import L, Struct, array, load, u32, u64
from bpfwright.errors import BpfwrightError
from bpfwright.hooks import xdp
from bpfwright.maps import Hash

class Row(Struct):
    numbers: array[u64, L[512]]

many = Hash[u32, Row](max_entries=200_000)   # 800 MB, all of it at once
few = Hash[u32, Row](max_entries=10)

@xdp.program
def reading(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS if few.get(1) is None and many.get(1) is None else xdp.DROP

@xdp.program
def modest(ctx: xdp.Context) -> xdp.Action:
    return xdp.PASS if few.get(1) is None else xdp.DROP

with load(modest):
    print("fits")
before = sorted(os.listdir("/proc/self/fd"))
try:
    with load(reading):
        print("loaded")
except BpfwrightError as error:
    print(type(error).__name__, getattr(error, "errno", 0), "|".join(str(error).splitlines()))
print(sorted(os.listdir("/proc/self/fd")) == before)
with load(modest):
    print("fits again")
"""


def memory_cgroups() -> Path | None:
    """Where cgroups that limit memory are made: of version 2 or 1, whichever has the controller here."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options = line.split()[:4]
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(place)
        if kind == "cgroup2" and "memory" in Path(place, "cgroup.subtree_control").read_text().split():
            return Path(place)
    return None


@pytest.fixture
def tight() -> Iterator[Path]:
    root = memory_cgroups()
    if root is None:
        pytest.skip("no cgroup limits memory here")
    folder = root / f"bpfwright-test-{os.getpid()}"
    folder.mkdir()
    try:
        limit = "memory.max" if (folder / "memory.max").exists() else "memory.limit_in_bytes"
        (folder / limit).write_text(str(LIMIT))
        yield folder
    finally:
        folder.rmdir()


def test_a_map_that_does_not_fit(tight: Path, tmp_path: Path) -> None:
    script = tmp_path / "tight.py"
    script.write_text(PROGRAM)
    done = subprocess.run([sys.executable, str(script), str(tight)], capture_output=True, text=True, timeout=60,
                          env=ENVIRONMENT | {"XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(TOP / "src")})
    assert done.returncode == 0 and not done.stderr, done.stdout + done.stderr
    first, said, descriptors, last = done.stdout.splitlines()
    assert first == "fits" and last == "fits again" and descriptors == "True"
    what, why, cure = said.split("|")
    assert what == "KernelError 12 map 'many' was not created" and why and "fewer entries" in cure
