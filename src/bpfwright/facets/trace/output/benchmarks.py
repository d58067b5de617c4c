"""The table of `bench` probes."""
from __future__ import annotations

__all__ = ["table"]

_UNITS = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "μs"), (1, "ns"))


def table(results: list[tuple[str, int]]) -> str:
    """Names and average times (given in ns), in a frame."""
    rows = [("BENCHMARK", "AVERAGE TIME"), *((name, _duration(time)) for name, time in results)]
    first, second = (max(len(row[place]) for row in rows) for place in (0, 1))
    rule = f"+{'-' * (first + 2)}+{'-' * (second + 2)}+\n"
    lines = [f"| {name:<{first}} | {time:<{second}} |\n" for name, time in rows]
    return "".join([rule, lines[0], rule, *lines[1:], rule, "\n"])


def _duration(time_ns: int) -> str:
    scale, unit = next(((scale, unit) for scale, unit in _UNITS if time_ns >= scale), (1, "ns"))
    return f"{time_ns // scale}{unit}"
