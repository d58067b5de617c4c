"""Sources that are shut out until a time. While nobody is, a packet pays for one word, not for a look-up."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.datapath.parsed import clock
from bpfwright.facets.intrusion.detectors import Source
from bpfwright.maps import Array, LruHash
from bpfwright.types import Struct, u64

__all__ = ["Blocks"]

_BY_PROGRAMS, _BY_TENDING = 0, 1  # a cell for each writer: none can take back what another wrote


class _Last(Struct):
    """When the last block ends."""

    until_ns: u64


class Blocks(NamedTuple):
    """`block(packet, until_ns)` and `is_blocked(packet)` are of the dialect; times are of now_ns."""

    sources: Any
    last: Any
    block: Callable[[Any, Any], None]
    is_blocked: Callable[[Any], Any]

    @classmethod
    def of(cls, entries: int) -> Blocks:
        """For so many sources; who was seen least recently is let in again when there are more."""
        sources = LruHash[Source, u64](max_entries=entries)
        last = Array[_Last](max_entries=2)

        def block(packet: Any, until_ns: Any) -> None:
            sources.insert(Source(packet.source_high, packet.source_low), until_ns)
            cell = last.get(_BY_PROGRAMS)
            if cell is not None and cell.until_ns < until_ns:
                cell.until_ns = until_ns

        def is_blocked(packet: Any) -> Any:
            mine = last.get(_BY_PROGRAMS)
            other = last.get(_BY_TENDING)
            if mine is None or other is None or (mine.until_ns == 0 and other.until_ns == 0):
                return False
            now = clock(packet)
            if mine.until_ns <= now and other.until_ns <= now:
                return False
            until = sources.get(Source(packet.source_high, packet.source_low))
            return until is not None and until > now

        return cls(sources, last, block, is_blocked)

    def add(self, maps: Any, high: int, low: int, until_ns: int) -> None:
        """Block a source from outside of the programs."""
        maps(self.sources)[Source(high, low)] = until_ns
        last = maps(self.last)[_BY_TENDING]
        if last.until_ns < until_ns:
            maps(self.last)[_BY_TENDING] = _Last(until_ns)

    @property
    def kept(self) -> dict[str, Any]:
        """The maps by name."""
        return {"blocked": self.sources, "last-block": self.last}
