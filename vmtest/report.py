"""Results for people: a line a test, and the table hook x kernel that the README carries."""
from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from vmtest.protocol import Case, Result

__all__ = ["RECORDS", "line", "record", "table"]

RECORDS = Path(__file__).parent / "results"
MARKS = {"ok": "yes", "refused": "no", "failed": "**broken**", "died": "**broken**"}


def line(series: str, expected: frozenset[str], result: Result) -> str:
    """One line, and for what did not go as expected all that is known, indented."""
    good = result.verdict in expected
    text = f"{'ok  ' if good else 'FAIL'} {series:5} {result.case:22} {result.verdict:8} {result.seconds:6.2f} s"
    if good:
        reason = next(iter(result.detail.splitlines()), "")
        return f"{text}  {reason}".rstrip()
    wanted = "" if "ok" in expected else f"\n       (this kernel should refuse it: {', '.join(sorted(expected))})"
    return f"{text}{wanted}\n" + "\n".join(f"       {part}" for part in result.detail.splitlines())


def record(series: str, release: str, results: Iterable[Result], cases: Iterable[Case]) -> None:
    """Keep a kernel's verdicts for the table. Times and traces are not kept: they differ with every run."""
    by_name = {result.case: result for result in results}
    rows = {case.name: {"hook": case.hook, "title": case.title, "verdict": by_name[case.name].verdict,
                        "why": next(iter(by_name[case.name].detail.splitlines()), "")}
            for case in cases if case.name in by_name and case.hook}
    RECORDS.mkdir(exist_ok=True)
    content = json.dumps({"release": release, "cases": rows}, indent=1, sort_keys=True)
    (RECORDS / f"{series}.json").write_text(content + "\n")


def table(records: dict[str, dict[str, Any]]) -> str:
    """A Markdown table from the recorded files by series, in the order given."""
    hooks: dict[str, dict[str, list[str]]] = {}
    for series, kept in records.items():
        for row in kept["cases"].values():
            hooks.setdefault(row["hook"], {}).setdefault(series, []).append(row["verdict"])
    heads = [f"Linux {_version(kept['release'])}" for kept in records.values()]
    lines = ["| hook | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
    for hook in sorted(hooks):
        cells = [_cell(hooks[hook].get(series, [])) for series in records]
        lines.append(f"| {hook} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _version(release: str) -> str:
    return ".".join(release.split(".")[:2])


def _cell(verdicts: list[str]) -> str:
    """Several cases may show one hook: the worst of them counts."""
    for verdict in ("died", "failed", "refused"):
        if verdict in verdicts:
            return MARKS[verdict]
    return MARKS["ok"] if verdicts else "not tested"
