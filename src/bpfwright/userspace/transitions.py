"""From which source line to which other a program certainly went, told from how often its instructions ran."""
from __future__ import annotations

from bpfwright._typing import Callable, NamedTuple, TypeVar
from bpfwright.userspace.code import Code
from bpfwright.userspace.counting import Counts, is_branch, leaders
from bpfwright.userspace.endings import Endings

__all__ = ["OUTSIDE", "Transition", "lines_by_slot", "transitions"]

L = TypeVar("L")
OUTSIDE = 0
"""Where a run is when it left the lines that are looked at: nothing is said of what it does there."""
_EXIT, _JA, _JA32, _CALL, _TAIL_CALL = 0x95, 0x05, 0x06, 0x85, 12
_MANY = "many"


class Transition(NamedTuple):
    """A run went from one line to another, with nothing but unknown instructions between. `branched`: it left the
    first by a conditional jump of that line. `value`: what the function returned when it ended so, where that was a
    constant; then the start may be OUTSIDE."""

    start: int
    end: int
    branched: bool
    value: int | None = None


def lines_by_slot(code: Code, label: Callable[[str, int], L]) -> list[L | None]:
    """`label(file, line)` of each instruction whose line is certain.

    A record of the line table holds up to the next one, but only within a straight run: the compiler leaves out
    records of instructions that belong to no line, and what another block begins with may be such.
    """
    records = {line.index: line for line in code.lines}
    begins = leaders(code)
    found: list[L | None] = [None] * len(code.slots)
    current: L | None = None
    for slot, instruction in enumerate(code.slots):
        if slot in begins:
            current = None
        record = records.get(slot)
        if record is not None:
            current = label(record.file, record.line)
        if instruction is not None:
            found[slot] = current
    return found


def edges(code: Code, counts: Counts) -> list[tuple[int, int]]:
    """(slot, next slot) of all that happened between instructions; the next is -1 where a function ended, and -2 where
    another program took over."""
    executed = counts.executed()
    taken = {slot: (yes, no) for slot, yes, no in counts.branches()}
    found: list[tuple[int, int]] = []
    for slot, instruction in enumerate(code.slots):
        if instruction is None or not executed[slot]:
            continue
        following = slot + instruction.slots
        if instruction.opcode == _EXIT:
            found.append((slot, -1))
        elif instruction.opcode in (_JA, _JA32):
            found.append((slot, code.target(slot)))
        elif slot in taken:
            yes, no = taken[slot]
            found += [(slot, code.target(slot))] * bool(yes) + [(slot, following)] * bool(no)
        elif leaves(code, slot):
            found += [(slot, -2)] + [(slot, following)] * bool(executed[following])
        else:
            found.append((slot, following))
    return found


def leaves(code: Code, slot: int) -> bool:
    """Whether an instruction is a tail call."""
    instruction = code.slots[slot]
    return instruction is not None and instruction.opcode == _CALL and not instruction.src \
        and instruction.imm == _TAIL_CALL


def transitions(code: Code, went: list[tuple[int, int]], line_of: list[int | None], gates: dict[int, int],
                endings: Endings) -> set[Transition]:
    """What certainly happened between lines.

    `line_of` gives each slot's line, None where that is unknown, OUTSIDE where it is none of those that are looked at;
    `gates` the line number that stands for entry and exit of the function that begins at a slot. A jump that was taken
    proves a transition when all ways on which it can have been reached come from one line, and all that lead on from it
    go to one: so nothing is put together of two different runs.
    """
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for start, end in went:
        after.setdefault(start, []).append(end)
        before.setdefault(end, []).append(start)
    ends = _gate_of(code, gates)

    def left(slot: int) -> tuple[int | None, bool]:
        instruction = code.slots[slot]
        return line_of[slot], instruction is not None and is_branch(instruction.opcode)

    sources: dict[int, object] = {}
    _spread(sources, [(slot, (gate, True)) for slot, gate in gates.items()], line_of, after,
            left)
    targets: dict[int, object] = {}
    ended: list[tuple[int, object]] = [(slot, ends[slot]) for slot in before.get(-1, ())]
    ended += [(slot, OUTSIDE) for slot in before.get(-2, ())]
    _spread(targets, ended, line_of, before, lambda slot: line_of[slot])
    found = set()
    for start, end in went:
        source = left(start) if line_of[start] is not None else sources.get(start)
        if end < 0:
            target: object = ends[start] if end == -1 else OUTSIDE
        else:
            target = line_of[end] if line_of[end] is not None else targets.get(end)
        if not isinstance(target, int) or not target:
            continue
        value = endings.of(start, end) if target < 0 else None
        line, branched = source if isinstance(source, tuple) else (OUTSIDE, False)
        if line != target and (line or value is not None):
            found.add(Transition(line, target, branched, value))
    return found


def _gate_of(code: Code, gates: dict[int, int]) -> list[int]:
    """The gate of the function that each slot is in."""
    found, current = [], OUTSIDE
    for slot in range(len(code.slots)):
        if slot in code.starts:
            current = gates.get(slot, OUTSIDE)
        found.append(current)
    return found


def _spread(known: dict[int, object], seeds: list[tuple[int, object]], line_of: list[int | None],
            leads: dict[int, list[int]], own: Callable[[int], object]) -> None:
    """What reaches each slot of unknown line: the one thing, or _MANY.

    `leads` are the slots behind each, or those in front of it. Slots of known line give their own.
    """
    waiting: list[tuple[int, object]] = [(slot, what) for slot, what in seeds if line_of[slot] is None]
    for slot, line in enumerate(line_of):
        if line is not None:
            waiting += [(each, own(slot)) for each in leads.get(slot, ()) if each >= 0 and line_of[each] is None]
    while waiting:
        slot, what = waiting.pop()
        had = known.get(slot)
        now = what if had is None else _both(had, what)
        if now == had:
            continue
        known[slot] = now
        waiting += [(each, now) for each in leads.get(slot, ()) if each >= 0 and line_of[each] is None]


def _both(one: object, other: object) -> object:
    if one == other:
        return one
    if isinstance(one, tuple) and isinstance(other, tuple) and one[0] == other[0]:
        return one[0], False
    return _MANY
