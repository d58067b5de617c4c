"""The scripts of Debian's bpftrace package that need kprobes, unchanged: those on the network."""
from __future__ import annotations

from vmtest.bpftrace_tools import NETWORK, read, run

HOOK = "bpftrace's own scripts on the network"
SINCE = "5.10"


def build() -> dict[str, bytes]:
    return read(NETWORK)


def check(files: dict[str, bytes]) -> None:
    run(NETWORK, files)
