"""What a tool found, written as it comes: a table for people, JSON, JSON Lines, CSV or Arrow for programs."""
from __future__ import annotations

import sys

from bpfwright._typing import TYPE_CHECKING, Any, Iterable, Iterator, Self
from bpfwright.errors import NotSupported

if TYPE_CHECKING:
    from bpfwright.facets.tools._running import Distribution, Running
    from bpfwright.facets.tools._tool import Cell, Column

__all__ = ["Writer", "histogram"]

STARS = 40


class Writer:
    """Writes to a file or stdout in one format; the head stands once."""

    def __init__(self, format: str, path: str) -> None:
        self.format = format
        self._path = path
        self._to: Any = sys.stdout
        self._columns: tuple[Column, ...] = ()
        self._names: list[str] = []
        self._written = 0
        self._arrow: Any = None

    def __enter__(self) -> Self:
        if self.format == "arrow":
            self._arrow = _arrow()
            self._to = sys.stdout.buffer if self._path == "-" else open(self._path, "wb")
        elif self._path != "-":
            self._to = open(self._path, "w", encoding="utf-8", newline="")
        return self

    def __exit__(self, *exc: object) -> None:
        if self._path != "-":
            self._to.close()

    def begin(self, running: Running) -> None:
        """The head, before anything comes."""
        self._columns = running.columns
        tally = getattr(running.tool, "tally", ())
        if tally and running.options.count:
            kept = tuple(column for column in self._columns if column.name in tally)
            self._columns = (*kept, kept[0]._replace(head="COUNT", form=">8d", of=""))
        self._names = [column.name for column in self._columns]
        if running.tool.periodic and not hasattr(running.tool, "sort"):
            self._names += ["unit", "low", "high", "count"]
        elif self.format == "table" and not running.tool.periodic:
            self._head()
        if self.format == "csv":
            self._csv([self._names])
        self._to.flush()

    def _head(self) -> None:
        self._line([_padded(column.head, column.form) for column in self._columns])

    def _line(self, cells: list[str]) -> None:
        self._to.write(" ".join(cells).rstrip() + "\n")

    # rows as they come

    def rows(self, rows: Iterable[list[Cell]]) -> None:
        """Rows in the order of the columns."""
        written = self._written
        if self.format == "table":
            for row in rows:
                self._line([_shown(cell, column.form) for cell, column in zip(row, self._columns)])
                self._written += 1
        else:
            self._data(rows)
        if self._written != written:
            self._to.flush()

    def _data(self, rows: Iterable[list[Cell]]) -> None:
        match self.format:
            case "csv":
                self._csv(self._counted(rows))
            case "arrow":
                self._batch(list(self._counted(rows)))
            case _:
                import json
                for row in self._counted(rows):
                    start = ("[\n " if self._written == 1 else ",\n ") if self.format == "json" else ""
                    end = "" if self.format == "json" else "\n"
                    self._to.write(start + json.dumps(dict(zip(self._names, row))) + end)

    def _counted(self, rows: Iterable[list[Cell]]) -> Iterator[list[Cell]]:
        for row in rows:
            self._written += 1
            yield row

    def _csv(self, rows: Iterable[list[Any]]) -> None:
        import csv
        csv.writer(self._to, lineterminator="\n").writerows(rows)

    def _batch(self, rows: list[list[Cell]]) -> None:
        if not rows:
            return
        pyarrow = self._arrow
        if not hasattr(self, "_stream"):
            kinds = [_kind(pyarrow, [row[at] for row in rows], form)
                     for at, form in enumerate([column.form for column in self._columns] + [""] * len(self._names))
                     if at < len(self._names)]
            self._schema = pyarrow.schema(list(zip(self._names, kinds)))
            self._stream = pyarrow.ipc.new_stream(self._to, self._schema)
        columns = [pyarrow.array([row[at] for row in rows], field.type) for at, field in enumerate(self._schema)]
        self._stream.write_batch(pyarrow.record_batch(columns, schema=self._schema))

    # what was gathered in a period

    def period(self, running: Running, top: int | None) -> None:
        """One output of a histogram or table."""
        taken = running.take()
        if hasattr(running.tool, "sort"):
            taken = taken[:top]
            self._table(running, taken)
        else:
            taken = taken[-top:] if top else taken
            self._distributions(running, taken)
        self._to.flush()

    def _table(self, running: Running, rows: list[dict[str, Cell]]) -> None:
        if self.format != "table":
            self._data(list(row.values()) for row in rows)
            return
        tool: Any = running.tool
        clear = tool.screen and not getattr(running.options, "noclear", False)
        if clear and self._to is sys.stdout and sys.stdout.isatty():
            self._to.write("\x1b[H\x1b[2J")
        elif self._written:
            self._to.write("\n")
        self._written += 1
        for line in tool.lines(running) if tool.lines is not None else ():
            self._to.write(line + "\n")
        if tool.block is not None:
            self._to.write("".join(f"{line}\n" for row in rows for line in tool.block(row, running.options)))
            return
        self._head()
        for row in rows:
            self._line([_shown(cell, column.form) for cell, column in zip(row.values(), self._columns)])

    def _distributions(self, running: Running, taken: list[Distribution]) -> None:
        if self.format != "table":
            self._data([*one.keys.values(), one.unit, *some] for one in taken for some in one.buckets)
            return
        from bpfwright.facets.tools._running import clock
        if getattr(running.options, "timestamp", False):
            self._to.write(f"{clock()}\n")
        for one in taken:
            head = ", ".join(f"{column.head} = {_shown(cell, column.form)}"
                             for column, cell in zip(self._columns, one.keys.values()))
            self._to.write("\n" + (head + "\n" if head else "") + "".join(histogram(one)))
        self._to.write("\n")

    def finish(self) -> None:
        """What ends the output."""
        if self.format == "json":
            self._to.write("\n]\n" if self._written else "[]\n")
        if self.format == "arrow":
            if not hasattr(self, "_stream"):
                schema = self._arrow.schema([(name, self._arrow.string()) for name in self._names])
                self._stream = self._arrow.ipc.new_stream(self._to, schema)
            self._stream.close()
        self._to.flush()


def _arrow() -> Any:
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise NotSupported("-f arrow needs pyarrow, which is not installed", cure="pip install pyarrow") from None
    return pyarrow


def _kind(pyarrow: Any, cells: list[Cell], form: str) -> Any:
    """A column's Arrow type: as its first values are, or as its form says."""
    first = next((cell for cell in cells if cell is not None), None)
    if isinstance(first, float) or (first is None and form.endswith("f")):
        return pyarrow.float64()
    if isinstance(first, bool):
        return pyarrow.bool_()
    if isinstance(first, int):
        return pyarrow.uint64() if first > (1 << 63) - 1 else pyarrow.int64()
    return pyarrow.string() if first is not None or not form.endswith("d") else pyarrow.int64()


def _padded(head: str, form: str) -> str:
    """A head as wide as its column, on the same side; what stands before a space is written as it is."""
    lead, space, form = form.rpartition(" ")
    side = form[:1] if form[:1] in ("<", ">") else "<"
    digits = form.lstrip("<>").partition(".")[0].rstrip("dfsxo")
    return f"{lead}{space}{format(head, f'{side}{digits}')}"


def _shown(cell: Cell, form: str) -> str:
    if cell is None:
        return _padded("-", form)
    return _padded(cell, form) if isinstance(cell, str) else format(cell, form)


def histogram(one: Distribution) -> list[str]:
    """The lines of a histogram, as users of bcc know them."""
    largest = max(count for _, _, count in one.buckets)
    linear = one.buckets[0][0] == one.buckets[0][1]
    wide = not linear and one.buckets[-1][1] > (1 << 32) - 1
    lines = [f"     {one.unit:{13 if linear else 19 if not wide else 39}} : count     distribution\n"]
    for low, high, count in one.buckets:
        stars = "*" * (STARS * count // largest if largest else 0)
        place = f"        {low:<10}" if linear else f"{low:>{20 if wide else 10}} -> {high:<{20 if wide else 10}}"
        lines.append(f"{place} : {count:<8} |{stars:<{STARS}}|\n")
    return lines
