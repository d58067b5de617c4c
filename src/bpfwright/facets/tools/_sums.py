"""What is summed by key: calls with their time, and bytes in both directions."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.types import Struct, u64

__all__ = ["Spent", "Traffic", "carry", "spend"]


class Spent(Struct):
    """So many, and so long."""

    count: u64
    ns: u64


class Traffic(Struct):
    """How often read and written, and how many bytes."""

    reads: u64
    writes: u64
    rbytes: u64
    wbytes: u64


def spend(table: Any, key: Any, ns: u64) -> None:
    """One more, which took so long."""
    spent = table.get(key)
    if spent is None:
        table[key] = Spent(1, ns)
    else:
        spent.count += 1
        spent.ns += ns


def carry(table: Any, key: Any, write: bool, size: u64) -> None:
    """Bytes that were read or written."""
    traffic = table.get(key)
    if traffic is None:
        table[key] = Traffic(0 if write else 1, 1 if write else 0, 0 if write else size, size if write else 0)
    elif write:
        traffic.writes += 1
        traffic.wbytes += size
    else:
        traffic.reads += 1
        traffic.rbytes += size
