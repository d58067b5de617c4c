"""`-l`, `-lv` and `--info`, by the command: names, arguments, types, scripts, what is missing, how long it takes."""
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.kernel


def said(*words: str) -> tuple[str, str, int]:
    """What the command writes to stdout and stderr, and its exit code."""
    done = subprocess.run([sys.executable, "-m", "bpfwright", "trace", *words], capture_output=True, text=True,
                          check=False)
    return done.stdout, done.stderr, done.returncode


@pytest.mark.parametrize(("pattern", "wanted", "unwanted"), [
    ("tracepoint:sched:*wak*", "tracepoint:sched:sched_wakeup_new", "tracepoint:sched:sched_switch"),
    ("t:syscalls:sys_enter_open*", "tracepoint:syscalls:sys_enter_openat", "tracepoint:syscalls:sys_exit_openat"),
    ("*getpgid*", "tracepoint:syscalls:sys_enter_getpgid", "tracepoint:sched:sched_switch"),
    ("rawtracepoint:sched_*", "rawtracepoint:sched_switch", "rawtracepoint:sys_enter"),
    ("kprobe:vfs_re*", "kprobe:vfs_read", "kprobe:vfs_write"),
    ("kretprobe:vfs_re*", "kretprobe:vfs_read", "kprobe:vfs_read"),
    ("fentry:vmlinux:vfs_re*", "fentry:vmlinux:vfs_read", "fentry:vmlinux:vfs_write"),
    ("kfunc:vfs_read", "fentry:vmlinux:vfs_read", "fentry:vmlinux:vfs_readv"),
    ("iter:*", "iter:task_file", "iter:bpf_map_nothing"),
    ("software:*", "software:page-faults:", "hardware:cpu-cycles:"),
    ("hardware:*", "hardware:cpu-cycles:", "software:page-faults:"),
    ("interval", "interval:hz:", "profile:hz:"),
    ("p:*", "profile:us:", "interval:us:"),
])
def test_patterns(pattern: str, wanted: str, unwanted: str) -> None:
    out, _, code = said("-l", pattern)
    assert code == 0 and wanted in out.splitlines() and unwanted not in out.splitlines()


def test_user_probes(notes: Path, typed: Path) -> None:
    assert said("-l", f"usdt:{notes}:*te*t")[0].splitlines() == [f"usdt:{notes}:app:text", f"usdt:{notes}:other:text"]
    assert f"uprobe:{typed}:tiny" in said("-l", f"uprobe:{typed}:*")[0].splitlines()
    assert said("-l", f"uretprobe:{typed}:t?ny")[0] == f"uretprobe:{typed}:tiny\n"


@pytest.mark.parametrize(("name", "lines"), [
    ("tracepoint:syscalls:sys_enter_openat", ["int __syscall_nr", "int dfd", "const char * filename", "int flags",
                                              "umode_t mode"]),
    ("rawtracepoint:sched_process_exit", ["struct task_struct * p"]),
    ("fentry:vfs_read", ["struct file * file", "char * buf", "size_t count", "loff_t * pos"]),
    ("fexit:vfs_read", ["ssize_t retval"]),
    ("kprobe:vfs_read", ["struct file * file"]),
])
def test_arguments(name: str, lines: list[str]) -> None:
    out, _, code = said("-lv", name)
    found = [line.strip() for line in out.splitlines() if line[:1] == " "]
    assert code == 0 and [line for line in found if line in lines] == lines


def test_arguments_of_programs(typed: Path, notes: Path) -> None:
    assert said("-lv", f"uprobe:{typed}:made")[0].splitlines()[1:] == ["    short first", "    unsigned char second"]
    assert said("-lv", f"uretprobe:{typed}:tiny")[0].splitlines()[1:] == ["    unsigned char retval"]
    assert said("-lv", f"usdt:{notes}:memory")[0].splitlines()[1:] == [f"    uint64 arg{at}" for at in range(4)]


def test_types() -> None:
    assert said("-lv", "enum pid_type")[0].splitlines()[:2] == ["enum pid_type {", "\tPIDTYPE_PID = 0,"]
    assert "\tpid_t pid;" in said("-lv", "struct task_struct")[0].splitlines()
    assert said("-lv", "union sigval")[0] == "union sigval {\n\tint sival_int;\n\tvoid *sival_ptr;\n};\n"
    assert "struct task_struct" in said("-l", "struct task_*")[0].splitlines()
    _, errors, code = said("-lv", "struct task_strct")
    assert code != 0 and "Did you mean `struct task_struct`?" in errors


def test_a_script(tmp_path: Path, typed: Path) -> None:
    script = tmp_path / "script.bt"
    script.write_text(f"begin {{ }} t:sched:sched_wakeup* {{ }} uprobe:{typed}:tiny {{ }} i:s:1 {{ }}")
    assert said("-l", str(script))[0].splitlines() == [
        "begin", "tracepoint:sched:sched_wakeup", "tracepoint:sched:sched_wakeup_new", f"uprobe:{typed}:tiny",
        "interval:s:1"]


def test_what_is_not_there() -> None:
    for pattern, what in (("nope:*", "there is no provider `nope`"), ("tracepoint:sched:nope*", "nothing is called"),
                          ("uprobe:*:f", "which binary is not said"), ("usdt:/no/such:*", "no program or library")):
        _, errors, code = said("-l", pattern)
        assert code != 0 and what in errors, pattern


def test_everything_is_quick() -> None:
    best = 9.0
    for _ in range(3):
        started = os.times()
        out, _, _ = said("-l")
        best = min(best, sum(os.times()[2:4]) - sum(started[2:4]))  # what the command took of the processors
    assert out.count("\ntracepoint:") > 1000 and best < 1.0


def test_information() -> None:
    out, _, code = said("--info")
    here = os.uname().release
    assert code == 0 and f"kernel: Linux {here}" in out
    kprobes = os.path.exists("/sys/bus/event_source/devices/kprobe/type")
    assert f"  kprobe: {'yes' if kprobes else 'no'}" in out and "  uprobe: yes" in out and "  ring buffer: yes" in out
