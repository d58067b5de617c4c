"""Rewrites of the IR, one table a file; `run` applies them in order and checks the result after each."""
from __future__ import annotations

from bpfwright.lang import ir
from bpfwright.lang.passes import division, reachable

__all__ = ["run"]

ORDER = (reachable.rewrite, division.rewrite)


def run(function: ir.Function) -> None:
    """All passes over one function."""
    for rewrite in ORDER:
        rewrite(function)
        ir.verify(function)
