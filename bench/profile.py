"""What a profile of the whole machine costs in steady state: ours by tables and by frame pointers, and bpftrace's.

    sudo .venv/bin/python bench/profile.py [--quick] [--seconds N]

99 samples a second on each CPU, on an idle machine and with a load: a Python program and one that makes system calls.
Cost is the share of one CPU: what our process and its threads used (schedstat), and what the kernel counted for the
programs they hold (BPF statistics). Processes that others start meanwhile are looked at: how many there were a second
in each round stands in the table, the median is that of rounds with fewer than one (of all, where there is none), and
what ten a second cost stands below. Starting, making tables and naming at the end are stated apart. bpftrace samples
with `profile:hz:99 { @[kstack, ustack, comm] = count(); }`, which follows frame pointers only.
"""
from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from bench import measuring
from bpfwright.cli import inventory
from bpfwright.kernel import Kernel

BAR = 0.5  # per cent of one CPU
SCRIPT = "profile:hz:99 { @[kstack, ustack, comm] = count(); }"
PYTHON_LOAD = "def f(n): return sum(i * i for i in range(n))\nwhile True: f(20000)"
CALLS_LOAD = "import os\nd = os.open('/dev/zero', os.O_RDONLY)\nwhile True: os.read(d, 65536)"


class Cost(NamedTuple):
    """Of one run: per cent of a CPU, and seconds of CPU before and after."""

    user: float
    program: float
    start_s: float
    start_cpu_s: float
    end_cpu_s: float
    samples: int
    processes: int


def ours(*options: str) -> list[str]:
    return [sys.executable, "-m", "bpfwright", "profile", "-f", "folded", "-o", os.devnull, *options]


def cpu_ns(pid: int) -> int:
    """Time on CPUs of all its threads."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat") as file:
            total += int(file.read().split()[0])
    return total


def program_ns(pid: int) -> tuple[int, int]:
    """(time, runs) of the programs that a process holds."""
    held, _ = inventory.holders()
    found = [p for p in inventory.programs() if any(h.pid == pid for h in held.get(p.id, ()))]
    return sum(p.run_ns for p in found), max((p.runs for p in found), default=0)


def forks() -> int:
    """Processes and threads that the machine has started."""
    with open("/proc/stat") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("processes"))


def children_s() -> float:
    used = os.times()
    return used.children_user + used.children_system


def end(child: subprocess.Popen[bytes]) -> None:
    """As Ctrl-C does. bpftrace has been seen not to come to an end of its names."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(20)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


@contextmanager
def load(busy: bool) -> Iterator[None]:
    texts = (PYTHON_LOAD, CALLS_LOAD) if busy else ()
    running = [subprocess.Popen([sys.executable, "-c", text]) for text in texts]
    try:
        time.sleep(0.5)
        yield
    finally:
        for each in running:
            each.kill()
            each.wait()


def measured(command: list[str], marker: str, seconds: float, settling_s: float) -> Cost:
    """Start it, let it settle, measure, and end it as Ctrl-C does."""
    began, before = time.monotonic(), children_s()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            while marker not in Path(f"/proc/self/fd/{out.fileno()}").read_text():
                if child.poll() is not None or time.monotonic() - began > 60:
                    raise SystemExit(f"{command[0]} did not start: {Path(f'/proc/self/fd/{out.fileno()}').read_text()}")
                time.sleep(0.02)
            start_s, start_cpu = time.monotonic() - began, cpu_ns(child.pid)
            time.sleep(settling_s)  # the processes that it meets, the first stacks
            started = forks()
            at, user, (kernel, runs) = time.monotonic(), cpu_ns(child.pid), program_ns(child.pid)
            time.sleep(seconds)
            spent, user_more, (kernel_more, runs_more) = time.monotonic() - at, cpu_ns(child.pid), program_ns(child.pid)
            started = forks() - started
        finally:
            end(child)
    whole = children_s() - before
    return Cost(100 * (user_more - user) / 1e9 / spent, 100 * (kernel_more - kernel) / 1e9 / spent, start_s,
                start_cpu / 1e9, whole - user_more / 1e9, runs_more - runs, started)


def steady(seconds: float, rounds: int) -> bool:
    contestants = [("bpfwright, by tables, Python", ours(), "profiling"),
                   ("bpfwright, by frame pointers", ours("--unwind", "frames", "--no-python"), "profiling")]
    if shutil.which("bpftrace"):
        contestants.append(("bpftrace", ["bpftrace", "-e", SCRIPT], "Attach"))
    rows, met = [], True
    for busy in (False, True):
        costs: dict[str, list[Cost]] = {name: [] for name, _, _ in contestants}
        with load(busy):
            for _ in range(rounds):
                for name, command, marker in contestants:
                    costs[name].append(measured(command, marker, seconds, min(2.0, seconds)))
        for name, found in costs.items():
            best = min(found, key=lambda cost: cost.user + cost.program)
            both = sorted(cost.user + cost.program for cost in found)
            quiet = [c.user + c.program for c in found if c.processes < seconds] or both
            middle = statistics.median(quiet)
            bar = "" if name == "bpftrace" else measuring.verdict(middle <= BAR)
            met = met and bar != measuring.verdict(False)
            rows.append(("loaded" if busy else "idle", name, f"{best.program:.3f} %", f"{best.user:.3f} %",
                         f"{both[0]:.3f} %", f"{middle:.3f} %", f"{best.samples / seconds:.0f}",
                         " ".join(f"{cost.processes / seconds:.0f}" for cost in found), f"{best.start_s:.2f}",
                         f"{best.start_cpu_s:.2f}", f"{best.end_cpu_s:.2f}", bar))
    print(f"## Steady state, {rounds} x {seconds:.0f} s each, {os.cpu_count()} CPUs, 99 Hz; bar {BAR} % of one CPU\n")
    print(measuring.table(("machine", "", "program", "user space", "best", "median", "runs/s", "new processes/s",
                           "start s", "start CPU s", "end CPU s", "bar"), rows))
    return met


BUILDING = """
import sys, time
from bpfwright.facets.profile import Options, Profiler
began = time.monotonic()
with Profiler(Options()) as profiler:
    t = profiler.tables
    print(time.monotonic() - began, t.files, t.built, t.rows, t.chunk_count * 288, t.build_ns / 1e9)
"""


def building(quick: bool) -> None:
    """From nothing, with compiled programs only, and with tables on disk; the load's processes are there to be met."""
    rows = []
    with tempfile.TemporaryDirectory() as cache, load(True):
        environment = {**os.environ, "XDG_CACHE_HOME": cache}
        cases = (("nothing cached", ""), ("programs cached", "unwinding"), ("all cached", ""))
        for name, gone in cases[:1] if quick else cases:
            if gone:
                shutil.rmtree(Path(cache) / "bpfwright" / gone)
            done = subprocess.run([sys.executable, "-c", BUILDING], capture_output=True, text=True, check=True,
                                  env=environment)
            start, files, built, table_rows, kib, seconds = done.stdout.split()
            rows.append((name, f"{float(start):.2f}", files, built, f"{int(table_rows):,}", f"{int(kib):,}",
                         f"{float(seconds):.2f}"))
    print("\n## Starting, and making tables\n")
    print(measuring.table(("", "start s", "files", "made", "rows", "KiB", "tables s"), rows))


COMERS = {"sh": ["sh", "-c", "i=0; while [ $i -lt 8000 ]; do i=$((i+1)); done"],
          "python": [sys.executable, "-c", "import json"]}
EACH_S = 0.1


def coming(seconds: float) -> None:
    """What ten new processes a second cost, of files that are known: those that nobody samples cost nothing."""
    rows = []
    for name, command in COMERS.items():
        with tempfile.TemporaryFile("w+") as out:
            child = subprocess.Popen(ours(), stdout=out, stderr=subprocess.STDOUT)
            try:
                while "profiling" not in Path(f"/proc/self/fd/{out.fileno()}").read_text():
                    time.sleep(0.02)
                subprocess.run(command, check=True)
                time.sleep(min(2.0, seconds))
                began, before, count, started = time.monotonic(), cpu_ns(child.pid), 0, forks()
                while time.monotonic() - began < seconds:
                    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                    count += 1
                    time.sleep(max(0.0, began + count * EACH_S - time.monotonic()))
                spent, used = time.monotonic() - began, cpu_ns(child.pid) - before
                started = forks() - started
            finally:
                end(child)
        rows.append((name, f"{count / spent:.1f}", f"{started / spent:.1f}", f"{100 * used / 1e9 / spent:.3f} %",
                     f"{used / 1e6 / count:.3f}"))
    print("\n## New processes\n")
    print(measuring.table(("", "a second", "with others'", "user space", "ms of CPU each"), rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with Kernel() as machine:
        machine.keep_statistics()
        print(f"{measuring.machine()}\n")
        met = steady(*((1, 1) if chosen.quick else (chosen.seconds, chosen.rounds)))
        building(chosen.quick)
        coming(1 if chosen.quick else chosen.seconds)
    return 0 if met or chosen.quick else 1


if __name__ == "__main__":
    sys.exit(main())
