"""Profiles of processes in guests, and how much of them has known frames."""
from __future__ import annotations

import subprocess
import time
from typing import Any

__all__ = ["profiled", "share"]

SAMPLES = 40


def profiled(options: Any, *command: str) -> Any:
    """A profile of so many samples of a process that runs already, so that all are seen."""
    from bpfwright.facets.profile import Profiler
    with subprocess.Popen(command) as child:
        try:
            time.sleep(1.0)  # an interpreter's first samples are of its start
            with Profiler(options._replace(pid=child.pid)) as profiler:
                while profiler.samples < SAMPLES:
                    profiler.wait(0.2)
                return profiler.finish()
        finally:
            child.kill()


def share(taken: Any, names: list[str]) -> float:
    """How much of a profile has these frames, one calling the next."""
    found = sum(n for stack, n in taken.stacks.items() if inside(stack, names))
    return float(found / max(taken.total, 1))


def inside(stack: Any, names: list[str]) -> bool:
    found = [frame.name for frame in stack]
    return any(found[at:at + len(names)] == names for at in range(len(found)))
