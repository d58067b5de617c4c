"""Which processes' addresses a script keeps: they are looked at while they run, so that they have names afterwards."""
from __future__ import annotations

import sys

from bpfwright import _host
from bpfwright._typing import TYPE_CHECKING, Iterable, Mapping
from bpfwright.facets.trace.plan import Plan
from bpfwright.facets.trace.types import Aggregate, Array, Stack, Struct, Token, Tuple, Type, offsets

if TYPE_CHECKING:
    from bpfwright.facets.trace.output.merging import Handle
    from bpfwright.facets.trace.output.world import World

__all__ = ["Remembering", "pid_places", "spaces"]

_EVERY_NS = 100_000_000
_Places = list[tuple[int, int]]


def pid_places(types: Iterable[Type], base: int = 0) -> _Places:
    """Where process ids stand in values of these types, one after another: (offset, size)."""
    listed = tuple(types)
    found: _Places = []
    for type, at in zip(listed, offsets(listed), strict=True):
        match type:
            case Stack(space="user"):
                found.append((base + at + 4, 4))
            case Token(kind="usym"):
                found.append((base + at + 8, 8))
            case Tuple():
                found += pid_places(type.items, base + at)
    return found


def spaces(types: Iterable[Type]) -> set[str]:
    """Of which of `kernel` and `user` there are addresses in values of these types."""
    found: set[str] = set()
    for type in types:
        match type:
            case Stack():  # those of tables are seen for their tables
                found |= {type.space} if type.mode != "raw" else set()
            case Token(kind="usym"):
                found.add("user")
            case Token(kind="ksym"):
                found.add("kernel")
            case Tuple():
                found |= spaces(type.items)
            case Array():
                found |= spaces((type.of,))
            case Struct():
                found |= spaces(member[2] for member in type.members)
    return found


class Remembering:
    """The maps of a script that keep users' addresses. `look` sees each of their processes once."""

    def __init__(self, plan: Plan, maps: Mapping[str, Handle], world: World) -> None:
        self._world = world
        self._known: set[int] = set()
        self._looked_ns = 0
        self.wanted = spaces(type for message in plan.messages for type in message.fields)
        self._maps: list[tuple[Handle, _Places, _Places]] = []
        for map in plan.maps:
            values = () if isinstance(map.value, Aggregate) else (map.value,)
            self.wanted |= spaces((*map.keys, *values))
            keys, inside = pid_places(map.keys), pid_places(values, 0 if map.keys else 8)
            if (keys or inside) and map.name in maps:
                self._maps.append((maps[map.name], keys, inside))

    @property
    def maps(self) -> int:
        """How many maps there are to look at."""
        return len(self._maps)

    def prepare(self, pids: Iterable[int]) -> None:
        """Read what naming needs, if anything is to be named: it takes a moment, in which short processes end."""
        if "kernel" in self.wanted:
            self._world.symbols.kernel(0)
        if "user" in self.wanted:
            for pid in pids:
                self._remember(pid)

    def look(self) -> None:
        """Look at the processes that are new in the maps, at most ten times a second."""
        now = _host.now_ns()
        if now - self._looked_ns < _EVERY_NS:
            return
        self._looked_ns = now
        for handle, keys, values in self._maps:
            for key, value in handle.items():
                for data, places in ((key, keys), (value, values)):
                    for at, size in places:
                        self._remember(int.from_bytes(data[at:at + size], sys.byteorder) & 0xFFFF_FFFF)

    def _remember(self, pid: int) -> None:
        if pid and pid not in self._known:
            self._known.add(pid)
            self._world.remember(pid)
