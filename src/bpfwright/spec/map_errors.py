"""What a refused operation on a map means, on either machine: one error for each errno."""
from __future__ import annotations

import errno
import os

from bpfwright.errors import KernelError, MapFull, UsageError
from bpfwright.spec.objects import MapSpec

__all__ = ["map_error"]

_INDEXED = frozenset((2, 3, 4, 6, 8, 12, 14, 16, 17))  # E2BIG says that there is no such index


def map_error(spec: MapSpec, doing: str, number: int) -> Exception:
    """The error to raise when `doing` (lookup, update, delete, pop, next key, batch) of a map gave an errno."""
    name = spec.name
    if number in (errno.E2BIG, errno.ENOSPC) and doing == "update" and spec.type not in _INDEXED:
        return MapFull(f"map {name!r} is full", why=f"it holds {spec.max_entries} entries",
                       cure="Declare it with more max_entries, or use a kind that evicts (LRU).")
    if number == errno.E2BIG:
        return UsageError(f"map {name!r} has no such index", why=f"it has {spec.max_entries} entries")
    if number == errno.EEXIST:
        return KernelError(f"map {name!r} has that key already", number)
    if number == errno.EPERM:
        return KernelError(f"map {name!r} cannot be changed: {doing}", number,
                           why="it is frozen, or read-only for user space")
    return KernelError(f"{doing} of map {name!r}: {os.strerror(number)}", number)
