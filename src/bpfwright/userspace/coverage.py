"""Which lines and branches of kernel programs ran: from the counters of instructions and the object's line table.

Nothing is instrumented: the object is the one that a kernel gets. See proofs for what is said of statements that the
compiler left no instruction of.
"""
from __future__ import annotations

import os
import sys

from bpfwright._typing import TYPE_CHECKING, Any, Iterable

if TYPE_CHECKING:
    from bpfwright.userspace.program import UserProgram

__all__ = ["FileReport", "Report", "keep", "measuring"]


class FileReport:
    """One source file. Lines of Python are the first lines of statements; lines of C stand as the line table has them.

    `hits`: how often the most frequent instruction of each line ran, 0 for never. `proved`: statements that ran though
    none of their instructions say so. `statements`: all of the Python functions that programs were compiled from; none
    for C. `jumps`: per line, (times taken, times not) of each conditional jump, in the order of the code. `choices`:
    what may follow each Python statement that several may follow; the negative of a function's first line is its end.
    `arcs`: which statement followed which, as coverage.py counts it.
    """

    __slots__ = ("arcs", "choices", "hits", "jumps", "path", "proved", "statements")

    def __init__(self, path: str) -> None:
        self.path = path
        self.hits: dict[int, int] = {}
        self.proved: set[int] = set()
        self.statements: set[int] = set()
        self.jumps: dict[int, list[tuple[int, int]]] = {}
        self.choices: dict[int, tuple[int, ...]] = {}
        self.arcs: set[tuple[int, int]] = set()

    @property
    def ran(self) -> set[int]:
        """The lines that ran."""
        return {line for line, count in self.hits.items() if count} | self.proved

    @property
    def missed(self) -> set[int]:
        """The lines that have instructions, none of which ran."""
        return set(self.hits) - self.ran

    @property
    def vanished(self) -> set[int]:
        """The statements without an instruction of which nothing is known."""
        return self.statements - set(self.hits) - self.proved

    @property
    def branches(self) -> dict[int, list[int | None]]:
        """Per line, how often each way on was taken; None where the line never ran.

        The ways of a Python statement are the statements that may follow it, in their order, its function's end first,
        and 1 stands for any number. In C they are both outcomes of each conditional jump.
        """
        if self.statements:
            return {line: [int((line, way) in self.arcs) for way in ways] if line in self.ran else [None] * len(ways)
                    for line, ways in self.choices.items()}
        return {line: [times if yes + no else None for yes, no in pairs for times in (yes, no)]
                for line, pairs in self.jumps.items()}

    def merge(self, other: FileReport) -> None:
        """Add what another report knows of the same file. Jumps are added up where both have the same ones."""
        for line, count in other.hits.items():
            self.hits[line] = self.hits.get(line, 0) + count
        self.proved |= other.proved
        self.statements |= other.statements
        self.arcs |= other.arcs
        self.choices |= other.choices
        for line, found in other.jumps.items():
            had = self.jumps.get(line, [])
            if len(had) == len(found):
                self.jumps[line] = [(a + c, b + d) for (a, b), (c, d) in zip(had, found)]
            else:
                self.jumps[line] = had + found


class Report:
    """What ran, by source file. `str()` of it is a table, `lcov()` a tracefile for genhtml and editors."""

    def __init__(self) -> None:
        self.files: dict[str, FileReport] = {}

    def file(self, path: str) -> FileReport:
        """The report of one file, empty when no program came from it."""
        found = self.files.get(path)
        if found is None:
            found = self.files[path] = FileReport(path)
        return found

    def merge(self, other: Report) -> None:
        """Add another report."""
        for path, found in other.files.items():
            self.file(path).merge(found)

    def add(self, program: UserProgram) -> None:
        """Add what a loaded program counted so far; nothing when its machine does not count."""
        if program.counts is not None and program.code.lines:
            from bpfwright.userspace.measurement import measure
            self.merge(measure(program))

    def lcov(self) -> str:
        """A tracefile (geninfo(1)). Statements known to have run by proof count once; vanished ones are not in it."""
        parts = []
        for path in sorted(self.files):
            found = self.files[path]
            counts = {**dict.fromkeys(found.proved, 1), **{line: count or int(line in found.proved)
                                                           for line, count in found.hits.items()}}
            parts += ["TN:", f"SF:{os.path.abspath(path)}"]
            ways = [(line, number, times) for line, taken in sorted(found.branches.items())
                    for number, times in enumerate(taken)]
            parts += [f"BRDA:{line},0,{number},{'-' if times is None else times}" for line, number, times in ways]
            parts += [f"BRF:{len(ways)}", f"BRH:{sum(1 for *_, times in ways if times)}"]
            parts += [f"DA:{line},{counts[line]}" for line in sorted(counts)]
            parts += [f"LF:{len(counts)}", f"LH:{sum(1 for count in counts.values() if count)}", "end_of_record"]
        return "\n".join([*parts, ""])

    def __str__(self) -> str:
        rows = [("file", "lines", "ran", "missed", "optimised away", "ways taken")]
        for path in sorted(self.files):
            found = self.files[path]
            ways = [way for line in found.branches.values() for way in line]
            rows.append((path, str(len(found.ran | found.missed)), str(len(found.ran)), _ranges(found.missed),
                         _ranges(found.vanished), f"{sum(map(bool, ways))} of {len(ways)}"))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _ranges(lines: Iterable[int]) -> str:
    """3-5, 8."""
    runs: list[list[int]] = []
    for line in sorted(lines):
        if runs and line == runs[-1][1] + 1:
            runs[-1][1] = line
        else:
            runs.append([line, line])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs) or "-"


def measuring() -> Any:
    """The coverage.py that measures in this process, or None."""
    module = sys.modules.get("coverage")
    running: Any = getattr(module, "Coverage", None)
    return running.current() if running is not None else None


def keep(program: UserProgram, kept: Report) -> None:
    """A program is about to go: what it counted goes into the report, and to the coverage.py that measures."""
    if program.counts is None or not program.code.lines:
        return
    from bpfwright.userspace.measurement import measure
    found = measure(program)
    kept.merge(found)
    running = measuring()
    if running is not None:
        from bpfwright.userspace.coveragepy import hand_over
        hand_over(running, found)
