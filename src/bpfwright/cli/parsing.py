"""From a verb's module to its parser."""
from __future__ import annotations

import argparse
import os
from functools import cache

from bpfwright.cli import Verb

__all__ = ["Help", "parser", "summary"]


class Help(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal. argparse makes one for each option, and would import shutil to ask its width."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns())


def summary(module: Verb) -> str:
    """One line of what a verb does."""
    return (module.__doc__ or "").strip().splitlines()[0]


def parser(verb: str, module: Verb) -> argparse.ArgumentParser:
    """The verb's parser: help is its docstring and ends with examples."""
    made = argparse.ArgumentParser(
        prog=f"bpfwright {verb}", description=(module.__doc__ or "").strip(), allow_abbrev=False,
        epilog="\n".join(("examples:", *(f"  {line}" for line in module.EXAMPLES))),
        formatter_class=Help)
    module.arguments(made)
    return made


@cache
def _columns() -> int:
    """What fits into a line, as argparse counts it: the terminal's width less 2."""
    try:
        return (int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(1).columns or 80) - 2
    except (ValueError, OSError):
        return 78
