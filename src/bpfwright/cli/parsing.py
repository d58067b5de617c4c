"""From a verb's module to its parser."""
from __future__ import annotations

import argparse
from importlib import import_module

from bpfwright._typing import cast
from bpfwright.cli import VERBS, Verb

__all__ = ["load", "parser", "summary"]


def load(verb: str) -> Verb:
    """The module of a verb."""
    return cast(Verb, import_module(VERBS[verb]))


def summary(module: Verb) -> str:
    """One line of what a verb does."""
    return (module.__doc__ or "").strip().splitlines()[0]


def parser(verb: str, module: Verb) -> argparse.ArgumentParser:
    """The verb's parser: help is its docstring and ends with examples."""
    made = argparse.ArgumentParser(
        prog=f"bpfwright {verb}", description=(module.__doc__ or "").strip(), allow_abbrev=False,
        epilog="\n".join(("examples:", *(f"  {line}" for line in module.EXAMPLES))),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    module.arguments(made)
    return made
