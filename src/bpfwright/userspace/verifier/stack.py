"""The stack: spilled registers keep what is known of them, other bytes are unknown, zero or never written."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import Frame, Slot
from bpfwright.userspace.verifier.values import SCALAR, Reg, known, s64, unknown

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["check_within", "read", "write"]

MAX_STACK = 512
# Bytes of a slot are listed from the highest address down: byte 7 is where the slot begins.
EMPTY = Slot(bytes(8), None)
_SPILL = bytes([K.S_SPILL] * 8)
_SPECIAL = (K.S_DYNPTR, K.S_ITER, K.S_IRQ)


def check_within(w: Walk, number: int, reg: Reg, offset: int, size: int, write: bool) -> None:
    """The access must stay in the 512 bytes below the frame pointer."""
    if not reg.mask:
        low = s64(reg.value) + offset
        high = low + size
    else:
        if reg.smax >= K.MAX_VAR_OFF or reg.smin <= -K.MAX_VAR_OFF:
            raise Rejected(R.STACK, f"the offset of the stack pointer r{number} has no bounds", "bounds of the offset",
                           (number,))
        low = reg.smin + offset
        high = reg.smax + offset + size
    frame = w.state.frames[reg.frame]
    least = -MAX_STACK if write or w.profile.uninitialised_stack else -frame.depth
    if low < least or low > -1 or high > 0:
        raise Rejected(R.STACK, f"bytes {low} to {high} of the stack, which are not from -512 to 0", "", (number,))
    grow(w, frame, -low)


def grow(w: Walk, frame: Frame, size: int) -> None:
    """The deepest byte in use."""
    size = size + 7 & ~7
    if size > frame.depth:
        frame.depth = size
        subprogram = w.program.subprograms[frame.subprog]
        if size > subprogram.stack:
            subprogram.stack = size


# Writing

def write(w: Walk, reg: Reg, offset: int, size: int, value: int, immediate: int | None) -> None:
    """Store register `value`, the number `immediate`, or (neither) something unknown."""
    frame = w.state.frames[reg.frame]
    if reg.mask:
        w.stack_use.write(w, reg.frame, -1)
        _write_somewhere(w, frame, reg.smin + offset, reg.smax + offset + size, value, immediate)
        return
    offset += s64(reg.value)
    at = (-offset - 1) >> 3
    if size == 8 or value >= 0 or immediate is not None:
        w.stack_use.write(w, reg.frame, at if size == 8 else -1)
    destroy_dynptr(w, frame, at)
    source: Reg | None = None
    if value >= 0:
        source = w.state.frames[-1].regs[value]
    if source is not None and not offset % 8 and source.type == SCALAR:
        fits = source.umax.bit_length() <= 8 * size
        if fits:
            source = w.name_scalar(value)
        elif source.id:
            source = source.copy()
            source.id = source.off = 0
        _save(frame, at, source, size)
        w.note(("stack", reg.frame, at))
    elif source is None and immediate is not None and not offset % 8:
        _save(frame, at, known(immediate), size)
        w.note(("stack", reg.frame, at))
    elif source is not None and source.type != SCALAR:
        if size != 8:
            raise Rejected(R.STACK, f"r{value} is a pointer: it can only be stored whole", "", (value,))
        if frame is not w.state.frames[-1] and source.type == K.STACK:
            raise Rejected(R.STACK, "a pointer to this function's stack is stored in the caller's", "", (value,))
        _save(frame, at, source, size)
        w.note(("stack", reg.frame, at))
    else:
        kind = K.S_MISC
        if (source is not None and not source.mask and not source.value) or (source is None and immediate == 0):
            kind = K.S_ZERO
            if value >= 0:
                w.precise(value)
        kinds = bytearray(_scrubbed(frame.stack.get(at, EMPTY)))
        first = (-offset - 1) & 7
        for index in range(size):
            kinds[first - index] = kind
        frame.stack[at] = Slot(bytes(kinds), None)


def _save(frame: Frame, at: int, reg: Reg, size: int) -> None:
    if size == 8:
        frame.stack[at] = Slot(_SPILL, reg)
        return
    kinds = bytearray(frame.stack.get(at, EMPTY).kinds)
    for index in range(8):
        if index >= 8 - size:
            kinds[index] = K.S_SPILL
        elif kinds[index] not in (K.S_ZERO, K.S_INVALID):
            kinds[index] = K.S_MISC
    frame.stack[at] = Slot(bytes(kinds), reg)


def _scrubbed(slot: Slot) -> bytes:
    """The bytes of a slot whose spilled register (or iterator) is lost."""
    if slot.kinds[7] == K.S_SPILL or slot.kinds[7] in _SPECIAL:
        return bytes(K.S_MISC if kind else K.S_INVALID for kind in slot.kinds)
    return slot.kinds


def _write_somewhere(w: Walk, frame: Frame, low: int, high: int, value: int, immediate: int | None) -> None:
    """A store at an offset in a range: every byte there may have changed."""
    source = w.state.frames[-1].regs[value] if value >= 0 else None
    zero = ((source is not None and source.type == SCALAR and not source.mask and not source.value)
            or (source is None and immediate == 0))
    used = False
    for at in {(-byte - 1) >> 3 for byte in range(low, high)}:
        destroy_dynptr(w, frame, at)
    for byte in range(low, high):
        at, index = (-byte - 1) >> 3, (-byte - 1) & 7
        slot = frame.stack.get(at, EMPTY)
        if zero and slot.kinds[index] == K.S_SPILL and slot.reg is not None and slot.reg.type == SCALAR and (
                not slot.reg.mask and not slot.reg.value):
            used = True
            continue
        kinds = bytearray(slot.kinds)
        new = K.S_MISC
        if zero and kinds[index] == K.S_ZERO:
            new, used = K.S_ZERO, True
        kinds[index] = new
        # The register that was spilled here is lost; bytes still marked as its own read as unknown.
        frame.stack[at] = Slot(bytes(K.S_MISC if kind == K.S_SPILL else kind for kind in kinds)
                               if slot.kinds[7] == K.S_SPILL else bytes(kinds), None)
    if used and value >= 0:
        w.precise(value)


def destroy_dynptr(w: Walk, frame: Frame, at: int) -> None:
    """Writing over a dynptr ends it; one that holds a reference cannot be lost so."""
    slot = frame.stack.get(at)
    if slot is None or slot.kinds[7] != K.S_DYNPTR or slot.reg is None:
        return
    if slot.reg.ref and slot.reg.uid != 1:
        raise Rejected(R.DYNPTR, "a dynptr that holds a reference is overwritten", "its release before")
    other = at - 1 if slot.reg.frame == 1 else at + 1       # the first half stands lower, in the slot numbered higher
    for index in (at, other):
        frame.stack.pop(index, None)
    from bpfwright.userspace.verifier.dynptrs import invalidate_slices
    invalidate_slices(w, slot.reg.id)


# Reading

def read(w: Walk, number: int, reg: Reg, offset: int, size: int, value: int) -> Reg:
    """What a load gives; `value` is the register it goes to, or -1."""
    frame = w.state.frames[reg.frame]
    if reg.mask:
        if value < 0:
            raise Rejected(R.STACK, f"the stack pointer r{number} has a variable offset here", "a constant offset",
                           (number,))
        low, high = reg.smin + offset, reg.smax + offset
        check_readable(w, number, frame, low, high + size, False)
        return _bytes(frame, low, high + size)
    offset += s64(reg.value)
    at, first = (-offset - 1) >> 3, (-offset - 1) & 7
    w.stack_use.read(w, reg.frame, 1 << at)
    slot = frame.stack.get(at)
    if slot is None:
        if not w.profile.uninitialised_stack:
            raise _unwritten(offset, size)
        return unknown()
    kinds = slot.kinds
    if kinds[7] == K.S_SPILL and slot.reg is not None:
        return _fill(w, frame, at, slot, offset, size, value)
    for index in range(size):
        kind = kinds[first - index]
        if kind not in (K.S_MISC, K.S_ZERO) and not (kind == K.S_INVALID and w.profile.uninitialised_stack):
            raise _unwritten(offset, size)
    return _bytes(frame, offset, offset + size)


def _unwritten(offset: int, size: int) -> Rejected:
    return Rejected(R.STACK, f"bytes {offset} to {offset + size} of the stack cannot be read: never written, or held "
                    "by an iterator or dynptr", "a store there on every path")


def _fill(w: Walk, frame: Frame, at: int, slot: Slot, offset: int, size: int, value: int) -> Reg:
    """A load from a slot with a spilled register."""
    kinds, reg = slot.kinds, slot.reg
    assert reg is not None
    spilled = 1
    while spilled < 8 and kinds[7 - spilled] == K.S_SPILL:
        spilled += 1
    if size == 8 and spilled == 8:
        if value >= 0:
            reg = _named_slot(w, frame, at, slot)
            w.note(("stack", frame.number, at))
        return reg
    if reg.type != SCALAR:
        raise Rejected(R.STACK, "a part of a pointer is loaded from the stack", "a load of all 8 bytes")
    if value < 0:
        return reg
    if size <= spilled and not offset % 8:
        if size == 4 and spilled == 4 and reg.umax.bit_length() <= 32:
            reg = _named_slot(w, frame, at, slot)
        w.note(("stack", frame.number, at))
        if reg.umax.bit_length() > 8 * size:
            reg = reg.copy()
            reg.id = reg.off = 0
        return reg
    first = (-offset - 1) & 7
    part = [kinds[first - index] for index in range(size)]
    for kind in part:
        if kind not in (K.S_SPILL, K.S_MISC, K.S_ZERO) and not (kind == K.S_INVALID and w.profile.uninitialised_stack):
            raise _unwritten(offset, size)
    if all(kind == K.S_SPILL for kind in part) and not reg.mask and not reg.value:
        w.note(("stack", frame.number, at))
        return known(0)
    return known(0) if all(kind == K.S_ZERO for kind in part) else unknown()


def _named_slot(w: Walk, frame: Frame, at: int, slot: Slot) -> Reg:
    assert slot.reg is not None
    reg = w.named(slot.reg)
    if reg is not slot.reg:
        frame.stack[at] = Slot(slot.kinds, reg)
    return reg


def _bytes(frame: Frame, low: int, high: int) -> Reg:
    """Zero if every byte is, else unknown."""
    for byte in range(low, high):
        slot = frame.stack.get((-byte - 1) >> 3)
        if slot is None or slot.kinds[(-byte - 1) & 7] != K.S_ZERO:
            return unknown()
    return known(0)


def check_readable(w: Walk, number: int, frame: Frame, low: int, high: int, clobber: bool) -> None:
    """Every byte must be one that may be read; with `clobber` they are unknown afterwards."""
    if low < high:
        first, last = (-high) >> 3, (-low - 1) >> 3
        w.stack_use.read(w, frame.number, (1 << last + 1) - (1 << first))
    for byte in range(low, high):
        at, index = (-byte - 1) >> 3, (-byte - 1) & 7
        slot = frame.stack.get(at)
        if slot is None:
            if not w.profile.uninitialised_stack:
                raise _unwritten(low, high - low)
            if clobber:
                frame.stack[at] = Slot(_with(EMPTY.kinds, index, K.S_MISC), None)
            continue
        kind = slot.kinds[index]
        if kind == K.S_MISC:
            continue
        if kind == K.S_ZERO or (kind == K.S_INVALID and w.profile.uninitialised_stack):
            if clobber:
                frame.stack[at] = Slot(_with(slot.kinds, index, K.S_MISC), slot.reg)
            continue
        if slot.kinds[7] == K.S_SPILL:
            if clobber:
                frame.stack[at] = Slot(_scrubbed(slot), None)
            continue
        raise _unwritten(low, high - low)


def _with(kinds: bytes, index: int, kind: int) -> bytes:
    return kinds[:index] + bytes([kind]) + kinds[index + 1:]
