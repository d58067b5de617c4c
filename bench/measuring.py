"""What the scripts here share: the machine's line, ratios with their intervals, tables, processes timed whole."""
from __future__ import annotations

import math
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]


def machine() -> str:
    """One line: processor, kernel, Python, load."""
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    load = os.getloadavg()[0]
    return (f"{os.cpu_count()} CPUs ({model}), Linux {platform.release()}, CPython {platform.python_version()}, "
            f"load {load:.1f}")


def geometric(ratios: Sequence[float]) -> float:
    """The geometric mean."""
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def interval(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]], rounds: int = 2000,
             ) -> tuple[float, float]:
    """Bootstrap: 95 % of the geometric mean of ratios of medians, the loads of each program drawn anew."""
    chance = random.Random(1)

    def median(runs: Sequence[float]) -> float:
        return statistics.median(chance.choices(runs, k=len(runs)))

    means = sorted(geometric([median(a) / median(b) for a, b in zip(ours, theirs, strict=True)])
                   for _ in range(rounds))
    return means[rounds * 25 // 1000], means[rounds * 975 // 1000]


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table that is Markdown and reads without rendering: the first column to the left, numbers to the right."""
    cells = [list(head), *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(text.rjust(width) if i else text.ljust(width)
                               for i, (text, width) in enumerate(zip(row, widths, strict=True))) + " |"
             for row in cells]
    rule = "|" + "|".join("-" * (width + 1) + (":" if i else "-") for i, width in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


class Whole(NamedTuple):
    """One process from start to end: wall and CPU time in ms, peak memory in MiB, its output; when it said `marker`."""

    wall_ms: float
    cpu_ms: float
    memory_mib: float
    output: str
    marker_ms: float


def process(words: Sequence[str], environment: Mapping[str, str] | None = None, marker: str = "") -> Whole:
    """Run a process and measure it. Raises when it fails, or never says `marker`."""
    changed = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **(environment or {})}
    changed.pop("PYTHONDONTWRITEBYTECODE", None)  # it would make every start compile again
    lines: list[str] = []
    said = 0.0
    began = time.perf_counter()
    child = subprocess.Popen(list(words), env=changed, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace")
    assert child.stdout is not None
    with child.stdout:
        for line in child.stdout:
            if marker and not said and line.strip() == marker:
                said = (time.perf_counter() - began) * 1000
            lines.append(line)
    _, status, usage = os.wait4(child.pid, 0)
    wall = (time.perf_counter() - began) * 1000
    child.returncode = os.waitstatus_to_exitcode(status)
    output = "".join(lines)
    if child.returncode or (marker and not said):
        raise SystemExit(f"{' '.join(words)} ended with {child.returncode}:\n{output}")
    return Whole(wall, (usage.ru_utime + usage.ru_stime) * 1000, usage.ru_maxrss / 1024, output, said)


def bare_python() -> str:
    """The interpreter itself: a shim in front of it would be timed too."""
    return str(Path(sys.executable).absolute())


def verdict(met: bool) -> str:
    return "met" if met else "MISSED"
