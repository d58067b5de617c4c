"""Looks for an input on which a refused program really goes wrong: a real bug, or a checker that is too coarse.

Runs are strict (userspace/strict.py) and followed (following.py): each says on which bytes of its input its decisions
hung, and the next inputs turn those decisions, the ones nearest to the refused instruction first.
"""
from __future__ import annotations

from bpfwright.userspace.counterexamples.inputs import Input
from bpfwright.userspace.counterexamples.running import Ran, Runner
from bpfwright.userspace.counterexamples.searching import Counterexample, Search, search

__all__ = ["Counterexample", "Input", "Ran", "Runner", "Search", "search"]
