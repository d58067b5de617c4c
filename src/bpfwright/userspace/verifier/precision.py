"""Which numbers a verdict rests on: traced back from where a range was used to where it came from.

Checkpoints remember (`State.precise`) the registers and slots whose ranges mattered on the way to their verdict; only
those must be as narrow when another path comes by.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.userspace.verifier.state import State
from bpfwright.userspace.verifier.values import SCALAR

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["mark_chain", "propagate"]

_ARGUMENTS = 0b111110


class Lost(Exception):
    """The trace cannot go on: everything counts as precise."""


class _Trace:
    """Registers and slots, by frame, that are still looked for."""

    __slots__ = ("frame", "regs", "slots")

    def __init__(self, frame: int) -> None:
        self.frame = frame
        self.regs = [0] * 9
        self.slots = [0] * 9

    def empty(self) -> bool:
        return not any(self.regs) and not any(self.slots)


def mark_chain(w: Walk, number: int) -> None:
    """The range of a register matters where the walk stands."""
    state = w.state
    trace = _Trace(len(state.frames) - 1)
    trace.regs[trace.frame] = 1 << number
    _back(w, state, trace, True)


def mark_slot(w: Walk, frame: int, slot: int) -> None:
    """The number spilled in a slot matters where the walk stands."""
    trace = _Trace(len(w.state.frames) - 1)
    trace.slots[frame] = 1 << slot
    _back(w, w.state, trace, True)


def propagate(w: Walk, old: State, current: State) -> bool:
    """The path is cut at `old`: what mattered after it matters on this path too. Whether that marked anything new."""
    trace = _Trace(len(current.frames) - 1)
    for frame, (regs, slots) in enumerate(old.precise):
        for number in range(10):
            if regs >> number & 1 and old.frames[frame].regs[number].type == SCALAR:
                trace.regs[frame] |= 1 << number
        if slots:
            for at, slot in old.frames[frame].stack.items():
                if slots >> at & 1 and slot.spilled and slot.reg is not None and slot.reg.type == SCALAR:
                    trace.slots[frame] |= 1 << at
    return _back(w, current, trace, False)


def _back(w: Walk, start: State, trace: _Trace, running: bool) -> bool:
    """Walk back; `running` when the last instruction of the history is the one that uses the value."""
    state: State | None = start
    changed = False
    following = -1
    try:
        first = running
        while state is not None:
            history = state.history
            for position in range(len(history) - 1, -1, -1):
                index, notes = history[position]
                if first:
                    first = False
                else:
                    if not trace.regs[trace.frame] and trace.empty():
                        return changed
                    _step(w, trace, index, notes, following)
                following = index
            if trace.empty():
                return changed
            state = state.parent
            if state is None:
                break
            changed |= _mark(state, trace)
            if trace.empty():
                return changed
        return changed
    except Lost:
        state = start.parent
        while state is not None:
            changed |= _mark_all(state)
            state = state.parent
        return changed


def _mark(state: State, trace: _Trace) -> bool:
    """Mark a checkpoint; what was marked there before needs no further tracing."""
    changed = False
    if not state.precise:
        state.precise = [[0, 0] for _ in state.frames]
    for frame in range(trace.frame, -1, -1):
        if frame >= len(state.frames):
            raise Lost
        wanted = trace.regs[frame]
        marks = state.precise[frame]
        if wanted:
            regs = state.frames[frame].regs
            for number in range(10):
                bit = 1 << number
                if wanted & bit:
                    if regs[number].type != SCALAR or marks[0] & bit:
                        trace.regs[frame] &= ~bit
                    else:
                        marks[0] |= bit
                        changed = True
        wanted = trace.slots[frame]
        if wanted:
            stack = state.frames[frame].stack
            for at in range(64):
                bit = 1 << at
                if wanted & bit:
                    slot = stack.get(at)
                    if slot is None or not slot.spilled or slot.reg is None or slot.reg.type != SCALAR or (
                            marks[1] & bit):
                        trace.slots[frame] &= ~bit
                    else:
                        marks[1] |= bit
                        changed = True
    return changed


def _mark_all(state: State) -> bool:
    changed = False
    if not state.precise:
        state.precise = [[0, 0] for _ in state.frames]
    for frame, marks in zip(state.frames, state.precise, strict=True):
        regs = sum(1 << number for number in range(10) if frame.regs[number].type == SCALAR)
        slots = 0
        for at, slot in frame.stack.items():
            if slot.spilled and slot.reg is not None and slot.reg.type == SCALAR:
                slots |= 1 << at
        changed |= bool(regs & ~marks[0] or slots & ~marks[1])
        marks[0] |= regs
        marks[1] |= slots
    return changed


def _linked(trace: _Trace, notes: Any) -> None:
    """Registers that learnt together count together."""
    for note in notes or ():
        if isinstance(note, tuple) and note and isinstance(note[0], tuple):
            hit = any((trace.regs if is_register else trace.slots)[frame] >> at & 1 for frame, at, is_register in note)
            if hit:
                for frame, at, is_register in note:
                    (trace.regs if is_register else trace.slots)[frame] |= 1 << at


def _slot_of(notes: Any) -> tuple[int, int] | None:
    for note in notes or ():
        if isinstance(note, tuple) and note and note[0] == "stack":
            return note[1], note[2]
    return None


def _step(w: Walk, trace: _Trace, index: int, notes: Any, following: int) -> None:
    insn = w.insns[index]
    code = insn.code
    if notes:
        _linked(trace, notes)
    kind = code & 7
    frame = trace.frame
    regs = trace.regs
    dst, src = 1 << insn.dst, 1 << insn.src
    if kind in (4, 7):
        if regs[frame] & dst:
            op = code & 0xF0
            if op == 0xB0:
                regs[frame] &= ~dst
                if code & 8 and insn.src != 10:
                    regs[frame] |= src
            elif code & 8 and op not in (0x80, 0xD0) and insn.src != 10:
                regs[frame] |= src
    elif kind == 1 or (code & 0xE7 == 0xC3 and insn.imm == 0x100):
        if regs[frame] & dst:
            regs[frame] &= ~dst
            slot = _slot_of(notes)
            if slot is not None:
                trace.slots[slot[0]] |= 1 << slot[1]
    elif kind in (2, 3):
        if regs[frame] & dst:
            raise Lost
        slot = _slot_of(notes)
        if slot is not None and trace.slots[slot[0]] >> slot[1] & 1:
            trace.slots[slot[0]] &= ~(1 << slot[1])
            if kind == 3:
                regs[frame] |= src
    elif kind == 0:
        if regs[frame] & dst:
            regs[frame] &= ~dst
            if code & 0xE0 in (0x20, 0x40):
                raise Lost
    elif code == 0x85:
        _step_call(w, trace, index, insn, following)
    elif code == 0x95:
        _step_exit(w, trace, following)
    elif code & 8 and code not in (0x05, 0x06) and regs[frame] & (dst | src):
        stacks = next((note for note in notes or () if isinstance(note, int)), 0)
        if not stacks & 2:
            regs[frame] |= src
        if not stacks & 1:
            regs[frame] |= dst
    if notes:
        _linked(trace, notes)


def _step_call(w: Walk, trace: _Trace, index: int, insn: Any, following: int) -> None:
    regs, frame = trace.regs, trace.frame
    if insn.src == 1:
        callee = w.program.at.get(insn.target)
        if callee is not None and callee.is_global:
            if regs[frame] & _ARGUMENTS:
                raise Lost
            regs[frame] &= ~1
            return
        if following != index + 1:
            # The path enters the callee here: what it needs of its arguments, the caller had to bring.
            if regs[frame] & ~_ARGUMENTS or not frame:
                raise Lost
            wanted = regs[frame] & _ARGUMENTS
            regs[frame] = 0
            trace.slots[frame] = 0
            trace.frame -= 1
            regs[frame - 1] |= wanted
        return
    if index in w.flow.callback_calls and following != index + 1 and following >= 0:
        if regs[frame] & ~_ARGUMENTS or not frame:
            raise Lost
        regs[frame] = 0
        trace.slots[frame] = 0
        trace.frame -= 1
        return
    regs[frame] &= ~1
    if regs[frame] & _ARGUMENTS:
        raise Lost


def _step_exit(w: Walk, trace: _Trace, following: int) -> None:
    """Backwards over a return: into the callee."""
    regs, frame = trace.regs, trace.frame
    if following in w.flow.callback_calls:
        regs[frame] &= ~_ARGUMENTS
    if regs[frame] & _ARGUMENTS:
        raise Lost
    called = following > 0 and w.insns[following - 1].code == 0x85 and w.insns[following - 1].src == 1
    wanted = called and regs[frame] & 1
    regs[frame] &= ~1
    if frame >= 7:
        raise Lost
    trace.frame += 1
    if wanted:
        regs[trace.frame] |= 1
