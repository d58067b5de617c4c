"""Dynptrs on the stack: two slots that say where data is, made, used and released by helpers."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier import stack
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.stack import EMPTY
from bpfwright.userspace.verifier.state import Slot, replace_all
from bpfwright.userspace.verifier.values import Reg, s64, unknown, zero_offset

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.arguments import Call
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["check", "check_empty", "create", "invalidate_slices", "release", "slice_of"]

_MADE = {197: "local", 198: "ringbuf"}
_KINDS = bytes([K.S_DYNPTR] * 8)


class Dynptr:
    """One that an argument names: its frame, first slot and description."""

    __slots__ = ("at", "frame", "id", "kind", "ref")

    def __init__(self, frame: int, at: int, reg: Reg) -> None:
        self.frame, self.at = frame, at
        self.kind, self.id, self.ref = reg.obj, reg.id, reg.ref


def _place(number: int, reg: Reg) -> int:
    if reg.mask:
        raise Rejected(R.DYNPTR, "a dynptr stands at a constant offset", "a constant offset", (number,))
    offset = reg.off + s64(reg.value)
    if offset % 8 or not -512 <= offset <= -16:
        raise Rejected(R.DYNPTR, f"r{number} cannot hold a dynptr: it takes 16 aligned bytes of the stack", "",
                       (number,))
    return -offset // 8 - 1


def check(call: Call, number: int, reg: Reg) -> Dynptr:
    """A dynptr that was made."""
    if reg.type == K.DYNPTR:
        return Dynptr(-1, -1, reg)
    if reg.type != K.STACK:
        raise Rejected(R.TYPE, f"r{number} is a {K.name(reg.type)}, not a dynptr", "a dynptr on the stack", (number,))
    at = _place(number, reg)
    call.w.stack_use.read(call.w, reg.frame, 1 << at | 1 << at - 1)
    slots = call.w.state.frames[reg.frame].stack
    first, second = slots.get(at), slots.get(at - 1)
    if (first is None or second is None or first.reg is None or first.kinds != _KINDS or second.kinds != _KINDS
            or first.reg.frame != 1):
        raise Rejected(R.DYNPTR, f"r{number} is no initialised dynptr here", "the call that makes it, on every path",
                       (number,))
    found = Dynptr(reg.frame, at, first.reg)
    if call.number in (199, 200) and found.kind != "ringbuf":
        raise Rejected(R.DYNPTR, "only a dynptr of a ring buffer is submitted or discarded")
    if found.ref:
        call.ref = found.ref
    return found


def check_empty(call: Call, number: int, reg: Reg) -> None:
    if reg.type != K.STACK:
        raise Rejected(R.TYPE, f"r{number} is a {K.name(reg.type)}, not room for a dynptr", "16 bytes of stack",
                       (number,))
    at = _place(number, reg)
    frame = call.w.state.frames[reg.frame]
    stack.check_within(call.w, number, reg, reg.off, 16, True)
    for index in (at, at - 1):
        slot = frame.stack.get(index)
        if slot is not None and slot.kinds[7] == K.S_DYNPTR and slot.reg is not None and slot.reg.ref:
            raise Rejected(R.DYNPTR, "a dynptr that holds a reference is overwritten", "its release before")
        if slot is not None and slot.kinds[7] in (K.S_ITER, K.S_IRQ):
            raise Rejected(R.DYNPTR, "the room for the dynptr is in use")


def create(call: Call) -> None:
    """Mark the two slots."""
    w = call.w
    reg = w.state.regs[call.new_dynptr]
    at = _place(call.new_dynptr, reg)
    frame = w.state.frames[reg.frame]
    kind = _MADE.get(call.number, "local")
    for index in (at, at - 1):
        stack.destroy_dynptr(w, frame, index)
    made = zero_offset(K.DYNPTR)
    made.obj, made.id, made.frame = kind, w.new_id(), 1
    if kind == "ringbuf":
        from bpfwright.userspace.verifier.calls import acquire
        made.ref = acquire(w)
    other = made.copy()
    other.frame = 0
    frame.stack[at] = Slot(_KINDS, made)
    frame.stack[at - 1] = Slot(_KINDS, other)


def release(w: Walk, found: Dynptr) -> None:
    """Submit or discard: the dynptr and its slices are gone."""
    from bpfwright.userspace.verifier.calls import release as release_reference
    for frame in w.state.frames:
        for at in [at for at, slot in frame.stack.items() if slot.kinds[7] == K.S_DYNPTR and slot.reg is not None
                   and slot.reg.ref == found.ref]:
            frame.stack[at] = EMPTY
    if found.ref:
        release_reference(w, found.ref)
    invalidate_slices(w, found.id)


def invalidate_slices(w: Walk, number: int) -> None:
    """Memory that a dynptr gave is out of reach once it is gone."""
    replace_all(w.state, lambda reg: bool(reg.type & K.BASE == K.MEM and reg.uid and reg.uid == number),
                lambda reg: unknown())


def slice_of(call: Call) -> Reg:
    """What bpf_dynptr_data gives."""
    reg = zero_offset(K.MEM)
    reg.range = call.constant
    found: Any = call.dynptr
    reg.uid = found.id
    call.ref = found.ref
    return reg
