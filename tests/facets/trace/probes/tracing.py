"""Scripts run while something happens, and what they printed."""
from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from bpfwright.facets.trace.children import program_of, started
from bpfwright.facets.trace.options import Options
from bpfwright.facets.trace.configuration import DEFAULTS
from bpfwright.facets.trace.running import Running
from bpfwright.facets.trace.scripts import compiled

__all__ = ["Said", "traced", "until"]


class Said(NamedTuple):
    """What a script wrote to stdout, to stderr, and its exit code."""

    out: str
    errors: str
    code: int

    @property
    def lines(self) -> list[str]:
        """Those with something in them."""
        return [line for line in self.out.splitlines() if line]


class Kept:
    """A stream into memory."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> int:
        self.data += data
        return len(data)

    def flush(self) -> None: ...


def traced(machine: Any, script: str, *, command: str = "", work: Callable[[], object] | None = None,
           ready: Callable[[], None] | None = None, seconds: float = 5.0, **options: Any) -> Said:
    """Run a script: until its command ends, or until `work` was done, or for so many seconds at most. `ready` is
    called when it is attached."""
    child = started(command) if command else None
    out, errors = Kept(), Kept()
    try:
        chosen = Options(traces_child=child is not None, unsafe=True,
                         program=program_of(command) if command else "", **options)
        made = compiled(script, "", chosen, machine, cached=False)
        with Running(made, machine, out, errors, quiet=True, defaults=DEFAULTS) as running:
            running.start(child=child.pid if child is not None else None, ready=ready)
            if child is not None:
                child.go()
            if work is not None:
                work()
                code = running.finish()
            else:
                code = running.follow(child=child, pid=chosen.pid, seconds=seconds)
        said = "".join((*made.plan.warnings, errors.data.decode("utf-8", "replace")))
        return Said(out.data.decode("utf-8", "replace"), said, code)
    finally:
        if child is not None:
            child.close()


def until(reached: Callable[[], object], patience_s: float = 30) -> None:
    """Wait for what comes a little later, on a busy machine much later."""
    end = time.monotonic() + patience_s
    while not reached():
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.02)


def call(*words: str) -> None:
    """Run a command to its end."""
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
