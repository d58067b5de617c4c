"""Show the BPF programs that are loaded on this machine: where attached, held by whom, at what cost.

Cost is measured: run statistics are switched on for a moment (--measure), so runs and time are of that moment.
A program whose holder is not listed is pinned, or attached in a way that outlives its process.
"""
from __future__ import annotations

import os
import sys
from contextlib import contextmanager

from bpfwright._host import now_ns, sleep_s
from bpfwright._typing import TYPE_CHECKING, Iterator
from bpfwright.cli import inventory
from bpfwright.cli.output import Cell, Column, add_options, destination, write
from bpfwright.errors import KernelError, PrivilegeError
from bpfwright.kernel import sys as calls

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright ps                      what is loaded, with its cost over half a second",
    "bpfwright ps --measure 0 -j       at once, as JSON, without cost",
    "bpfwright ps --follow --measure 2 every two seconds until Ctrl-C",
)

COLUMNS = (
    Column("id", "ID", right=True), Column("type", "TYPE"), Column("name", "NAME"),
    Column("attached", "ATTACHED TO"), Column("holders", "HELD BY"),
    Column("memory_bytes", "MEMORY", right=True, grouped=True), Column("runs", "RUNS", right=True, grouped=True),
    Column("ns_per_run", "NS/RUN", right=True, grouped=True), Column("cpu_percent", "CPU %", right=True),
    Column("missed", "MISSED", right=True, grouped=True),
)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--measure", type=float, default=0.5, metavar="S",
                        help="count runs for S seconds (0.5; 0: do not)")
    parser.add_argument("--follow", action="store_true", help="again and again, until Ctrl-C")
    add_options(parser)


def run(chosen: argparse.Namespace) -> int:
    with _privilege(), _statistics(chosen.measure > 0), destination(chosen) as to:
        if not chosen.follow:
            write(chosen, COLUMNS, _rows(chosen.measure), to=to)
            return 0
        chosen.format = "jsonl" if chosen.format == "json" else chosen.format
        chosen.measure = chosen.measure or 0.5
        try:
            while True:
                rows = list(_rows(chosen.measure))
                if to.isatty() and chosen.format == "table":
                    to.write("\x1b[H\x1b[J")
                write(chosen, COLUMNS, rows, to=to)
                to.flush()
        except KeyboardInterrupt:
            return 0


@contextmanager
def _privilege() -> Iterator[None]:
    try:
        yield
    except KernelError as problem:
        if problem.errno == 1 and not isinstance(problem, PrivilegeError):
            raise PrivilegeError("loaded programs cannot be listed", 1,
                                 why="The kernel shows them to CAP_SYS_ADMIN only.") from problem
        raise


@contextmanager
def _statistics(wanted: bool) -> Iterator[None]:
    """Run statistics on for as long as this is open; kernels before 5.8 have a system-wide switch only."""
    if not wanted:
        yield
        return
    try:
        opened = calls.enable_stats()
    except KernelError as problem:
        if problem.errno == 1:
            raise
        print(f"bpfwright: no run statistics: {problem.what}", file=sys.stderr)
        yield
        return
    try:
        yield
    finally:
        os.close(opened)


def _rows(measure_s: float) -> Iterator[dict[str, Cell]]:
    before = {program.id: program for program in inventory.programs()}
    started = now_ns()
    if measure_s > 0:
        sleep_s(measure_s)
    elapsed = now_ns() - started
    held, by_event = inventory.holders()
    by_link = inventory.attachments()
    for program in inventory.programs():
        row: dict[str, Cell] = {
            "id": program.id, "type": program.kind, "name": program.name,
            "attached": ", ".join([*by_link.get(program.id, []), *by_event.get(program.id, [])]) or None,
            "holders": ", ".join(f"{holder.name} {holder.pid}" for holder in held.get(program.id, [])) or None,
            "memory_bytes": program.memory_bytes, "missed": program.missed}
        if measure_s > 0:
            earlier = before.get(program.id)
            runs = program.runs - (earlier.runs if earlier else 0)
            spent = program.run_ns - (earlier.run_ns if earlier else 0)
            row |= {"runs": runs, "ns_per_run": round(spent / runs) if runs else None,
                    "cpu_percent": round(100 * spent / elapsed, 2)}
        yield row
