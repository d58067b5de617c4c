"""Write event classes, kernel structs and kfuncs of the running kernel as an ordinary Python module in your tree.

The module needs no kernel to be imported, can be versioned, and editors and type checkers take it as it stands. Structs
that are shipped with bpfwright.vmlinux need not be written; name them all the same for this kernel's own picture.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING

import os
import sys

from bpfwright.errors import UsageError

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright types -t 'sched:*' -o events.py         every event of the scheduler",
    "bpfwright types css_set cgroup -o kernel.py       two kernel structs",
    "bpfwright types -t net:net_dev_xmit sk_buff       both, on stdout",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="STRUCT", help="kernel structs, unions, enums and kfuncs")
    parser.add_argument("-t", "--tracepoint", action="append", default=[], metavar="GLOB",
                        help="events as CATEGORY:NAME, with * and ?; may be given again")
    parser.add_argument("-o", "--output", metavar="FILE", default="-", help="write to FILE instead of stdout")


def run(chosen: argparse.Namespace) -> int:
    if not chosen.names and not chosen.tracepoint:
        raise UsageError("nothing is asked for", cure="Name a struct, or events by -t 'sched:*'.")
    from bpfwright.kernel.mounts import tracefs
    from bpfwright.kernel.types import KernelTypes
    from bpfwright.tracepoints.writing import write_types
    text = write_types(chosen.tracepoint, chosen.names, KernelTypes().vmlinux,
                       tracefs() if chosen.tracepoint else "")
    if chosen.output == "-":
        sys.stdout.write(text)
        return 0
    partial = f"{chosen.output}.{os.getpid()}"
    try:
        with open(partial, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(partial, chosen.output)
    except OSError:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
    print(f"bpfwright: wrote {chosen.output}, {text.count(chr(10)):,} lines", file=sys.stderr)
    return 0
