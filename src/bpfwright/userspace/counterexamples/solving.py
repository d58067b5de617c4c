"""Finds input that turns a decision of a run the other way, and leaves those before it as they were."""
from __future__ import annotations

from random import Random

from bpfwright._typing import Iterator, Mapping, NamedTuple, Sequence
from bpfwright.formats.isa.semantics import COMPARISONS, signed
from bpfwright.userspace.counterexamples.expressions import (Expression, Term, Variable, evaluate, invert, most,
                                                             variables)

__all__ = ["Condition", "solve"]

_MOST_REPAIRS, _GUESSES = 40, 6
_NEAR = (*range(1, 17), 20, 24, 28, 32, 40, 48, 64, 128, 256, 1024, 4096, 1 << 16, 1 << 31)


class Condition(NamedTuple):
    """A comparison of two terms, and whether it held."""

    op: str
    a: Term
    b: Term
    bits: int
    held: bool

    def holds(self, values: Mapping[Variable, int]) -> bool:
        """Whether it is as it was."""
        mask = (1 << self.bits) - 1
        now = COMPARISONS[self.op].holds(evaluate(self.a, values) & mask, evaluate(self.b, values) & mask, self.bits)
        return now == self.held

    def turned(self) -> Condition:
        """The same, the other way."""
        return self._replace(held=not self.held)

    def names(self) -> set[Variable]:
        return variables(self.a) | variables(self.b)


def solve(before: Sequence[tuple[Condition, set[Variable]]], goal: Condition, values: Mapping[Variable, int],
          random: Random, effort: int = 1) -> dict[Variable, int] | None:
    """Values of some variables with which `goal` holds and so does what came before; None when none was found.

    `before` pairs conditions with their variables; `effort` says how long to try, from 1 on.
    """
    related = _related(before, goal.names())
    now = dict(values)
    conditions = [*related, goal]
    chosen: dict[Variable, int] = {}
    best: tuple[int, dict[Variable, int]] | None = None
    for candidate in _candidates(goal, now, random, _GUESSES * effort):
        merged = now | candidate
        wrong = sum(not each.holds(merged) for each in conditions)
        if not wrong:
            return candidate
        if best is None or wrong < best[0]:
            best = wrong, candidate
    if best is None:
        return None
    chosen = dict(best[1])
    for _ in range(min(4 * effort, _MOST_REPAIRS)):
        merged = now | chosen
        wrong_ones = [each for each in conditions if not each.holds(merged)]
        if not wrong_ones:
            return chosen
        pick = wrong_ones[0] if random.random() < 0.5 else random.choice(wrong_ones)
        following: tuple[int, dict[Variable, int]] | None = None
        for candidate in _candidates(pick, merged, random, _GUESSES):
            tried = chosen | candidate
            count = sum(not each.holds(now | tried) for each in conditions)
            if not count:
                return tried
            if following is None or count < following[0]:
                following = count, tried
        if following is None:
            return None
        chosen = following[1]
    return None


def _related(before: Sequence[tuple[Condition, set[Variable]]], names: set[Variable]) -> list[Condition]:
    """Those that share variables with the goal, directly or through others."""
    names = set(names)
    waiting = list(before)
    found: list[Condition] = []
    while True:
        near = [each for each in waiting if each[1] & names]
        if not near:
            return found
        waiting = [each for each in waiting if not each[1] & names]
        for condition, of in near:
            found.append(condition)
            names |= of


def _candidates(wanted: Condition, values: Mapping[Variable, int], random: Random, guesses: int,
                ) -> Iterator[dict[Variable, int]]:
    """Assignments that make one condition hold: by working backwards, then by guessing."""
    mask = (1 << wanted.bits) - 1
    a, b = evaluate(wanted.a, values) & mask, evaluate(wanted.b, values) & mask
    seen = set()
    for term, targets in ((wanted.a, _targets(wanted.op, wanted.held, a, b, wanted.bits, random)),
                          (wanted.b, _targets(_MIRRORED[wanted.op], wanted.held, b, a, wanted.bits, random))):
        if not isinstance(term, Expression):
            continue
        upper = evaluate(term, values) & ~mask if term.bits > wanted.bits else 0
        reach = most(term)
        for target in targets:
            if target >> term.bits or target & ~reach & mask:
                continue
            found = invert(term, target | upper, values)
            key = tuple(sorted(found.items())) if found else None
            if found and key not in seen:
                seen.add(key)
                yield found
    names = sorted(wanted.names(), key=repr)
    for _ in range(guesses if names else 0):
        count = min(len(names), random.choice((1, 1, 2, 4)))
        guess = {name: _guess(name, values[name], random) for name in random.sample(names, count)}
        if wanted.holds({**values, **guess}):
            yield guess


def _guess(name: Variable, now: int, random: Random) -> int:
    bits = 8 if name[0] in _BYTES else 11 if name[0] == "length" else 32
    choice = random.randrange(4)
    if choice == 0:
        return random.getrandbits(bits)
    if choice == 1:
        return now ^ 1 << random.randrange(bits)
    if choice == 2:
        return now + random.choice((-1, 1)) & (1 << bits) - 1
    return random.choice((0, 1, (1 << bits) - 1, 1 << bits - 1))


_BYTES = frozenset(("data", "context", "map", "memory", "task", "byte"))
_MIRRORED = {"jeq": "jeq", "jne": "jne", "jset": "jset", "jgt": "jlt", "jlt": "jgt", "jge": "jle", "jle": "jge",
             "jsgt": "jslt", "jslt": "jsgt", "jsge": "jsle", "jsle": "jsge"}
_OPPOSITE = {"jeq": "jne", "jne": "jeq", "jgt": "jle", "jle": "jgt", "jlt": "jge", "jge": "jlt", "jsgt": "jsle",
             "jsle": "jsgt", "jslt": "jsge", "jsge": "jslt"}


def _targets(op: str, held: bool, a: int, b: int, bits: int, random: Random) -> list[int]:
    """Values of the left side with which `left op b` is as wanted."""
    mask, top = (1 << bits) - 1, 1 << bits - 1
    if op == "jset":
        low = b & -b
        return [a | low, b, low, mask, a | b] if held else [a & ~b & mask, 0]
    op = op if held else _OPPOSITE[op]
    if op == "jeq":
        return [b]
    if op == "jne":
        return [b ^ 1, b + 1 & mask, b - 1 & mask, 0, mask, b ^ top, random.getrandbits(bits)]
    if op.startswith("js"):
        least, largest, edge = -top, top - 1, signed(b, bits)
    else:
        least, largest, edge = 0, mask, b
    found = [edge] if op[-1] == "e" else []
    if "g" in op:
        found += [edge + step for step in _NEAR] + [largest, (edge + largest) // 2]
        if edge < largest:
            found.append(random.randint(edge + 1, largest))
    else:
        found += [edge - step for step in _NEAR] + [least, 0, (edge + least) // 2]
        if least < edge:
            found.append(random.randint(least, edge - 1))
    return [each & mask for each in found if least <= each <= largest]
