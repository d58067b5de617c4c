"""From the begin of a call to its end: histograms of how long functions take."""
from __future__ import annotations

from bpfwright.facets.tools._tool import bucket
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import current, now_ns
from bpfwright.maps import Hash, LruHash
from bpfwright.types import Config, Struct, u32, u64

__all__ = ["Choice", "begin", "counts", "end"]


class Call(Struct):
    """Which function, in which thread."""

    function: u64
    tid: u64


class Slot(Struct):
    """A histogram's bucket; `function` is 0 where all functions are one."""

    function: u32
    slot: u32


class Choice(Config):
    """Nanoseconds of a unit, and whether functions are told apart."""

    divisor: u64 = 1
    function: bool = False


choice = Choice()
begun = LruHash[Call, u64](max_entries=65_536)
counts = Hash[Slot, u64](max_entries=65_536)


def begin(which: u64) -> None:
    """A wanted thread enters a function."""
    if wanted():
        begun[Call(which, current.tid)] = now_ns()


def end(which: u64) -> None:
    """It leaves it."""
    since = begun.pop(Call(which, current.tid), None)
    if since is not None:
        counts.increment(Slot(u32(which) if choice.function else 0,
                              bucket((now_ns() - since) // max(choice.divisor, 1))))
