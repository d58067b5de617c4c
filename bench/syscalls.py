"""One program on all system-call entries: attach and detach, beside bpftrace with the same wildcard.

    sudo .venv/bin/python bench/syscalls.py [--quick] [--rounds N]

The program counts calls by number. Ours becomes one raw tracepoint that dispatches on the number; bpftrace attaches to
every tracepoint on its own, and takes its time to leave them: it is run once, and not at all with --quick. Attaching
ends when a call is counted, detaching when none is any more. Whole processes and the time in process are shown.
"""
from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bpfwright import attach, u32, u64
from bpfwright.hooks import tracepoint
from bpfwright.kernel import Kernel
from bpfwright.maps import Hash

WILDCARD = "syscalls:sys_enter_*"
ONE_LINER = "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }"
BAR_S = 0.3
GETPPID = 110 if os.uname().machine == "x86_64" else 173

calls = Hash[u32, u64](max_entries=1024)


@tracepoint.program(WILDCARD)
def counting(ctx: tracepoint.Context) -> None:
    calls.increment(ctx.syscall)


class Turn(NamedTuple):
    """Seconds; `calls` seen of the ten that were made."""

    attach_s: float
    detach_s: float
    calls: int


def turn(kernel: Kernel) -> Turn:
    began = time.perf_counter()
    session = attach(counting, machine=kernel)
    attached = time.perf_counter()
    for _ in range(10):
        os.getppid()
    seen = calls[GETPPID]
    leaving = time.perf_counter()
    session.close()
    return Turn(attached - began, time.perf_counter() - leaving, seen)


def bpftrace() -> tuple[float, float]:
    """(until attached, whole) in seconds."""
    run = measuring.process(["bpftrace", "-e", ONE_LINER, "-c", "/bin/echo attached"], {"BPFTRACE_MAX_PROBES": "1024"},
                            "attached")
    return run.marker_ms / 1000, run.wall_ms / 1000


def report(rounds: int, peer: bool) -> tuple[str, bool]:
    """The table, and whether the bar is met."""
    with Kernel() as kernel:
        events = sum(name.startswith("sys_enter_") for _, name in kernel.events("syscalls"))
        turn(kernel)  # compiles
        turns = [turn(kernel) for _ in range(rounds)]
    if any(each.calls < 10 for each in turns):
        raise SystemExit(f"of ten calls only {min(each.calls for each in turns)} were counted")
    together = [each.attach_s + each.detach_s for each in turns]
    rows: list[list[object]] = [["bpfwright, in process", events, statistics.median(t.attach_s for t in turns),
                                 statistics.median(t.detach_s for t in turns), statistics.median(together),
                                 max(together)]]
    if peer and shutil.which("bpftrace"):
        until, whole = bpftrace()
        rows.append(["bpftrace, whole process, once", events, until, whole - until, whole, whole])
    text = measuring.table([WILDCARD, "events", "attach s", "detach s", "both s", "worst"],
                           [[f"{v:.4f}" if isinstance(v, float) else v for v in row] for row in rows])
    met = max(together) < BAR_S
    return f"{text}\n\nAttach and detach: worst {max(together):.4f} s (bar {BAR_S} s: {measuring.verdict(met)})", met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds, without bpftrace")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    print(f"{measuring.machine()}\n")
    text, met = report(3 if chosen.quick else chosen.rounds, not chosen.quick)
    print(text)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
