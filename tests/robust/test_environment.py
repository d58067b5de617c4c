"""Machines that lack something: each says what, and what to do, or does without; nothing is left behind."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import ENVIRONMENT, TOP

pytestmark = pytest.mark.kernel

PROGRAMS = """
import os, sys
from bpfwright import Struct, attach, load, ptr, shared, u64
from bpfwright.errors import BpfwrightError
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint, tracepoint, uprobe
from bpfwright.maps import Hash, RingBuf
from bpfwright.tracepoints.syscalls import sys_enter_getppid
from bpfwright.vmlinux import task_struct

class Seen(Struct):
    count: u64

seen = shared(Seen(0))

@raw_tracepoint.program("sys_enter", btf=False)
def plain(ctx: raw_tracepoint.Context, registers: u64, number: u64) -> None:
    seen.count += 1

@raw_tracepoint.program("sched_process_fork")
def typed(ctx: raw_tracepoint.Context, parent: ptr[task_struct]) -> None:
    seen.count += parent.tgid

@raw_tracepoint.program("sys_enter", btf=False)
def relocated(ctx: raw_tracepoint.Context, registers: u64, number: u64) -> None:
    seen.count += current.task.tgid

@tracepoint.program
def event(ctx: sys_enter_getppid) -> None:
    seen.count += 1

def said(*programs):
    try:
        with attach(*programs):
            os.getppid()
            return f"ok {seen.count > 0}"
    except BpfwrightError as error:
        return f"{type(error).__name__}: {error}"
"""


def run(body: str, tmp_path: Path, *, before: str = "true", cache: str = "", limit: tuple[str, ...] = ()) -> list[str]:
    """The lines that a script prints, in a mount namespace of its own, `before` having been at work there."""
    script = tmp_path / "script.py"
    script.write_text(PROGRAMS + body)
    environment = ENVIRONMENT | {"XDG_CACHE_HOME": cache or str(tmp_path / "cache"), "PYTHONPATH": f"{TOP / 'src'}"}
    done = subprocess.run(["unshare", "-m", "sh", "-ec", f'{before}; exec "$@"', "sh", *limit, sys.executable,
                           str(script)], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.strip().splitlines()


def test_without_type_information(tmp_path: Path) -> None:
    """No BTF: what needs none works, what needs it says so."""
    body = 'for p in (plain, event): print(said(p))\nfor p in (typed, relocated): print(" ".join(said(p).split()))\n'
    lines = run(body, tmp_path, before="mount -t tmpfs none /sys/kernel/btf")
    assert lines[:2] == ["ok True", "ok True"]
    for line in lines[2:]:
        assert line.startswith("NotSupported: ") and "/sys/kernel/btf/vmlinux" in line and "Linux" in line
    assert len(lines) == 4


def test_without_bpffs_and_tracefs(tmp_path: Path) -> None:
    """They are mounted where they are missing; pinning and tracepoints then work as ever."""
    before = "umount -l /sys/fs/bpf 2>/dev/null || true; umount -l /sys/kernel/tracing 2>/dev/null || true; " \
             "umount -l /sys/kernel/debug/tracing 2>/dev/null || true; umount -l /sys/kernel/debug 2>/dev/null || true"
    body = """
print(said(event))
with load(plain) as session:
    session.loaded.programs["plain"].pin("/sys/fs/bpf/bpfwright-test")
    os.unlink("/sys/fs/bpf/bpfwright-test")
from bpfwright.kernel.mounts import bpffs, tracefs
print(bpffs(), tracefs())
"""
    lines = run(body, tmp_path, before=before)
    assert lines[0] == "ok True" and lines[1].startswith("/sys/fs/bpf /sys/kernel/")


def test_where_nothing_can_be_mounted(tmp_path: Path) -> None:
    """An empty /sys: raw tracepoints work, an event says what is missing."""
    lines = run('print(said(plain))\nprint(" ".join(said(event).split()))\n', tmp_path,
                before="mount -t tmpfs none /sys")
    assert lines[0] == "ok True"
    assert lines[1].startswith(("NotSupported: ", "KernelError: ")) and "tracefs" in lines[1]


@pytest.mark.parametrize("cut", [0, 1, 40, 400, -1])
def test_truncated_cache_entries(tmp_path: Path, cut: int) -> None:
    cache = tmp_path / "cache"
    assert run("print(said(plain))\n", tmp_path, cache=str(cache)) == ["ok True"]
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert files
    for path in files:
        os.truncate(path, cut if cut >= 0 else max(0, path.stat().st_size - 1))
    assert run("print(said(plain))\n", tmp_path, cache=str(cache)) == ["ok True"]


def test_a_cache_that_others_can_write(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run("print(said(plain))\n", tmp_path, cache=str(cache))
    folder = next(path for path in cache.iterdir() if path.is_dir())
    folder.chmod(0o777)
    lines = run('print(" ".join(said(plain).split()))\n', tmp_path, cache=str(cache))
    assert lines[0].startswith("CacheError: ") and str(folder) in lines[0]


def test_a_cache_that_someone_else_owns(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    run("print(said(plain))\n", tmp_path, cache=str(cache))
    folder = next(path for path in cache.iterdir() if path.is_dir())
    os.chown(folder, 65534, 65534)
    lines = run('print(" ".join(said(plain).split()))\n', tmp_path, cache=str(cache))
    assert lines[0].startswith("CacheError: ") and str(folder) in lines[0]


def test_no_memory_for_a_map(tmp_path: Path) -> None:
    """More than the kernel gives: one error, nothing left open, and the next session works."""
    body = """
big = Hash[u64, u64](max_entries=1 << 31)

@raw_tracepoint.program("sys_enter", btf=False)
def greedy(ctx: raw_tracepoint.Context, registers: u64, number: u64) -> None:
    big[number] = 1

said(plain)
before = len(os.listdir("/proc/self/fd"))
print(" ".join(said(greedy).split()))
print(len(os.listdir("/proc/self/fd")) - before)
print(said(plain))
"""
    lines = run(body, tmp_path)
    assert lines[0].startswith("KernelError: ") and "big" in lines[0] and "entries" in lines[0]
    assert lines[1:] == ["0", "ok True"]


def test_no_descriptors_left(tmp_path: Path) -> None:
    """RLIMIT_NOFILE reached in the middle of loading: a clear error, and what was opened is closed again."""
    body = """
import resource
said(plain)
failures = 0
base = len(os.listdir("/proc/self/fd"))
for room in range(1, 9):
    top = max(int(n) for n in os.listdir("/proc/self/fd")) + 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (base - 1 + room, 4096))
    held = []
    words = said(plain)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 4096))
    failures += words != "ok True"
    assert words == "ok True" or words.split(":")[0] in ("KernelError", "CompilerCrash", "PrivilegeError"), words
    assert len(os.listdir("/proc/self/fd")) == base, os.listdir("/proc/self/fd")
print(failures > 0, said(plain))
"""
    assert run(body, tmp_path) == ["True ok True"]
