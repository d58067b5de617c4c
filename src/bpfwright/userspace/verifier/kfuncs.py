"""Kernel functions that programs call by name: arguments by their types, and what the kernel says of each besides."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, NamedTuple
from bpfwright.formats.btf import Kind
from bpfwright.userspace.verifier import iterators
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.spec.linking import POISON_CALL
from bpfwright.userspace.verifier.program import find
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import UNINIT
from bpfwright.userspace.verifier.values import SCALAR, Reg, unknown, zero_offset

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.program import Insn, Program
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["call", "name_of"]

_SLOTS = {"num": 1, "task_vma": 1, "css": 1, "task": 3, "bits": 2, "css_task": 1, "kmem_cache": 1, "dmabuf": 1,
          "scx_dsq": 6}


class Rules(NamedTuple):
    """What a function's types do not say: `acquire release null sleeps trusted rcu destroys`, and for whom it is."""

    flags: frozenset[str]
    group: str


# Kinds of programs that may call what is not for all of them: typed tracing, tracepoints, perf events, LSM,
# struct_ops, system calls, tc, XDP and those of cgroups.
_MANY = frozenset({26, 5, 7, 29, 27, 31, 3, 6, 8, 9, 13, 15, 18, 23, 25})
_ROWS = {
    "bpf_task_acquire": "acquire rcu null", "bpf_task_release": "release", "bpf_task_from_pid": "acquire null",
    "bpf_task_from_vpid": "acquire null", "bpf_cgroup_acquire": "acquire rcu null", "bpf_cgroup_release": "release",
    "bpf_cgroup_from_id": "acquire null", "bpf_cgroup_ancestor": "acquire rcu null", "bpf_rcu_read_lock": "",
    "bpf_rcu_read_unlock": "", "bpf_preempt_disable": "", "bpf_preempt_enable": "", "bpf_cast_to_kern_ctx": "",
    "bpf_rdonly_cast": "", "bpf_cpumask_create": "acquire null", "bpf_cpumask_release": "release",
    "bpf_cpumask_acquire": "acquire trusted", "bpf_get_file_xattr": "sleeps trusted",
    "bpf_task_under_cgroup": "rcu", "bpf_task_get_cgroup1": "acquire rcu null",
}


def name_of(program: Program, insn: Insn) -> str:
    """The name of the function that an instruction calls; empty when it is none."""
    if insn.imm == POISON_CALL or program.kernel is None or not 0 < insn.imm <= program.kernel.count:
        return ""
    return program.kernel.name(insn.imm) if program.kernel.kind(insn.imm) == Kind.FUNC else ""


def call(w: Walk, insn: Insn) -> int:
    """A call; where the walk goes on."""
    program, state = w.program, w.state
    name = name_of(program, insn)
    kernel = program.kernel
    if not name or kernel is None or not w.profile.iterators:
        raise Rejected(R.HELPER, "a kernel function that this kernel does not have")
    iterator = name.startswith("bpf_iter_") and name.rsplit("_", 1)[-1] in ("new", "next", "destroy")
    row = _ROWS.get(name)
    if row is None and not iterator:
        raise Rejected(R.HELPER, f"the kernel function {name} is not known to this verifier, or not for programs")
    if not _allowed(program.kind, name):
        raise Rejected(R.HELPER, f"programs of this kind cannot call {name}", "another kind of program")
    flags = frozenset((row or "").split())
    if state.locks:
        raise Rejected(R.LOCK, f"{name} is called while a lock is held", "the call before locking or after unlocking")
    if "sleeps" in flags and not state.sleepable:
        raise Rejected(R.SLEEP, f"{name} may sleep, which this program must not", "a sleepable program")
    if iterator:
        return _iterator(w, name)
    return _plain(w, insn, name, flags, kernel)


def _allowed(kind: int, name: str) -> bool:
    if name.startswith(("bpf_iter_num_", "bpf_rcu_", "bpf_preempt_", "bpf_cast_", "bpf_rdonly_")):
        return True
    return kind in _MANY and not (name.startswith("bpf_get_file") and kind not in (26, 29))


def _clear(w: Walk) -> list[Reg]:
    regs = w.state.regs
    for number in range(6):
        regs[number] = UNINIT
    return regs


# Iterators

def _iterator(w: Walk, name: str) -> int:
    kind, _, act = name[len("bpf_iter_"):].rpartition("_")
    count = _SLOTS.get(kind, 1)
    reg = w.read(1)
    if act == "new":
        for number in range(2, 2 + _parameters_after_first(w, name)):
            w.read(number)
        from bpfwright.userspace.verifier.calls import acquire
        iterators.new(w, reg, kind, count, acquire(w))
        regs = _clear(w)
        regs[0] = unknown()
    elif act == "next":
        at, first = iterators.slots(w, reg, kind, count)
        state = w.state
        from bpfwright.userspace.verifier.prune import previous_visit, widen
        if first.smin == iterators.ACTIVE:
            before = previous_visit(state.parent.parent, w.insn) if state.parent is not None else None
            other = w.push(w.insn + 1)
            iterators.change(w, other, reg.frame, at, iterators.ACTIVE, first.range + 1)
            if before is not None and len(before.frames) == len(other.frames):
                widen(before, other)
            other.regs[0:6] = [UNINIT] * 6
            other.regs[0] = _element(w, kind)
            other.regs[0].ref = first.ref
        iterators.change(w, state, reg.frame, at, iterators.DRAINED, first.range)
        regs = _clear(w)
        from bpfwright.userspace.verifier.values import known
        regs[0] = known(0)
    else:
        iterators.destroy(w, reg, kind, count)
        _clear(w)
    return w.insn + 1


def _parameters_after_first(w: Walk, name: str) -> int:
    kernel = w.program.kernel
    assert kernel is not None
    found = find(kernel, name, Kind.FUNC)
    return len(kernel.parameters(found)) - 1 if found else 0


def _element(w: Walk, kind: str) -> Reg:
    """What bpf_iter_X_next gives while there is one."""
    if kind in ("num", "bits"):
        reg = zero_offset(K.MEM | K.RDONLY * (kind != "num"))
        reg.type = K.MEM | K.RDONLY
        reg.range = 4
        reg.id = w.new_id()
        return reg
    from bpfwright.userspace.verifier.kerneltypes import struct_pointer
    reg = struct_pointer(w, {"task": "task_struct", "css_task": "task_struct", "task_vma": "vm_area_struct",
                             "css": "cgroup_subsys_state"}.get(kind, kind), K.TRUSTED)
    return reg


# Others

def _plain(w: Walk, insn: Insn, name: str, flags: frozenset[str], kernel: Any) -> int:
    state = w.state
    from bpfwright.userspace.verifier import calls
    from bpfwright.userspace.verifier.kerneltypes import matches, of
    released = 0
    for position, parameter in enumerate(kernel.parameters(insn.imm)):
        number = position + 1
        reg = state.regs[number]
        beneath = kernel.resolve(parameter.type_id)
        if kernel.kind(beneath) != Kind.PTR:
            if reg.type != SCALAR:
                raise Rejected(R.TYPE, f"r{number} is a {K.name(reg.type)}, and {name} takes a number", "", (number,))
            continue
        if name in ("bpf_cast_to_kern_ctx", "bpf_rdonly_cast"):
            continue
        target = kernel.resolve(kernel.type_of(beneath))
        if (reg.type == SCALAR and not reg.mask and not reg.value) or reg.type & K.MAYBE_NULL:
            raise Rejected(R.NULL, f"r{number} may be null, and {name} takes no null", f"r{number} != 0 on this path",
                           (number,))
        if reg.type & K.BASE != K.BTF or reg.obj is None:
            raise Rejected(R.TYPE, f"r{number} is a {K.name(reg.type)}, and {name} takes a kernel object", "",
                           (number,))
        if not matches(reg.obj.btf, reg.obj.id, reg.off, kernel.name(target)):
            raise Rejected(R.TYPE, f"r{number} points to struct {reg.obj.name}, and {name} takes struct "
                           f"{kernel.name(target)}", "", (number,))
        if "release" in flags:
            if not reg.ref:
                raise Rejected(R.REFERENCE, f"{name} releases what was acquired, and r{number} was not", "", (number,))
            released = reg.ref
        elif not reg.type & (K.TRUSTED | K.RCU) and not reg.ref:
            raise Rejected(R.TYPE, f"r{number} is not trusted (any more), and {name} takes only what is", "", (number,))
        elif reg.type & K.RCU and "rcu" not in flags:
            raise Rejected(R.TYPE, f"r{number} is held by RCU only, and {name} takes what is trusted", "", (number,))
    if released:
        calls.release(w, released)
    if name == "bpf_rcu_read_lock":
        state.rcu += 1
    elif name == "bpf_rcu_read_unlock":
        if not state.rcu:
            raise Rejected(R.LOCK, "an RCU unlock without a lock", "bpf_rcu_read_lock before")
        state.rcu -= 1
    elif name == "bpf_preempt_disable":
        state.preempt += 1
    elif name == "bpf_preempt_enable":
        if not state.preempt:
            raise Rejected(R.LOCK, "preemption is on already", "bpf_preempt_disable before")
        state.preempt -= 1
    second = state.regs[2]
    regs = _clear(w)
    returned = kernel.type_of(kernel.type_of(insn.imm))
    if kernel.kind(returned) == Kind.VOID:
        return w.insn + 1
    beneath = kernel.resolve(returned)
    if kernel.kind(beneath) != Kind.PTR:
        regs[0] = unknown()
        return w.insn + 1
    target = kernel.resolve(kernel.type_of(beneath))
    reg = zero_offset(K.BTF | K.TRUSTED * ("acquire" not in flags))
    if name == "bpf_rdonly_cast":
        if second.type != SCALAR or second.mask:
            raise Rejected(R.CONSTANT, "the type in r2 must be a constant", "", (2,))
        reg = zero_offset(K.BTF | K.UNTRUSTED)
        target = second.value
    if kernel.kind(kernel.resolve(target)) != Kind.STRUCT:
        regs[0] = unknown()
        return w.insn + 1
    reg.obj = of(w, target)
    if "null" in flags:
        reg.type |= K.MAYBE_NULL
        reg.id = w.new_id()
    if "acquire" in flags:
        reg.id = reg.ref = calls.acquire(w)
    regs[0] = reg
    return w.insn + 1
