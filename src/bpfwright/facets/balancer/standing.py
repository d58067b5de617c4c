"""How backends stand: what checks found and what people said, in tables that outlive this process; what follows."""
from __future__ import annotations

from bpfwright._typing import Any, Mapping, NamedTuple
from bpfwright.types import L, Struct, char, u32, u64

__all__ = ["DOWN", "DRAIN", "PROBED", "TOLD", "UP", "WORDS", "Standing", "State", "goes_elsewhere", "key_of", "read",
           "serves", "written"]

TOLD, PROBED = 1 << 30, 1 << 31
"""In table `down`: a key alone says that the backend's connections go elsewhere; with TOLD, what a person said; with
PROBED, that checks failed. Each has one writer."""
DOWN, DRAIN, UP = 1, 2, 3
WORDS = {"down": DOWN, "drain": DRAIN, "up": UP}


class Standing(Struct):
    """What checks know of a backend of a VIP. Times are ns of CLOCK_MONOTONIC, 0: never."""

    since: u64              # when it became up or down
    checked: u64
    latency: u64            # ns of the last check that went well
    eased: u64              # when `flaps` last became fewer
    up: u32
    streak: u32             # checks in a row that say otherwise than `up`
    flaps: u32
    changes: u32
    error: char[L[64]]      # why the last check failed


class State(NamedTuple):
    """The same, to count on with."""

    up: bool = True
    streak: int = 0
    flaps: int = 0
    changes: int = 0
    since_ns: int = 0
    checked_ns: int = 0
    latency_ns: int = 0
    eased_ns: int = 0
    error: str = ""


def key_of(vip: int, real: int) -> int:
    """The key of a backend of a VIP, by their numbers."""
    return vip << 16 | real


def read(entry: Any) -> State:
    """A state of the table's entry."""
    error = entry.error if isinstance(entry.error, str) else bytes(entry.error).rstrip(b"\0").decode("utf-8", "replace")
    return State(bool(entry.up), entry.streak, entry.flaps, entry.changes, entry.since, entry.checked, entry.latency,
                 entry.eased, error)


def written(state: State) -> Standing:
    """The entry of a state."""
    error = state.error.encode()[:63].decode("utf-8", "ignore")
    return Standing(state.since_ns, state.checked_ns, state.latency_ns, state.eased_ns, int(state.up), state.streak,
                    state.flaps, state.changes, error)


def serves(down: Mapping[int, int], key: int) -> bool:
    """Whether new connections go to a backend: what a person said counts, else what checks found."""
    told = down.get(key | TOLD, 0)
    if told:
        return told == UP
    return key | PROBED not in down


def goes_elsewhere(down: Mapping[int, int], key: int) -> bool:
    """Whether its connections, too, have nothing to hope from it."""
    told = down.get(key | TOLD, 0)
    return told == DOWN or (told != UP and key | PROBED in down)
