"""The scripts of Debian's bpftrace package that need kprobes, unchanged: those on arrays of disks, swap and XFS."""
from __future__ import annotations

import subprocess

from vmtest.bpftrace_tools import DISKS, read, run

HOOK = "bpftrace's own scripts on disk arrays, swap and XFS"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    return read(DISKS)


def check(files: dict[str, bytes]) -> None:
    subprocess.run(["modprobe", "-a", "md-mod", "raid1", "xfs"], check=True)  # their functions are traced
    run(DISKS, files)
