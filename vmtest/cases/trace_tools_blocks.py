"""The scripts of Debian's bpftrace package that need kprobes, unchanged: those on block devices."""
from __future__ import annotations

from vmtest.bpftrace_tools import BLOCKS, read, run

HOOK = "bpftrace's own scripts on block devices"
SINCE = "6.1"


def build() -> dict[str, bytes]:
    return read(BLOCKS)


def check(files: dict[str, bytes]) -> None:
    run(BLOCKS, files)
