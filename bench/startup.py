"""A tracer from nothing to attached, whole process: bench/tracers/opens.py beside bpftrace's one-liner for the same.

    sudo .venv/bin/python bench/startup.py [--quick] [--rounds N]

Both attach one program to syscalls:sys_enter_openat that sends the path, print what came at once and end. `attached` is
the time from the start of the process until it says so (bpftrace runs `echo attached` with -c, which starts when its
probes are on); `whole` is until the process is gone. Cached: the program was compiled before. Uncached: the cache is an
empty folder, so that LLVM is started too. Contestants take turns; the second cached row is the A/A spread. How long
`import bpfwright` and the commands take is what bench/start.py shows.
"""
from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import measuring
from bench.measuring import Whole

TRACER = str(Path(__file__).parent / "tracers" / "opens.py")
ONE_LINER = 'tracepoint:syscalls:sys_enter_openat { printf("%s\\n", str(args->filename)); }'
WALL_BAR, MEMORY_BAR, UNCACHED_BAR = 1 / 3, 1 / 2, 1.2
CACHED, UNCACHED, BPFTRACE = "bpfwright, cached", "bpfwright, uncached", "bpftrace"


def cached() -> Whole:
    return measuring.process([measuring.bare_python(), TRACER, "0"], marker="attached")


def uncached() -> Whole:
    with tempfile.TemporaryDirectory() as folder:
        return measuring.process([measuring.bare_python(), TRACER, "0"], {"XDG_CACHE_HOME": folder}, "attached")


def bpftrace() -> Whole:
    return measuring.process(["bpftrace", "-e", ONE_LINER, "-c", "/bin/echo attached"], marker="attached")


def report(rounds: int) -> tuple[str, bool]:
    """The table and the ratios, and whether the bars are met."""
    contestants: dict[str, Callable[[], Whole]] = {CACHED: cached, f"{CACHED}, again": cached, UNCACHED: uncached}
    if shutil.which("bpftrace"):
        contestants[BPFTRACE] = bpftrace
    found: dict[str, list[Whole]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()  # writes bytecode, fills the cache
    for turn in range(rounds):
        order = list(contestants)
        shift = turn % len(order)
        for name in order[shift:] + order[:shift]:
            found[name].append(contestants[name]())
    rows: list[list[object]] = []
    for name, runs in found.items():
        rows.append([name, statistics.median(r.marker_ms for r in runs), min(r.marker_ms for r in runs),
                     statistics.median(r.wall_ms for r in runs), statistics.median(r.cpu_ms for r in runs),
                     statistics.median(r.memory_mib for r in runs)])
    text = measuring.table(["", "attached ms", "best", "whole ms", "CPU ms", "peak MiB"], rows)
    if BPFTRACE not in found:
        return f"{text}\n\nbpftrace is not here: nothing to compare with", True
    ratios = [_ratio(found, "attached, cached", CACHED, "marker_ms", WALL_BAR),
              _ratio(found, "whole process, cached", CACHED, "wall_ms", WALL_BAR),
              _ratio(found, "memory, cached", CACHED, "memory_mib", MEMORY_BAR),
              _ratio(found, "attached, uncached", UNCACHED, "marker_ms", UNCACHED_BAR),
              _ratio(found, "whole process, uncached", UNCACHED, "wall_ms", UNCACHED_BAR)]
    lines = [f"{what}: {ratio:.2f} of bpftrace's (bar {bar:.2f}: {measuring.verdict(ratio <= bar)})"
             for what, ratio, bar in ratios]
    return "\n".join([text, "", *lines]), all(ratio <= bar for _, ratio, bar in ratios)


def _ratio(found: dict[str, list[Whole]], what: str, name: str, field: str, bar: float) -> tuple[str, float, float]:
    ours, theirs = (statistics.median(float(getattr(r, field)) for r in found[n]) for n in (name, BPFTRACE))
    return what, ours / theirs, bar


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--rounds", type=int, default=15)
    chosen = parser.parse_args()
    print(f"{measuring.machine()}\n")
    text, met = report(3 if chosen.quick else chosen.rounds)
    print(text)
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
