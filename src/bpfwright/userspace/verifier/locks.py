"""Spin locks: one at a time, taken and given back in one function, and little else in between."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import Reference
from bpfwright.userspace.verifier.values import Reg

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.program import Insn, Subprogram
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["allows_call", "check_global_call", "spin"]

_SPIN_LOCK, _SPIN_UNLOCK = 93, 94
_UNDER_LOCK = ("bpf_rbtree_", "bpf_list_", "bpf_refcount_acquire_impl", "bpf_obj_new_impl", "bpf_iter_num_",
               "bpf_res_spin_", "bpf_obj_drop_impl", "bpf_preempt_", "bpf_rcu_")


def allows_call(w: Walk, insn: Insn) -> bool:
    """What may be called while a lock is held: the other half of the lock, and functions that do nothing else."""
    if insn.src == 1:
        return bool(w.profile.lock_in_functions)
    return insn.src == 0 and insn.imm in (_SPIN_LOCK, _SPIN_UNLOCK)


def check_global_call(w: Walk, callee: Subprogram) -> None:
    if w.state.locks:
        raise Rejected(R.LOCK, f"the global function {callee.name} is called while a lock is held",
                       "a static function, or the call before locking")
    if (w.state.preempt or w.state.irq or w.state.rcu) and callee.might_sleep:
        raise Rejected(R.SLEEP, f"the global function {callee.name} may sleep here")


def spin(w: Walk, reg: Reg | None, lock: bool) -> None:
    """Take or give back the lock that `reg` points to."""
    state = w.state
    assert reg is not None
    if lock:
        if state.locks:
            raise Rejected(R.LOCK, "a second lock is taken", "the first one's unlock before it")
        state.locks += 1
        state.refs = (*state.refs, Reference("lock", reg.id, w.insn, reg.obj))
        return
    if not state.locks:
        raise Rejected(R.LOCK, "an unlock without a lock", "a lock taken before on every path")
    held = next(one for one in reversed(state.refs) if one.kind == "lock")
    if held.obj is not reg.obj or held.id != reg.id:
        raise Rejected(R.LOCK, "another lock is given back than was taken", "the same pointer for lock and unlock")
    state.locks -= 1
    state.refs = tuple(one for one in state.refs if one is not held)
    from bpfwright.userspace.verifier.state import replace_all
    from bpfwright.userspace.verifier.values import unknown
    replace_all(state, lambda old: bool(old.type & K.NON_OWN), lambda old: unknown())
