"""Histograms: where each counter's interval lies, what it is called, and the rows that are shown."""
from __future__ import annotations

from bpfwright._typing import NamedTuple, Sequence
from bpfwright.facets.trace.types import Histogram, LinearHistogram

__all__ = ["Bucket", "bucket", "buckets", "histogram_json", "histogram_text", "index_of"]

WIDTH = 52
_UNITS = ("", "K", "M", "G", "T", "P", "E")


class Bucket(NamedTuple):
    """`low` is in it and `high` is not; None is no bound."""

    low: int | None
    high: int | None
    label: str


def bucket(type: Histogram | LinearHistogram, index: int) -> Bucket:
    """The interval that the counter `index` is about."""
    return _linear(type, index) if isinstance(type, LinearHistogram) else _logarithmic(type.bits, index)


def index_of(type: Histogram | LinearHistogram, value: int) -> int:
    """The counter that counts a value; kernel programs reckon the same."""
    if isinstance(type, LinearHistogram):
        if value < type.low:
            return 0
        return min((value - type.low) // type.step + 1, type.counters - 1) if value < type.high else type.counters - 1
    if value < 1 << type.bits:
        return 0 if value < 0 else 1 + value
    exponent = value.bit_length() - 1
    below = value >> exponent - type.bits & (1 << type.bits) - 1
    return 1 + (exponent - type.bits + 1 << type.bits) + below


def _logarithmic(bits: int, index: int) -> Bucket:
    if index == 0:
        return Bucket(None, 0, "(..., 0)")
    low, shown = _bound(bits, index)
    high, next_shown = _bound(bits, index + 1)
    return Bucket(low, high, f"[{shown}]" if high == low + 1 else f"[{shown}, {next_shown})")


def _bound(bits: int, index: int) -> tuple[int, str]:
    """Where the interval of a counter begins. The unit follows the interval's width, not the number: [1024, 1280)."""
    if index <= 2 << bits:
        return index - 1, str(index - 1)
    power = (index - 1 >> bits) - 1
    steps = (1 << bits) + (index - 1 & (1 << bits) - 1)
    return steps << power, f"{steps << power % 10}{_UNITS[power // 10]}"


def _linear(type: LinearHistogram, index: int) -> Bucket:
    if index == 0:
        return Bucket(None, type.low, f"(..., {_number(type, type.low)})")
    low = min(type.low + (index - 1) * type.step, type.high)
    if index == type.counters - 1:
        return Bucket(type.high, None, f"[{_number(type, type.high)}, ...)")
    high = min(low + type.step, type.high)
    return Bucket(low, high, f"[{_number(type, low)}, {_number(type, high)})")


def _number(type: LinearHistogram, number: int) -> str:
    if type.step % 1024 or not number:
        return str(number)
    if number % (1 << 20) == 0:
        return f"{number >> 20}M"
    return f"{number >> 10}K" if number % 1024 == 0 else str(number)


def buckets(type: Histogram | LinearHistogram, counters: Sequence[int], divisor: int = 1) -> list[tuple[Bucket, int]]:
    """From the first counter that counted to the last one, with what they counted."""
    used = [index for index, count in enumerate(counters) if count]
    if not used:
        return []
    return [(bucket(type, index), counters[index] // divisor) for index in range(used[0], used[-1] + 1)]


def histogram_text(type: Histogram | LinearHistogram, counters: Sequence[int], divisor: int = 1) -> bytes:
    """A line for each interval, its bar in proportion to the fullest one."""
    rows = buckets(type, counters, divisor)
    most = max((count for _, count in rows), default=0) or 1
    return "".join([f"{found.label:<16}{count:>8} |{'@' * (count * WIDTH // most):<{WIDTH}}|\n"
                    for found, count in rows]).encode()


def histogram_json(type: Histogram | LinearHistogram, counters: Sequence[int], divisor: int = 1) -> bytes:
    """A list of intervals; here `max` is in them, and a bound that is none is left out."""
    parts = []
    for found, count in buckets(type, counters, divisor):
        low = "" if found.low is None else f'"min": {found.low}, '
        high = "" if found.high is None else f'"max": {found.high - 1}, '
        parts.append(f'{{{low}{high}"count": {count}}}')
    return f"[{', '.join(parts)}]".encode()
