"""`bpfwright trace` from nothing to attached and gone again, beside bpftrace with the same script.

    sudo .venv/bin/python bench/trace_start.py [--quick] [--rounds N]

Cached: the script was compiled before. Uncached: the cache is an empty folder, so that LLVM is started too. `attached`
is the time until the command of -c, which starts when everything is attached, has said so; `whole` until the process is
gone. The last table attaches to every system call's entry and ends at once (bpftrace: once, it takes half a minute).
Contestants take turns.
"""
from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bench.measuring import Whole

WALL_BAR, MEMORY_BAR, UNCACHED_BAR, WIDE_BAR_S = 1 / 3, 1 / 2, 1.0, 0.3
SCRIPTS = {
    "begin and exit": ("begin { exit(); }", "BEGIN { exit(); }"),
    "text of a system call": ('tracepoint:syscalls:sys_enter_openat { printf("%s\\n", str(args.filename)); }',
                              'tracepoint:syscalls:sys_enter_openat { printf("%s\\n", str(args->filename)); }'),
    "histogram by name": ("tracepoint:syscalls:sys_exit_read { @[comm] = hist(args.ret); }",
                          "tracepoint:syscalls:sys_exit_read { @[comm] = hist(args->ret); }"),
}
WIDE = ("tracepoint:syscalls:sys_enter_* { @[probe] = count(); }",
        "tracepoint:syscalls:sys_enter_* { @[probe] = count(); }")
ENDS = ["-c", "/bin/echo attached"]


def run(words: list[str], marker: str, folder: str = "") -> Whole:
    return measuring.process(words, {"XDG_CACHE_HOME": folder} if folder else {}, marker)


def ours(script: str, *more: str) -> list[str]:
    return [measuring.bare_python(), "-m", "bpfwright", "trace", "-q", "-e", script, *more]


def contestants(name: str, bpftrace: bool) -> dict[str, Callable[[], Whole]]:
    mine, other = SCRIPTS[name]
    ends, marker = ([], "") if name == "begin and exit" else (ENDS, "attached")

    def uncached() -> Whole:
        with tempfile.TemporaryDirectory() as folder:
            return run(ours(mine, *ends), marker, folder)

    found: dict[str, Callable[[], Whole]] = {"cached": lambda: run(ours(mine, *ends), marker), "uncached": uncached}
    if bpftrace:
        found["bpftrace"] = lambda: run(["bpftrace", "-q", "-e", other, *ends], marker)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds, and no wide script of bpftrace's")
    parser.add_argument("--rounds", type=int, default=9)
    chosen = parser.parse_args()
    rounds = 3 if chosen.quick else chosen.rounds
    bpftrace = shutil.which("bpftrace") is not None
    print(f"{measuring.machine()}\n")
    rows: list[list[object]] = []
    verdicts: list[str] = []
    for name in SCRIPTS:
        each = contestants(name, bpftrace)
        found: dict[str, list[Whole]] = {who: [] for who in each}
        for who in each:
            each[who]()
        for turn in range(rounds):
            order = list(each)
            shift = turn % len(order)
            for who in order[shift:] + order[:shift]:
                found[who].append(each[who]())
        for who, runs in found.items():
            rows.append([f"{name}: {who}", *(statistics.median(getattr(r, field) for r in runs)
                                            for field in ("marker_ms", "wall_ms", "cpu_ms", "memory_mib"))])
        if bpftrace:
            verdicts += _verdicts(name, found)
    print(measuring.table(["", "attached ms", "whole ms", "CPU ms", "peak MiB"], rows))
    print("\n".join(["", *verdicts, "", *_wide(bpftrace and not chosen.quick)]))
    return int(any("MISSED" in line for line in verdicts))


def _verdicts(name: str, found: dict[str, list[Whole]]) -> list[str]:
    def median(who: str, field: str) -> float:
        return float(statistics.median(getattr(r, field) for r in found[who]))

    reached = "wall_ms" if name == "begin and exit" else "marker_ms"
    lines = []
    for who, field, bar in (("cached", reached, WALL_BAR), ("cached", "memory_mib", MEMORY_BAR),
                            ("uncached", reached, UNCACHED_BAR)):
        ratio = median(who, field) / median("bpftrace", field)
        what = "memory" if field == "memory_mib" else "until attached" if field == "marker_ms" else "whole process"
        said = f"{ratio:.2f} of bpftrace's (bar {bar:.2f}: {measuring.verdict(ratio <= bar)})"
        lines.append(f"{name}, {who}, {what}: {said}")
    return lines


def _wide(bpftrace: bool) -> list[str]:
    """Every system call's entry: attached, and gone again."""
    lines = []
    for who, words in (("bpfwright, cached", ours(WIDE[0], *ENDS)),
                       *([("bpftrace", ["bpftrace", "-q", "-e", WIDE[1], *ENDS])] if bpftrace else [])):
        if who != "bpftrace":
            run(words, "attached")
        times = []
        for _ in range(1 if who == "bpftrace" else 5):
            began = time.perf_counter()
            run(words, "attached")
            times.append(time.perf_counter() - began)
        seconds = statistics.median(times)
        note = "" if who == "bpftrace" else f" (bar {WIDE_BAR_S}: {measuring.verdict(seconds <= WIDE_BAR_S)})"
        lines.append(f"all system calls, attached and gone, {who}: {seconds:.2f} s{note}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
