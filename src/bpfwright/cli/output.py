"""Rows on stdout: a table for people, JSON, JSON Lines or CSV for programs."""
from __future__ import annotations

import sys
from contextlib import contextmanager

from bpfwright._typing import TYPE_CHECKING, Iterable, Iterator, Mapping, NamedTuple, Sequence, TextIO


if TYPE_CHECKING:
    import argparse

__all__ = ["Column", "add_options", "destination", "write"]

FORMATS = ("table", "json", "jsonl", "csv")

# A cell: numbers and truth values stay what they are in JSON.
Cell = str | int | float | bool | None


class Column(NamedTuple):
    """A column: its name in JSON and CSV, its head in tables.

    `right` aligns numbers there, `grouped` puts commas into large ones, `empty` stands for a missing value.
    """

    name: str
    head: str
    right: bool = False
    grouped: bool = False
    empty: str = "-"


def add_options(parser: argparse.ArgumentParser) -> None:
    """-f, -j and -o, the same for every verb that prints rows."""
    group = parser.add_argument_group("output")
    group.add_argument("-f", "--format", choices=FORMATS, default="table", help="how rows are written (table)")
    group.add_argument("-j", "--json", dest="format", action="store_const", const="json", help="the same as -f json")
    group.add_argument("-o", "--output", metavar="FILE", default="-", help="write to FILE instead of stdout")


@contextmanager
def destination(chosen: argparse.Namespace) -> Iterator[TextIO]:
    """Where the rows go."""
    if chosen.output == "-":
        yield sys.stdout
    else:
        with open(chosen.output, "w", encoding="utf-8") as file:
            yield file


def write(chosen: argparse.Namespace, columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]],
          *, to: TextIO | None = None) -> None:
    """All rows at once."""
    if to is None:
        with destination(chosen) as opened:
            write(chosen, columns, rows, to=opened)
        return
    _WRITERS[chosen.format](columns, rows, to)


def _json(columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]], to: TextIO) -> None:
    import json
    json.dump([_named(columns, row) for row in rows], to, indent=1)
    to.write("\n")


def _json_lines(columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]], to: TextIO) -> None:
    import json
    for row in rows:
        to.write(json.dumps(_named(columns, row)) + "\n")
    to.flush()


def _csv(columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]], to: TextIO) -> None:
    import csv
    writer = csv.writer(to, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    writer.writerows(list(_named(columns, row).values()) for row in rows)


def _table(columns: Sequence[Column], rows: Iterable[Mapping[str, Cell]], to: TextIO) -> None:
    lines = [[column.head for column in columns]]
    lines += [[_text(row.get(column.name), column) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        cells = [cell.rjust(width) if column.right else cell.ljust(width)
                 for cell, width, column in zip(line, widths, columns)]
        to.write("  ".join(cells).rstrip() + "\n")


def _named(columns: Sequence[Column], row: Mapping[str, Cell]) -> dict[str, Cell]:
    return {column.name: row.get(column.name) for column in columns}


def _text(value: Cell, column: Column) -> str:
    match value:
        case None:
            return column.empty
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.2f}"
        case int():
            return f"{value:,}" if column.grouped else str(value)
    return value


_WRITERS = {"table": _table, "json": _json, "jsonl": _json_lines, "csv": _csv}
