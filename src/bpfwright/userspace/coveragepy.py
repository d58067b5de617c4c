"""Hands what kernel programs ran to the coverage.py that measures this process, for the user's own .py files."""
from __future__ import annotations

import os

from bpfwright._typing import Any
from bpfwright.userspace.coverage import FileReport, Report

__all__ = ["hand_over"]


def hand_over(running: Any, report: Report) -> None:
    """Add lines or arcs, whichever it gathers, for the files that it measures.

    get_data() would walk the source tree each time and warn of what is not imported yet, so the data that gathers
    behind it is written to; where that is no longer called so, get_data() does.
    """
    data = getattr(running, "_data", None)
    if data is None:
        data = running.get_data()
    for path, found in report.files.items():
        name = _measured_as(running, data, path)
        if name is None or not found.statements:
            continue
        if running.get_option("run:branch"):
            data.add_arcs({name: _arcs(found)})
        else:
            data.add_lines({name: found.ran & found.statements})


def _arcs(found: FileReport) -> set[tuple[int, int]]:
    """Its arcs. A statement of which none is known stands with itself, which coverage.py takes for "ran"."""
    known = {line for arc in found.arcs for line in arc}
    return found.arcs | {(line, line) for line in found.ran & found.statements if line not in known}


def _measured_as(running: Any, data: Any, path: str) -> str | None:
    """The name by which a file stands in the data; None when `source`, `include` or `omit` leave it out."""
    path = os.path.abspath(path)
    rules = getattr(running, "_inorout", None)
    if rules is not None and hasattr(rules, "should_trace"):
        verdict = rules.should_trace(path)
        if not verdict.trace or verdict.file_tracer:
            return None
        path = verdict.canonical_filename
    mapped: str = getattr(running, "_file_mapper", os.path.abspath)(path)
    if rules is None and mapped not in data.measured_files():
        return None
    return mapped
