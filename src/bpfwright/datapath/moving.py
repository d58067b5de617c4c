"""Which flows move most: the flow tables of a generation, looked at again and again."""
from __future__ import annotations

from bpfwright._host import now_ns
from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.flows import CLOSING, FIRST_IS_ORIGIN, REPLIED, Flow, FlowKey
from bpfwright.datapath.generation import Generation
from bpfwright.datapath.parsed import address_text

__all__ = ["Moved", "Moving"]

_BATCH = 4096


class Moved(NamedTuple):
    """A flow and what moved since the last look: what its originator sent, and got. `idle_s`: since its last packet."""

    facet: str
    protocol: int
    origin: str
    origin_port: int
    responder: str
    responder_port: int
    state: str
    sent_packets: int
    sent_bytes: int
    got_packets: int
    got_bytes: int
    idle_s: float

    @property
    def bytes(self) -> int:
        """Both ways."""
        return self.sent_bytes + self.got_bytes


class Moving:
    """The flows of all facets that follow any; what is there at the first look counts as moved before."""

    def __init__(self, generation: Generation) -> None:
        parts = generation.plan.parts
        self._tables = {facet: generation.maps(declared) for facet, part in parts.items()
                        for declared in part.kept.values() if _is_flows(declared) and generation.name_of(declared)}
        self._before: dict[tuple[str, bytes], tuple[int, int, int, int]] = {}
        self.look(0)

    @property
    def follows(self) -> bool:
        """Whether any facet follows flows."""
        return bool(self._tables)

    def look(self, most: int) -> list[Moved]:
        """The flows that moved most bytes since the last look, at most so many."""
        from heapq import nlargest
        after: dict[tuple[str, bytes], tuple[int, int, int, int]] = {}
        moved: list[tuple[int, str, bytes, bytes]] = []
        for facet, table in self._tables.items():
            for key, value in table.handle.items(_BATCH):
                counts = _counts(value)
                after[facet, key] = counts
                before = self._before.get((facet, key), (0, 0, 0, 0))
                size = counts[1] + counts[3] - before[1] - before[3]
                if size:
                    moved.append((size if size > 0 else counts[1] + counts[3], facet, key, value))
        before_all, self._before = self._before, after
        now = now_ns()
        return [_moved(facet, key, value, before_all.get((facet, key), (0, 0, 0, 0)), now)
                for _, facet, key, value in nlargest(most, moved)]


def _is_flows(declared: Any) -> bool:
    return getattr(getattr(declared, "value", None), "cls", None) is Flow


def _counts(value: bytes) -> tuple[int, int, int, int]:
    from struct import unpack_from
    return unpack_from("=4Q", value, 8)


def _moved(facet: str, key: bytes, value: bytes, before: tuple[int, int, int, int], now: int) -> Moved:
    ends, flow = FlowKey.view(bytearray(key)), Flow.view(bytearray(value))
    first = address_text(ends.first_high, ends.first_low), ends.first_port
    second = address_text(ends.second_high, ends.second_low), ends.second_port
    origin, responder = (first, second) if flow.flags & FIRST_IS_ORIGIN else (second, first)
    counts = _counts(value)
    if counts[1] + counts[3] < before[1] + before[3]:  # the entry was used again
        before = (0, 0, 0, 0)
    state = "closing" if flow.flags & CLOSING else "established" if flow.flags & REPLIED else "new"
    return Moved(facet, ends.protocol, *origin, *responder, state,
                 counts[0] - before[0], counts[1] - before[1], counts[2] - before[2], counts[3] - before[3],
                 max(0.0, (now - flow.last_ns) / 1e9))
