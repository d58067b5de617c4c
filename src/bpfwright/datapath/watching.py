"""Looking at a data path at work: rates by reason, and the packets that are dropped, as they are."""
from __future__ import annotations

from bpfwright._host import now_ns
from bpfwright._typing import Any, NamedTuple, Self
from bpfwright.datapath.generation import Generation, drops, watched
from bpfwright.datapath.moving import Moved, Moving
from bpfwright.datapath.stage import reasons_of

__all__ = ["Change", "Drop", "Rate", "Tick", "Watch", "changed", "states_of"]

_MOST_DROPS = 200  # of one look; the counters have them all


class Rate(NamedTuple):
    """What became of packets since the last look, by hook and reason."""

    program: str
    stage: str
    reason: str
    packets: int
    bytes: int


class Drop(NamedTuple):
    """A dropped packet: why, where, when (monotonic ns), its length in bytes and its first bytes."""

    time_ns: int
    place: str
    stage: str
    reason: str
    ifindex: int
    length: int
    data: bytes


class Change(NamedTuple):
    """Something of a facet's that is in another state now, in words; `before` is empty for what was not there."""

    facet: str
    name: str
    before: str
    after: str


class Tick(NamedTuple):
    """One look: `seconds` since the last one; `unseen` more were dropped than `drops` has; `changes` of states;
    `flows` that moved most."""

    seconds: float
    generation: int
    rates: list[Rate]
    drops: list[Drop]
    unseen: int
    changes: list[Change] = []
    flows: list[Moved] = []


def states_of(generation: Generation) -> dict[tuple[str, str], str]:
    """The states that facets tell, by facet and name."""
    return {(facet, name): word for facet, part in generation.plan.parts.items() if part.states is not None
            for name, word in part.states(generation.maps).items()}


def changed(before: dict[tuple[str, str], str], after: dict[tuple[str, str], str]) -> list[Change]:
    """What is in another state."""
    return [Change(*key, before.get(key, ""), word) for key, word in after.items() if before.get(key, word) != word]


class Watch:
    """Looks at what is live while it is open. Programs tell of drops only while somebody watches. `flows`: how many of
    those that move most it shows."""

    def __init__(self, controller: Any, *, flows: int = 0) -> None:
        self.controller = controller
        self._most_flows = flows
        self._held: Any = None
        self._open()

    def _open(self) -> None:
        self._held = self.controller.generation()
        self.record, self.generation = self._held.__enter__()
        made: Generation = self.generation
        self._counts = {each[:3]: each for each in made.counted()}
        self._names = [(", ".join(map(str, each.places)), reasons_of(each.stages)) for each in made.plan.made]
        self._events = made.session.events(drops) if made.name_of(drops) else None
        self._states = states_of(made)
        self._moving = Moving(made) if self._most_flows else None
        self._last = now_ns()
        self._lost = 0
        self._ask()

    def _ask(self) -> None:
        """Say that somebody watches; again at each look, since another who watched may have ended."""
        if self._events is not None:
            self.generation.maps(watched)[0] = 1

    def close(self) -> None:
        """Look no more."""
        if self._held is not None:
            held, self._held = self._held, None
            if self._events is not None:
                self.generation.maps(watched)[0] = 0
            held.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def look(self) -> Tick:
        """What happened since the last look. A change meanwhile begins anew, with the new generation's counters."""
        if self.controller.live_number() != self.record.number:
            self.close()
            self._open()
        self._ask()
        now = now_ns()
        counts = {each[:3]: each for each in self.generation.counted()}
        rates = [Rate(each.program, each.stage, each.reason, each.packets - before.packets, each.bytes - before.bytes)
                 for each, before in ((each, self._counts[key]) for key, each in counts.items())]
        seconds, self._last, self._counts = (now - self._last) / 1e9, now, counts
        seen, unseen = self._dropped()
        before, self._states = self._states, states_of(self.generation)
        return Tick(seconds, self.record.number, [rate for rate in rates if rate.packets], seen, unseen,
                    changed(before, self._states), self._moving.look(self._most_flows) if self._moving else [])

    def _dropped(self) -> tuple[list[Drop], int]:
        """The drops that were told, at most so many, and how many more there were."""
        if self._events is None:
            return [], 0
        found: list[Drop] = []
        more = 0
        self._events.stop()  # give what is there, and wait for nothing
        for event in self._events:
            if event.generation != self.record.number:
                continue
            if len(found) >= _MOST_DROPS:
                more += 1
                continue
            place, reasons = self._names[event.program]
            stage, reason = reasons[event.reason]
            found.append(Drop(event.time_ns, place, stage, reason, event.ifindex, event.length, event.data))
        lost, self._lost = self._events.lost - self._lost, self._events.lost
        return found, more + lost
