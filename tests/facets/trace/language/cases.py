"""Tables of scripts and what they print, run by test_language_cases.py: one table a chapter of the language
reference."""
from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import NamedTuple

__all__ = ["Case", "all_cases", "said", "wrong"]


class Case(NamedTuple):
    """A script and its whole output, or (`error`) what its mistake says. `words` and `named` are its parameters,
    `settings` what the environment configures. `since`: the Linux that it
    needs. `pattern`: the output is a regular expression."""

    chapter: str
    name: str
    script: str
    output: str = ""
    error: str = ""
    words: tuple[str, ...] = ()
    named: dict[str, str] = {}
    settings: dict[str, str] = {}
    pattern: bool = False
    code: int = 0
    warning: str = ""
    since: str = ""


def said(chapter: str, name: str, body: str, output: str, **more: object) -> Case:
    """What stands in `begin { ... exit(); }` prints `output`, each line of it."""
    script = body if "{" in body and body.lstrip().startswith(_PROBES) else f"begin {{ {body} exit(); }}"
    return Case(chapter, name, script, output, **more)  # type: ignore[arg-type]


def wrong(chapter: str, name: str, body: str, error: str, **more: object) -> Case:
    """A script that does not compile: one of its mistakes begins like this."""
    script = body if "{" in body and body.lstrip().startswith(_PROBES) else f"begin {{ {body} }}"
    return Case(chapter, name, script, error=error, **more)  # type: ignore[arg-type]


_PROBES = ("begin", "end", "BEGIN", "END", "struct", "enum", "union", "typedef", "#", "config", "import", "macro",
           "fn ",
           "let @", "tracepoint", "interval", "profile", "software", "rawtracepoint", "uprobe", "uretprobe", "self",
           "test:", "bench:", "iter", "kprobe", "kretprobe", "fentry", "fexit", "usdt", "hardware", "watchpoint", "t:",
           "i:", "rt:", "p:", "s:", "u:", "ur:", "k:", "f:", "it:", "//", "/*")


def all_cases() -> list[Case]:
    """Every table's cases, in order."""
    found: list[Case] = []
    for path in sorted(Path(__file__).parent.glob("chapter_*.py")):
        found += import_module(f"tests.facets.trace.language.{path.stem}").CASES
    return found
