"""What one event costs in the kernel, under the same script of `bpfwright trace` and of bpftrace.

    sudo .venv/bin/python bench/trace_events.py [--quick] [--rounds N] [--only NAME]

A loop makes system calls that the script's probes see; its CPU time with the tracer attached, less its CPU time without
one, is what events cost. Contestants take turns in each round; a figure is the median over rounds. Both have the same
room for texts and maps (BPFTRACE_MAX_STRLEN=64, BPFTRACE_MAP_KEYS_MAX=4096). The last table is what a wide probe on all
system calls but the loop's costs calls that it does not match.
"""
from __future__ import annotations

import argparse
import os
import re
import select
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bench.workloads import asking, opening, writing

BAR = 1.00
SCRIPTS: dict[str, tuple[str, Callable[[int], None], int]] = {
    "count": ("tracepoint:raw_syscalls:sys_enter { @ = count(); }", asking, 200_000),
    "count by name": ("tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }", asking, 200_000),
    "one call, count by pid": ("tracepoint:syscalls:sys_enter_getppid { @[pid] = count(); }", asking, 200_000),
    "filter": ("tracepoint:raw_syscalls:sys_enter /args->id == 110 && pid != 1/ { @ = sum(args->id); }", asking,
               200_000),
    "latency histogram": ("tracepoint:raw_syscalls:sys_enter { @s[tid] = nsecs; } tracepoint:raw_syscalls:sys_exit "
                          "/@s[tid]/ { @h = hist(nsecs - @s[tid]); delete(@s[tid]); }", asking, 150_000),
    "texts as keys": ("tracepoint:syscalls:sys_enter_openat { @[str(args->filename)] = count(); }", opening, 60_000),
    "histogram by key": ("tracepoint:syscalls:sys_enter_write { @[comm] = hist(args->count); }", writing, 150_000),
    "stacks": ("tracepoint:syscalls:sys_enter_getppid { @[kstack(8)] = count(); }", asking, 100_000),
    "stats by two keys": ("tracepoint:raw_syscalls:sys_enter { @[pid, args->id] = stats(args->id); }", asking, 150_000),
    "print": ('tracepoint:syscalls:sys_enter_openat { printf("%d %s %s\\n", pid, comm, str(args->filename)); }',
              opening, 30_000),
}
WIDE = {"bpfwright": "tracepoint:syscalls:sys_enter_* /0/ { @ = count(); }",
        "bpfwright, unmatched": "tracepoint:syscalls:sys_enter_o*,tracepoint:syscalls:sys_enter_c* { @ = count(); }"}
ENVIRONMENT = {"BPFTRACE_STRLEN": "64", "BPFTRACE_MAX_STRLEN": "64"}


class Tracer:
    """A tracer's process, from attached until it is ended."""

    def __init__(self, words: list[str]) -> None:
        environment = {**os.environ, **ENVIRONMENT, "PYTHONPATH": str(measuring.ROOT / "src")}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.child = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.child.stdout is not None
        os.set_blocking(self.child.stdout.fileno(), False)
        self.output = b""
        end = time.monotonic() + 60
        while b"attached\n" not in self.output:
            if time.monotonic() > end or self.child.poll() is not None:
                self.close()
                raise SystemExit(f"{words[0]} did not attach: {self.output!r}")
            self.read(0.05)

    def read(self, seconds: float) -> None:
        assert self.child.stdout is not None
        if select.select([self.child.stdout], [], [], seconds)[0]:
            self.output += os.read(self.child.stdout.fileno(), 1 << 20) or b""

    def close(self) -> bytes:
        self.child.send_signal(signal.SIGINT)
        try:
            rest, _ = self.child.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            self.child.kill()
            rest, _ = self.child.communicate()
        return self.output + (rest or b"")


def ours(script: str) -> list[str]:
    return [measuring.bare_python(), "-m", "bpfwright", "trace", "-q", "--no-warnings", "-e",
            script + ' interval:ms:100 /@attached == 0/ { @attached = 1; printf("attached\\n"); }']


def theirs(script: str) -> list[str]:
    return ["bpftrace", "-q", "-e",
            script + ' interval:ms:100 /@attached == 0/ { @attached = 1; printf("attached\\n"); }']


def cost(drive: Callable[[int], None], times: int) -> float:
    """CPU nanoseconds a round of the loop."""
    began = time.process_time_ns()
    drive(times)
    return (time.process_time_ns() - began) / times


def measured(words: list[str], drive: Callable[[int], None], times: int, *, sees: bool = True) -> float:
    """The least cost of three loops. What the tracer printed must show that it saw them all; a tracer that printed
    nothing (it was ended before it could) has another try."""
    for _ in range(2):
        found = _measured(words, drive, times, sees=sees)
        if found is not None:
            return found
    raise SystemExit(f"{words[0]} printed nothing, twice")


def _measured(words: list[str], drive: Callable[[int], None], times: int, *, sees: bool) -> float | None:
    tracer = Tracer(words)
    try:
        drive(times // 10)
        found = min(cost(drive, times) for _ in range(3))
    finally:
        output = tracer.close()
    numbers = [int(word) for word in re.findall(rb"\b\d+\b", output)]
    if sees and not numbers:
        return None
    shown = max(numbers, default=0)
    least = times if "printf" not in words[-1].partition("interval:")[0] else times // 20  # bpftrace loses most of them
    if sees and max(shown, output.count(b"/dev/null")) < least:
        raise SystemExit(f"{words[0]} saw {shown} of {3 * times} events")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="")
    chosen = parser.parse_args()
    rounds = 2 if chosen.quick else chosen.rounds
    if not shutil.which("bpftrace"):
        raise SystemExit("bpftrace is not installed: sudo apt-get install -y bpftrace")
    print(measuring.machine())
    rows: list[list[object]] = []
    ratios = []
    for name, (script, drive, times) in SCRIPTS.items():
        if chosen.only and chosen.only not in name:
            continue
        found: dict[str, list[float]] = {"none": [], "ours": [], "theirs": []}
        for _ in range(rounds):
            found["none"].append(min(cost(drive, times) for _ in range(3)))
            found["ours"].append(measured(ours(script), drive, times))
            found["theirs"].append(measured(theirs(script), drive, times))
        floor = statistics.median(found["none"])
        one, other = (max(1.0, statistics.median(found[key]) - floor) for key in ("ours", "theirs"))
        ratios.append(one / other)
        rows.append([name, one, other, one / other])
    print(measuring.table(["script", "bpfwright ns", "bpftrace ns", "ratio"], rows))
    mean = measuring.geometric(ratios)
    print(f"geometric mean {mean:.2f} of {len(ratios)} scripts (bar {BAR:.2f}: {'met' if mean <= BAR else 'MISSED'})")
    wide: list[list[object]] = []
    for name, script in WIDE.items() if not chosen.only else ():
        base, with_it = [], []
        for _ in range(rounds):
            base.append(min(cost(asking, 200_000) for _ in range(3)))
            with_it.append(measured(ours(script), asking, 200_000, sees=False))
        wide.append([name, statistics.median(with_it) - statistics.median(base)])
    if wide:
        print(measuring.table(["wide probe", "ns a call"], wide))
    return 0


if __name__ == "__main__":
    sys.exit(main())
