"""An fentry program that is a Python function sees a typed argument."""
from __future__ import annotations

import os
import tempfile

from vmtest.programs import probes

HOOK = "fentry written in Python"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.python_programs import compiled
    return compiled(probes.truncated)


def check(files: dict[str, bytes]) -> None:
    from vmtest.python_programs import loaded
    with (loaded(files, probes.truncated) as watched, tempfile.NamedTemporaryFile(dir="/dev/shm") as file):
        with watched.attached():
            os.truncate(file.name, 77)
            assert watched.seen == (1, 77)
        os.truncate(file.name, 1)
        assert watched.seen == (1, 77), "still attached after close"
