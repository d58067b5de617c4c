"""argdist's programs for the probes that most people write: one argument, result or field, and one comparison.

They are compiled once for all such probes: what a probe looks at is set before they are loaded. `_looks.py` tells which
probes these are.
"""
from __future__ import annotations

from bpfwright.facets.tools._tool import bucket
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import address_of, kernel_text, kernel_word, user_text
from bpfwright.hooks import kprobe, tracepoint, uprobe
from bpfwright.maps import Hash
from bpfwright.types import Config, L, Struct, char, i64, u32, u64

__all__ = ["Look", "NUMBERS", "Said", "Slot", "TEXTS", "counts", "texts"]


class Slot(Struct):
    """A value, or a histogram's bucket, of the probe with that number."""

    probe: u64
    value: i64
    slot: u64


class Said(Struct):
    """A text, of the probe with that number."""

    probe: u64
    value: char[L[80]]


class Look(Config):
    """What is shown, and when: of an argument its number, of a field where it stands; and its type.

    `shift` is 64 less its bits. What is compared lies from `low` to `high`, or does not; signed numbers are counted
    from the lowest one.
    """

    at: u32 = 0
    shift: u32 = 0
    signed: bool = False
    histogram: bool = False
    compared: bool = False
    other_at: u32 = 0
    other_shift: u32 = 0
    other_signed: bool = False
    low: u64 = 0
    high: u64 = 0
    outside: bool = False


look = Look()
counts = Hash[Slot, u64](max_entries=65_536)
texts = Hash[Said, u64](max_entries=65_536)


def number(word: u64, shift: u32, signed: bool) -> i64:
    """A register's lower bits as a number."""
    upper = word << shift
    return i64(upper) >> shift if signed else i64(upper >> shift)


def passes(word: u64) -> bool:
    """Whether a call counts, by the argument that is compared."""
    if not look.compared:
        return True
    order = u64(number(word, look.other_shift, look.other_signed)) ^ (u64(1) << 63 if look.other_signed else 0)
    return (look.low <= order <= look.high) != look.outside


def count(word: u64, other: u64) -> None:
    """One call."""
    if wanted() and passes(other):
        value = number(word, look.shift, look.signed)
        if look.histogram:
            counts.increment(Slot(0, 0, bucket(u64(value))))
        else:
            counts.increment(Slot(0, value, 0))


def read(word: u64, other: u64) -> None:
    """One call with a text."""
    if wanted() and passes(other):
        texts.increment(Said(0, user_text(word, 80)))


def of(at: u32, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> u64:
    """The argument with that number."""
    if at < 3:
        return a if at == 0 else b if at == 1 else c
    return d if at == 3 else e if at == 4 else f


@kprobe.program("vfs_read")
def kernel_number(ctx: kprobe.Context, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> None:
    count(of(look.at, a, b, c, d, e, f), of(look.other_at, a, b, c, d, e, f))


@kprobe.exit("vfs_read")
def kernel_number_back(ctx: kprobe.Context, retval: u64) -> None:
    count(retval, retval)


@uprobe.program("libc.so.6:malloc")
def user_number(ctx: uprobe.Context, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> None:
    count(of(look.at, a, b, c, d, e, f), of(look.other_at, a, b, c, d, e, f))


@uprobe.exit("libc.so.6:malloc")
def user_number_back(ctx: uprobe.Context, retval: u64) -> None:
    count(retval, retval)


@tracepoint.program("sched:sched_switch")
def event_number(ctx: tracepoint.Context) -> None:
    count(kernel_word(address_of(ctx) + look.at), kernel_word(address_of(ctx) + look.other_at) if look.compared else 0)


@kprobe.program("vfs_read")
def kernel_said(ctx: kprobe.Context, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> None:
    read(of(look.at, a, b, c, d, e, f), of(look.other_at, a, b, c, d, e, f))


@kprobe.exit("vfs_read")
def kernel_said_back(ctx: kprobe.Context, retval: u64) -> None:
    read(retval, retval)


@uprobe.program("libc.so.6:malloc")
def user_said(ctx: uprobe.Context, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> None:
    read(of(look.at, a, b, c, d, e, f), of(look.other_at, a, b, c, d, e, f))


@uprobe.exit("libc.so.6:malloc")
def user_said_back(ctx: uprobe.Context, retval: u64) -> None:
    read(retval, retval)


@tracepoint.program("sched:sched_switch")
def event_said(ctx: tracepoint.Context) -> None:
    if wanted():
        start = address_of(ctx) + (kernel_word(address_of(ctx) + look.at) & 0xFFFF)
        texts.increment(Said(0, kernel_text(start, 80)))


NUMBERS = {"kp": kernel_number, "kr": kernel_number_back, "up": user_number, "ur": user_number_back, "t": event_number}
TEXTS = {"kp": kernel_said, "kr": kernel_said_back, "up": user_said, "ur": user_said_back, "t": event_said}
"""The programs by where they stand: a function's begin or return, in the kernel or not, or an event."""
