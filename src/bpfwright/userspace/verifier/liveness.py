"""Which stack slots may still be read: marks that the walk leaves, spread backwards along the graph when asked.

A function is looked at once for each chain of calls that leads to it, because what it does to its callers' stacks
depends on them. Masks have 64 bits (slots) for each frame, the outermost frame's lowest.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.userspace.verifier.cfg import successors

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.program import Insn, Subprogram
    from bpfwright.userspace.verifier.state import State
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["Instance", "StackLiveness"]


class Instance:
    """A function as one chain of calls reaches it."""

    __slots__ = ("children", "depth", "live", "reads", "subprogram", "writes")

    def __init__(self, subprogram: Subprogram, depth: int) -> None:
        self.subprogram, self.depth = subprogram, depth
        self.reads: dict[int, int] = {}
        self.writes: dict[int, int] = {}
        self.children: dict[int, set[tuple[int, ...]]] = {}
        self.live: list[int] | None = None


class StackLiveness:
    """The marks of one verification."""

    __slots__ = ("_insns", "_instances", "_subprograms")

    def __init__(self, insns: list[Insn], subprograms: list[Subprogram]) -> None:
        self._insns, self._subprograms = insns, subprograms
        self._instances: dict[tuple[int, ...], Instance] = {}

    def _of(self, state: State) -> Instance:
        frame = state.frames[-1]
        found = self._instances.get(frame.chain)
        if found is None:
            found = Instance(self._subprograms[frame.subprog], frame.number)
            self._instances[frame.chain] = found
            if len(frame.chain) > 1:
                outer = self._instances.get(frame.chain[:-1])
                if outer is None and len(state.frames) > 1:
                    before = state.frames[-2]
                    outer = self._instances[before.chain] = Instance(self._subprograms[before.subprog], before.number)
                if outer is not None:
                    outer.children.setdefault(frame.chain[-1], set()).add(frame.chain)
        return found

    def read(self, w: Walk, frame: int, slots: int) -> None:
        """The instruction that runs reads slots (a mask) of a frame."""
        instance = self._of(w.state)
        mask = slots << 64 * frame
        old = instance.reads.get(w.insn, 0)
        if mask & ~old:
            instance.reads[w.insn] = old | mask
            self._changed(w.state.frames[-1].chain)

    def write(self, w: Walk, frame: int, slot: int) -> None:
        """The instruction that runs overwrites all of a slot; -1: it overwrites none."""
        instance = self._of(w.state)
        old = instance.writes.get(w.insn)
        mask = 1 << 64 * frame + slot if slot >= 0 else 0
        new = mask if old is None else old & mask
        if new != old:
            instance.writes[w.insn] = new
            self._changed(w.state.frames[-1].chain)

    def _changed(self, chain: tuple[int, ...]) -> None:
        for length in range(1, len(chain) + 1):
            instance = self._instances.get(chain[:length])
            if instance is not None:
                instance.live = None

    def alive(self, w: Walk, state: State, number: int) -> int:
        """The slots of frame `number` that may be read after a checkpoint."""
        last = len(state.frames) - 1
        mask = self._live(state.frames[last].chain, state.insn)
        for index in range(number, last):
            callsite = state.frames[index + 1].callsite
            at = callsite if callsite in w.flow.callback_calls else callsite + 1
            mask |= self._live(state.frames[index].chain, at)
        return mask >> 64 * number & (1 << 64) - 1

    def _live(self, chain: tuple[int, ...], index: int) -> int:
        instance = self._instances.get(chain)
        if instance is None:
            return 0
        if instance.live is None:
            self._spread(instance)
        assert instance.live is not None
        return instance.live[index - instance.subprogram.start]

    def _spread(self, instance: Instance) -> None:
        """Backwards to a fixed point."""
        one, insns = instance.subprogram, self._insns
        start, end = one.start, one.end
        outer = (1 << 64 * (instance.depth + 1)) - 1
        reads = dict(instance.reads)
        for callsite, chains in instance.children.items():
            for chain in chains:
                child = self._instances[chain]
                reads[callsite] = reads.get(callsite, 0) | self._live(chain, child.subprogram.start) & outer
        live = [0] * (end - start)
        changed = True
        while changed:
            changed = False
            for index in range(end - 1, start - 1, -1):
                after = 0
                for target in successors(insns, index):
                    if start <= target < end:
                        after |= live[target - start]
                now = after & ~instance.writes.get(index, 0) | reads.get(index, 0)
                if now != live[index - start]:
                    live[index - start] = now
                    changed = True
        instance.live = live
