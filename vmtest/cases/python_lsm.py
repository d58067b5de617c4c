"""A security program that is a Python function reads a kernel struct by CO-RE and denies one file."""
from __future__ import annotations

import os
import tempfile

from vmtest.programs import probes

HOOK = "LSM written in Python"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    from vmtest.python_programs import compiled
    return compiled(probes.guard)


def check(files: dict[str, bytes]) -> None:
    from vmtest.python_programs import loaded
    with (loaded(files, probes.guard) as watched, tempfile.NamedTemporaryFile(dir="/dev/shm") as secret,
          tempfile.NamedTemporaryFile(dir="/dev/shm") as other):
        watched.expect(os.stat(secret.name).st_ino)
        with watched.attached():
            os.close(os.open(other.name, os.O_RDONLY))
            try:
                os.close(os.open(secret.name, os.O_RDONLY))
            except PermissionError:
                pass
            else:
                raise AssertionError("the file could be opened")
            assert watched.seen[0] == 1
        os.close(os.open(secret.name, os.O_RDONLY))
