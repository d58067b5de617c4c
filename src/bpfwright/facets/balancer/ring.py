"""Maglev rings: which backend stands at each place, by weights, and the same as Katran has where that is wanted.

Every backend walks all places in an order of its own and takes the next free one when it is its turn (Eisenbud et al.,
"Maglev", NSDI 2016, section 3.4). Turns are taken a round at a time: all backends of a round look for a place at once,
and where two want the same place the earlier one has it and the other looks on. That ends as if they had gone one after
the other, because a place always prefers the earlier backend.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Iterator, Literal, NamedTuple, Sequence
from bpfwright.errors import UsageError
from bpfwright.facets.balancer.hashes import murmur3_two

if TYPE_CHECKING:
    import numpy

__all__ = ["SIZE", "SIZES", "Endpoint", "moved", "ring"]

SIZE = 65537
"""Places of a ring unless told otherwise: a prime, as all sizes must be, and the largest whose walks reach all places
where sums have 32 bits."""

SIZES = (251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 65537)
"""Primes that are in use elsewhere, for small and large sets of backends."""

_FREE = -1
_WRAPS = 0xFFFFFFFF
_MOST_STEPS = 512
_FEW = 48
"""Rounds of fewer backends are so many that one after the other is quicker."""


class Endpoint(NamedTuple):
    """A backend in a ring: the number that its places hold, the hash it walks by, its weight (0: no place)."""

    number: int
    hash: int
    weight: int = 1


def ring(endpoints: Sequence[Endpoint], *, size: int = SIZE,
         weights: Literal["proportional", "first round"] = "proportional") -> numpy.ndarray:
    """The number of the backend at each of `size` places (int32); 0 everywhere when nobody has any weight.

    Places are shared in proportion to weights, or, as Katran does unless told otherwise, in one round by weight and
    then evenly. Only hashes count, not the order in which endpoints are given. UsageError: a size that is no prime, two
    endpoints of one number or hash, a weight below 0.
    """
    import numpy as np
    _check(endpoints, size)
    chosen = sorted((each for each in endpoints if each.weight), key=lambda each: each.hash)
    if len(chosen) < 2:
        return np.full(size, chosen[0].number if chosen else 0, np.int32)
    places = _Places(chosen, size)
    by_weight = np.array([each.weight for each in chosen], np.int64)
    if weights == "first round":
        for taker, weight in enumerate(by_weight):
            places.take_in_a_row(taker, int(weight))
        by_weight[:] = 1
    if len(chosen) < _FEW:
        places.take_singly(by_weight.tolist())
    for takers in _by_weight(by_weight):
        if not places.free or places.take(takers):
            break
    return np.array([each.number for each in chosen], np.int32)[places.holders]


def moved(before: numpy.ndarray, after: numpy.ndarray) -> int:
    """How many places changed their backend; a table in the kernel needs to be written at these alone."""
    return int((before != after).sum())


def _check(endpoints: Sequence[Endpoint], size: int) -> None:
    if not 1 < size <= SIZE or any(size % divisor == 0 for divisor in range(2, int(size ** 0.5) + 1)):
        raise UsageError(f"a ring cannot have {size} places",
                         why="Backends reach all places only if it is a prime, 65537 at most.",
                         cure=f"Take one of {', '.join(map(str, SIZES))}.")
    for what in ("number", "hash"):
        if len({getattr(each, what) for each in endpoints}) < len(endpoints):
            raise UsageError(f"two backends of a ring have the same {what}")
    for each in endpoints:
        if each.weight < 0:
            raise UsageError(f"backend {each.number} has the weight {each.weight}", cure="0 takes it out.")


def _by_weight(weights: numpy.ndarray) -> Iterator[numpy.ndarray]:
    """Rounds in which the heaviest always has a turn, and the others as often as their weight asks for."""
    import numpy as np
    most = weights.max()
    gathered = np.zeros_like(weights)
    while True:
        gathered += weights
        turn = gathered >= most
        gathered[turn] -= most
        yield np.flatnonzero(turn)


class _Places:
    """The ring while it fills."""

    def __init__(self, endpoints: list[Endpoint], size: int) -> None:
        import numpy as np
        self.size = size
        self.holders = np.full(size, _FREE, np.int32)
        self.free = size
        self.walks = [_walk(each.hash, size) for each in endpoints]
        offsets, skips = zip(*self.walks, strict=True)
        self.offsets = np.array(offsets, np.uint32)
        self.skips = np.array(skips, np.uint32)
        self.steps = np.zeros(len(endpoints), np.uint32)
        self._nobody = len(endpoints)
        self._wanted_by = np.full(size, self._nobody, np.int64)

    def take(self, takers: numpy.ndarray) -> bool:
        """One place for each of these, as if one after the other; true when none is left."""
        import numpy as np
        takers = takers[:self.free]
        if len(takers) == self.free:
            self._share_last(takers)
            return True
        looking = takers
        while len(looking):
            self._look_on(looking)
            at = self._at(takers)
            np.minimum.at(self._wanted_by, at, takers)
            looking = takers[self._wanted_by[at] != takers]
            self._wanted_by[at] = self._nobody
            self.steps[looking] += np.uint32(1)
        self.holders[self._at(takers)] = takers
        self.steps[takers] += np.uint32(1)
        self.free -= len(takers)
        return False

    def take_in_a_row(self, taker: int, count: int) -> None:
        """The next places of one backend, as many as it asks for and there are."""
        import numpy as np
        offset, skip = self.walks[taker]
        count = min(count, self.free)
        while count:
            step = int(self.steps[taker])
            length = min(count * self.size // self.free + 1, (_WRAPS - offset) // skip + 1 - step)
            if length <= 0:
                self._put(self._walked(taker), taker)
                count -= 1
                continue
            walk = (offset + (step + np.arange(length, dtype=np.int64)) * skip) % self.size
            found = np.flatnonzero(self.holders[walk] == _FREE)[:count]
            self.holders[walk[found]] = taker
            self.steps[taker] = step + (int(found[-1]) + 1 if len(found) == count else length)
            self.free -= len(found)
            count -= len(found)

    def take_singly(self, weights: list[int]) -> None:
        """All places, the rounds of `_by_weight` gone through one turn after the other."""
        import numpy as np
        holders, size, steps = self.holders.tolist(), self.size, self.steps.tolist()
        most, gathered, free = max(weights), [0] * len(weights), self.free
        while free:
            for taker, weight in enumerate(weights):
                gathered[taker] += weight
                if gathered[taker] < most:
                    continue
                gathered[taker] -= most
                offset, skip = self.walks[taker]
                step = steps[taker]
                while holders[place := (offset + step * skip & _WRAPS) % size] != _FREE:
                    step += 1
                holders[place] = taker
                steps[taker] = step + 1
                free -= 1
                if not free:
                    break
        self.holders, self.free = np.array(holders, np.int32), 0

    def _put(self, place: int, taker: int) -> None:
        self.holders[place] = taker
        self.free -= 1

    def _at(self, those: numpy.ndarray) -> numpy.ndarray:
        """Where they stand. The sum wraps at 32 bits, as Katran's does; that happens in a walk's last two steps."""
        import numpy as np
        found: numpy.ndarray = (self.offsets[those] + self.steps[those] * self.skips[those]) % np.uint32(self.size)
        return found

    def _look_on(self, those: numpy.ndarray) -> None:
        """Each to its next free place: so many steps at once that most find one."""
        import numpy as np
        ahead = np.arange(min(2 * self.size // self.free + 1, _MOST_STEPS), dtype=np.uint32)
        while len(those):
            steps = self.steps[those, None] + ahead
            at = (self.offsets[those, None] + steps * self.skips[those, None]) % np.uint32(self.size)
            free = self.holders[at] == _FREE
            first = free.argmax(axis=1)
            found = free[np.arange(len(those)), first]
            self.steps[those] += np.where(found, first, len(ahead)).astype(np.uint32)
            those = those[~found]

    def _share_last(self, takers: numpy.ndarray) -> None:
        """The last places, which are far apart in every walk: not searched for, but asked when the walk comes by."""
        import numpy as np
        left = np.flatnonzero(self.holders == _FREE).astype(np.int64)
        strides = np.array([pow(self.walks[taker][1], -1, self.size) for taker in takers], np.int64)
        comes = (left - self.offsets[takers, None]) % self.size * strides[:, None] % self.size
        for row, taker in zip(comes, takers, strict=True):
            at = int(row.argmin())
            offset, skip = self.walks[taker]
            place = int(left[at])
            if offset + int(row[at]) * skip > _WRAPS:
                place = self._walked(int(taker))
                at = int(np.flatnonzero(left == place)[0])
            self.holders[place] = taker
            comes[:, at] = self.size
        self.free = 0

    def _walked(self, taker: int) -> int:
        """The next free place of a walk whose sums wrap before it comes there."""
        offset, skip = self.walks[taker]
        step = int(self.steps[taker])
        while True:
            self.steps[taker] = (step + 1) & _WRAPS
            place = (offset + step * skip & _WRAPS) % self.size
            if self.holders[place] == _FREE:
                return place
            step += 1


def _walk(hash: int, size: int) -> tuple[int, int]:
    """Where a backend's walk begins, and its stride."""
    return murmur3_two(hash, 42, 0) % size, murmur3_two(hash, 2718281828, 2307) % (size - 1) + 1
