"""When frames are due: so many a second, at a capture's own times, or as many as go."""
from __future__ import annotations

from bisect import bisect_right

from bpfwright._typing import Protocol, Sequence

__all__ = ["AtOnce", "AtTimes", "Evenly", "Pace"]

_STEP_S = 0.001  # frames of a millisecond leave together: shorter sleeps cost more than they give
_MOST = 1 << 14  # frames of one test run, so that it can be stopped
_LONGEST_S = 0.05


class Pace(Protocol):
    """Says what is due; with `makes_up` also when it is late."""

    makes_up: bool

    def due(self, elapsed_s: float, sent: int) -> int:
        """How many frames are to be sent now; 0: none yet."""

    def wait_s(self, elapsed_s: float, sent: int) -> float:
        """How long until there may be some."""


class AtOnce:
    """As many as go."""

    makes_up = False

    def due(self, elapsed_s: float, sent: int) -> int:
        return _MOST

    def wait_s(self, elapsed_s: float, sent: int) -> float:
        return 0.0


class Evenly:
    """`rate` frames a second: those of a millisecond together, and what is late is made up for."""

    makes_up = True

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.step = max(1, int(rate * _STEP_S))

    def due(self, elapsed_s: float, sent: int) -> int:
        missing = int(elapsed_s * self.rate) + 1 - sent
        return min(missing, _MOST) if missing >= self.step else 0

    def wait_s(self, elapsed_s: float, sent: int) -> float:
        return min(max(0.0, (sent + self.step - 1) / self.rate - elapsed_s), _LONGEST_S)


class AtTimes:
    """At given times (ns from the first), over and over, `speed` times as fast."""

    makes_up = True

    def __init__(self, times_ns: Sequence[int], speed: float) -> None:
        self.times_s = [time / 1e9 / speed for time in sorted(times_ns)]
        # From the last frame to the first of the next round: a gap like the others.
        count = len(self.times_s)
        self.round_s = self.times_s[-1] * count / (count - 1) if count > 1 and self.times_s[-1] else _STEP_S

    def due(self, elapsed_s: float, sent: int) -> int:
        rounds, rest = divmod(elapsed_s, self.round_s)
        return min(int(rounds) * len(self.times_s) + bisect_right(self.times_s, rest) - sent, _MOST)

    def wait_s(self, elapsed_s: float, sent: int) -> float:
        rounds, place = divmod(sent, len(self.times_s))
        return min(max(0.0, rounds * self.round_s + self.times_s[place] - elapsed_s), _LONGEST_S)
