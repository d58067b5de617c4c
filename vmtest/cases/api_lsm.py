"""The typed surface's security program, which may sleep: nobody opens inode 42."""
from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile

from vmtest.python_programs import compiled, surface

HOOK = "LSM, the typed surface's program"
SINCE = "6.1"
MODULE = surface("p10_security")


def build() -> dict[str, bytes]:
    return compiled(MODULE.guard)


def check(files: dict[str, bytes]) -> None:
    from bpfwright import objfile
    from bpfwright.kernel import Kernel
    with (contextlib.closing(Kernel()) as kernel,
          contextlib.closing(kernel.load(objfile.read(files["object"]))) as held,
          tempfile.TemporaryDirectory() as folder):
        # A tmpfs of its own numbers its inodes from 1 on.
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        try:
            by_number = {}
            for index in range(60):
                path = f"{folder}/{index}"
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
                by_number[os.stat(path).st_ino] = path
            with MODULE.guard.hook.attach(kernel, held.programs["guard"], MODULE.guard, MODULE.guard.target):
                os.close(os.open(by_number[41], os.O_RDONLY))
                try:
                    os.close(os.open(by_number[42], os.O_RDONLY))
                except PermissionError:
                    pass
                else:
                    raise AssertionError("inode 42 could be opened")
            os.close(os.open(by_number[42], os.O_RDONLY))
        finally:
            subprocess.run(["umount", folder], check=True)
