"""Run a Python file with kernel programs, with errors in three lines and the exit codes of this command.

A file that attaches its programs itself runs as a script; what follows `--` are its arguments. A file that only
declares programs and names their targets is attached as it stands: its rings are printed as they fill and its log lines
as they come, until Ctrl-C or --for, and how many events were lost comes last.

--record keeps what the programs and the file found, --replay runs both again on it: without a kernel, without
privilege, on any system, and with the same output.
"""
from __future__ import annotations

import os
import select
import signal
import sys

from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Any, Iterator
from bpfwright.cli.output import Cell, Column, destination, write
from bpfwright.cli.sources import programs_of
from bpfwright.errors import UsageError
from bpfwright.types.ctype import AddressType

if TYPE_CHECKING:
    import argparse

    from bpfwright.events import Events, schema
    from bpfwright.session import Session

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = (
    "bpfwright run opens.py                  attach what it declares, print its events",
    "bpfwright run opens.py --for 10 -j      for ten seconds, as JSON Lines",
    "bpfwright run tool.py -- --port 80      a script with arguments of its own",
    "bpfwright run --record a.rec opens.py   the same, and keep what happened",
    "bpfwright run --replay a.rec opens.py   what happened, once more: no kernel, no privilege",
)

POLL_MS = 100


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE.py", help="the file")
    parser.add_argument("words", nargs="*", metavar="ARGUMENT", help="the script's own, after --")
    parser.add_argument("--for", dest="seconds", type=float, metavar="S", help="stop after S seconds")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--record", metavar="REC", help="keep what its programs find, in a file")
    again.add_argument("--replay", metavar="REC", help="run it on what was recorded, without a kernel")
    parser.add_argument("--changed", action="store_true", help="with --replay: the programs may be others by now")
    group = parser.add_argument_group("output of a file that only declares programs")
    group.add_argument("-f", "--format", choices=("table", "jsonl", "csv"), default="table", help="(table)")
    group.add_argument("-j", "--json", dest="format", action="store_const", const="jsonl", help="the same as -f jsonl")
    group.add_argument("-o", "--output", metavar="FILE", default="-", help="write to FILE instead of stdout")


def run(chosen: argparse.Namespace) -> int:
    if chosen.replay:
        return _replay(chosen)
    return _record(chosen) if chosen.record else _run(chosen, None)


def _record(chosen: argparse.Namespace) -> int:
    from bpfwright.recording.recorder import Recorder
    from bpfwright.session import using
    with Recorder(words=chosen.words) as machine:
        try:
            with using(machine):
                return _run(chosen, machine)
        finally:
            made = machine.finish()
            made.write(chosen.record)
            print(f"bpfwright: recorded {len(made.runs):,} runs in {chosen.record}, {made.lost:,} lost",
                  file=sys.stderr)


def _replay(chosen: argparse.Namespace) -> int:
    from bpfwright.formats.recording import Recording
    from bpfwright.recording.replay import Replay
    from bpfwright.session import using
    recording = Recording.open(chosen.replay)
    chosen.words = chosen.words or list(recording.facts.get("words", ()))
    with Replay(recording, strict=not chosen.changed) as machine:
        with using(machine):
            code = _run(chosen, machine)
        print(f"bpfwright: replayed {machine.replayed:,} runs of {chosen.replay} without a kernel", file=sys.stderr)
    return code


def _run(chosen: argparse.Namespace, told: Any) -> int:
    names = _execute(chosen.file, chosen.words, told)
    if _attaches_itself(names):
        return 0
    from bpfwright.spec.program import BoundProgram
    programs = programs_of(names)
    if not programs:
        raise UsageError(f"{chosen.file} has no program", cure="Decorate a function, as in `@xdp.program`.")
    bound = [program for program in programs if isinstance(program, BoundProgram)]
    loose = [program.name for program in programs if not isinstance(program, BoundProgram)]
    if loose:
        raise UsageError(f"{loose[0]} names no target", why="Only its own code can attach it.",
                         cure=f"Write `attach({loose[0]}, ...)` in the file.")
    from bpfwright.session import run as attach_all
    with attach_all(*bound) as session:
        print(f"bpfwright: attached {', '.join(program.name for program in bound)}; Ctrl-C detaches", file=sys.stderr)
        _follow(chosen, session)
    return 0


def _execute(path: str, words: list[str], told: Any) -> dict[str, Any]:
    import runpy
    if not os.path.isfile(path):
        raise FileNotFoundError(2, os.strerror(2), path)
    sys.argv = [path, *words]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    if told is None:
        return runpy.run_path(path, run_name="__main__")
    from bpfwright.recording.world import script_builtins
    return runpy.run_path(path, {"__builtins__": script_builtins(told)}, "__main__")


def _attaches_itself(names: dict[str, Any]) -> bool:
    """A file that imported one of these has done what it wanted by now."""
    from bpfwright import session
    recipes = (session.attach, session.load, session.run, session.Session)
    return any(value is recipe for value in names.values() for recipe in recipes)


def _follow(chosen: argparse.Namespace, session: Session) -> None:
    """Print what the rings and the log bring, until the time is over."""
    from bpfwright.maps.ringbuf import RingBuf
    rings = {name: session.events(declared) for name, declared in session.compiled.maps.items()
             if isinstance(declared, RingBuf)}
    printers = {name: _Printer(chosen, name if len(rings) > 1 else "") for name in rings}
    end = now_ns() + int(chosen.seconds * 1e9) if chosen.seconds is not None else None
    seen = 0
    last = False
    try:
        with _Interrupted() as interrupted, destination(chosen) as to:
            while not last:  # once more after the end: what was gathered is printed
                last = bool(interrupted) or (end is not None and now_ns() >= end) \
                    or getattr(session.machine, "ended", False)
                if not last:
                    select.select([], [], [], POLL_MS / 1000)
                for name, events in rings.items():
                    rows = list(_rows(events))
                    seen += len(rows)
                    printers[name].print(rows, to)
                for line in session.log():
                    print(line, file=sys.stderr)
                to.flush()
    finally:
        lost = sum(events.lost for events in rings.values())
        if rings:
            print(f"bpfwright: {seen:,} events, {lost:,} lost", file=sys.stderr)


class _Interrupted:
    """Whether Ctrl-C was pressed: nothing is torn away between being taken and being printed. The second press is as
    ever."""

    def __init__(self) -> None:
        self._pressed = False

    def __bool__(self) -> bool:
        return self._pressed

    def __enter__(self) -> _Interrupted:
        self._before = signal.signal(signal.SIGINT, self._press)
        return self

    def _press(self, *_: object) -> None:
        self._pressed = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def __exit__(self, *exc: object) -> None:
        signal.signal(signal.SIGINT, self._before)


def _rows(events: Events[Any]) -> Iterator[dict[str, Cell]]:
    if not events.pending_bytes:
        return
    columns = events.columns()
    texts = {column.name: [_cell(column, value) for value in columns[column.name].tolist()]
             for column in columns.schema.columns}
    for index in range(columns.count):
        yield {name: values[index] for name, values in texts.items()}


def _cell(column: schema.Column, value: object) -> Cell:
    if isinstance(value, bytes):
        if column.kind == "text":
            return value.decode("utf-8", "replace")
        return column.ctype.cls.format(value) if isinstance(column.ctype, AddressType) else value.hex()
    return value if isinstance(value, str | int | float | bool) or value is None else str(value)


class _Printer:
    """Writes one ring's rows; the head of a table or CSV stands once."""

    def __init__(self, chosen: argparse.Namespace, ring: str) -> None:
        self._chosen = chosen
        self._ring = ring
        self._widths: list[int] = []

    def print(self, rows: list[dict[str, Cell]], to: Any) -> None:
        if not rows:
            return
        if self._ring:
            rows = [{"ring": self._ring, **row} for row in rows]
        columns = [Column(name, name.upper()) for name in rows[0]]
        if self._chosen.format == "jsonl":
            write(self._chosen, columns, rows, to=to)
            return
        if self._chosen.format == "csv":
            import csv
            writer = csv.writer(to, lineterminator="\n")
            writer.writerows([] if self._widths else [[column.name for column in columns]])
            writer.writerows(list(row.values()) for row in rows)
            self._widths = [1]
            return
        lines = [] if self._widths else [[column.head for column in columns]]
        lines += [["-" if value is None else str(value) for value in row.values()] for row in rows]
        widths = self._widths or [0] * len(columns)
        # Columns only ever grow, so that a long value shifts its line and not the head.
        self._widths = [min(40, max(old, *(len(line[index]) for line in lines))) for index, old in enumerate(widths)]
        for line in lines:
            to.write("  ".join(cell.ljust(width) for cell, width in zip(line, self._widths)).rstrip() + "\n")
