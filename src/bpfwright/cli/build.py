"""Compile the programs of a Python file into a BPF object that any loader takes.

The object holds type information, line information and CO-RE relocations. It is written for the oldest kernel that is
supported (5.10), because an unknown instruction is refused even where it is never reached; --target here uses all that
this kernel can do.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING

import os
import sys

from bpfwright.cli.sources import add_target, compile_file

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright build firewall.py                        writes firewall.bpf.o",
    "bpfwright build firewall.py -o /tmp/x.bpf.o --target here",
    "bpfwright build firewall.py drop                   only the program `drop`",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.py", help="the module; its main part does not run")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="only these of its programs")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to write (FILE.bpf.o beside the source)")
    add_target(parser)


def run(chosen: argparse.Namespace) -> int:
    elf = compile_file(chosen.file, chosen.programs, chosen.target)
    output = chosen.output or chosen.file.removesuffix(".py") + ".bpf.o"
    partial = f"{output}.{os.getpid()}"
    try:
        with open(partial, "wb") as file:
            file.write(elf)
        os.replace(partial, output)
    except OSError:
        if os.path.exists(partial):
            os.unlink(partial)
        raise
    print(f"bpfwright: wrote {output}, {len(elf):,} bytes", file=sys.stderr)
    return 0
