"""One process (-p): its threads, its end, another program in its place, process ids as a PID namespace has them; and
iterators that stay in a file."""
from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from bpfwright.errors import CompileError
from bpfwright.kernel import Kernel
from bpfwright.kernel.mounts import bpffs
from tests.facets.trace.probes.tracing import traced

pytestmark = pytest.mark.kernel


def test_user_probes_of_one_process_and_its_threads(machine: Kernel, typed: Path) -> None:
    with subprocess.Popen([typed, "5", "1000", "/bin/sleep", "1000"], stdin=subprocess.PIPE) as process, \
            subprocess.Popen([typed, "900", "1000"]) as other:
        def go() -> None:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()

        try:
            said = traced(machine, f"uprobe:{typed}:tiny {{ @[pid] = count(); @t[tid] = count(); }}", pid=process.pid,
                          ready=go, seconds=60)
        finally:
            process.kill()
            other.kill()
    assert f"@[{process.pid}]: 8" in said.lines and f"@t[{process.pid}]: 5" in said.lines  # and 3 in a thread
    assert len(said.lines) == 3 and str(other.pid) not in said.out
    assert f"process {process.pid} has become" in said.errors and "sleep" in said.errors


def test_the_end_of_a_process_is_said(machine: Kernel) -> None:
    with subprocess.Popen(["/bin/sleep", "1000"]) as process:
        try:
            said = traced(machine, "interval:s:9 { } end { print(\"over\"); }", pid=process.pid, seconds=60,
                          ready=process.terminate)
        finally:
            process.kill()
    assert said.lines == ["over"] and f"process {process.pid} has ended" in said.errors and said.code == 0


def test_a_process_that_is_not_there(machine: Kernel) -> None:
    with subprocess.Popen(["/bin/true"]) as process:
        process.wait()
    with pytest.raises(CompileError, match=f"there is no process {process.pid}"):
        traced(machine, "uprobe:*:f { }", pid=process.pid)


INSIDE = """
import os, subprocess, sys
child = subprocess.Popen([sys.argv[1], "4000", "5000"])
subprocess.run([sys.executable, "-m", "bpfwright", "trace", "-q", "--for", "0.6", "-p", str(child.pid), "-e",
    f'uprobe:{sys.argv[1]}:tiny {{ @user[pid, tid] = count(); }}'
    f't:syscalls:sys_enter_clock_nanosleep / pid == {child.pid} / {{ @call[pid] = count(); }}'
    f'rawtracepoint:sys_enter / tid == {child.pid} / {{ @raw[tid] = count(); }}'], check=True)
child.kill()
print("child", child.pid, flush=True)
"""


def test_process_ids_inside_of_a_pid_namespace(typed: Path) -> None:
    done = subprocess.run(["unshare", "-p", "-f", "--mount-proc", sys.executable, "-c", INSIDE, str(typed)],
                          capture_output=True, text=True, check=True, timeout=60)
    number = int(done.stdout.split("child ")[1])
    assert number < 50  # its number there, not here
    for name in (f"@user[{number}, {number}]", f"@call[{number}]", f"@raw[{number}]"):
        assert int(done.stdout.split(f"{name}: ")[1].split()[0]) > 5, done.stdout
    assert not re.search(rf"@\w+\[(?!{number}\b)", done.stdout)


def test_a_pinned_iterator_answers_when_its_file_is_read(machine: Kernel) -> None:
    name = f"bpfwright-test-{uuid.uuid4().hex[:8]}"
    path = Path(bpffs()) / name
    try:
        said = traced(machine, f'iter:task:{name} {{ printf("%d|%s|%-6d|100%%\\n", ctx.task->pid, ctx.task->comm, '
                               "ctx.task->tgid); }")
        assert said.lines == [f"Program pinned to {path}"]
        mine = [line for line in path.read_text().splitlines() if line.startswith(f"{os.getpid()}|")]
        comm = Path("/proc/self/comm").read_text().strip()
        assert mine == [f"{os.getpid()}|{comm}|{os.getpid():<6}|100%"]
    finally:
        path.unlink(missing_ok=True)


def test_what_a_pinned_iterator_cannot_print(machine: Kernel) -> None:
    with pytest.raises(CompileError, match="prints numbers and texts"):
        traced(machine, 'iter:task:never { printf("%s\\n", kstack); }')
    assert not (Path(bpffs()) / "never").exists()
