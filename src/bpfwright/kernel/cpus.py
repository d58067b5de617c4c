"""How many CPUs there can be, and which are there."""
from __future__ import annotations

__all__ = ["online_cpus", "possible_cpus"]

_possible: int | None = None


def possible_cpus() -> int:
    """The number of values in a per-CPU map's entry."""
    global _possible
    if _possible is None:
        _possible = max(_read("possible")) + 1
    return _possible


def online_cpus() -> list[int]:
    """The CPUs that run now."""
    return _read("online")


def _read(which: str) -> list[int]:
    try:
        with open(f"/sys/devices/system/cpu/{which}", "rb") as file:
            return parse_cpu_list(file.read().decode())
    except OSError:
        import os
        return list(range(os.cpu_count() or 1))


def parse_cpu_list(text: str) -> list[int]:
    """The kernel's `0-3,8` as numbers."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        low, dash, high = part.partition("-")
        cpus += range(int(low), int(high if dash else low) + 1)
    return cpus
