"""What is written into the firewall's maps before a generation is live."""
from __future__ import annotations

from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterator
from bpfwright.datapath.flows import REPLIED, Flow, FlowKey
from bpfwright.datapath.parsed import V4_MAPPED
from bpfwright.datapath.prefixes import Content
from bpfwright.facets.firewall.classes import ENDPOINTS, Layout, vectors
from bpfwright.facets.firewall.finding import Endpoint, Finder

if TYPE_CHECKING:
    import numpy

__all__ = ["Filled", "connections", "fill_finder", "seed_connections"]

_ESTABLISHED = "01"  # TCP_ESTABLISHED as /proc/net/tcp writes it
_PER_LINE = 32
Maps = Callable[[Any], Any]
Filled = tuple[dict[str, "numpy.ndarray"], dict[str, Any]]
"""The columns and the state of a prefix table's content."""


def fill_finder(finder: Finder, layout: Layout, maps: Maps) -> Filled | None:
    """Write a field's tables and its vectors; of a prefix table, what going on with it takes."""
    import numpy as np
    dimension = finder.dimension
    filled: Filled | None = None
    rows = vectors(dimension, layout)
    if dimension.direct is not None and finder.table is None:
        rows = rows[dimension.direct]  # so few numbers that each has its own vector
    elif dimension.direct is not None:
        lines = np.zeros(-(-len(dimension.direct) // _PER_LINE) * _PER_LINE, np.uint16)
        lines[:len(dimension.direct)] = dimension.direct
        _write(maps(finder.table), lines.reshape(-1, _PER_LINE))
    elif dimension.prefixes is not None:
        with Content(finder.table, maps) as content:
            content.write(*dimension.prefixes)
            filled = content.columns(), content.state()
    elif dimension.exact is not None:
        table = maps(finder.table)
        for value, number in dimension.exact.items():
            table[Endpoint(*value) if dimension.field in ENDPOINTS else value] = number
    _write(maps(finder.vectors), rows)
    return filled


def _write(table: Any, rows: numpy.ndarray) -> None:
    import numpy as np
    table.handle.update_batch(np.arange(len(rows), dtype=np.uint32), np.ascontiguousarray(rows), len(rows))


def seed_connections(table: Any) -> None:
    """Make the TCP connections that this host has known flows, so that a default of deny cuts none."""
    now = now_ns()
    for one, two in connections():
        first, second = sorted((one, two))
        table[FlowKey(first[0], first[1], second[0], second[1], first[2], second[2], 6, 0, 0)] = Flow(
            now, 0, 0, 0, 0, REPLIED, 0)


End = tuple[int, int, int]


def connections() -> Iterator[tuple[End, End]]:
    """Both ends of each established TCP connection of this network namespace."""
    for name in ("tcp", "tcp6"):
        try:
            with open(f"/proc/thread-self/net/{name}", encoding="ascii") as file:
                lines = file.read().splitlines()[1:]
        except FileNotFoundError:  # no IPv6
            continue
        for line in lines:
            _, local, remote, state, *_ = line.split()
            if state == _ESTABLISHED:
                yield _end(local), _end(remote)


def _end(text: str) -> End:
    """An address as it stands in memory, by words of 32 bits of this host, and a port."""
    import sys
    digits, _, port = text.partition(":")
    raw = b"".join(int(digits[at:at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(digits), 8))
    if len(raw) == 4:
        return 0, V4_MAPPED | int.from_bytes(raw, "big"), int(port, 16)
    return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big"), int(port, 16)
