"""The search: turns the decisions of runs, those nearest to the refused instruction first, until a run faults."""
from __future__ import annotations

from heapq import heappop, heappush
from random import Random

from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Callable, NamedTuple
from bpfwright.errors import Fault
from bpfwright.userspace.counterexamples.distances import distances
from bpfwright.userspace.counterexamples.expressions import Variable
from bpfwright.userspace.counterexamples.following import Event
from bpfwright.userspace.counterexamples.inputs import PACKETS, Input, seeds
from bpfwright.userspace.counterexamples.running import Ran, Runner
from bpfwright.userspace.counterexamples.shrinking import shrunk
from bpfwright.userspace.counterexamples.solving import Condition, solve
from bpfwright.userspace.verifier import reasons as R

if TYPE_CHECKING:
    from bpfwright.formats.btf.reader import Btf
    from bpfwright.spec.objects import ObjectSpec
    from bpfwright.userspace.verifier.verdict import Verdict

__all__ = ["Counterexample", "Search", "search"]

_HELD = frozenset((R.REFERENCE, R.LOCK, R.ITERATOR, R.DYNPTR))
_ENDLESS = frozenset((R.LOOP, R.TOO_COMPLEX))
_LONGER = 1_000_000  # instructions after which a program that was to end is taken not to
_GIVES_UP = 400  # runs in a row that showed nothing new
_ELSEWHERE_NS = 1_500_000_000  # how long to look for a fault at the very place, when there is another one
_PER_RUN, _AWAY = 3, 40


class Counterexample(NamedTuple):
    """An input on which a program faults. `there` says whether it does so at the instruction that was refused, or in
    the way that it was refused for; otherwise the program has another fault that the verifier did not come to."""

    given: Input
    fault: Fault
    there: bool


class Search(NamedTuple):
    """What a search gave: the counterexample, if there is one, and how many runs it took."""

    found: Counterexample | None
    runs: int
    seconds: float


def search(spec: ObjectSpec, program: str, verdict: Verdict, *, seconds: float = 5.0, seed: int = 0,
           kernel_btf: Btf | None = None) -> Search:
    """Look for an input on which a refused program faults when every access is checked (userspace/strict.py).

    What is found was run again in a machine of its own, on the program as it is, and made small. Raises NotSupported
    for programs that the userspace machine cannot run.
    """
    began = now_ns()
    endless = verdict.reason in _ENDLESS
    with Runner(spec, program, kernel_btf, small=True, budget=200_000 if endless else 30_000) as runner:
        looking = _Searcher(runner, verdict, began + int(seconds * 0.8e9), Random(seed))
        looking.go()
        runs = runner.runs
    until = began + int(seconds * 1e9)
    for candidate in looking.candidates():
        found, more = _confirmed(spec, program, kernel_btf, candidate, lambda: endless or now_ns() > until)
        runs += more
        if found is not None:
            return Search(found, runs, (now_ns() - began) / 1e9)
    return Search(None, runs, (now_ns() - began) / 1e9)


def _confirmed(spec: ObjectSpec, program: str, kernel_btf: Btf | None, candidate: Counterexample,
               over: Callable[[], bool]) -> tuple[Counterexample | None, int]:
    """The same on the program as it is, made small, and once more in a fresh machine; and how many runs that took."""
    with Runner(spec, program, kernel_btf, budget=_LONGER) as runner:
        if not _same(runner.run(candidate.given), candidate.fault):
            return None, runner.runs
        small = shrunk(candidate.given, lambda given: _same(runner.run(given), candidate.fault), over)
        runs = runner.runs + 1
    with Runner(spec, program, kernel_btf, budget=_LONGER) as fresh:
        last = fresh.run(small)
    if last.fault is None or not _same(last, candidate.fault):
        return None, runs
    return Counterexample(small, last.fault, candidate.there), runs


def _same(ran: Ran, fault: Fault) -> bool:
    """Endless runs are stopped somewhere: where says nothing."""
    return ran.fault is not None and ran.sure and ran.fault.kind == fault.kind and (
        ran.fault.instruction == fault.instruction or fault.kind == "budget")


class _Followed(NamedTuple):
    """A run whose decisions are known."""

    given: Input
    events: list[Event]
    before: list[tuple[Condition, set[Variable]]]
    behind: list[int]  # of each event, how many conditions came before it
    values: dict[Variable, int]
    bases: dict[tuple[str, bytes], bytes]


class _Searcher:
    def __init__(self, runner: Runner, verdict: Verdict, until: int, random: Random) -> None:
        self.runner = runner
        self.verdict = verdict
        self.until = until
        self.random = random
        self.distances = distances(runner.code, verdict.instruction)
        self.tries: dict[tuple[str, int, bool], int] = {}
        self.waiting: list[tuple[float, int, int, _Followed, int]] = []
        self.known: set[Input] = set()
        self.corpus: list[Input] = []
        self.there: Counterexample | None = None
        self.elsewhere: Counterexample | None = None
        self.order = 0

    def candidates(self) -> list[Counterexample]:
        """What was found, the best first."""
        return [each for each in (self.there, self.elsewhere) if each is not None]

    def over(self) -> bool:
        return self.there is not None or now_ns() > self.until

    def go(self) -> None:
        for given in seeds(self.runner.program.spec.type):
            if self.over():
                return
            self.follow(given)
        idle = 0
        while not self.over() and idle < _GIVES_UP:
            if self.waiting:
                self.turn_one()
            else:
                idle = 0 if self.follow(self.changed()) else idle + 1

    def follow(self, given: Input) -> bool:
        """Run one input, and take in which decisions it leads to; whether it was new in any."""
        if given in self.known:
            return False
        self.known.add(given)
        ran = self.runner.run(given, follow=True)
        if ran.fault is not None:
            self.judge(given, ran)
        follower = self.runner.follower
        before: list[tuple[Condition, set[Variable]]] = []
        behind: list[int] = []
        for event in follower.events:
            behind.append(len(before))
            if event.kind == "condition" and event.condition is not None:
                before.append((event.condition, event.condition.names()))
        followed = _Followed(given, follower.events, before, behind, follower.values, follower.bases)
        new = False
        times: dict[tuple[str, int, bool], int] = {}
        last = {(event.kind, event.at): index for index, event in enumerate(follower.events)}
        for index, event in enumerate(follower.events):
            key = _key(event)
            times[key] = times.get(key, 0) + 1
            if times[key] > _PER_RUN and last[event.kind, event.at] != index:
                continue
            if key not in self.tries:
                self.tries[key] = 0
                new = True
            self.push(followed, index)
        if new or not self.corpus:
            self.corpus.append(given)
        return new

    def push(self, followed: _Followed, index: int) -> None:
        event = followed.events[index]
        tries = self.tries[_key(event)]
        if event.kind == "access":
            price = -100.0 if event.at == self.verdict.instruction else self.distances[event.at] + _AWAY
        else:
            price = float(self.distances[event.place] if event.place >= 0 else self.distances[event.at])
        self.order -= 1  # of those that cost the same the newest first: a loop's next round before another first one
        heappush(self.waiting, (price + 10 * tries + followed.behind[index] / 20, self.order, tries, followed, index))

    def turn_one(self) -> None:
        """Turn the decision that seems nearest to the goal."""
        _, _, tries, followed, index = heappop(self.waiting)
        event = followed.events[index]
        key = _key(event)
        if self.tries[key] != tries:
            if self.tries[key] < 200:
                self.push(followed, index)
            return
        self.tries[key] += 1
        turned = self.turned(followed, index)
        if turned is not None:
            self.follow(turned)

    def turned(self, followed: _Followed, index: int) -> Input | None:
        """An input that should make this decision go the other way."""
        event, given = followed.events[index], followed.given
        if event.kind == "lookup":
            if event.held:
                return given.without_entry(event.name, event.key)
            return given.with_entry(event.name, event.key, b"")
        if event.kind == "full":
            return given.with_room(event.name, event.room if event.held else None)
        if event.kind == "task":
            return given._replace(lonely=event.held)
        if event.kind == "socket":
            return given._replace(socket=not event.held)
        assert event.condition is not None
        found = solve(followed.before[:followed.behind[index]], event.condition.turned(), followed.values, self.random,
                      self.tries[_key(event)])
        if not found:
            return None
        for name, key in {(variable[1], variable[2]) for variable in found if variable[0] == "map"}:
            if not any(each[:2] == (name, key) for each in given.entries):
                given = given.with_entry(name, key, followed.bases.get((name, key), b""))
        return given.with_values(found)

    def judge(self, given: Input, ran: Ran) -> None:
        fault = ran.fault
        assert fault is not None
        reason = self.verdict.reason
        if not ran.sure or (fault.kind == "budget" and reason not in _ENDLESS):
            return
        there = fault.instruction == self.verdict.instruction or (fault.kind == "held" and reason in _HELD) or (
            fault.kind == "budget" and reason in _ENDLESS)
        if there:
            self.there = Counterexample(given, fault, True)
        elif self.elsewhere is None:
            self.elsewhere = Counterexample(given, fault, False)
            self.until = min(self.until, now_ns() + _ELSEWHERE_NS)

    def changed(self) -> Input:
        """Some input that was new once, changed at random."""
        random = self.random
        given = random.choice(self.corpus)
        for _ in range(random.choice((1, 1, 2, 4))):
            choice = random.randrange(4)
            if choice == 0 and self.runner.program.spec.type in PACKETS:
                size = max(14, random.choice((14, 20, 34, 42, 54, 64, 128, random.randrange(14, 200))))
                given = given._replace(data=given.data[:size].ljust(size, b"\0"))
            elif choice == 1 and given.entries:
                name, key, value = random.choice(given.entries)
                given = given.with_entry(name, key, _noise(random, value.ljust(16, b"\0")))
            elif choice == 2 and self.runner.free:
                context = bytearray(given.context)
                at = random.choice(sorted(self.runner.free))
                context[at] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
                given = given._replace(context=bytes(context))
            elif given.data:
                given = given._replace(data=_noise(random, given.data))
        return given


def _noise(random: Random, data: bytes) -> bytes:
    found = bytearray(data)
    found[random.randrange(len(found))] = random.choice((0, 1, 127, 128, 255, random.randrange(256)))
    return bytes(found)


def _key(event: Event) -> tuple[str, int, bool]:
    return event.kind, event.at, event.condition.held if event.condition is not None else event.held
