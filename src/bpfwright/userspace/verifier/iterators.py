"""Open-coded iterators: a slot or more of the stack between bpf_iter_X_new and bpf_iter_X_destroy."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.stack import EMPTY
from bpfwright.userspace.verifier.state import Slot, State
from bpfwright.userspace.verifier.values import Reg, s64, zero_offset

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["ACTIVE", "DRAINED", "destroy", "new", "of_call", "slots"]

# What smin of the slot's register says; `range` counts the rounds.
ACTIVE, DRAINED = 1, 2
_KINDS = bytes([K.S_ITER] * 8)


def of_call(w: Walk, index: int, state: State) -> Reg | None:
    """The iterator that a call of bpf_iter_X_next is about."""
    reg = state.regs[1]
    if reg.type != K.STACK or reg.mask:
        return None
    slot = state.frames[reg.frame].stack.get((-(reg.off + s64(reg.value)) - 1) >> 3)
    return slot.reg if slot is not None and slot.kinds[7] == K.S_ITER else None


def _place(w: Walk, number: int, reg: Reg, count: int) -> int:
    if reg.type != K.STACK:
        raise Rejected(R.ITERATOR, f"r{number} is a {K.name(reg.type)}, not an iterator", "an iterator on the stack",
                       (number,))
    if reg.mask:
        raise Rejected(R.ITERATOR, "an iterator stands at a constant offset", "", (number,))
    offset = reg.off + s64(reg.value)
    if not offset and count == 1 and w.profile.iterator_at_end:
        return 0            # the kernel rounds towards zero: the frame's end is its first slot, and is overwritten
    if offset % 8 or not -512 <= offset <= -8 * count:
        raise Rejected(R.ITERATOR, f"r{number} cannot hold an iterator: it takes {8 * count} aligned bytes of stack",
                       "", (number,))
    return -offset // 8 - 1


def new(w: Walk, reg: Reg, kind: str, count: int, reference: int) -> None:
    """Mark the slots: the first one (lowest address) holds the state."""
    from bpfwright.userspace.verifier import stack
    at = _place(w, 1, reg, count)
    frame = w.state.frames[reg.frame]
    stack.grow(w, frame, -(reg.off + s64(reg.value)))
    for index in range(count):
        old = frame.stack.get(at - index)
        if old is not None and old.kinds[7] in (K.S_ITER, K.S_DYNPTR, K.S_IRQ):
            raise Rejected(R.ITERATOR, "the room for the iterator is in use", "its destruction before")
    for index in range(count):
        made = zero_offset(K.STACK)
        made.obj, made.range = kind, 0
        made.smin = ACTIVE
        made.ref = reference if index == 0 else 0
        frame.stack[at - index] = Slot(_KINDS, made)


def slots(w: Walk, reg: Reg, kind: str, count: int) -> tuple[int, Reg]:
    """The first slot of an iterator that was made, and its state."""
    at = _place(w, 1, reg, count)
    w.stack_use.read(w, reg.frame, sum(1 << at - index for index in range(count)))
    stack = w.state.frames[reg.frame].stack
    for index in range(count):
        slot = stack.get(at - index)
        if slot is None or slot.kinds != _KINDS or slot.reg is None or slot.reg.obj != kind or (
                bool(slot.reg.ref) != (index == 0)):
            raise Rejected(R.ITERATOR, "there is no initialised iterator of this kind", "its bpf_iter_..._new before, "
                           "on every path", (1,))
    first = stack[at].reg
    assert first is not None
    return at, first


def change(w: Walk, state: State, frame: int, at: int, smin: int, rounds: int) -> None:
    """Set the state of an iterator."""
    old = state.frames[frame].stack[at].reg
    assert old is not None
    made = old.copy()
    made.smin, made.range = smin, rounds
    state.frames[frame].stack[at] = Slot(_KINDS, made)


def destroy(w: Walk, reg: Reg, kind: str, count: int) -> None:
    at, first = slots(w, reg, kind, count)
    from bpfwright.userspace.verifier.calls import release
    release(w, first.ref)
    frame = w.state.frames[reg.frame]
    for index in range(count):
        frame.stack[at - index] = EMPTY
