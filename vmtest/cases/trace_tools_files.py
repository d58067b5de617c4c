"""The scripts of Debian's bpftrace package that need kprobes, unchanged: those on files, memory and the scheduler."""
from __future__ import annotations

from vmtest.bpftrace_tools import FILES, read, run

HOOK = "bpftrace's own scripts on files, memory and the scheduler"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    return read(FILES)


def check(files: dict[str, bytes]) -> None:
    run(FILES, files)
