"""Symbols in the order of their addresses: which one an address is in, for many addresses at once.

Where several symbols begin at an address, the one of the best rank names it. Where symbols lie in one another, the one
that begins last names what both cover.
"""
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpfwright._typing import Sequence
from bpfwright.errors import UsageError
from bpfwright.symbols.symbol import Symbol

__all__ = ["Addresses", "Indices", "Resolved", "SymbolTable", "as_addresses"]

Addresses = NDArray[np.uint64]
Indices = NDArray[np.int64]

_NESTED = 64  # symbols that lie in one another; what is deeper in a damaged table is not looked for


class Resolved:
    """The symbols of many addresses, in their order; each distinct symbol's name stands in memory once.

    `which[i]` is the place in `names` and `modules` of what address i is in, `offsets[i]` how far in. As a sequence it
    gives a `Symbol` for each address.
    """

    __slots__ = ("modules", "names", "offsets", "which")

    def __init__(self, names: list[str], modules: list[str], which: Indices, offsets: Addresses) -> None:
        self.names = names
        self.modules = modules
        self.which = which
        self.offsets = offsets

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: int) -> Symbol:
        which = int(self.which[index])
        return Symbol(self.names[which], int(self.offsets[index]), self.modules[which])

    def columns(self) -> dict[str, NDArray[np.object_] | Addresses]:
        """`name` and `module` as arrays of str, `offset` as one of uint64."""
        return {"name": np.array(self.names, dtype=object)[self.which], "offset": self.offsets,
                "module": np.array(self.modules, dtype=object)[self.which]}


def as_addresses(values: Sequence[int] | Addresses) -> Addresses:
    """The values as an array of uint64. Raises UsageError for what is no list of addresses."""
    try:
        if isinstance(values, np.ndarray) and values.dtype.kind not in "ui":
            raise TypeError(f"an array of {values.dtype}")
        found = np.asarray(values, dtype=np.uint64)
    except (OverflowError, TypeError, ValueError) as error:
        raise UsageError("addresses are integers from 0 to 2**64 - 1", why=str(error)) from None
    if found.ndim != 1:
        raise UsageError("addresses are integers from 0 to 2**64 - 1", why=f"an array of {found.ndim} dimensions")
    return found


class SymbolTable:
    """Symbols as columns, sorted by address; `rank` decides among those that begin together, the least wins.

    A symbol without a size ends where the next one begins, at `limits[i]` at the latest.
    """

    __slots__ = ("ends", "order", "reach", "starts")

    def __init__(self, starts: Addresses, sizes: Addresses, limits: Addresses, rank: Indices) -> None:
        # Stable and descending in rank, so that the best of those that begin together stands last, where the search
        # arrives; among equals the first of the table does.
        count = len(starts)
        self.order: Indices = np.lexsort((-np.arange(count), -rank, starts)).astype(np.int64)
        self.starts = starts[self.order]
        sizes = sizes[self.order]
        ends = self.starts + sizes
        ends[ends < self.starts] = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
        unsized = np.flatnonzero(sizes == 0)
        if len(unsized):
            places = np.searchsorted(self.starts, self.starts[unsized], "right")
            following = np.append(self.starts, np.uint64(0xFFFF_FFFF_FFFF_FFFF))[places]
            ends[unsized] = np.minimum(following, np.maximum(limits[self.order][unsized], self.starts[unsized]))
        self.ends = ends
        self.reach = np.maximum.accumulate(ends) if count else ends

    def __len__(self) -> int:
        return len(self.starts)

    def find(self, addresses: Addresses) -> Indices:
        """The row, as they were given, of the symbol that each address is in; -1 where there is none."""
        at: Indices = np.searchsorted(self.starts, addresses, "right").astype(np.int64) - 1
        found = np.full(len(addresses), -1, dtype=np.int64)
        if not len(self.starts):
            return found
        inside = (at >= 0) & (addresses < self.ends[at])
        found[inside] = self.order[at[inside]]
        left = np.flatnonzero(~inside & (at >= 0))
        for _ in range(_NESTED):
            left = left[(at[left] > 0) & (self.reach[at[left] - 1] > addresses[left])]
            if not len(left):
                break
            at[left] -= 1
            inside = addresses[left] < self.ends[at[left]]
            found[left[inside]] = self.order[at[left[inside]]]
            left = left[~inside]
        return found
