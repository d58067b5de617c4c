"""What the verifier knew at each instruction, beside what is really there in a run.

The verifier walks a program's paths, and comes by an instruction more than once. Shown is the state, of those that are
kept, that allows the run's values; paths it cut short, as a state before covered them, get the closest.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, NamedTuple
from bpfwright.errors import NotSupported
from bpfwright.spec.objects import ObjectSpec
from bpfwright.userspace.verifier import Profile, State, Verdict, verify
from bpfwright.userspace.verifier.kinds import BASE, MAYBE_NULL, SCALAR
from bpfwright.userspace.verifier.state import slot_text, text
from bpfwright.userspace.verifier.values import NOT_INIT, Reg, s64

if TYPE_CHECKING:
    from bpfwright.formats.btf import Btf

__all__ = ["Belief", "Beliefs"]

_MOST_STATES = 48  # of one instruction
_PATIENCE = 100_000  # instructions walked


class Belief(NamedTuple):
    """One state at one instruction: registers and stack slots as the kernel's log prints them. `fits`: it allows the
    run's values; `states` counts those that were kept for this instruction."""

    registers: dict[int, str]
    stack: dict[int, str]
    fits: bool
    states: int


class _Kept(NamedTuple):
    registers: dict[int, str]
    stack: dict[int, str]
    bounds: tuple[tuple[int, int, int, int, int, int, int], ...]  # number, smin, smax, umin, umax, value, mask
    pointers: tuple[tuple[int, bool], ...]  # number, whether it may be null


class Beliefs:
    """The verifier's states for one program of an object; `verdict` is what came of it, None when it cannot judge."""

    def __init__(self, spec: ObjectSpec, program: str, kernel_btf: Btf | None = None) -> None:
        self._kept: dict[int, list[_Kept]] = {}
        self.verdict: Verdict | None = None
        self.why = ""
        try:
            self.verdict = verify(spec, program, profile=Profile(limit=_PATIENCE), kernel_btf=kernel_btf,
                                  trace=self._note)
        except NotSupported as error:
            self.why = str(error)

    def at(self, slot: int, registers: tuple[int, ...]) -> Belief | None:
        """What was known before an instruction, in the state that fits best; None where the verifier never came."""
        kept = self._kept.get(slot)
        if not kept:
            return None
        best = min(kept, key=lambda each: _misfits(each, registers))
        return Belief(best.registers, best.stack, not _misfits(best, registers), len(kept))

    def _note(self, slot: int, state: State) -> None:
        kept = self._kept.setdefault(slot, [])
        if len(kept) >= _MOST_STATES:
            return
        regs: list[Reg] = state.regs
        live = [(number, reg) for number, reg in enumerate(regs) if reg.type != NOT_INIT]
        made = _Kept(
            {number: text(reg) for number, reg in live},
            {-8 * (index + 1): slot_text(slot) for index, slot in sorted(state.frame.stack.items())},
            tuple((n, r.smin, r.smax, r.umin, r.umax, r.value, r.mask) for n, r in live if r.type == SCALAR),
            tuple((n, bool(r.type & MAYBE_NULL)) for n, r in live if r.type & BASE != SCALAR))
        if made not in kept:
            kept.append(made)


def _misfits(kept: _Kept, registers: tuple[int, ...]) -> int:
    """How many registers hold what a state does not allow."""
    wrong = 0
    for number, smin, smax, umin, umax, value, mask in kept.bounds:
        real = registers[number]
        wrong += not (smin <= s64(real) <= smax and umin <= real <= umax and real & ~mask & (1 << 64) - 1 == value)
    return wrong + sum(1 for number, nullable in kept.pointers if not registers[number] and not nullable)
