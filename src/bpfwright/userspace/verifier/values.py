"""Abstract numbers: known bits (tnums) and the eight bounds of a register, with the arithmetic of both.

A tnum is (value, mask): a bit of `mask` is unknown, a bit of `value` is one, and no bit is in both. A register's bounds
are signed and unsigned, of all 64 bits and of the lower 32. Unsigned numbers are plain non-negative ints, signed ones
are negative where they must be. All functions that change a register want one that no state shares.
"""
from __future__ import annotations

from bpfwright._typing import Any

__all__ = ["Reg", "SCALAR", "NOT_INIT", "known", "unknown", "sync", "sane", "alu32", "alu64", "s32", "s64"]

U64 = (1 << 64) - 1
U32 = (1 << 32) - 1
S64_MIN, S64_MAX = -(1 << 63), (1 << 63) - 1
S32_MIN, S32_MAX = -(1 << 31), (1 << 31) - 1
HIGH = U64 ^ U32
NOT_INIT, SCALAR = 0, 1


def s64(number: int) -> int:
    """The lower 64 bits as a signed number."""
    number &= U64
    return number - (1 << 64) if number >> 63 else number


def s32(number: int) -> int:
    """The lower 32 bits as a signed number."""
    number &= U32
    return number - (1 << 32) if number >> 31 else number


# Tnums

Tnum = tuple[int, int]


def tnum_range(low: int, high: int) -> Tnum:
    """The known bits of every number from `low` to `high`."""
    bits = (low ^ high).bit_length()
    if bits > 63:
        return 0, U64
    delta = (1 << bits) - 1
    return low & ~delta, delta


def tnum_add(av: int, am: int, bv: int, bm: int) -> Tnum:
    sv = av + bv & U64
    mu = (am + bm + sv & U64) ^ sv | am | bm
    return sv & ~mu, mu


def tnum_sub(av: int, am: int, bv: int, bm: int) -> Tnum:
    dv = av - bv & U64
    mu = (dv + am & U64) ^ (dv - bm & U64) | am | bm
    return dv & ~mu, mu


def tnum_and(av: int, am: int, bv: int, bm: int) -> Tnum:
    value = av & bv
    return value, (av | am) & (bv | bm) & ~value


def tnum_or(av: int, am: int, bv: int, bm: int) -> Tnum:
    value = av | bv
    return value, (am | bm) & ~value


def tnum_xor(av: int, am: int, bv: int, bm: int) -> Tnum:
    mask = am | bm
    return (av ^ bv) & ~mask, mask


def tnum_union(av: int, am: int, bv: int, bm: int) -> Tnum:
    mask = av ^ bv | am | bm
    return av & bv & ~mask, mask


def tnum_mul(av: int, am: int, bv: int, bm: int) -> Tnum:
    """Bit by bit, joining both cases where a bit of `a` is unknown (since Linux 6.18)."""
    rv = rm = 0
    while av | am:
        if av & 1:
            rv, rm = tnum_add(rv, rm, bv, bm)
        elif am & 1:
            rv, rm = tnum_union(rv, rm, *tnum_add(rv, rm, bv, bm))
        av >>= 1
        am >>= 1
        bv = bv << 1 & U64
        bm = bm << 1 & U64
    return rv, rm


def tnum_mul_old(av: int, am: int, bv: int, bm: int) -> Tnum:
    """Product of the known bits, with the unknown ones added up (until Linux 6.17)."""
    product = av * bv & U64
    rv = rm = 0
    while av | am:
        if av & 1:
            rv, rm = tnum_add(rv, rm, 0, bm)
        elif am & 1:
            rv, rm = tnum_add(rv, rm, 0, bv | bm)
        av >>= 1
        am >>= 1
        bv = bv << 1 & U64
        bm = bm << 1 & U64
    return tnum_add(product, 0, rv, rm)


def tnum_intersect(av: int, am: int, bv: int, bm: int) -> Tnum:
    """What is known when both are."""
    mask = am & bm
    return (av | bv) & ~mask, mask


def tnum_in(av: int, am: int, bv: int, bm: int) -> bool:
    """Whether every number of `b` is one of `a`."""
    return not bm & ~am and av == bv & ~am


def tnum_step(value: int, mask: int, number: int) -> int:
    """The smallest member above `number`; the largest one when there is none."""
    most = value | mask
    if number >= most:
        return most
    if number < value:
        return value
    # Free bits count up; below a fixed bit that differs they start over.
    offset = number - value
    carry = (1 << (offset & ~mask).bit_length()) - 1
    filled = offset | carry | ~mask
    return value | filled + 1 & mask


# Registers

class Reg:
    """What is known of one register or spilled value. Shared between states: copy before changing.

    `type` is one of kinds.py; `off` the fixed part of a pointer's offset, (`value`, `mask`) and the bounds its variable
    part, or the number itself. `id` joins registers that hold the same unknown, `ref` names the acquired reference,
    `obj` what is pointed to (a map, a BTF type, a subprogram), `range` the checked bytes of a packet or the size of a
    memory region, `frame` whose stack.
    """

    __slots__ = ("frame", "id", "mask", "obj", "off", "range", "ref", "s32max", "s32min", "smax", "smin", "type",
                 "u32max", "u32min", "uid", "umax", "umin", "value")

    type: int
    off: int
    value: int
    mask: int
    smin: int
    smax: int
    umin: int
    umax: int
    s32min: int
    s32max: int
    u32min: int
    u32max: int
    id: int
    ref: int
    obj: Any
    range: int
    frame: int
    uid: int

    def copy(self) -> Reg:
        new = Reg.__new__(Reg)
        new.type = self.type
        new.off = self.off
        new.value = self.value
        new.mask = self.mask
        new.smin = self.smin
        new.smax = self.smax
        new.umin = self.umin
        new.umax = self.umax
        new.s32min = self.s32min
        new.s32max = self.s32max
        new.u32min = self.u32min
        new.u32max = self.u32max
        new.id = self.id
        new.ref = self.ref
        new.obj = self.obj
        new.range = self.range
        new.frame = self.frame
        new.uid = self.uid
        return new


def known(number: int) -> Reg:
    """A scalar that is this number (of 64 bits)."""
    new = Reg.__new__(Reg)
    new.type = SCALAR
    new.off = new.mask = new.id = new.ref = new.range = new.frame = new.uid = 0
    new.obj = None
    set_known(new, number & U64)
    return new


def unknown() -> Reg:
    """A scalar of which nothing is known."""
    new = Reg.__new__(Reg)
    new.type = SCALAR
    new.off = new.value = new.id = new.ref = new.range = new.frame = new.uid = 0
    new.obj = None
    new.mask = U64
    unbound(new)
    return new


def zero_offset(kind: int) -> Reg:
    """A pointer of a kind, with offset 0."""
    new = known(0)
    new.type = kind
    return new


def set_known(reg: Reg, number: int) -> None:
    reg.value = number
    reg.mask = 0
    reg.umin = reg.umax = number
    reg.smin = reg.smax = number - (1 << 64) if number >> 63 else number
    low = number & U32
    reg.u32min = reg.u32max = low
    reg.s32min = reg.s32max = low - (1 << 32) if low >> 31 else low


def unbound(reg: Reg) -> None:
    reg.smin, reg.smax, reg.umin, reg.umax = S64_MIN, S64_MAX, 0, U64
    reg.s32min, reg.s32max, reg.u32min, reg.u32max = S32_MIN, S32_MAX, 0, U32


def unbound32(reg: Reg) -> None:
    reg.s32min, reg.s32max, reg.u32min, reg.u32max = S32_MIN, S32_MAX, 0, U32


def _unbound64(reg: Reg) -> None:
    reg.smin, reg.smax, reg.umin, reg.umax = S64_MIN, S64_MAX, 0, U64


def is_const(reg: Reg, narrow: bool = False) -> bool:
    return reg.type == SCALAR and not (reg.mask & U32 if narrow else reg.mask)


def update_bounds32(reg: Reg) -> None:
    value, mask = reg.value & U32, reg.mask & U32
    low = value | mask & 0x80000000
    low = low - (1 << 32) if low >> 31 else low
    high = value | mask & S32_MAX
    high = high - (1 << 32) if high >> 31 else high
    if low > reg.s32min:
        reg.s32min = low
    if high < reg.s32max:
        reg.s32max = high
    if value > reg.u32min:
        reg.u32min = value
    if value | mask < reg.u32max:
        reg.u32max = value | mask


def update_bounds64(reg: Reg) -> None:
    value, mask = reg.value, reg.mask
    low = value | mask & 1 << 63
    low = low - (1 << 64) if low >> 63 else low
    high = value | mask & S64_MAX
    high = high - (1 << 64) if high >> 63 else high
    if low > reg.smin:
        reg.smin = low
    if high < reg.smax:
        reg.smax = high
    if value > reg.umin:
        reg.umin = value
    most = value | mask
    if most < reg.umax:
        reg.umax = most
    # The bounds and the bits may have a single number in common (since Linux 6.18.16).
    umin, umax = reg.umin, reg.umax
    following = tnum_step(value, mask, umin)
    if umin & ~mask == value:
        if following > umax:
            set_known(reg, umin)
    elif following == most:
        set_known(reg, most)
    elif following <= umax and tnum_step(value, mask, following) > umax:
        set_known(reg, following)


def _deduce32(reg: Reg) -> None:
    """From 64-bit bounds to 32-bit ones, and between signed and unsigned."""
    smin32, smax32, umin32, umax32 = reg.s32min, reg.s32max, reg.u32min, reg.u32max
    umin, umax, smin, smax = reg.umin, reg.umax, reg.smin, reg.smax
    low, high = umin & U32, umax & U32
    slow = low - (1 << 32) if low >> 31 else low
    shigh = high - (1 << 32) if high >> 31 else high
    if umin >> 32 == umax >> 32:
        if low > umin32:
            umin32 = low
        if high < umax32:
            umax32 = high
        if slow <= shigh:
            if slow > smin32:
                smin32 = slow
            if shigh < smax32:
                smax32 = shigh
    elif (umin >> 32) + 1 & U32 == umax >> 32 and slow < 0 <= shigh:
        if slow > smin32:
            smin32 = slow
        if shigh < smax32:
            smax32 = shigh
    low, high = smin & U32, smax & U32
    slow = low - (1 << 32) if low >> 31 else low
    shigh = high - (1 << 32) if high >> 31 else high
    if smin >> 32 == smax >> 32:
        if low <= high:
            if low > umin32:
                umin32 = low
            if high < umax32:
                umax32 = high
        if slow <= shigh:
            if slow > smin32:
                smin32 = slow
            if shigh < smax32:
                smax32 = shigh
    elif (smin >> 32) + 1 & U32 == smax >> 32 & U32 and slow < 0 <= shigh:
        if slow > smin32:
            smin32 = slow
        if shigh < smax32:
            smax32 = shigh
    slow = umin32 - (1 << 32) if umin32 >> 31 else umin32
    shigh = umax32 - (1 << 32) if umax32 >> 31 else umax32
    if slow <= shigh:
        if slow > smin32:
            smin32 = slow
        if shigh < smax32:
            smax32 = shigh
    low, high = smin32 & U32, smax32 & U32
    if low <= high:
        if low > umin32:
            umin32 = low
        if high < umax32:
            umax32 = high
    elif umax32 < low:          # the signed range is split over both ends of the unsigned one
        smin32 = umin32 - (1 << 32) if umin32 >> 31 else umin32
        umax32 = min(umax32, high)
    elif high < umin32:
        smax32 = umax32 - (1 << 32) if umax32 >> 31 else umax32
        umin32 = max(umin32, low)
    reg.s32min, reg.s32max, reg.u32min, reg.u32max = smin32, smax32, umin32, umax32


def _deduce64(reg: Reg) -> None:
    slow, shigh = s64(reg.umin), s64(reg.umax)
    if slow <= shigh:
        if slow > reg.smin:
            reg.smin = slow
        if shigh < reg.smax:
            reg.smax = shigh
    low, high = reg.smin & U64, reg.smax & U64
    if low <= high:
        if low > reg.umin:
            reg.umin = low
        if high < reg.umax:
            reg.umax = high
    elif reg.umax < low:        # the signed range is split over both ends of the unsigned one (since Linux 6.17)
        reg.smin = s64(reg.umin)
        reg.umax = min(reg.umax, high)
    elif high < reg.umin:
        reg.smax = s64(reg.umax)
        reg.umin = max(reg.umin, low)


def _deduce_mixed(reg: Reg) -> None:
    """From 32-bit bounds to 64-bit ones."""
    low, high = reg.umin & HIGH | reg.u32min, reg.umax & HIGH | reg.u32max
    if low > reg.umin:
        reg.umin = low
    if high < reg.umax:
        reg.umax = high
    low, high = reg.smin & ~U32 | reg.u32min, reg.smax & ~U32 | reg.u32max
    if low > reg.smin:
        reg.smin = low
    if high < reg.smax:
        reg.smax = high
    if reg.s32min >= 0 and reg.smin >= S32_MIN and reg.smax <= S32_MAX:
        reg.smin = reg.umin = reg.s32min
        reg.smax = reg.s32max
        reg.umax = reg.s32max & U64
        reg.value, reg.mask = tnum_intersect(reg.value, reg.mask, *tnum_range(reg.smin & U64, reg.smax & U64))


def sync(reg: Reg) -> None:
    """Let bits and bounds learn from one another."""
    update_bounds32(reg)
    update_bounds64(reg)
    before = None
    for _ in range(3):
        _deduce32(reg)
        _deduce64(reg)
        _deduce_mixed(reg)
        after = (reg.umin, reg.umax, reg.smin, reg.smax, reg.u32min, reg.u32max, reg.s32min, reg.s32max)
        if after == before:
            break
        before = after
    value, mask = tnum_intersect(reg.value, reg.mask, *tnum_range(reg.umin, reg.umax))
    low, low_mask = tnum_intersect(value & U32, mask & U32, *tnum_range(reg.u32min, reg.u32max))
    reg.value, reg.mask = value & HIGH | low, mask & HIGH | low_mask
    update_bounds32(reg)
    update_bounds64(reg)


def sane(reg: Reg) -> None:
    """Bounds that contradict one another (a branch that cannot happen) are forgotten."""
    bad = (reg.umin > reg.umax or reg.smin > reg.smax or reg.u32min > reg.u32max or reg.s32min > reg.s32max)
    if not bad and not reg.mask:
        value = reg.value
        bad = reg.umin != value or reg.umax != value or reg.smin != s64(value) or reg.smax != s64(value)
    if not bad and not reg.mask & U32:
        value = reg.value & U32
        bad = reg.u32min != value or reg.u32max != value or reg.s32min != s32(value) or reg.s32max != s32(value)
    if bad:
        unbound(reg)


def zero_extend(reg: Reg) -> None:
    """The upper half becomes zero, the bounds those of the lower half."""
    reg.value &= U32
    reg.mask &= U32
    reg.umin, reg.umax = reg.u32min, reg.u32max
    if reg.s32min >= 0:
        reg.smin, reg.smax = reg.s32min, reg.s32max
    else:
        reg.smin, reg.smax = 0, U32


def coerce(reg: Reg, size: int) -> None:
    """Keep `size` bytes, the others become zero."""
    keep = (1 << 8 * size) - 1
    reg.value &= keep
    reg.mask &= keep
    if reg.umin & ~keep == reg.umax & ~keep:
        reg.umin &= keep
        reg.umax &= keep
    else:
        reg.umin, reg.umax = 0, keep
    reg.smin, reg.smax = s64(reg.umin), s64(reg.umax)
    if size < 4:
        unbound32(reg)      # the narrower the number, the less the old 32-bit bounds say of it
    sync(reg)


def sign_extend(reg: Reg, size: int) -> None:
    """The lower `size` bytes as a signed number of 64 bits."""
    bits = 8 * size
    if not reg.mask:
        value = reg.value & (1 << bits) - 1
        set_known(reg, (value - (1 << bits) if value >> bits - 1 else value) & U64)
        return
    top_max, top_min = s64(reg.smax) >> bits, s64(reg.smin) >> bits
    if top_max == top_min:
        high = _signed(reg.smax, bits)
        low = _signed(reg.smin, bits)
        least, most = min(high, low), max(high, low)
        if (most >= 0) == (least >= 0):
            reg.smin, reg.smax = least, most
            reg.s32min, reg.s32max = s32(least), s32(most)
            reg.umin, reg.umax = least & U64, most & U64
            reg.u32min, reg.u32max = least & U32, most & U32
            reg.value, reg.mask = tnum_range(reg.umin, reg.umax)
            return
    least, most = -(1 << bits - 1), (1 << bits - 1) - 1
    reg.smin, reg.smax = least, most
    reg.s32min, reg.s32max = (S32_MIN, S32_MAX) if size == 4 else (least, most)
    reg.umin, reg.umax, reg.u32min, reg.u32max = 0, U64, 0, U32
    reg.value, reg.mask = 0, U64


def sign_extend32(reg: Reg, size: int) -> None:
    """The lower `size` bytes as a signed number of 32 bits; the upper half is the caller's."""
    bits = 8 * size
    if not reg.mask & U32:
        value = _signed(reg.value, bits) & U32
        reg.value, reg.mask = value, 0
        reg.u32min = reg.u32max = value
        reg.s32min = reg.s32max = s32(value)
        return
    if reg.s32max >> bits == reg.s32min >> bits:
        high, low = _signed(reg.s32max, bits), _signed(reg.s32min, bits)
        least, most = min(high, low), max(high, low)
        if (most >= 0) == (least >= 0):
            reg.s32min, reg.s32max = least, most
            reg.u32min, reg.u32max = least & U32, most & U32
            value, mask = tnum_range(reg.u32min, reg.u32max)
            reg.value, reg.mask = reg.value & HIGH | value & U32, reg.mask & HIGH | mask & U32
            return
    reg.s32min, reg.s32max = -(1 << bits - 1), (1 << bits - 1) - 1
    reg.u32min, reg.u32max = 0, U32
    reg.value, reg.mask = 0, U64 & U32


def _signed(number: int, bits: int) -> int:
    number &= (1 << bits) - 1
    return number - (1 << bits) if number >> bits - 1 else number


# Arithmetic: each operation changes the bounds of `d` by those of `s`; the tnum is done beside it

def _add64(d: Reg, s: Reg) -> None:
    low, high = d.smin + s.smin, d.smax + s.smax
    d.smin, d.smax = (low, high) if low >= S64_MIN and high <= S64_MAX and low <= S64_MAX and high >= S64_MIN \
        else (S64_MIN, S64_MAX)
    low, high = d.umin + s.umin, d.umax + s.umax
    d.umin, d.umax = (0, U64) if low <= U64 < high else (low & U64, high & U64)


def _add32(d: Reg, s: Reg) -> None:
    low, high = d.s32min + s.s32min, d.s32max + s.s32max
    d.s32min, d.s32max = (low, high) if S32_MIN <= low <= S32_MAX and S32_MIN <= high <= S32_MAX \
        else (S32_MIN, S32_MAX)
    low, high = d.u32min + s.u32min, d.u32max + s.u32max
    d.u32min, d.u32max = (0, U32) if low <= U32 < high else (low & U32, high & U32)


def _sub64(d: Reg, s: Reg) -> None:
    low, high = d.smin - s.smax, d.smax - s.smin
    d.smin, d.smax = (low, high) if S64_MIN <= low <= S64_MAX and S64_MIN <= high <= S64_MAX else (S64_MIN, S64_MAX)
    low, high = d.umin - s.umax, d.umax - s.umin
    d.umin, d.umax = (0, U64) if low < 0 <= high else (low & U64, high & U64)


def _sub32(d: Reg, s: Reg) -> None:
    low, high = d.s32min - s.s32max, d.s32max - s.s32min
    d.s32min, d.s32max = (low, high) if S32_MIN <= low <= S32_MAX and S32_MIN <= high <= S32_MAX \
        else (S32_MIN, S32_MAX)
    low, high = d.u32min - s.u32max, d.u32max - s.u32min
    d.u32min, d.u32max = (0, U32) if low < 0 <= high else (low & U32, high & U32)


def _mul64(d: Reg, s: Reg) -> None:
    products = (d.smin * s.smin, d.smin * s.smax, d.smax * s.smin, d.smax * s.smax)
    low, high = min(products), max(products)
    d.smin, d.smax = (low, high) if low >= S64_MIN and high <= S64_MAX else (S64_MIN, S64_MAX)
    low, high = d.umin * s.umin, d.umax * s.umax
    d.umin, d.umax = (low, high) if high <= U64 else (0, U64)


def _mul32(d: Reg, s: Reg) -> None:
    products = (d.s32min * s.s32min, d.s32min * s.s32max, d.s32max * s.s32min, d.s32max * s.s32max)
    low, high = min(products), max(products)
    d.s32min, d.s32max = (low, high) if low >= S32_MIN and high <= S32_MAX else (S32_MIN, S32_MAX)
    low, high = d.u32min * s.u32min, d.u32max * s.u32max
    d.u32min, d.u32max = (low, high) if high <= U32 else (0, U32)


def _signed_as_unsigned(d: Reg) -> None:
    """64-bit signed bounds from the unsigned ones where these do not cross the sign."""
    low, high = s64(d.umin), s64(d.umax)
    d.smin, d.smax = (low, high) if low <= high else (S64_MIN, S64_MAX)


def _signed_as_unsigned32(d: Reg) -> None:
    low, high = s32(d.u32min), s32(d.u32max)
    d.s32min, d.s32max = (low, high) if low <= high else (S32_MIN, S32_MAX)


def set_known32(d: Reg, value: int) -> None:
    d.value, d.mask = d.value & HIGH | value, d.mask & HIGH
    d.u32min = d.u32max = value
    d.s32min = d.s32max = s32(value)


def _bitwise(op: str, d: Reg, s: Reg) -> None:
    """and, or, xor: the tnum of the result stands in `d` already."""
    if not d.mask & U32 and not s.mask & U32:
        set_known32(d, d.value & U32)
    else:
        value = d.value & U32
        if op == "and":
            d.u32min, d.u32max = value, min(d.u32max, s.u32max)
        elif op == "or":
            d.u32min, d.u32max = max(d.u32min, s.u32min), value | d.mask & U32
        else:
            d.u32min, d.u32max = value, value | d.mask & U32
        _signed_as_unsigned32(d)
    if not d.mask and not s.mask:
        set_known(d, d.value)
        return
    if op == "and":
        d.umin, d.umax = d.value, min(d.umax, s.umax)
    elif op == "or":
        d.umin, d.umax = max(d.umin, s.umin), d.value | d.mask
    else:
        d.umin, d.umax = d.value, d.value | d.mask
    _signed_as_unsigned(d)


def _shift_left64(d: Reg, by: int) -> None:
    if by == 32:
        d.smin, d.smax = d.s32min << 32, d.s32max << 32
    else:
        d.smin, d.smax = S64_MIN, S64_MAX
    if d.umax > 1 << 63 - by:
        d.umin, d.umax = 0, U64
    else:
        d.umin, d.umax = d.umin << by, d.umax << by & U64


def _shift_left32(d: Reg, by: int) -> None:
    d.s32min, d.s32max = S32_MIN, S32_MAX
    if by > 31 or d.u32max > 1 << 31 - by:
        d.u32min, d.u32max = 0, U32
    else:
        d.u32min, d.u32max = d.u32min << by, d.u32max << by & U32


def alu64(op: str, d: Reg, s: Reg, multiply: Any = tnum_mul) -> None:
    """`d` becomes `d op s`, both scalars. What the verifier does not follow (division, unknown shifts) is unknown."""
    if op in _SHIFTS:
        if s.mask or s.umax > 63:
            _forget(d)
            return
        _shift64(op, d, s.umin)
    elif op == "add":
        if not d.mask and not s.mask:
            set_known(d, d.value + s.value & U64)
            return
        _add32(d, s)
        _add64(d, s)
        d.value, d.mask = tnum_add(d.value, d.mask, s.value, s.mask)
    elif op == "sub":
        _sub32(d, s)
        _sub64(d, s)
        d.value, d.mask = tnum_sub(d.value, d.mask, s.value, s.mask)
    elif op == "mul":
        d.value, d.mask = multiply(d.value, d.mask, s.value, s.mask)
        _mul32(d, s)
        _mul64(d, s)
    elif op in _BITS:
        d.value, d.mask = _BITS[op](d.value, d.mask, s.value, s.mask)
        _bitwise(op, d, s)
    elif op == "neg":
        _negate(d)
    else:
        _forget(d)
        return
    sync(d)


def alu32(op: str, d: Reg, s: Reg, multiply: Any = tnum_mul) -> None:
    """The same of the lower 32 bits; the upper ones become zero."""
    if op in _SHIFTS:
        if s.mask & U32 or s.u32max > 31:
            _forget(d)
            return
        _shift32(op, d, s.u32min)
    elif op == "add":
        _add32(d, s)
        d.value, d.mask = tnum_add(d.value, d.mask, s.value, s.mask)
    elif op == "sub":
        _sub32(d, s)
        d.value, d.mask = tnum_sub(d.value, d.mask, s.value, s.mask)
    elif op == "mul":
        d.value, d.mask = multiply(d.value, d.mask, s.value, s.mask)
        _mul32(d, s)
    elif op in _BITS:
        d.value, d.mask = _BITS[op](d.value, d.mask, s.value, s.mask)
        _bitwise(op, d, s)
    elif op == "neg":
        _negate(d)
    else:
        _forget(d)
        return
    zero_extend(d)
    sync(d)


_BITS = {"and": tnum_and, "or": tnum_or, "xor": tnum_xor}
_SHIFTS = frozenset({"lsh", "rsh", "arsh"})


def _forget(d: Reg) -> None:
    """Nothing is known any more, not even that the upper half of a 32-bit result is zero."""
    d.value, d.mask = 0, U64
    d.id = d.off = 0
    unbound(d)


def _negate(d: Reg) -> None:
    old = d.copy()
    set_known(d, 0)
    _sub32(d, old)
    _sub64(d, old)
    d.value, d.mask = tnum_sub(0, 0, old.value, old.mask)


def _shift64(op: str, d: Reg, by: int) -> None:
    if op == "lsh":
        _shift_left64(d, by)
        _shift_left32(d, by)
        d.value, d.mask = d.value << by & U64, d.mask << by & U64
    elif op == "rsh":
        d.smin, d.smax = S64_MIN, S64_MAX
        d.value, d.mask = d.value >> by, d.mask >> by
        d.umin, d.umax = d.umin >> by, d.umax >> by
        unbound32(d)
    else:
        d.smin, d.smax = d.smin >> by, d.smax >> by
        d.value, d.mask = (s64(d.value) >> by) & U64, (s64(d.mask) >> by) & U64
        d.umin, d.umax = 0, U64
        unbound32(d)
    update_bounds32(d)
    update_bounds64(d)


def _shift32(op: str, d: Reg, by: int) -> None:
    value, mask = d.value & U32, d.mask & U32
    if op == "lsh":
        _shift_left32(d, by)
        d.value, d.mask = value << by & U32, mask << by & U32
    elif op == "rsh":
        d.s32min, d.s32max = S32_MIN, S32_MAX
        d.value, d.mask = value >> by, mask >> by
        d.u32min, d.u32max = d.u32min >> by, d.u32max >> by
    else:
        d.s32min, d.s32max = d.s32min >> by, d.s32max >> by
        d.value, d.mask = (s32(value) >> by) & U32, (s32(mask) >> by) & U32
        d.u32min, d.u32max = 0, U32
    _unbound64(d)
    update_bounds32(d)
