"""Registers and stack slots that hold the same unknown number (or it plus a constant) learn together."""
from __future__ import annotations

from bpfwright.userspace.verifier.kinds import ADD_CONST, S_SPILL
from bpfwright.userspace.verifier.state import Slot, State
from bpfwright.userspace.verifier.values import SCALAR, Reg, alu64, known

__all__ = ["collect", "learn"]

MOST = 6        # how many one history entry holds


def collect(state: State, number: int, found: list[tuple[int, int, bool]]) -> None:
    """Add (frame, register or slot, is register) of all that share an id."""
    wanted = number & ~ADD_CONST
    for index in range(len(state.frames) - 1, -1, -1):
        frame = state.frames[index]
        regs = frame.regs
        for at in range(10):
            reg = regs[at]
            if reg.id & ~ADD_CONST == wanted and reg.type == SCALAR:
                _add(found, (index, at, True))
        for at in sorted(frame.stack):
            slot = frame.stack[at]
            if slot.kinds[7] == S_SPILL and slot.reg is not None and slot.reg.type == SCALAR and (
                    slot.reg.id & ~ADD_CONST == wanted):
                _add(found, (index, at, False))


def _add(found: list[tuple[int, int, bool]], entry: tuple[int, int, bool]) -> None:
    if len(found) < MOST:
        found.append(entry)


def learn(state: State, fresh: Reg, linked: list[tuple[int, int, bool]]) -> None:
    """What is now known of one number, told to all that are linked to it; those that found no room lose the link."""
    wanted = fresh.id & ~ADD_CONST
    if len(linked) >= MOST:
        _unlink_others(state, wanted, linked)
    for index, at, is_register in linked:
        frame = state.frames[index]
        if is_register:
            reg = frame.regs[at]
            if reg is not fresh and reg.type == SCALAR and reg.id & ~ADD_CONST == wanted:
                frame.regs[at] = _synced(reg, fresh)
        else:
            slot = frame.stack.get(at)
            if slot is not None and slot.reg is not None and slot.kinds[7] == S_SPILL and (
                    slot.reg.type == SCALAR and slot.reg.id & ~ADD_CONST == wanted and slot.reg is not fresh):
                frame.stack[at] = Slot(slot.kinds, _synced(slot.reg, fresh))


def _synced(reg: Reg, fresh: Reg) -> Reg:
    if (not reg.id & ADD_CONST and not fresh.id & ADD_CONST) or reg.off == fresh.off:
        new = fresh.copy()
        new.id, new.off = reg.id, reg.off
        return new
    new = fresh.copy()
    alu64("add", new, known(reg.off - fresh.off))
    new.id, new.off = reg.id, reg.off
    return new


def _unlink_others(state: State, wanted: int, linked: list[tuple[int, int, bool]]) -> None:
    kept = set(linked)
    for index, frame in enumerate(state.frames):
        for at in range(10):
            reg = frame.regs[at]
            if reg.type == SCALAR and reg.id & ~ADD_CONST == wanted and (index, at, True) not in kept:
                frame.regs[at] = _alone(reg)
        for at, slot in frame.stack.items():
            reg_ = slot.reg
            if reg_ is not None and reg_.type == SCALAR and reg_.id & ~ADD_CONST == wanted and (
                    (index, at, False) not in kept):
                frame.stack[at] = Slot(slot.kinds, _alone(reg_))


def _alone(reg: Reg) -> Reg:
    new = reg.copy()
    new.id = new.off = 0
    return new
