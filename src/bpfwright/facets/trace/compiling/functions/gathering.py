"""What maps gather: counts, sums, extremes, averages, histograms, series."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling import maps
from bpfwright.facets.trace.compiling.checker import Checker, Done
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.typed import Typed, refuse
from bpfwright.facets.trace.types import (Average, Count, Extreme, Histogram, LinearHistogram, Series, Statistics,
                                          Sum)

_BOOT = 125
_MOST_COUNTERS = 1002
_SERIES = ("", "avg", "max", "min", "sum")


def gathered(checker: Checker, entry: maps.Entry, node: Any) -> Done:
    """`@x[keys] = what(...)`."""
    arguments = node.arguments if isinstance(node, tree.Call) else ()
    if not arguments and node.name != "count":
        raise refuse(node.span, f"`{node.name}` takes a value", f"Write `{node.name}(...)`.")
    return _GATHERERS[node.name](checker, entry, node, arguments)


def _misplaced(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    raise refuse(node.span, f"`{node.name}` is assigned to a map", f"Write `@ = {node.name}(...)`.")


count_ = sum_ = avg_ = min_ = max_ = stats_ = hist_ = lhist_ = tseries_ = _misplaced


def _value(checker: Checker, node: Any, argument: Any) -> tuple[Typed, bool]:
    typed = checker.scalar(argument, f"what `{node.name}` takes")
    signed = bool(getattr(typed.type, "signed", False))
    return typed, signed and not (isinstance(typed.constant, int) and typed.constant >= 0)


def _count(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...]) -> Done:
    checker.known.valued(entry.facts, Count(), node.span)

    def change(code: Code, place: int) -> None:
        code.store(place, code.op("add", "i64", code.load("i64", place, 0, 8), code.number(1)), 0, 8)
    return lambda code: entry.gather(code, lambda place: change(code, place))


def _sum(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...]) -> Done:
    typed, signed = _value(checker, node, arguments[0])
    checker.known.valued(entry.facts, Sum(signed), node.span)

    def emit(code: Code) -> None:
        value = code.number_of(typed)
        entry.gather(code, lambda place: code.store(
            place, code.op("add", "i64", code.load("i64", place, 0, 8), value), 0, 8))
    return emit


def _totalled(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...], kind: Any) -> Done:
    typed, signed = _value(checker, node, arguments[0])
    checker.known.valued(entry.facts, kind(signed), node.span)

    def emit(code: Code) -> None:
        value = code.number_of(typed)

        def change(place: int) -> None:
            code.store(place, code.op("add", "i64", code.load("i64", place, 0, 8), value), 0, 8)
            code.store(place, code.op("add", "i64", code.load("i64", place, 8, 8), code.number(1)), 8, 8)
        entry.gather(code, change)
    return emit


def _avg(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...]) -> Done:
    return _totalled(checker, entry, node, arguments, Average)


def _stats(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...]) -> Done:
    return _totalled(checker, entry, node, arguments, Statistics)


def _extreme(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...]) -> Done:
    typed, signed = _value(checker, node, arguments[0])
    which = node.name
    checker.known.valued(entry.facts, Extreme(which, signed), node.span)

    def emit(code: Code) -> None:
        value = code.number_of(typed)
        less = "slt" if entry.value.signed else "ult"

        def change(place: int) -> None:
            best = code.load("i64", place, 0, 8)
            unset = code.op("eq", "i1", code.load("i64", place, 8, 8), code.number(0))
            better = code.op(less, "i1", *((value, best) if which == "min" else (best, value)))
            with code.when(code.op("or", "i1", unset, better)):
                code.store(place, value, 0, 8)
                code.store(place, code.number(1), 8, 8)
        entry.gather(code, change)
    return emit


def _counter(code: Code, place: int, index: int, counters: int) -> None:
    """Add one to a counter of an array of them."""
    within = code.bounded(index, counters - 1)
    at = code.op("index", "ptr", place, within, 8)
    code.store(at, code.op("add", "i64", code.load("i64", at, 0, 8), code.number(1)), 0, 8)


def _hist(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...]) -> Done:
    typed, signed = _value(checker, node, arguments[0])
    bits = checker.known_number(arguments[1], "how fine a histogram is") if len(arguments) > 1 else 0
    if not 0 <= bits <= 5:
        raise refuse(arguments[1].span, f"a histogram of 2^{bits} counters for each power of two",
                     "From 0 to 5 can be had.")
    kind = Histogram(bits)
    checker.known.valued(entry.facts, kind, node.span)

    def emit(code: Code) -> None:
        value = code.number_of(typed)
        index = power_index(code, value, bits, signed)
        entry.gather(code, lambda place: _counter(code, place, index, kind.counters))
    return emit


def power_index(code: Code, value: int, bits: int, signed: bool) -> int:
    """The counter of a value: see types.Histogram."""
    result = code.slot(8, 8, "bucket")
    small = code.op("ult", "i1", value, code.number(1 << bits))
    code.store(result, code.op("add", "i64", value, code.number(1)))
    with code.unless(small):
        exponent = log2(code, value)
        over = code.op("sub", "i64", exponent, code.number(bits))
        part = code.op("and", "i64", code.op("lshr", "i64", value, code.op("and", "i64", over, code.number(63))),
                       code.number((1 << bits) - 1))
        step = code.op("shl", "i64", code.op("add", "i64", over, code.number(1)), code.number(bits))
        code.store(result, code.op("add", "i64", code.op("add", "i64", step, part), code.number(1)))
    index = code.load("i64", result)
    if signed:
        negative = code.op("slt", "i1", value, code.number(0))
        index = code.op("select", "i64", negative, code.number(0), index)
    return index


def log2(code: Code, value: int) -> int:
    """The number of the highest bit that is set, by halves: BPF cannot count leading zeros."""
    found = code.number(0)
    for width in (32, 16, 8, 4, 2, 1):
        large = code.op("ule", "i1", code.number(1 << width), value)
        step = code.op("select", "i64", large, code.number(width), code.number(0))
        value = code.op("lshr", "i64", value, step)
        found = code.op("or", "i64", found, step)
    return found


def _lhist(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...]) -> Done:
    typed, _ = _value(checker, node, arguments[0])
    names = ("where a histogram begins", "where it ends", "its step")
    low, high, step = (checker.known_number(argument, name) for argument, name in zip(arguments[1:], names,
                                                                                      strict=True))
    if step < 1:
        raise refuse(arguments[3].span, f"a step of {step}", "A step is at least 1.")
    if low >= high:
        raise refuse(node.span, f"a histogram from {low} to {high}", "It begins below its end.")
    kind = LinearHistogram(low, high, step)
    if kind.counters > _MOST_COUNTERS:
        raise refuse(node.span, f"a histogram of {kind.counters - 2} steps",
                     f"Up to {_MOST_COUNTERS - 2} can be had: take a larger step.")
    checker.known.valued(entry.facts, kind, node.span)

    def emit(code: Code) -> None:
        value = code.number_of(typed)
        far = code.op("sub", "i64", value, code.number(low))
        inside = code.op("add", "i64", code.op("udiv", "i64", far, code.number(step)), code.number(1))
        below = code.op("slt", "i1", value, code.number(low))
        above = code.op("sle", "i1", code.number(high), value)
        index = code.op("select", "i64", below, code.number(0),
                        code.op("select", "i64", above, code.number(kind.counters - 1), inside))
        entry.gather(code, lambda place: _counter(code, place, index, kind.counters))
    return emit


def _tseries(checker: Checker, entry: maps.Entry, node: Any, arguments: tuple[Any, ...]) -> Done:
    typed, signed = _value(checker, node, arguments[0])
    interval = checker.known_number(arguments[1], "an interval")
    buckets = checker.known_number(arguments[2], "how many intervals are kept")
    how = checker.known_text(arguments[3], "how values are put together").decode() if len(arguments) > 3 else ""
    checker.host.unstable(checker.known, "unstable_tseries", node.span, "`tseries`")
    if interval < 1:
        raise refuse(arguments[1].span, f"an interval of {interval} ns", "Write a duration: `100ms`.")
    if not 1 <= buckets <= 1000:
        raise refuse(arguments[2].span, f"{buckets} intervals", "From 1 to 1000 can be kept.")
    if how not in _SERIES:
        raise refuse(arguments[3].span, f"there is no way `{how}` to put values together",
                     "There are avg, max, min and sum.")
    kind = Series(interval, buckets, how, signed)
    checker.known.valued(entry.facts, kind, node.span)

    def emit(code: Code) -> None:
        value = code.number_of(typed)
        now = code.helper(_BOOT)
        epoch = code.op("udiv", "i64", now, code.number(interval))
        number = code.op("urem", "i64", epoch, code.number(buckets))
        entry.gather(code, lambda place: _series(code, place, code.bounded(number, buckets - 1), (now, epoch), value,
                                                 entry.value))
    return emit


def _series(code: Code, base: int, number: int, time: tuple[int, int], value: int, kind: Any) -> None:
    now, epoch = time
    place = code.op("index", "ptr", base, number, 24)
    held, count = code.load("i64", place, 0, 8), code.load("i64", place, 8, 8)
    fresh = code.op("or", "i1", code.op("ne", "i1", code.load("i64", place, 16, 8), epoch),
                    code.op("eq", "i1", count, code.number(0)))
    match kind.how:
        case "avg" | "sum":
            joined = code.op("add", "i64", held, value)
        case "min" | "max":
            less = "slt" if kind.signed else "ult"
            better = code.op(less, "i1", *((value, held) if kind.how == "min" else (held, value)))
            joined = code.op("select", "i64", better, value, held)
        case _:
            joined = value
    code.store(place, code.op("select", "i64", fresh, value, joined), 0, 8)
    if kind.how:
        more = code.op("add", "i64", count, code.number(1))
        code.store(place, code.op("select", "i64", fresh, code.number(1), more), 8, 8)
    else:
        code.store(place, now, 8, 8)
    code.store(place, epoch, 16, 8)


_GATHERERS = {"count": _count, "sum": _sum, "avg": _avg, "min": _extreme, "max": _extreme, "stats": _stats,
              "hist": _hist,
              "lhist": _lhist, "tseries": _tseries}
