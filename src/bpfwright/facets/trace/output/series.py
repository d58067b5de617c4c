"""Time series: the epochs of all processors made one, and their graph."""
from __future__ import annotations

from bpfwright._typing import NamedTuple, Sequence
from bpfwright.facets.trace.output.world import clock_text
from bpfwright.facets.trace.types import Series

__all__ = ["Epoch", "Epochs", "epochs", "merge_series", "series_json", "series_text"]

_GRAPH = 53
_HALF = 21

Epochs = dict[int, int]
"""The value of each epoch that has one."""


class Epoch(NamedTuple):
    """One line of the graph: when it began, since 1970, and its value if it has one."""

    wall_ns: int
    value: int | None


def merge_series(type: Series, places: Sequence[tuple[int, int, int]]) -> Epochs:
    """The places (value, count, epoch) of all processors, of which one without a count is empty; of the last values,
    the one with the greatest count counts, because programs keep there when it was."""
    found: dict[int, tuple[int, int]] = {}
    for value, count, epoch in places:
        if not count:
            continue
        known = found.get(epoch)
        found[epoch] = (value, count) if known is None else _both(type.how, known, (value, count))
    if type.how == "avg":
        return {epoch: int(_divided(total, count)) for epoch, (total, count) in found.items()}
    return {epoch: value for epoch, (value, _) in found.items()}


def _both(how: str, one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    if how in ("min", "max"):
        return (min if how == "min" else max)(one, other, key=lambda pair: pair[0])
    if how in ("avg", "sum"):
        return one[0] + other[0], one[1] + other[1]
    return max(one, other, key=lambda pair: pair[1])


def _divided(total: int, count: int) -> int:
    return (abs(total) // count) * (1 if total >= 0 else -1) if count else 0


def epochs(type: Series, found: Epochs, last: int, boot_to_wall_ns: int) -> list[Epoch]:
    """The lines to show: up to the last epoch of the whole map, and from the first one that has a value on."""
    window = [epoch for epoch in found if last - type.buckets < epoch <= last]
    if not window:
        return []
    return [Epoch(epoch * type.interval_ns + boot_to_wall_ns, found.get(epoch))
            for epoch in range(min(window), last + 1)]


def series_text(type: Series, lines: list[Epoch]) -> bytes:
    """The graph: time downwards, values from left to right."""
    if not lines:
        return b"<no data>\n"
    values = [line.value for line in lines if line.value is not None]
    low, high = min(values), max(values)
    if low == high:
        least, most = (-(1 << 63), (1 << 63) - 1) if type.signed else (0, (1 << 64) - 1)
        low, high = max(low - 1, least), min(high + 1, most)
    unit, digits = _unit(type.interval_ns)
    size = 8 + (1 + digits if digits else 0)
    scale = f"{'':{size + 1}}{low:<{_HALF}}{high:>{_GRAPH - _HALF}}\n"
    head = f"{'hh:mm:ss' + unit:<{size + 1}}|{'_' * (_GRAPH - 2)}|\n"
    zero = _GRAPH * -low // (high - low) if low < 0 < high else 0
    rows = [_row(line, low, high, zero, digits) for line in lines]
    return "".join([scale, head, *rows, f"{'':{size + 1}}v{'_' * (_GRAPH - 2)}v\n", scale]).encode()


def _row(line: Epoch, low: int, high: int, zero: int, digits: int) -> str:
    graph = ["|", *" " * (_GRAPH - 2), "|"]
    if zero:
        graph[zero] = "."
    if line.value is not None:
        graph[(_GRAPH - 1) * (line.value - low) // (high - low)] = "*"
    part = f".{line.wall_ns % 1_000_000_000:09}"[:1 + digits] if digits else ""
    time = clock_text(line.wall_ns, "%H:%M:%S").decode()
    return f"{time}{part} {''.join(graph)} {'-' if line.value is None else line.value}\n"


def _unit(interval_ns: int) -> tuple[str, int]:
    """What the head calls a part of a second, and its digits."""
    if interval_ns >= 1_000_000_000:
        return "", 0
    return next((unit, digits) for least, unit, digits in
                ((1_000_000, ".ms", 3), (1_000, ".μs", 6), (0, ".ns", 9)) if interval_ns >= least)


def series_json(lines: list[Epoch]) -> bytes:
    """A list of when each interval began and its value, or null."""
    parts = []
    for line in lines:
        start = clock_text(line.wall_ns, "%Y-%m-%dT%H:%M:%S").decode() + f".{line.wall_ns % 1_000_000_000:09}"
        parts.append(f'{{"interval_start": "{start}", "value": {"null" if line.value is None else line.value}}}')
    return f"[{', '.join(parts)}]".encode()
