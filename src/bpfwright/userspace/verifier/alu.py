"""Arithmetic instructions: on numbers, and on pointers as far as pointers allow any."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.values import (
    S64_MAX,
    S64_MIN,
    SCALAR,
    U32,
    U64,
    Reg,
    alu32,
    alu64,
    coerce,
    known,
    s64,
    set_known32,
    sign_extend,
    sign_extend32,
    sync,
    tnum_add,
    tnum_mul,
    tnum_mul_old,
    tnum_sub,
    unbound,
    unbound32,
    unknown,
    zero_extend,
)

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.program import Insn
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["HANDLERS"]

_OPS = {0x00: "add", 0x10: "sub", 0x20: "mul", 0x30: "div", 0x40: "or", 0x50: "and", 0x60: "lsh", 0x70: "rsh",
        0x90: "mod", 0xA0: "xor", 0xC0: "arsh"}
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "or": "|", "and": "&", "lsh": "<<", "rsh": ">>", "mod": "%",
          "xor": "^", "arsh": "s>>"}
_ARITHMETIC = frozenset({K.CTX, K.MAP_VALUE, K.MAP_KEY, K.STACK, K.PACKET_META, K.PACKET, K.TP_BUFFER, K.BTF, K.MEM,
                         K.BUF, K.FUNC, K.DYNPTR})


def _reserved() -> Rejected:
    return Rejected(R.STRUCTURE, "an arithmetic instruction has a field set that means nothing there")


def _binary(w: Walk, insn: Insn) -> int:
    code = insn.code
    op = _OPS[code & 0xF0]
    wide = code & 7 == 7
    regs = w.state.frames[-1].regs
    if code & 8:
        if insn.imm or (insn.off and not (insn.off == 1 and op in ("div", "mod") and w.profile.v4)):
            raise _reserved()
        src = w.read(insn.src)
    else:
        if insn.src or (insn.off and not (insn.off == 1 and op in ("div", "mod") and w.profile.v4)):
            raise _reserved()
        src = None
    dst = w.read(insn.dst)
    if src is None:
        if op in ("div", "mod") and insn.imm == 0:
            raise Rejected(R.STRUCTURE, "division by the constant zero")
        if op in ("lsh", "rsh", "arsh") and not 0 <= insn.imm < (64 if wide else 32):
            raise Rejected(R.STRUCTURE, f"a shift by {insn.imm} of a number of {64 if wide else 32} bits")
    w.check_written(insn.dst)
    if src is None:
        other = insn.number
        if dst.type != SCALAR:
            regs[insn.dst] = _pointer(w, insn, op, wide, dst, other, False)
            return w.insn + 1
    elif src.type != SCALAR:
        if dst.type != SCALAR:
            if op != "sub":
                raise Rejected(R.ARITHMETIC, f"r{insn.dst} {_SIGNS[op]}= r{insn.src}: both are pointers",
                               "a number on one side", (insn.dst, insn.src))
            regs[insn.dst] = unknown()
            return w.insn + 1
        w.precise(insn.dst)
        regs[insn.dst] = _pointer(w, insn, op, wide, src, dst, True)
        return w.insn + 1
    elif dst.type != SCALAR:
        w.precise(insn.src)
        regs[insn.dst] = _pointer(w, insn, op, wide, dst, src, False)
        return w.insn + 1
    else:
        other = src
    if op in _MASKS and not other.mask and dst.mask and w.profile.forks_masks:
        dst = _forked(w, insn, dst)
    multiply: Any = tnum_mul if w.profile.new_multiply else tnum_mul_old
    result = dst.copy()
    if wide:
        alu64(op, result, other, multiply)
        if op == "add" and dst.id and not other.mask and w.profile.linked_constants:
            value = other.value
            if dst.id & K.ADD_CONST or value > 0x7FFFFFFF:
                result.id = result.off = 0
            else:
                result.id = dst.id | K.ADD_CONST
                result.off = value
        else:
            result.id = result.off = 0
    else:
        alu32(op, result, other, multiply)
        result.id = result.off = 0
    regs[insn.dst] = result
    return w.insn + 1


_MASKS = frozenset({"and", "or"})


def _forked(w: Walk, insn: Insn, dst: Reg) -> Reg:
    """A number that is -1 or 0 (what a shift of the sign leaves) is masked: both cases are followed, one at a time."""
    if dst.smin == -1 and dst.smax == 0:
        w.push(w.insn).regs[insn.dst] = known(0)
        return known(-1)
    if dst.s32min == -1 and dst.s32max == 0:
        zero, ones = dst.copy(), dst.copy()
        set_known32(zero, 0)
        set_known32(ones, U32)
        w.push(w.insn).regs[insn.dst] = zero
        return ones
    return dst


def _negate(w: Walk, insn: Insn) -> int:
    if insn.src or insn.off or insn.imm or insn.code & 8:
        raise _reserved()
    dst = w.read(insn.dst)
    w.check_written(insn.dst)
    if dst.type != SCALAR:
        w.state.frames[-1].regs[insn.dst] = unknown()
        return w.insn + 1
    result = dst.copy()
    if w.profile.tracks_negation:
        (alu64 if insn.code & 7 == 7 else alu32)("neg", result, dst)
    else:
        result = unknown()
    result.id = result.off = 0
    w.state.frames[-1].regs[insn.dst] = result
    return w.insn + 1


def _swap(w: Walk, insn: Insn) -> int:
    """Byte order: the known bits move with their bytes (since Linux 6.18), bounds are lost."""
    if insn.src or insn.off or insn.imm not in (16, 32, 64) or (insn.code == 0xD7 and not w.profile.v4):
        raise _reserved()
    dst = w.read(insn.dst)
    w.check_written(insn.dst)
    if not w.profile.tracks_swaps or dst.type != SCALAR:
        w.state.frames[-1].regs[insn.dst] = unknown()
        return w.insn + 1
    result = dst.copy()
    size = insn.imm // 8
    swaps = insn.code != 0xD4
    if swaps or size < 8:
        result.id = result.off = 0
    if swaps:
        result.value, result.mask = _swapped(dst.value, size), _swapped(dst.mask, size)
        unbound(result)
    if size < 8:
        coerce(result, size)
    else:
        sync(result)
    w.state.frames[-1].regs[insn.dst] = result
    return w.insn + 1


def _swapped(number: int, size: int) -> int:
    keep = number & (1 << 8 * size) - 1
    return int.from_bytes(keep.to_bytes(size, "little"), "big")


def _width(reg: Reg) -> int:
    return reg.umax.bit_length()


def _move(w: Walk, insn: Insn) -> int:
    regs = w.state.frames[-1].regs
    wide = insn.code & 7 == 7
    if not insn.code & 8:
        if insn.src or insn.off:
            raise _reserved()
        w.check_written(insn.dst)
        regs[insn.dst] = insn.number if wide or insn.imm >= 0 else known(insn.imm & U32)
        return w.insn + 1
    if wide and insn.off == 1 and insn.imm:
        return _cast(w, insn)
    if insn.imm or insn.off not in ((0, 8, 16, 32) if wide else (0, 8, 16)) or (insn.off and not w.profile.v4):
        raise _reserved()
    src = w.read(insn.src)
    w.check_written(insn.dst)
    if wide and not insn.off:
        regs[insn.dst] = w.name_scalar(insn.src)
        return w.insn + 1
    if src.type != SCALAR:
        if wide:
            # Sign extension of a pointer is a number of which nothing is known.
            regs[insn.dst] = unknown()
            return w.insn + 1
        result = unknown()
    elif wide:
        result = _extended(w, insn, src)
        sign_extend(result, insn.off // 8)
        regs[insn.dst] = result
        return w.insn + 1
    elif insn.off:
        result = _extended(w, insn, src)
        sign_extend32(result, insn.off // 8)
    else:
        if _width(src) <= 32:
            result = w.name_scalar(insn.src).copy()
        else:
            result = src.copy()
            result.id = result.off = 0
    zero_extend(result)
    sync(result)
    regs[insn.dst] = result
    return w.insn + 1


def _extended(w: Walk, insn: Insn, src: Reg) -> Reg:
    """The source of a sign extension: it stays linked where the extension changes nothing."""
    if src.umax < 1 << insn.off - 1:
        return w.name_scalar(insn.src).copy()
    result = src.copy()
    result.id = result.off = 0
    return result


def _cast(w: Walk, insn: Insn) -> int:
    """addr_space_cast between arena and plain pointers."""
    if insn.imm not in (1, 1 << 16) or not any(one.kind == 33 for one in w.program.maps):
        raise _reserved()
    w.read(insn.src)
    w.check_written(insn.dst)
    result = unknown()
    if insn.imm == 1:
        result.type = K.ARENA
    w.state.frames[-1].regs[insn.dst] = result
    return w.insn + 1


def _pointer(w: Walk, insn: Insn, op: str, wide: bool, ptr: Reg, off: Reg, reverse: bool) -> Reg:
    """ptr op off; `reverse` when the pointer is the right operand."""
    number = insn.src if reverse else insn.dst
    constant = not off.mask
    if (constant and (off.smin != off.smax or off.umin != off.umax)) or off.smin > off.smax or off.umin > off.umax:
        return unknown()
    if not wide:
        if op == "sub":
            return unknown()
        raise Rejected(R.ARITHMETIC, f"r{number} is a pointer: arithmetic of 32 bits would cut it", "64-bit arithmetic",
                       (number,))
    base = ptr.type & K.BASE
    if ptr.type & K.MAYBE_NULL:
        raise Rejected(R.NULL, f"arithmetic on r{number}, which may be null", f"r{number} != 0 on this path", (number,))
    if base == K.MEM and ptr.type & K.UNTRUSTED:
        return ptr
    if base not in _ARITHMETIC and not (base == K.FLOW_KEYS and constant) and not (
            base in (K.FLOW_KEYS, K.MAP_PTR) and constant and off.smin == 0 and op == "add"):
        if base == K.ARENA:
            result = unknown()
            result.type = K.ARENA
            return result
        raise Rejected(R.ARITHMETIC, f"arithmetic on r{number}, a {K.name(ptr.type)}", "", (number,))
    _check_offset(off, ptr, number)
    _check_offset(ptr, ptr, number)
    result = ptr.copy()
    unbound32(result)
    packet = base in (K.PACKET, K.PACKET_META)
    if op == "add":
        if constant and -(1 << 31) <= ptr.off + off.smin < 1 << 31:
            result.off = ptr.off + off.smin
        else:
            low, high = ptr.smin + off.smin, ptr.smax + off.smax
            result.smin, result.smax = (low, high) if S64_MIN <= low <= S64_MAX and S64_MIN <= high <= S64_MAX \
                else (S64_MIN, S64_MAX)
            low, high = ptr.umin + off.umin, ptr.umax + off.umax
            result.umin, result.umax = (low, high) if high <= U64 else (0, U64)
            result.value, result.mask = tnum_add(ptr.value, ptr.mask, off.value, off.mask)
            if packet:
                result.id = w.new_id()
                result.range = 0
    elif op == "sub":
        if reverse:
            raise Rejected(R.ARITHMETIC, f"a pointer is subtracted from the number in r{insn.dst}", "",
                           (insn.dst, insn.src))
        if base == K.STACK:
            raise Rejected(R.ARITHMETIC, "a number is subtracted from a stack pointer: add a negative constant", "",
                           (number,))
        if constant and -(1 << 31) <= ptr.off - off.smin < 1 << 31:
            result.off = ptr.off - off.smin
        else:
            low, high = ptr.smin - off.smax, ptr.smax - off.smin
            result.smin, result.smax = (low, high) if S64_MIN <= low <= S64_MAX and S64_MIN <= high <= S64_MAX \
                else (S64_MIN, S64_MAX)
            if ptr.umin < off.umax:
                result.umin, result.umax = 0, U64
            else:
                result.umin, result.umax = ptr.umin - off.umax, ptr.umax - off.umin
            result.value, result.mask = tnum_sub(ptr.value, ptr.mask, off.value, off.mask)
            if packet:
                result.id = w.new_id()
                if off.smin < 0:
                    result.range = 0
    else:
        raise Rejected(R.ARITHMETIC, f"{_SIGNS[op]} on r{number}, a pointer", "addition or subtraction", (number,))
    _check_offset(result, ptr, insn.dst)
    sync(result)
    return result


def _check_offset(reg: Reg, ptr: Reg, number: int) -> None:
    """An offset must stay within 2**29 bytes of its base."""
    limit, kind = K.MAX_VAR_OFF, K.name(ptr.type)
    if not reg.mask and not -limit < s64(reg.value) < limit:
        raise Rejected(R.ARITHMETIC, f"an offset of {s64(reg.value)} on a {kind}", "an offset below 2**29", (number,))
    if not -limit < reg.off < limit:
        raise Rejected(R.ARITHMETIC, f"an offset of {reg.off} on a {kind}", "an offset below 2**29", (number,))
    if reg.smin == S64_MIN:
        raise Rejected(R.ARITHMETIC, f"a number without a lower bound is added to a {kind}",
                       "a lower bound of the number: an unsigned type, or a comparison", (number,))
    if not -limit < reg.smin < limit:
        raise Rejected(R.ARITHMETIC, f"a number that starts at {reg.smin} is added to a {kind}",
                       "an offset below 2**29", (number,))


HANDLERS: dict[int, Callable[[Walk, Insn], int]] = {}
for _class in (0x04, 0x07):
    for _bits in _OPS:
        HANDLERS[_class | _bits] = HANDLERS[_class | _bits | 8] = _binary
    HANDLERS[_class | 0x80] = _negate
    HANDLERS[_class | 0x88] = _negate
    HANDLERS[_class | 0xB0] = HANDLERS[_class | 0xB8] = _move
for _code in (0xD4, 0xDC, 0xD7):
    HANDLERS[_code] = _swap
