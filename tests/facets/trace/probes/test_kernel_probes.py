"""Timers, counted events, watched memory, iterators, running BPF programs; and what is said of probes that this kernel
does not have."""
from __future__ import annotations

import mmap
import os
import subprocess
import time
from pathlib import Path

import pytest

from bpfwright.errors import BpfwrightError, CompileError
from bpfwright.facets.trace.probes.instead import attaches
from bpfwright.kernel import Kernel
from tests.facets.trace.probes.tracing import Said, traced, until

pytestmark = pytest.mark.kernel


def refused(machine: Kernel, script: str) -> str:
    with pytest.raises(BpfwrightError) as caught:
        traced(machine, script, work=lambda: None)
    return " ".join(str(caught.value).split())


def counts(said: Said) -> dict[str, int]:
    return {line.split(": ")[0]: int(line.split(": ")[1]) for line in said.lines}


def test_short_timers(machine: Kernel) -> None:
    said = traced(machine, "interval:ms:1 { @ms = count(); } interval:us:500 { @us = count(); @cpus[cpu] = count(); } "
                           "interval:hz:100 { @hz = count(); } i:1000000 { @ns = count(); } i:5ms { @d = count(); } "
                           "begin { @began = nsecs; } end { @lasted_ms = (nsecs - @began) / 1000000; clear(@began); }",
                  work=lambda: time.sleep(0.5))
    found = counts(said)
    whole = found["@lasted_ms"] / 1000  # on a busy machine more than it was to sleep
    # The clock's timers come late, never early: at most so many, and a good part of them on a busy machine.
    for name, hz in (("@ms", 1000), ("@us", 2000), ("@hz", 100), ("@ns", 1000), ("@d", 200)):
        assert 0.5 * hz * 0.4 <= found[name] <= whole * hz * 1.1 + 2, (name, found)
    assert len([name for name in found if name.startswith("@cpus")]) == 1


def test_a_profile_of_one_process_and_its_threads(machine: Kernel) -> None:
    busy = "import threading\ndef go():\n while True: pass\nthreading.Thread(target=go).start()\ngo()"
    with subprocess.Popen(["/usr/bin/python3", "-c", busy]) as process, \
            subprocess.Popen(["/usr/bin/python3", "-c", busy]) as other:
        try:
            until(lambda: len(os.listdir(f"/proc/{process.pid}/task")) == 2)
            said = traced(machine, "profile:hz:999 { @[pid] = count(); @t[tid] = count(); @n++; "
                                   "if (@n >= 400) { exit(); } } end { clear(@n); }", pid=process.pid, seconds=60)
        finally:
            process.kill()
            other.kill()
    found = counts(said)
    assert found[f"@[{process.pid}]"] >= 400 and f"@[{other.pid}]" not in found
    assert len([name for name in found if name.startswith("@t")]) == 2


def test_counted_events(machine: Kernel) -> None:
    def work() -> None:
        with mmap.mmap(-1, 1 << 20) as memory:
            memory.madvise(mmap.MADV_NOHUGEPAGE)
            for at in range(0, len(memory), mmap.PAGESIZE):
                memory[at] = 1
        time.sleep(0.05)

    said = traced(machine, "software:page-faults:1 / pid == $1 / { @faults = count(); } "
                           "software:cs:1 { @cs = count(); }", words=(str(os.getpid()),), work=work)
    found = counts(said)
    assert found["@faults"] > 100 and found["@cs"] > 0


def test_hardware_events_or_the_reason(machine: Kernel) -> None:
    if attaches(machine, "hardware"):
        assert counts(traced(machine, "hardware:cycles:100000 { @ = count(); }", work=lambda: time.sleep(0.2)))["@"] > 0
    else:
        said = refused(machine, "hardware:cycles:100000 { @ = count(); }")
        assert said.startswith("hardware:cpu-cycles:100000: cpu-cycles cannot be counted here")
        assert "profile:hz:99" in said


def _watched(typed: Path, tmp_path: Path) -> tuple[Path, int]:
    from tests.facets.trace.probes import programs
    fixed = programs.built(programs.TYPED, tmp_path / "fixed", "-no-pie")
    symbols = subprocess.run(["nm", fixed], capture_output=True, text=True, check=True).stdout
    return fixed, int(next(line.split()[0] for line in symbols.splitlines() if line.endswith(" counter")), 16)


def test_watched_memory(machine: Kernel, typed: Path, tmp_path: Path) -> None:
    if not os.path.exists("/sys/bus/event_source/devices/breakpoint/type"):
        assert "does not watch addresses" in refused(machine, "watchpoint:0x1000:4:w { }")
        return
    fixed, address = _watched(typed, tmp_path)
    said = traced(machine, f"watchpoint:{address:#x}:4:w {{ @[*(int32 *){address:#x}] = count(); }}",
                  command=f"{fixed} 5")
    assert {"@[42]: 1", "@[46]: 1"} <= set(said.lines)


def test_watched_code(machine: Kernel, typed: Path, tmp_path: Path) -> None:
    fixed, _ = _watched(typed, tmp_path)
    symbols = subprocess.run(["nm", fixed], capture_output=True, text=True, check=True).stdout
    address = int(next(line.split()[0] for line in symbols.splitlines() if line.endswith(" tiny")), 16)
    with subprocess.Popen([fixed, "100000", "5000"]) as process:
        try:
            said = traced(machine, f"watchpoint:{address:#x}:8:x {{ print(pid); exit(); }}", pid=process.pid)
        finally:
            process.kill()
    assert said.lines == [str(process.pid)]


@pytest.mark.parametrize("kind", ["task", "task_file", "task_vma", "tcp", "udp", "unix", "cgroup", "bpf_map",
                                  "bpf_prog", "bpf_link", "netlink", "ksym"])
def test_iterators(machine: Kernel, kind: str) -> None:
    said = traced(machine, f"iter:{kind} {{ @ = count(); }} end {{ print(\"over\"); }}", seconds=5)
    assert "over" in said.lines


def test_what_iterators_bring(machine: Kernel) -> None:
    said = traced(machine, "iter:task / ctx.task->pid == $1 / { print(ctx.task->comm); }", words=(str(os.getpid()),))
    assert said.lines == [Path("/proc/self/comm").read_text().strip()]
    said = traced(machine, "iter:cgroup / ctx.cgroup->level == 0 / { print(ctx.cgroup->level); }")
    assert said.lines == ["0"]


def test_iterators_that_are_not(machine: Kernel) -> None:
    assert "the kernel has no iterator `tsk`" in (said := refused(machine, "iter:tsk { }"))
    assert "Did you mean `iter:task`?" in said
    assert "walks one map" in refused(machine, "iter:bpf_map_elem { }")


@pytest.mark.parametrize(("probe", "instead"), [
    ("kprobe:tcp_connect", "tracepoint:sock:inet_sock_set_state"),
    ("kprobe:vfs_read", "tracepoint:syscalls:sys_enter_read"),
    ("kretprobe:blk_account_io_done", "tracepoint:block:block_io_done"),
    ("kprobe:oom_kill_process", "tracepoint:oom:mark_victim"),
    ("kprobe:tcp_retransmit_skb", "tracepoint:tcp:tcp_retransmit_skb"),
    ("fentry:do_sys_openat2", "tracepoint:syscalls:sys_enter_openat"),
    ("fexit:vfs_unlink", "tracepoint:syscalls:sys_enter_unlinkat"),
    ("kprobe:__x64_sys_getpgid", "tracepoint:syscalls:sys_enter_getpgid"),
    ("kprobe:ext4_writepages", "tracepoint:ext4:ext4_writepages"),   # found by its name
    ("kprobe:ext4_evict_inode", "tracepoint:ext4:ext4_evict_inode"),
    ("kprobe:tcp_conect", "tracepoint:sock:inet_sock_set_state"),    # mistyped: the one that was meant
])
def test_what_would_work_instead(machine: Kernel, probe: str, instead: str) -> None:
    if attaches(machine, probe.partition(":")[0]):
        said = traced(machine, f"{probe.replace('conect', 'connect')} {{ @ = count(); }}", work=lambda: None)
        assert said.code == 0
    else:
        said_of = refused(machine, f"{probe} {{ @ = count(); }}")
        assert probe.partition(":")[2] in said_of and f"`{instead}`" in said_of
        traced(machine, f"{instead} {{ @ = count(); }}", work=lambda: None)  # it does


def test_missing_probes_may_be_left_out(machine: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BPFTRACE_MISSING_PROBES", "warn")
    said = traced(machine, "kprobe:no_such_function, t:syscalls:sys_enter_getpgid / pid == $1 / { @ = count(); }",
                  words=(str(os.getpid()),), work=lambda: os.getpgid(0))
    assert said.lines == ["@: 1"]


def test_patterns_that_mean_nothing_or_too_much(machine: Kernel) -> None:
    assert "there is no tracepoint `sched:no*such`" in refused(machine, "tracepoint:sched:no*such { }")
    assert "more than 1024" in refused(machine, "uprobe:libc:* { }")
    with pytest.raises(CompileError, match=r"no program or library is called"):
        traced(machine, "uprobe:/nowhere/*:f { }", work=lambda: None)


def test_running_programs_that_are_not(machine: Kernel) -> None:
    assert "function `no_such_program`" in refused(machine, "fentry:bpf:no_such_program { }")
