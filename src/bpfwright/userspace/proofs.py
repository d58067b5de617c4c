"""What must have run: statements without instructions of their own, from those that ran around them.

The compiler leaves no instruction of many statements: `return xdp.PASS` is a jump to the end, a test that an earlier
one has decided is gone. It also moves arithmetic in front of the test that leads to it, or leaves it out on one of
several ways to it. So an instruction proves its statement only if it cannot be moved: a call, an atomic, a load or
store outside the stack (`firm`). The rest follows from these rules, and nothing is guessed:

- backwards: a statement ran: so did all that every way to it leads through;
- forwards: so did all that every way from it to the function's end leads through. Not where a run may have ended
  early: after a fault, at a tail call, at the head of a `with`;
- between: a run went from a statement that ran to another, with no other line between. If every way from the one to
  the other leads through a statement, that one ran, and the arcs that all ways share were taken. Ways through
  `solid` statements are none: those leave a call or an atomic wherever they run. A statement that has a choice must
  have been left by a jump of its own; one that is not firm must be next to the other to count as reached. Where a
  function ended with a constant, a `return` of other constants is no way to its end, and one
  that alone can have given it ran;
- called: a statement ran that calls a function of the file in any case: that one was entered.
"""
from __future__ import annotations

from bpfwright._typing import Iterable
from bpfwright.userspace.statements import Flow
from bpfwright.userspace.transitions import Transition

__all__ = ["Proof"]

_MOST_ARCS = 200  # of the ways between two lines; beyond that nothing is said


class Proof:
    """What is known of one function: `ran` are statements (and its gate), `arcs` transitions between statements.

    `went` are transitions of lines; `stops` are statements that a run may have ended in.
    """

    __slots__ = ("arcs", "faulted", "firm", "flow", "open", "ran", "stops", "through")

    def __init__(self, flow: Flow, went: Iterable[Transition], *, firm: set[int], solid: set[int], stops: set[int],
                 faulted: bool) -> None:
        self.flow = flow
        self.ran: set[int] = set()
        self.arcs: set[tuple[int, int]] = set()
        self.open = [] if faulted else list(went)
        self.firm = firm
        self.through = flow.statements - solid
        self.stops = stops
        self.faulted = faulted

    def add(self, ran: set[int]) -> None:
        """These ran; so did what follows from it by the rules."""
        self._close(ran)
        for each in self.open:
            if each.value is not None:
                self._end(each.value)
        while True:
            left = []
            for each in self.open:
                if each.start not in self.ran:
                    left.append(each)
                elif self._counts(each):
                    arcs = _needed(self.flow, each.start, each.end, self.through, each.value)
                    self.arcs |= arcs
                    self._close({each for arc in arcs for each in arc} - self.ran)
            if len(left) == len(self.open):
                return
            self.open = left

    def _end(self, value: int) -> None:
        """The function returned this constant: where only one statement can have, it did."""
        ends = [each for each in self.flow.preceding.get(self.flow.gate, ()) if self.flow.may_return(each, value)]
        if len(ends) == 1:
            self._close({ends[0]} - self.ran)
            self.arcs.add((ends[0], self.flow.gate))

    def _counts(self, each: Transition) -> bool:
        flow = self.flow
        after = flow.following.get(each.start, set())
        if not each.branched and len(after) > 1 and each.start != flow.gate:
            return False
        return each.end in after or each.end in self.firm or each.end == flow.gate

    def _close(self, found: set[int]) -> None:
        flow = self.flow
        proved = set(found)
        for each in found:
            proved |= flow.before(each)
            if not self.faulted:
                proved |= flow.behind(each, self.stops)
        self.ran |= proved
        for here in proved:
            before, after = flow.preceding.get(here, set()), flow.following.get(here, set())
            if len(before) == 1 and here != flow.gate:
                self.arcs |= {(each, here) for each in before}
            if len(after) == 1 and not self.faulted and here not in self.stops and here not in flow.open_ended:
                self.arcs |= {(here, each) for each in after}


def _needed(flow: Flow, start: int, end: int, through: set[int], value: int | None,
            ) -> set[tuple[int, int]]:
    """The arcs that every way from `start` to `end` takes, of those that lead through `through` only
    and, at the function's end, by a `return` that can have given `value`."""
    inner = _reached(flow.following, start, through - {end}) & _reached(flow.preceding, end, through - {start})
    nodes = inner | {start}
    arcs = {(one, other) for one in nodes for other in flow.following.get(one, ())
            if (other in inner or other == end) and other != start}
    if value is not None:
        arcs = {arc for arc in arcs if arc[1] != flow.gate or flow.may_return(arc[0], value)}
    if len(arcs) > _MOST_ARCS:
        return set()
    return {arc for arc in arcs if not _leads(arcs, arc, start, end)} if _leads(arcs, None, start, end) else set()


def _reached(leads: dict[int, set[int]], start: int, through: set[int]) -> set[int]:
    found: set[int] = set()
    waiting = [start]
    while waiting:
        for each in leads.get(waiting.pop(), ()):
            if each in through and each not in found and each != start:
                found.add(each)
                waiting.append(each)
    return found


def _leads(arcs: set[tuple[int, int]], but: tuple[int, int] | None, start: int, end: int) -> bool:
    """Whether arcs lead from `start` to `end` without one of them."""
    leads: dict[int, list[int]] = {}
    for arc in arcs:
        if arc != but:
            leads.setdefault(arc[0], []).append(arc[1])
    seen = {start}
    waiting = [start]
    while waiting:
        for each in leads.get(waiting.pop(), ()):
            if each == end:
                return True
            if each not in seen:
                seen.add(each)
                waiting.append(each)
    return False
