"""A kretprobe that is a Python function sees what a kernel function returned."""
from __future__ import annotations

import os

from vmtest.programs import probes

HOOK = "kretprobe written in Python"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.python_programs import compiled
    return compiled(probes.returned)


def check(files: dict[str, bytes]) -> None:
    from vmtest.python_programs import loaded
    with loaded(files, probes.returned) as watched:
        with watched.attached():
            group = os.getpgid(0)
            assert watched.seen == (1, group)
        os.getpgid(0)
        assert watched.seen == (1, group), "still attached after close"
