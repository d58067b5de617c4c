"""Calls and returns: helpers with their arguments, functions of the program's own, callbacks, the end of a path."""
from __future__ import annotations

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.formats.btf import Kind
from bpfwright.formats.isa.opcodes import OPCODES
from bpfwright.userspace.verifier import arguments, contexts, locks, memory
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.helpers import PROTOTYPES, callback_argument, variant
from bpfwright.userspace.verifier.program import Subprogram, find
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.state import UNINIT, Frame, Reference, State, replace_all
from bpfwright.userspace.verifier.values import SCALAR, Reg, sync, unknown, zero_offset

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.program import Insn
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["HANDLERS", "acquire", "check_held", "check_sections", "release", "resolve"]

_MAX_FRAMES = 8
_LOOP, _FOR_EACH, _FIND_VMA, _DRAIN, _TIMER_CALLBACK = 181, 164, 180, 209, 170
_TAIL_CALL, _SPIN_LOCK, _SPIN_UNLOCK, _CURRENT_CPU = 12, 93, 94, 8
_MAX_LOOPS = 1 << 23
_STRINGS = frozenset({45, 67, 114, 115, 141})       # whose result is at most the size they were given
_SCRATCH = range(6)
_YES_OR_NO = frozenset(("audit_rule_known", "inode_xattr_skipcap"))  # security hooks that answer with a bool


def resolve(w: Walk) -> None:
    """What instructions refer to, and opcodes that are none, are found before anything is walked."""
    insns = w.insns
    index = 0
    while index < len(insns):
        insn = insns[index]
        if insn.code == 0x18:
            memory.check_reference(w, index)
            index += 1
        elif insn.code not in OPCODES or insn.code == 0x8D:
            raise Rejected(R.STRUCTURE, f"opcode {insn.code:#04x} is unknown")
        elif insn.code & 7 == 1 and insn.imm:
            raise Rejected(R.STRUCTURE, "a load with a field set that means nothing there")
        index += 1


def _call(w: Walk, insn: Insn) -> int:
    if insn.dst or insn.src > 2 or (insn.src != 2 and insn.off):
        raise Rejected(R.STRUCTURE, "a call has a field set that means nothing there")
    w.jumps += 1
    if insn.src == 2:
        from bpfwright.userspace.verifier.kfuncs import call
        return call(w, insn)
    if w.state.locks and not locks.allows_call(w, insn):
        raise Rejected(R.LOCK, "a call while a lock is held", "the call before locking or after unlocking")
    if insn.src == 1:
        return _own(w, insn)
    return _helper(w, insn)


# Functions of the program's own

def _own(w: Walk, insn: Insn) -> int:
    callee = w.program.at.get(insn.target)
    if callee is None:
        raise Rejected(R.STRUCTURE, "a call into the middle of a function")
    state = w.state
    if callee.is_global:
        locks.check_global_call(w, callee)
        arguments.check_global(w, callee)
        callee.used = True
        if _changes_packet(w, callee):
            forget_packets(state)
        _clear_scratch(state)
        regs = state.regs
        regs[0] = unknown()
        if w.program.btf is not None and arguments.returns_void(w, callee):
            regs[0] = UNINIT
        return w.insn + 1
    _enter(w, state, callee, w.insn)
    frame = state.frames[-1]
    frame.regs[1:6] = state.frames[-2].regs[1:6]
    _clear_scratch_of(state.frames[-2])
    return callee.start


def _changes_packet(w: Walk, one: Subprogram) -> bool:
    seen = {one.start}
    waiting = [one]
    while waiting:
        function = waiting.pop()
        for index in range(function.start, function.end):
            insn = w.insns[index]
            if insn.code == 0x85 and insn.src == 0 and insn.imm in PROTOTYPES and (
                    "packet" in PROTOTYPES[insn.imm].flags):
                return True
            if insn.code == 0x85 and insn.src == 1 and insn.target not in seen:
                seen.add(insn.target)
                waiting.append(w.program.at[insn.target])
    return False


def _enter(w: Walk, state: State, callee: Subprogram, callsite: int) -> Frame:
    if len(state.frames) >= _MAX_FRAMES:
        raise Rejected(R.CALLS, f"calls nest more than {_MAX_FRAMES} deep", "calls at most 8 deep, without recursion")
    frame = Frame(len(state.frames), callsite, callee.index)
    frame.regs[10] = zero_offset(K.STACK)
    frame.regs[10].frame = frame.number
    frame.chain = (*state.frames[-1].chain, callsite)
    state.frames.append(frame)
    return frame


def _clear_scratch(state: State) -> None:
    _clear_scratch_of(state.frames[-1])


def _clear_scratch_of(frame: Frame) -> None:
    regs = frame.regs
    regs[0] = regs[1] = regs[2] = regs[3] = regs[4] = regs[5] = UNINIT


def _exit(w: Walk, insn: Insn) -> int:
    if insn.imm or insn.src or insn.dst or insn.off or insn.code != 0x95:
        raise Rejected(R.STRUCTURE, "an exit has a field set that means nothing there")
    state = w.state
    w.jumps += 1
    outer = len(state.frames) == 1
    if outer or state.frames[-1].is_async:
        check_held(w, "the program ends")
        check_sections(w, "the program ends")
    elif state.locks and not w.profile.lock_in_functions:
        raise Rejected(R.LOCK, "a function returns with a lock held", "the unlock before the return")
    if len(state.frames) > 1 and not (outer or state.frames[-1].is_async):
        return _return(w)
    _check_return(w)
    return -1


def _return(w: Walk) -> int:
    """Back to the caller, or from a callback to the helper that runs it."""
    state = w.state
    callee = state.frames[-1]
    result = callee.regs[0]
    if result.type & K.BASE == K.STACK and result.frame == callee.number:
        raise Rejected(R.STACK, "a function returns a pointer to its own stack", "a number, or memory of the caller")
    if callee.callback:
        if result.type != SCALAR:
            raise Rejected(R.RETURN, "the callback returns no number", "a number in r0", (0,))
        low, high = callee.returns or (0, 1)
        w.precise(0)
        result = callee.regs[0]
        if result.smin < low or result.smax > high:
            raise Rejected(R.RETURN, f"the callback returns {result.smin} to {result.smax}", f"{low} to {high} in r0",
                           (0,))
    caller = state.frames[-2]
    if not callee.callback:
        caller.regs[0] = callee.regs[0]
        following = callee.callsite + 1
        state.frames.pop()
        return following
    # A callback may run again: the call itself comes next, with what the callback left behind.
    from bpfwright.userspace.verifier.prune import previous_visit, widen
    before = previous_visit(state.parent, callee.callsite)
    state.frames.pop()
    if before is not None and len(before.frames) == len(state.frames):
        widen(before, state)
    return callee.callsite


def _check_return(w: Walk) -> None:
    state = w.state
    regs = state.frames[-1].regs
    subprogram = w.program.subprograms[state.frames[-1].subprog]
    if state.frames[-1].is_async:
        wanted: tuple[int, int] | None = (0, 0)
    elif subprogram.index:
        if arguments.returns_void(w, subprogram):
            return
        wanted = None
    else:
        wanted = contexts.returns(w.program) or _security_answer(w)
    reg = regs[0]
    if not reg.type:
        raise Rejected(R.UNINITIALISED, "r0 is not set when the program ends", "a value in r0 on every path", (0,))
    if reg.type != SCALAR:
        if subprogram.index or wanted is not None:
            raise Rejected(R.RETURN, f"r0 is a {K.name(reg.type)} when the program ends", "a number in r0", (0,))
        return
    if wanted is None:
        return
    w.precise(0)
    reg = state.frames[-1].regs[0]
    low, high = wanted
    if reg.smin < low or reg.smax > high or reg.type != SCALAR:
        raise Rejected(R.RETURN, f"the program may return {reg.smin} to {reg.smax}, the hook allows {low} to {high}",
                       f"a value from {low} to {high} in r0 on every path", (0,))


def _security_answer(w: Walk) -> tuple[int, int] | None:
    """What a security hook may answer since Linux 6.12: an errno or 0 (bpf_lsm_get_retval_range)."""
    program = w.program
    if program.kind != B.BPF_PROG_TYPE_LSM or program.attach_type != B.BPF_LSM_MAC or not w.profile.lsm_returns:
        return None
    if program.attach_to in _YES_OR_NO:
        return 0, 1
    if program.kernel is not None:
        function = find(program.kernel, f"bpf_lsm_{program.attach_to}", Kind.FUNC)
        if function and not program.kernel.type_of(program.kernel.type_of(function)):
            return None  # it answers nothing
    return -4095, 0


# What is held

def acquire(w: Walk, kind: str = "ref", obj: Any = None) -> int:
    """A new reference; its number."""
    number = w.new_id()
    w.state.refs = (*w.state.refs, Reference(kind, number, w.insn, obj))
    return number


def release(w: Walk, number: int) -> None:
    """End a reference: every pointer that came with it is a number from now on."""
    state = w.state
    if not any(one.kind == "ref" and one.id == number for one in state.refs):
        raise Rejected(R.REFERENCE, "something that is not held (any more) is released",
                       "one release for what was acquired")
    state.refs = tuple(one for one in state.refs if not (one.kind == "ref" and one.id == number))
    replace_all(state, lambda reg: reg.ref == number, lambda reg: unknown())


def check_held(w: Walk, when: str) -> None:
    state = w.state
    for one in state.refs:
        if one.kind == "ref":
            line = w.program.line(one.insn)
            where = f"line {line.line}" if line else f"instruction {one.insn}"
            raise Rejected(R.REFERENCE, f"{when}, and what was acquired at {where} is still held",
                           "its release on every path")


def check_sections(w: Walk, when: str) -> None:
    state = w.state
    if state.locks:
        raise Rejected(R.LOCK, f"{when} with a lock held", "the unlock on every path")
    if state.rcu:
        raise Rejected(R.LOCK, f"{when} inside an RCU section", "bpf_rcu_read_unlock on every path")
    if state.preempt:
        raise Rejected(R.LOCK, f"{when} with preemption off", "bpf_preempt_enable on every path")
    if state.irq:
        raise Rejected(R.LOCK, f"{when} with interrupts off", "bpf_local_irq_restore on every path")


def forget_packets(state: State) -> None:
    """The packet may have moved: pointers into it are numbers from now on."""
    replace_all(state, lambda reg: reg.type & K.BASE in (K.PACKET, K.PACKET_META, K.PACKET_END)
                or (reg.type & K.BASE == K.MEM and reg.frame == -1), lambda reg: unknown())


# Helpers

def _helper(w: Walk, insn: Insn) -> int:
    number, program, state = insn.imm, w.program, w.state
    prototype = PROTOTYPES.get(number)
    if prototype is None or not w.profile.allows(number, program.kind, program.attach_type):
        raise Rejected(R.HELPER, f"programs of this kind cannot call helper {number}"
                       + (f" (bpf_{prototype.name})" if prototype else ""),
                       "another helper, or another kind of program")
    if w.profile.only_gpl >> number & 1 and not program.gpl:
        raise Rejected(R.HELPER, f"bpf_{prototype.name} is for GPL programs", "the licence GPL")
    if "sleeps" in prototype.flags and not state.sleepable:
        raise Rejected(R.HELPER, f"bpf_{prototype.name} may sleep, which this program must not",
                       "a sleepable program")
    if state.rcu and "sleeps" in prototype.flags:
        raise Rejected(R.SLEEP, f"bpf_{prototype.name} may sleep, inside an RCU section")
    prototype = variant(number, program.kind, prototype)
    call = arguments.Call(w, number, prototype)
    call.check()
    regs = state.frames[-1].regs
    _before(w, number, call)
    call.fill()
    if "release" in prototype.flags:
        if call.dynptr is not None:
            from bpfwright.userspace.verifier.dynptrs import release as release_dynptr
            release_dynptr(w, call.dynptr)
        elif call.ref:
            release(w, call.ref)
        elif not (regs[1].type == SCALAR and not regs[1].mask and not regs[1].value):
            raise Rejected(R.REFERENCE, "what is released was never acquired", "an acquired object in r1", (1,))
    if callback_argument(number) or number == _TIMER_CALLBACK:
        entered = _with_callback(w, number, call)
        if entered is not None:
            return entered
    _result(w, number, prototype.result, prototype.flags, call)
    if "packet" in prototype.flags:
        forget_packets(state)
    return w.insn + 1


def _before(w: Walk, number: int, call: arguments.Call) -> None:
    """Rules of single helpers."""
    state = w.state
    regs = state.frames[-1].regs
    if number == _TAIL_CALL:
        check_held(w, "the tail call may leave the program")
        check_sections(w, "the tail call may leave the program")
        if regs[3].type == SCALAR:
            w.precise(3)
    elif number in (_SPIN_LOCK, _SPIN_UNLOCK):
        locks.spin(w, call.lock, number == _SPIN_LOCK)
    elif number == 81 and not (regs[2].type == SCALAR and not regs[2].mask and not regs[2].value):
        raise Rejected(R.CONSTANT, "the flags of bpf_get_local_storage must be 0", "0 in r2", (2,))


def _with_callback(w: Walk, number: int, call: arguments.Call) -> int | None:
    """Walk into a callback; None when this is the path on which it does not run (again)."""
    state = w.state
    callee = call.function
    if callee is None:
        return None
    callee.is_callback = True
    if number == _TIMER_CALLBACK:
        callee.is_async = True
        other = State()
        other.branches = 1
        frame = Frame(0, w.insn, callee.index)
        frame.is_async = True
        frame.regs[10] = zero_offset(K.STACK)
        one = call.map
        frame.regs[1] = _map_pointer(one)
        frame.regs[2] = _pointer_to(K.MAP_KEY, one)
        frame.regs[3] = _pointer_to(K.MAP_VALUE, one)
        other.frames = [frame]
        other.in_async = state.in_async + 1
        other.first = callee.start
        w.push(callee.start, other)
        return None
    if number == _LOOP:
        if state.regs[1].type != SCALAR:
            raise Rejected(R.TYPE, "r1 is not a number, and bpf_loop takes how often it is to run", "", (1,))
        w.precise(1)
        count = state.regs[1]
        if state.frames[-1].callback_depth >= count.umax:
            state.frames[-1].callback_depth = 0
            return None
    # One copy runs the callback (once more), this path goes on behind the call.
    other = state.copy()
    caller = other.frames[-1]
    frame = _enter(w, other, callee, w.insn)
    frame.callback = True
    frame.returns = (0, 1)
    original = caller.regs
    if number == _LOOP:
        frame.regs[1] = unknown()
        frame.regs[2] = original[3]
    elif number == _FOR_EACH:
        one = original[1].obj
        frame.regs[1] = original[1]
        frame.regs[2] = _pointer_to(K.MAP_KEY, one)
        frame.regs[3] = _pointer_to(K.MAP_VALUE, one)
        if any(field.kind == "lock" for field in one.fields):
            frame.regs[3].id = w.new_id()
        frame.regs[4] = original[3]
    elif number == _FIND_VMA:
        from bpfwright.userspace.verifier.kerneltypes import struct_pointer
        frame.regs[1] = original[1]
        frame.regs[2] = struct_pointer(w, "vm_area_struct", 0)
        frame.regs[3] = original[4]
    else:
        frame.regs[1] = _dynptr_argument(w)
        frame.regs[2] = original[3]
    other.callback_unroll += 1
    caller.callback_depth += 1
    state.frames[-1].callback_depth = 0
    w.push(callee.start, other)
    return None


def _dynptr_argument(w: Walk) -> Reg:
    reg = zero_offset(K.DYNPTR)
    reg.id = w.new_id()
    reg.obj = "local"
    return reg


def _map_pointer(one: Any) -> Reg:
    reg = zero_offset(K.MAP_PTR)
    reg.obj = one
    return reg


def _pointer_to(kind: int, one: Any) -> Reg:
    reg = zero_offset(kind)
    reg.obj = one
    return reg


def _result(w: Walk, number: int, result: str, flags: frozenset[str], call: arguments.Call) -> None:
    state = w.state
    _clear_scratch(state)
    regs = state.frames[-1].regs
    if result == "int":
        regs[0] = unknown()
        if number in _STRINGS and call.size_max is not None:
            _at_most(regs[0], call.size_max)
        elif number == _CURRENT_CPU and w.profile.cpus:
            _from_zero(regs[0], w.profile.cpus - 1)
        return
    if result == "void":
        return
    maybe = result.endswith("?")
    bare = result.removesuffix("?")
    reg = arguments.pointer(w, bare, call)
    if reg is None:
        regs[0] = unknown()
        return
    if maybe and not call.never_null:
        reg.type |= K.MAYBE_NULL
        if not reg.id:
            reg.id = w.new_id()
    elif reg.type & K.BASE == K.MAP_VALUE and any(field.kind in ("lock", "res_lock") for field in reg.obj.fields):
        reg.id = w.new_id()
    if "acquire" in flags:
        reg.id = reg.ref = acquire(w)
    elif "cast" in flags or bare == "slice":
        reg.ref = call.ref
    regs[0] = reg


def _at_most(reg: Reg, most: int) -> None:
    if most < 1 << 31:
        reg.smax = reg.s32max = most
        reg.smin = reg.s32min = -4095
        sync(reg)


def _from_zero(reg: Reg, most: int) -> None:
    reg.umin = reg.u32min = reg.smin = reg.s32min = 0
    reg.umax = reg.u32max = reg.smax = reg.s32max = most
    sync(reg)


def arguments_by_btf(w: Walk, subprogram: Subprogram, state: State) -> None:
    """The arguments of a global function, by its type."""
    arguments.by_type(w, subprogram, state)


HANDLERS: dict[int, Callable[[Walk, Insn], int]] = {0x85: _call, 0x95: _exit}
