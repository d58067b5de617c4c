"""Conditional jumps: which way they go, and what either way teaches about the operands."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Callable
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.linked import collect, learn
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import State, replace_all
from bpfwright.userspace.verifier.values import (
    HIGH,
    SCALAR,
    U32,
    U64,
    Reg,
    known,
    s32,
    s64,
    sane,
    sync,
    tnum_and,
    tnum_intersect,
    tnum_or,
    unbound,
)

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.program import Insn, Map
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["HANDLERS"]

_OPS = {0x10: "eq", 0x20: "gt", 0x30: "ge", 0x40: "set", 0x50: "ne", 0x60: "sgt", 0x70: "sge", 0xA0: "lt", 0xB0: "le",
        0xC0: "slt", 0xD0: "sle"}
_FLIP = {"eq": "eq", "ne": "ne", "set": "set", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge", "sgt": "slt",
         "sge": "sle", "slt": "sgt", "sle": "sge"}
_REVERSE = {"eq": "ne", "ne": "eq", "gt": "le", "le": "gt", "ge": "lt", "lt": "ge", "sgt": "sle", "sle": "sgt",
            "sge": "slt", "slt": "sge", "set": "clear", "clear": "set"}
_NOT_NULL = frozenset({K.SOCKET, K.TCP_SOCK, K.MAP_VALUE, K.MAP_KEY, K.SOCK_COMMON, K.MAP_PTR})
_PACKETS = frozenset({K.PACKET, K.PACKET_META, K.PACKET_END})


def _reserved() -> Rejected:
    return Rejected(R.STRUCTURE, "a jump has a field set that means nothing there")


def _goto(w: Walk, insn: Insn) -> int:
    if insn.code == 0x05:
        if insn.src or insn.dst or insn.imm:
            raise _reserved()
        distance = insn.off
    else:
        if insn.src or insn.dst or insn.off:
            raise _reserved()
        distance = insn.imm
    w.jumps += 1
    return w.insn + distance + 1


def _may_goto(w: Walk, insn: Insn) -> int:
    if not w.profile.may_goto:
        raise Rejected(R.STRUCTURE, "this kernel does not know may_goto")
    if insn.src or insn.dst or insn.imm:
        raise _reserved()
    w.jumps += 1
    from bpfwright.userspace.verifier.prune import previous_visit, widen
    before = previous_visit(w.state.parent.parent, w.insn) if w.state.parent is not None else None
    other = w.push(w.insn + 1)
    other.may_goto += 1
    if before is not None:
        widen(before, other)
    return w.insn + insn.off + 1


def _conditional(w: Walk, insn: Insn) -> int:
    code = insn.code
    op = _OPS[code & 0xF0]
    narrow = code & 7 == 6
    w.jumps += 1
    by_register = code & 8
    dst = w.read(insn.dst)
    if by_register:
        if insn.imm:
            raise _reserved()
        src = w.read(insn.src)
        stacks = (1 if dst.type == K.STACK else 0) | (2 if src.type == K.STACK else 0)
        if stacks:
            w.note(stacks)
    else:
        if insn.src:
            raise _reserved()
        src = insn.number
    taken = _taken(dst, src, op, narrow, w.profile.tnum_overlap)
    if not w.profile.compares_addresses and taken < 0 and _by_address(dst, src, op, narrow):
        raise Rejected(R.TYPE, f"the outcome of this comparison depends on where r{insn.dst} points",
                       "a comparison of numbers", (insn.dst,))
    if taken >= 0:
        if dst.type == SCALAR:
            w.precise(insn.dst)
        if by_register and src.type == SCALAR:
            w.precise(insn.src)
        return w.insn + insn.off + 1 if taken else w.insn + 1
    state = w.state
    linked: list[tuple[int, int, bool]] = []
    if by_register and src.type == SCALAR and src.id:
        collect(state, src.id, linked)
    if dst.type == SCALAR and dst.id and not (by_register and src.type == SCALAR and
                                              (src.id ^ dst.id) & ~K.ADD_CONST == 0):
        collect(state, dst.id, linked)
    if len(linked) > 1:
        w.note(tuple(linked))
    other = w.push(w.insn + insn.off + 1)
    if dst.type == SCALAR and src.type == SCALAR:
        _learn(w, insn, op, narrow, dst, src, other, linked)
    elif not narrow:
        _pointers(w, insn, op, dst, src, other)
    return w.insn + 1


def _learn(w: Walk, insn: Insn, op: str, narrow: bool, dst: Reg, src: Reg, other: State,
           linked: list[tuple[int, int, bool]]) -> None:
    """Both ways of a comparison of numbers."""
    state = w.state
    here, there = state.frames[-1].regs, other.frames[-1].regs
    by_register = insn.code & 8
    same = by_register and insn.src == insn.dst
    for target, regs, way in ((state, here, _REVERSE[op]), (other, there, op)):
        one = dst.copy()
        two = one if same else src.copy()
        _refine(one, two, way, narrow)
        sync(one)
        sync(two)
        sane(one)
        sane(two)
        regs[insn.dst] = one
        if by_register:
            regs[insn.src] = two
            if two.id:
                learn(target, two, linked)
        if regs[insn.dst].id:
            learn(target, regs[insn.dst], linked)


def _refine(a: Reg, b: Reg, op: str, narrow: bool) -> None:
    """Narrow both numbers by `a op b`."""
    if op in ("gt", "ge", "sgt", "sge"):
        op = _FLIP[op]
        a, b = b, a
    if op == "eq":
        _equal(a, b, narrow)
    elif op == "le":
        if narrow:
            a.u32max, b.u32min = min(a.u32max, b.u32max), max(a.u32min, b.u32min)
        else:
            a.umax, b.umin = min(a.umax, b.umax), max(a.umin, b.umin)
    elif op == "lt":
        if narrow:
            a.u32max, b.u32min = min(a.u32max, b.u32max - 1 & U32), max(a.u32min + 1 & U32, b.u32min)
        else:
            a.umax, b.umin = min(a.umax, b.umax - 1 & U64), max(a.umin + 1 & U64, b.umin)
    elif op == "sle":
        if narrow:
            a.s32max, b.s32min = min(a.s32max, b.s32max), max(a.s32min, b.s32min)
        else:
            a.smax, b.smin = min(a.smax, b.smax), max(a.smin, b.smin)
    elif op == "slt":
        if narrow:
            a.s32max, b.s32min = min(a.s32max, s32(b.s32max - 1)), max(s32(a.s32min + 1), b.s32min)
        else:
            a.smax, b.smin = min(a.smax, s64(b.smax - 1)), max(s64(a.smin + 1), b.smin)
    else:
        _by_constant(a, b, op, narrow)


def _equal(a: Reg, b: Reg, narrow: bool) -> None:
    if narrow:
        a.u32min = b.u32min = max(a.u32min, b.u32min)
        a.u32max = b.u32max = min(a.u32max, b.u32max)
        a.s32min = b.s32min = max(a.s32min, b.s32min)
        a.s32max = b.s32max = min(a.s32max, b.s32max)
        value, mask = tnum_intersect(a.value & U32, a.mask & U32, b.value & U32, b.mask & U32)
        a.value, a.mask = a.value & HIGH | value, a.mask & HIGH | mask
        b.value, b.mask = b.value & HIGH | value, b.mask & HIGH | mask
    else:
        a.umin = b.umin = max(a.umin, b.umin)
        a.umax = b.umax = min(a.umax, b.umax)
        a.smin = b.smin = max(a.smin, b.smin)
        a.smax = b.smax = min(a.smax, b.smax)
        a.value, a.mask = tnum_intersect(a.value, a.mask, b.value, b.mask)
        b.value, b.mask = a.value, a.mask


def _by_constant(a: Reg, b: Reg, op: str, narrow: bool) -> None:
    """ne, set, clear: only a constant teaches something."""
    keep = U32 if narrow else U64
    if b.mask & keep:
        a, b = b, a
        if b.mask & keep:
            return
    number = b.value & keep
    if op == "ne":
        if narrow:
            signed = s32(number)
            a.u32min += a.u32min == number
            a.u32max -= a.u32max == number
            a.s32min += a.s32min == signed
            a.s32max -= a.s32max == signed
        else:
            signed = s64(number)
            a.umin += a.umin == number
            a.umax -= a.umax == number
            a.smin += a.smin == signed
            a.smax -= a.smax == signed
        return
    if op == "set":
        if number & number - 1 or not number:
            return
        value, mask = tnum_or(a.value & keep, a.mask & keep, number, 0)
    else:
        unbound(a)
        value, mask = tnum_and(a.value & keep, a.mask & keep, ~number & keep, 0)
    a.value, a.mask = a.value & ~keep | value, a.mask & ~keep | mask


# Which way

def _taken(a: Reg, b: Reg, op: str, narrow: bool, overlap: bool) -> int:
    """1: always, 0: never, -1: it depends."""
    if a.type == SCALAR and b.type == SCALAR:
        return _taken_numbers(a, b, op, narrow, overlap)
    if not narrow and a.type in _PACKETS and b.type in _PACKETS:
        return _taken_packets(a, b, op)
    keep = U32 if narrow else U64
    if b.type != SCALAR or b.mask & keep:
        op = _FLIP[op]
        a, b = b, a
        if b.type != SCALAR or b.mask & keep:
            return -1
    if a.type & K.MAYBE_NULL or b.value & keep:
        return -1
    base = a.type & K.BASE
    if base in _NOT_NULL or (base == K.MEM and not a.type & K.UNTRUSTED) or (base == K.BTF and (
            a.type & (K.TRUSTED | K.ALLOC | K.RCU) or a.ref)):
        return {"eq": 0, "ne": 1}.get(op, -1)
    return -1


def _taken_numbers(a: Reg, b: Reg, op: str, narrow: bool, overlap: bool) -> int:
    keep = U32 if narrow else U64
    if narrow:
        umin1, umax1, smin1, smax1 = a.u32min, a.u32max, a.s32min, a.s32max
        umin2, umax2, smin2, smax2 = b.u32min, b.u32max, b.s32min, b.s32max
    else:
        umin1, umax1, smin1, smax1 = a.umin, a.umax, a.smin, a.smax
        umin2, umax2, smin2, smax2 = b.umin, b.umax, b.smin, b.smax
    if op in ("eq", "ne"):
        no = 0 if op == "eq" else 1
        mask1, mask2 = a.mask & keep, b.mask & keep
        if not mask1 and not mask2:
            return 1 - no if (a.value ^ b.value) & keep == 0 else no
        if overlap and (a.value ^ b.value) & ~mask1 & ~mask2 & keep:
            return no
        if umin1 > umax2 or umax1 < umin2 or smin1 > smax2 or smax1 < smin2:
            return no
        if not narrow and (a.u32min > b.u32max or a.u32max < b.u32min or a.s32min > b.s32max or a.s32max < b.s32min):
            return no
        return -1
    if op == "set":
        if b.mask & keep:
            a, b = b, a
            if b.mask & keep:
                return -1
        number = b.value & keep
        if a.value & ~a.mask & number:
            return 1
        return -1 if (a.value | a.mask) & number else 0
    if op[0] == "s":
        umin1, umax1, umin2, umax2 = smin1, smax1, smin2, smax2
        op = op[1:]
    if op == "gt":
        return 1 if umin1 > umax2 else 0 if umax1 <= umin2 else -1
    if op == "ge":
        return 1 if umin1 >= umax2 else 0 if umax1 < umin2 else -1
    if op == "lt":
        return 1 if umax1 < umin2 else 0 if umin1 >= umax2 else -1
    return 1 if umax1 <= umin2 else 0 if umin1 > umax2 else -1


def _taken_packets(a: Reg, b: Reg, op: str) -> int:
    """A packet pointer that was found at or beyond the end."""
    if b.type == K.PACKET_END:
        packet = a
    elif a.type == K.PACKET_END:
        packet, op = b, _FLIP[op]
    else:
        return -1
    if packet.range >= 0:
        return -1
    if op in ("le", "gt") and packet.range == K.BEYOND_END:
        return int(op == "gt")
    if op in ("lt", "ge"):
        return int(op == "ge")
    return -1


# Pointers

def _by_address(a: Reg, b: Reg, op: str, narrow: bool) -> bool:
    """Whether addresses themselves decide: more than null or not, the same or not, before a packet's end or not."""
    if a.type == SCALAR and b.type == SCALAR:
        return False
    if a.type in _PACKETS and b.type in _PACKETS:
        return narrow
    return narrow or op not in ("eq", "ne")


def _pointers(w: Walk, insn: Insn, op: str, dst: Reg, src: Reg, other: State) -> None:
    """What a comparison that involves a pointer teaches."""
    state = w.state
    if insn.code & 8 and dst.type != SCALAR and src.type != SCALAR and (
            (dst.type ^ src.type) & K.MAYBE_NULL) and dst.type & K.BASE != K.BTF and src.type & K.BASE != K.BTF:
        # Equal to a pointer that is not null: not null either.
        equal = {"eq": other, "ne": state}.get(op)
        if equal is not None:
            number = insn.src if src.type & K.MAYBE_NULL else insn.dst
            _null_or_not(w, equal, number, False)
    if not insn.code & 8 and insn.imm == 0 and op in ("eq", "ne") and dst.type & K.MAYBE_NULL:
        _null_or_not(w, state, insn.dst, op == "ne")
        _null_or_not(w, other, insn.dst, op == "eq")
        return
    if insn.code & 8:
        _packet_ends(w, insn, op, dst, src, other)


def _null_or_not(w: Walk, state: State, number: int, is_null: bool) -> None:
    """Every copy of a pointer that may be null becomes the number 0, or a pointer that is not null."""
    reg = state.frames[-1].regs[number]
    wanted, ref = reg.id, reg.ref
    if ref and ref == wanted and is_null:
        state.refs = tuple(one for one in state.refs if not (one.kind == "ref" and one.id == wanted))

    def change(old: Reg) -> Reg:
        if old.mask or old.value or (old.off and not old.type & (K.ALLOC | K.NON_OWN)):
            return old
        if is_null:
            return known(0)
        new = old.copy()
        new.type &= ~K.MAYBE_NULL
        if new.type & K.BASE == K.MAP_VALUE:
            new = _found(new)
        if not ((new.type & K.BASE == K.MAP_VALUE and has_lock(new.obj)) or new.type & K.ALLOC):
            new.id = 0
        return new

    replace_all(state, lambda old: old.type & K.MAYBE_NULL and old.id == wanted, change)


def has_lock(one: Map) -> bool:
    """Whether values of a map hold a lock: pointers to them keep their id."""
    return any(field.kind in ("lock", "res_lock") for field in one.fields)


def _found(reg: Reg) -> Reg:
    """What a lookup found, by the kind of map."""
    one = reg.obj
    if one.inner is not None:
        reg.type = K.MAP_PTR
        reg.obj = one.inner
        if any(field.kind in ("timer", "wq", "task_work", "lock") for field in one.inner.fields):
            reg.uid = reg.id
    elif one.kind == 17:            # XSKMAP
        reg.type = K.XDP_SOCK
    elif one.kind in (15, 18):      # SOCKMAP, SOCKHASH
        reg.type = K.SOCKET
    return reg


def _packet_ends(w: Walk, insn: Insn, op: str, dst: Reg, src: Reg, other: State) -> None:
    """A comparison of a packet pointer with the end (or of one in the metadata with the start)."""
    state = w.state
    forward = (dst.type == K.PACKET and src.type == K.PACKET_END) or (dst.type == K.PACKET_META and _start(src))
    backward = (dst.type == K.PACKET_END and src.type == K.PACKET) or (_start(dst) and src.type == K.PACKET_META)
    if forward:
        number, ptr = insn.dst, dst
    elif backward:
        number, ptr, op = insn.src, src, _FLIP[op]
    else:
        return
    # Now: ptr op end. `within` is the branch where ptr is below (or at) the end.
    if op == "gt":
        _checked(state, ptr, False)
        _beyond(other, number, True)
    elif op == "lt":
        _checked(other, ptr, True)
        _beyond(state, number, False)
    elif op == "ge":
        _checked(state, ptr, True)
        _beyond(other, number, False)
    elif op == "le":
        _checked(other, ptr, False)
        _beyond(state, number, True)


def _start(reg: Reg) -> bool:
    """The packet's start as it came from the context."""
    return reg.type == K.PACKET and not (reg.id or reg.off or reg.mask or reg.value)


def _beyond(state: State, number: int, strictly: bool) -> None:
    reg = state.frames[-1].regs[number]
    if reg.type == K.PACKET:
        reg = reg.copy()
        reg.range = K.BEYOND_END if strictly else K.AT_END
        state.frames[-1].regs[number] = reg


def _checked(state: State, ptr: Reg, strictly: bool) -> None:
    """In this branch the bytes up to `ptr` are there (and one more, if `strictly` below)."""
    if ptr.off < 0 or (ptr.off == 0 and strictly):
        return
    if ptr.umax > K.MAX_PACKET_OFF or ptr.umax + ptr.off > K.MAX_PACKET_OFF:
        return
    reach, kind, number = ptr.off + strictly, ptr.type, ptr.id

    def change(old: Reg) -> Reg:
        new = old.copy()
        new.range = reach
        return new

    replace_all(state, lambda old: old.type == kind and old.id == number and old.range < reach, change)


HANDLERS: dict[int, Callable[[Walk, Insn], int]] = {0x05: _goto, 0x06: _goto, 0xE5: _may_goto}
for _class in (0x05, 0x06):
    for _bits in _OPS:
        HANDLERS[_class | _bits] = HANDLERS[_class | _bits | 8] = _conditional
