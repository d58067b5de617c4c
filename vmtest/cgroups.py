"""Cgroups of a case's own, and how they go: one is empty a little after its last process was waited for."""
from __future__ import annotations

import errno
import time
from pathlib import Path

__all__ = ["removed"]


def removed(group: Path, *, seconds: float = 20.0) -> None:
    """Remove it, as soon as nobody is in it any more."""
    end = time.monotonic() + seconds
    while True:
        try:
            group.rmdir()
            return
        except OSError as problem:
            if problem.errno != errno.EBUSY or time.monotonic() > end:
                raise
            time.sleep(0.05)
