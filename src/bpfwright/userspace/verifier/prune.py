"""States that were seen: checkpoints, when a path may stop because another covered it, and loops without progress."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.precision import propagate
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import UNINIT, Frame, Slot, State
from bpfwright.userspace.verifier.values import NOT_INIT, SCALAR, Reg, tnum_in, unknown

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["finish", "previous_visit", "visited", "widen"]

NOT_EXACT, EXACT, WITHIN = 0, 1, 2
_SPECIAL = (K.S_DYNPTR, K.S_ITER, K.S_IRQ)


def visited(w: Walk, index: int) -> bool:
    """Whether the walk has been here with a state that covers this one; else it may be remembered."""
    state = w.state
    forced = index in w.flow.checkpoints or state.jumps > 40
    add = forced or (w.jumps - w.last_jumps >= 2 and w.processed - w.last_insns >= 8)
    seen = w.explored.get(index)
    if seen:
        callsites = [frame.callsite for frame in state.frames]
        dropped = False
        for old in seen:
            if len(old.frames) != len(callsites) or [frame.callsite for frame in old.frames] != callsites:
                continue
            if old.branches:
                add, hit = _still_open(w, index, old, state, add, forced)
                if hit:
                    return _hit(w, old, state, True)
            else:
                loop = old.scc is not None and bool(old.scc.edges)
                if not loop:
                    _clean(w, old)
                if equal(w, old, state, WITHIN if loop else NOT_EXACT):
                    return _hit(w, old, state, loop)
            if add:
                old.misses += 1
            room = 64 if index in w.flow.checkpoints and old.branches else 3
            if old.misses > old.hits * room + room:
                old.misses = -1 << 30
                dropped = True
        if dropped:
            w.explored[index] = [old for old in seen if old.misses >= 0]
    if add:
        _remember(w, index, state)
    return False


def _still_open(w: Walk, index: int, old: State, state: State, add: bool, forced: bool) -> tuple[bool, bool]:
    """An older visit whose paths are not all done: this is a loop. (remember this one, it is covered)."""
    frame, frame_now = old.frames[-1], state.frames[-1]
    loop_checks = True
    if frame.is_async and old.in_async != state.in_async:
        loop_checks = False
    elif index in w.flow.iterators:
        if equal(w, old, state, WITHIN) and _iterator_active(w, index, state):
            return add, True
        loop_checks = False
    else:
        if w.insns[index].code == 0xE5 and old.may_goto != state.may_goto and equal(w, old, state, WITHIN):
            return add, True
        if index in w.flow.callback_calls:
            if equal(w, old, state, WITHIN):
                return add, True
            loop_checks = False
    if loop_checks and _same_numbers(frame, frame_now) and equal(w, old, state, EXACT) and (
            not _iterators_differ(old, state) and old.may_goto == state.may_goto
            and old.callback_unroll == state.callback_unroll):
        raise Rejected(R.LOOP, "the same state comes up again: the loop makes no progress",
                       "a counter that moves towards its bound on every path")
    if not forced and w.jumps - w.last_jumps < 20 and w.processed - w.last_insns < 100:
        add = False
    return add, False


def _same_numbers(a: Frame, b: Frame) -> bool:
    """Whether all registers are the same, even by the numbers of their ids: a loop that makes no progress at all."""
    for one, two in zip(a.regs, b.regs, strict=True):
        if one is not two and (one.type != two.type or one.umin != two.umin or one.id != two.id or one.ref != two.ref
                               or not _exact(one, two, {})):
            return False
    return True


def _hit(w: Walk, old: State, state: State, loop: bool) -> bool:
    old.hits += 1
    propagate(w, old, state)
    if loop and old.scc is not None:
        old.scc.edges.append((old, state))
    return True


def _remember(w: Walk, index: int, state: State) -> None:
    _clear_single_ids(state)
    checkpoint = state.copy()
    checkpoint.insn = index
    checkpoint.branches = 1
    checkpoint.history = state.history      # what led here; the walk goes on with an empty one
    checkpoint.parent = state.parent
    checkpoint.precise = [[0, 0] for _ in state.frames]
    checkpoint.scc = _loop_of(w, state, index)
    if checkpoint.scc is not None and checkpoint.scc.entry is None:
        checkpoint.scc.entry = checkpoint
    w.last_jumps, w.last_insns = w.jumps, w.processed
    state.parent = checkpoint
    state.first = index
    state.history = []
    state.jumps = 0
    w.explored.setdefault(index, []).insert(0, checkpoint)


def finish(w: Walk, state: State) -> None:
    """A path has ended: checkpoints none of whose paths goes on are complete."""
    parent = state.parent
    while parent is not None:
        parent.branches -= 1
        if parent.branches:
            break
        _settle(w, parent)
        parent = parent.parent


def _settle(w: Walk, done: State) -> None:
    """A loop is left for good: what was found precise behind it holds for the paths that were cut short in it too."""
    loop = done.scc
    if loop is None or loop.entry is not done:
        return
    loop.entry = None
    for _ in range(64):
        if not any(propagate(w, old, state) for old, state in loop.edges):
            break
    loop.edges = []


class Loop:
    """A visit of a loop: the checkpoint that entered it, and paths that were cut short at a state inside it."""

    __slots__ = ("edges", "entry")

    def __init__(self) -> None:
        self.entry: State | None = None
        self.edges: list[tuple[State, State]] = []


def _loop_of(w: Walk, state: State, index: int) -> Loop | None:
    """The outermost loop that a state is in, by the calls that led there."""
    chain: list[int] = []
    last = len(state.frames) - 1
    for number in range(last + 1):
        at = index if number == last else state.frames[number + 1].callsite
        component = w.flow.components.get(at)
        if component:
            key = (*chain, -component)
            loop = w.scc_visits.get(key)
            if loop is None:
                loop = w.scc_visits[key] = Loop()
            return loop
        chain.append(at)
    return None


def previous_visit(state: State | None, index: int) -> State | None:
    """The nearest checkpoint on this path that stands at `index`."""
    while state is not None:
        if state.insn == index:
            return state
        state = state.parent
    return None


def widen(old: State, state: State) -> None:
    """Numbers that change from one round of a loop to the next, and whose range does not matter, become unknown."""
    for number, (before, now) in enumerate(zip(old.frames, state.frames, strict=False)):
        regs_precise, slots_precise = old.precise[number] if old.precise else (0, 0)
        for at in range(10):
            regs_precise_here = regs_precise >> at & 1
            reg = now.regs[at]
            if reg.type == SCALAR and before.regs[at].type == SCALAR and not regs_precise_here and not _exact(
                    before.regs[at], reg, {}):
                now.regs[at] = unknown()
        for at, slot in now.stack.items():
            was = before.stack.get(at)
            if slot.spilled and was is not None and was.spilled and slot.reg is not None and was.reg is not None and (
                    slot.reg.type == SCALAR and was.reg.type == SCALAR and not slots_precise >> at & 1
                    and not _exact(was.reg, slot.reg, {})):
                now.stack[at] = Slot(slot.kinds, unknown())


def _iterator_active(w: Walk, index: int, state: State) -> bool:
    from bpfwright.userspace.verifier.iterators import of_call
    slot = of_call(w, index, state)
    return slot is not None and slot.smin == 1


def _iterators_differ(old: State, state: State) -> bool:
    """Rounds of an iterator count as progress."""
    for before, now in zip(old.frames, state.frames, strict=True):
        for at, slot in before.stack.items():
            if slot.kinds[7] == K.S_ITER and slot.reg is not None:
                other = now.stack.get(at)
                if other is not None and other.reg is not None and other.kinds[7] == K.S_ITER and (
                        other.reg.range != slot.reg.range):
                    return True
    return False


def _clear_single_ids(state: State) -> None:
    """An id that one register alone has links it to nothing."""
    counts: dict[int, int] = {}
    for frame in state.frames:
        for reg in frame.regs:
            if reg.type == SCALAR and reg.id:
                number = reg.id & ~K.ADD_CONST
                counts[number] = counts.get(number, 0) + 1
        for slot in frame.stack.values():
            if slot.reg is not None and slot.spilled and slot.reg.type == SCALAR and slot.reg.id:
                number = slot.reg.id & ~K.ADD_CONST
                counts[number] = counts.get(number, 0) + 1
    single = {number for number, count in counts.items() if count == 1}
    if not single:
        return
    for frame in state.frames:
        for at, reg in enumerate(frame.regs):
            if reg.type == SCALAR and reg.id and reg.id & ~K.ADD_CONST in single:
                frame.regs[at] = _unnamed(reg)
        for at, slot in frame.stack.items():
            if slot.reg is not None and slot.spilled and slot.reg.type == SCALAR and slot.reg.id and (
                    slot.reg.id & ~K.ADD_CONST in single):
                frame.stack[at] = Slot(slot.kinds, _unnamed(slot.reg))


def _unnamed(reg: Reg) -> Reg:
    new = reg.copy()
    new.id = new.off = 0
    return new


def _clean(w: Walk, old: State) -> None:
    """Forget what nothing reads any more."""
    if old.cleaned:
        return
    old.cleaned = True
    for number, frame in enumerate(old.frames):
        index = old.insn if number + 1 == len(old.frames) else old.frames[number + 1].callsite
        live = w.flow.live[index]
        for at in range(10):
            if not live >> at & 1 and frame.regs[at].type:
                frame.regs[at] = UNINIT
        if frame.stack:
            alive = w.stack_use.alive(w, old, number)
            for at in [at for at in frame.stack if not alive >> at & 1]:
                del frame.stack[at]


# Comparing states

def equal(w: Walk, old: State, state: State, exact: int) -> bool:
    """Whether what was verified from `old` covers `state`."""
    if (old.sleepable, old.rcu, old.preempt, old.irq, old.locks, len(old.refs)) != (
            state.sleepable, state.rcu, state.preempt, state.irq, state.locks, len(state.refs)):
        return False
    ids: dict[int, int] = {}
    for one, two in zip(old.refs, state.refs, strict=True):
        if one.kind != two.kind or (one.obj is not two.obj and one.kind == "lock") or not _ids(one.id, two.id, ids):
            return False
    last = len(old.frames) - 1
    for number, (before, now) in enumerate(zip(old.frames, state.frames, strict=True)):
        if before.callsite != now.callsite or before.callback_depth > now.callback_depth:
            return False
        precise = old.precise[number] if old.precise else (0, 0)
        regs, regs_now, marks = before.regs, now.regs, precise[0]
        for at in w.flow.live_numbers[old.insn if number == last else old.frames[number + 1].callsite]:
            one_reg, two_reg = regs[at], regs_now[at]
            if one_reg is two_reg:
                if not one_reg.id and not one_reg.ref:
                    continue
            elif not exact and one_reg.type == SCALAR and two_reg.type == SCALAR and not marks >> at & 1:
                continue
            if not covers(one_reg, two_reg, ids, exact, marks >> at & 1):
                return False
        if (before.stack or exact) and not _stack_covers(before, now, ids, exact, precise[1]):
            return False
    return True


def _ids(old: int, new: int, ids: dict[int, int]) -> bool:
    """Whether ids correspond one to one."""
    if not old or not new:
        return old == new
    known = ids.get(old)
    if known is not None:
        return known == new
    if new in ids.values():
        return False
    ids[old] = new
    return True


def _scalar_ids(old: int, new: int, ids: dict[int, int]) -> bool:
    """A number without an id may stand for one that has none or any of its own."""
    if not old:
        return True if not new else _ids(-1 - len(ids), new, ids)
    if not new:
        return _ids(old, -1 - len(ids), ids)
    return _ids(old, new, ids)


def _within(old: Reg, new: Reg) -> bool:
    return (old.umin <= new.umin and old.umax >= new.umax and old.smin <= new.smin and old.smax >= new.smax
            and old.u32min <= new.u32min and old.u32max >= new.u32max and old.s32min <= new.s32min
            and old.s32max >= new.s32max and tnum_in(old.value, old.mask, new.value, new.mask))


def _exact(old: Reg, new: Reg, ids: dict[int, int]) -> bool:
    return (old.type == new.type and old.off == new.off and old.obj is new.obj and old.range == new.range
            and old.frame == new.frame and old.uid == new.uid and old.value == new.value and old.mask == new.mask
            and old.umin == new.umin and old.umax == new.umax and old.smin == new.smin and old.smax == new.smax
            and old.u32min == new.u32min and old.u32max == new.u32max and old.s32min == new.s32min
            and old.s32max == new.s32max and _ids(old.id, new.id, ids) and _ids(old.ref, new.ref, ids))


def covers(old: Reg, new: Reg, ids: dict[int, int], exact: int, precise: int) -> bool:
    """Whether a register that was verified as `old` may be `new`."""
    if exact == EXACT:
        return _exact(old, new, ids)
    if old.type == NOT_INIT:
        return True
    if old.type != new.type:
        return False
    base = old.type & K.BASE
    if base == SCALAR:
        if not precise and exact == NOT_EXACT:
            return True
        if (old.id ^ new.id) & K.ADD_CONST or (old.id & K.ADD_CONST and old.off != new.off):
            return False
        return _within(old, new) and _scalar_ids(old.id, new.id, ids)
    if base in (K.MAP_KEY, K.MAP_VALUE, K.MEM, K.BUF, K.TP_BUFFER):
        return (old.off == new.off and old.obj is new.obj and old.uid == new.uid and old.range == new.range
                and _within(old, new) and _ids(old.id, new.id, ids) and _ids(old.ref, new.ref, ids))
    if base in (K.PACKET, K.PACKET_META):
        return (old.range <= new.range and old.off == new.off and _ids(old.id, new.id, ids) and _within(old, new))
    if base == K.ARENA:
        return True
    return _exact(old, new, ids)


_UNKNOWN = unknown()


def _as_scalar(slot: Slot | None) -> Reg | None:
    """A slot as the number that a load of all of it gives."""
    if slot is None:
        return None
    if slot.spilled:
        return slot.reg if slot.reg is not None and slot.reg.type == SCALAR and slot.kinds[0] == K.S_SPILL else None
    return _UNKNOWN if all(kind == K.S_MISC or kind == K.S_INVALID for kind in slot.kinds) else None


def _stack_covers(before: Frame, now: Frame, ids: dict[int, int], exact: int, precise: int) -> bool:
    for at, old in before.stack.items():
        new = now.stack.get(at)
        if old is new and (old.reg is None or not (old.reg.id or old.reg.ref)):
            continue
        if exact and (new is None or old.kinds != new.kinds) and any(old.kinds):
            return False
        if not _slot_covers(old, new, ids, exact, precise >> at & 1):
            return False
    if exact:
        return all(at in before.stack and any(before.stack[at].kinds) for at, slot in now.stack.items()
                   if any(slot.kinds) and 8 * at < before.depth)
    return True


def _slot_covers(old: Slot, new: Slot | None, ids: dict[int, int], exact: int, precise: int) -> bool:
    if all(kind in (K.S_INVALID, K.S_MISC) for kind in old.kinds) and not old.spilled:
        return True         # privileged programs may read what was never written
    if new is None:
        return False
    one, two = _as_scalar(old), _as_scalar(new)
    if one is not None and two is not None:
        return covers(one, two, ids, exact, precise)
    for was, is_ in zip(old.kinds, new.kinds, strict=True):
        if was in (K.S_INVALID, K.S_MISC):
            continue
        if was != is_:
            return False
    kind = old.kinds[7]
    if kind == K.S_SPILL:
        if new.kinds[7] != K.S_SPILL or old.reg is None or new.reg is None:
            return False
        return covers(old.reg, new.reg, ids, exact, precise)
    if kind in _SPECIAL:
        a, b = old.reg, new.reg
        if a is None or b is None:
            return a is b
        if kind == K.S_DYNPTR:
            return a.type == b.type and a.obj == b.obj and a.frame == b.frame and _ids(a.ref, b.ref, ids)
        return a.obj == b.obj and a.smin == b.smin and _ids(a.ref, b.ref, ids)
    return True
