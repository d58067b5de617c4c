"""Loads, stores and atomics: what each kind of pointer may reach, and what a load gives."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Callable
from bpfwright.userspace.verifier import contexts, stack
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.program import Map, word
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.values import (
    S64_MIN,
    SCALAR,
    U32,
    U64,
    Reg,
    coerce,
    known,
    s64,
    sign_extend,
    unknown,
    zero_offset,
)

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.program import Insn
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["HANDLERS", "access", "address_of", "check_offset_is_plain", "check_reference",
           "check_region"]

_SIZES = {0x00: 4, 0x08: 2, 0x10: 1, 0x18: 8}
_ARRAY, _RDONLY_PROG, _WRONLY_PROG = 2, 128, 256
_ARENA_MAP, _INSN_ARRAY = 33, 34
_PACKET_READERS = frozenset({10, 11, 19, 21, 22, 8})        # which may read packets, not write them
_PACKET_WRITERS = frozenset({3, 4, 6, 12, 14, 16, 25})
_FIELD_NAMES = {"lock": "a spin lock", "res_lock": "a spin lock", "timer": "a timer", "wq": "a work queue",
                "list": "a list head", "tree": "a tree root", "refcount": "a reference count", "node": "a node",
                "task_work": "task work"}


def _reserved() -> Rejected:
    return Rejected(R.STRUCTURE, "a load or store has a field set that means nothing there")


def address_of(w: Walk, insn: Insn) -> Reg:
    """What a 64-bit load of a map, a map's value, a function or a kernel variable gives."""
    source = insn.src
    if source == 4:
        callee = w.program.at.get(insn.target)
        if callee is None:
            raise Rejected(R.STRUCTURE, "the address of something that is no function")
        if callee.is_global:
            raise Rejected(R.CALLS, f"{callee.name} is global: only static functions can be callbacks",
                           f"a static {callee.name}")
        reg = zero_offset(K.FUNC)
        reg.obj = callee
        return reg
    if source == 3:
        from bpfwright.userspace.verifier.kerneltypes import variable
        return variable(w, insn.imm)
    one = w.program.maps[insn.imm]
    if source == 1:
        reg = zero_offset(K.MAP_PTR)
        reg.obj = one
        return reg
    offset = w.insns[w.insn + 1].imm & U32
    if one.kind == _ARENA_MAP:
        reg = unknown()
        reg.type = K.ARENA
        return reg
    reg = zero_offset(K.MAP_VALUE)
    reg.obj, reg.off = one, offset
    if any(field.kind in ("lock", "res_lock") for field in one.fields):
        reg.id = w.new_id()
    return reg


def check_reference(w: Walk, index: int) -> None:
    """Before the walk: what a 64-bit load refers to must be there, and be for this kind of program."""
    insn = w.insns[index]
    following = w.insns[index + 1] if index + 1 < len(w.insns) else None
    if following is None or following.code or following.dst or following.src or following.off:
        raise Rejected(R.STRUCTURE, f"instruction {index} is half a 64-bit load")
    if insn.src not in (1, 2):
        if insn.src > 4:
            raise Rejected(R.STRUCTURE, "a 64-bit load of something unknown")
        return
    if not 0 <= insn.imm < len(w.program.maps):
        raise Rejected(R.STRUCTURE, "a 64-bit load of a map that is none")
    one = w.program.maps[insn.imm]
    _check_map(w, one)
    offset = following.imm & U32
    if insn.src == 1:
        if offset:
            raise Rejected(R.STRUCTURE, "the address of a map with an offset")
    elif one.kind != _ARENA_MAP:
        if one.kind != _ARRAY or one.max_entries != 1:
            raise Rejected(R.MAP, f"the values of map {one.name} have no fixed address", "an array map of one entry")
        if offset >= K.MAX_VAR_OFF or offset >= one.value_size:
            raise Rejected(R.MAP_VALUE, f"offset {offset} is beyond the value of map {one.name}")


def _check_map(w: Walk, one: Map) -> None:
    """Kinds of programs that cannot use a kind of map."""
    kinds = {field.kind for field in one.fields}
    tracing = w.program.kind in contexts.TRACING
    if kinds & {"lock", "res_lock"}:
        if w.program.kind == 1:
            raise Rejected(R.LOCK, "socket filters cannot use spin locks")
        if tracing and "lock" in kinds:
            raise Rejected(R.LOCK, "tracing programs cannot use spin locks")
    if "timer" in kinds and tracing and not w.profile.tracing_timers:
        raise Rejected(R.MAP, "tracing programs cannot use timers")
    if kinds & {"list", "tree"} and (tracing or w.program.kind == 1) and not w.profile.tracing_graphs:
        raise Rejected(R.LOCK, "tracing programs cannot use lists and trees")
    if one.kind == 26:
        raise Rejected(R.MAP, "maps of struct_ops cannot be used by programs")


# Instructions

def _load(w: Walk, insn: Insn) -> int:
    code = insn.code
    signed = code & 0xE0 == 0x80
    if insn.imm or (signed and not w.profile.v4):
        raise _reserved()
    src = w.read(insn.src)
    w.check_written(insn.dst)
    size = _SIZES[code & 0x18]
    result = access(w, insn.src, src, insn.off, size, False, insn.dst, signed)
    if size < 8 and result.type == SCALAR:
        if signed:
            result = result.copy()
            sign_extend(result, size)
        elif result.umax >> 8 * size or result.mask >> 8 * size:
            result = result.copy()
            coerce(result, size)
    w.state.frames[-1].regs[insn.dst] = result
    _remember_kind(w, src)
    return w.insn + 1


# The kernel rewrites accesses through these: one instruction cannot be two things.
_REWRITTEN = frozenset({K.CTX, K.SOCKET, K.SOCK_COMMON, K.TCP_SOCK, K.XDP_SOCK, K.BTF, K.ARENA})


def _remember_kind(w: Walk, reg: Reg) -> None:
    """For who compiles the program: which kind of pointer an access goes through."""
    kind = reg.type & K.BASE
    old = w.aux.get(w.insn)
    if old is None:
        w.aux[w.insn] = reg.type
    elif old & K.BASE != kind and (kind in _REWRITTEN or old & K.BASE in _REWRITTEN):
        raise Rejected(R.TYPE, "one instruction accesses different kinds of pointers on different paths",
                       "an instruction of its own for each kind")


def _store_register(w: Walk, insn: Insn) -> int:
    if insn.imm:
        raise _reserved()
    w.read(insn.src)
    dst = w.read(insn.dst)
    if dst.type != K.STACK:
        w.stack_use.write(w, 0, -1)
    access(w, insn.dst, dst, insn.off, _SIZES[insn.code & 0x18], True, insn.src)
    _remember_kind(w, dst)
    return w.insn + 1


def _store_number(w: Walk, insn: Insn) -> int:
    if insn.src:
        raise _reserved()
    dst = w.read(insn.dst)
    if dst.type == K.CTX and not w.profile.immediate_context_stores:
        raise Rejected(R.CONTEXT, "a number cannot be stored into the context directly: move it to a register first")
    if dst.type != K.STACK:
        w.stack_use.write(w, 0, -1)
    access(w, insn.dst, dst, insn.off, _SIZES[insn.code & 0x18], True, -1, immediate=insn.imm)
    _remember_kind(w, dst)
    return w.insn + 1


_ATOMIC_OPS = frozenset({0x00, 0x40, 0x50, 0xA0, 0x01, 0x41, 0x51, 0xA1, 0xE1, 0xF1})


def _atomic(w: Walk, insn: Insn) -> int:
    op = insn.imm
    size = _SIZES[insn.code & 0x18]
    if op in (0x100, 0x110) and w.profile.acquire_release:
        return _ordered(w, insn, size)
    if op not in _ATOMIC_OPS or (op != 0 and not w.profile.atomics):
        raise Rejected(R.STRUCTURE, f"the atomic operation {op:#x} is unknown")
    if size < 4:
        raise Rejected(R.STRUCTURE, "atomics work on 4 or 8 bytes")
    w.read(insn.src)
    dst = w.read(insn.dst)
    if op == 0xF1:
        w.read(0)
    regs = w.state.frames[-1].regs
    if _no_atomics(dst):
        raise Rejected(R.CONTEXT, f"atomics on r{insn.dst}, a {K.name(dst.type)}, are not allowed", "", (insn.dst,))
    if op & 1:
        target = 0 if op == 0xF1 else insn.src
        w.check_written(target)
    else:
        target = -1
    # The value read; then the memory written.
    result = access(w, insn.dst, dst, insn.off, size, False, target, strict=True)
    if target >= 0:
        if size < 8 and result.type == SCALAR:
            result = result.copy()
            coerce(result, size)
        regs[target] = result
    access(w, insn.dst, dst, insn.off, size, True, -1, strict=True)
    _remember_kind(w, dst)
    return w.insn + 1


def _ordered(w: Walk, insn: Insn, size: int) -> int:
    """load_acquire and store_release."""
    if insn.imm == 0x100:
        src = w.read(insn.src)
        w.check_written(insn.dst)
        if _no_atomics(src):
            raise Rejected(R.CONTEXT, f"ordered loads from r{insn.src}, a {K.name(src.type)}, are not allowed")
        result = access(w, insn.src, src, insn.off, size, False, insn.dst, strict=True)
        if size < 8 and result.type == SCALAR:
            result = result.copy()
            coerce(result, size)
        w.state.frames[-1].regs[insn.dst] = result
        _remember_kind(w, src)
    else:
        w.read(insn.src)
        dst = w.read(insn.dst)
        if _no_atomics(dst):
            raise Rejected(R.CONTEXT, f"ordered stores to r{insn.dst}, a {K.name(dst.type)}, are not allowed")
        access(w, insn.dst, dst, insn.off, size, True, insn.src, strict=True)
        _remember_kind(w, dst)
    return w.insn + 1


def _no_atomics(reg: Reg) -> bool:
    return reg.type & K.BASE in (K.CTX, K.PACKET, K.PACKET_META, K.PACKET_END, K.FLOW_KEYS, K.SOCKET, K.SOCK_COMMON,
                                 K.TCP_SOCK, K.XDP_SOCK)


# Accesses

def access(w: Walk, number: int, reg: Reg, offset: int, size: int, write: bool, value: int, signed: bool = False,
           strict: bool = False, immediate: int | None = None) -> Reg:
    """One access through register `number`. `value` is the register stored or loaded (-1: none); the result is what a
    load gives."""
    base = reg.type & K.BASE
    if strict or base == K.STACK:
        _aligned(reg, offset, size, number)
    offset += reg.off
    if base == K.STACK:
        stack.check_within(w, number, reg, offset, size, write)
        if write:
            stack.write(w, reg, offset, size, value, immediate)
            return reg
        return stack.read(w, number, reg, offset, size, value)
    if reg.type & K.MAYBE_NULL:
        raise Rejected(R.NULL, f"r{number} may be null here", f"r{number} != 0 on this path", (number,))
    if base == K.MAP_VALUE:
        return _map_value(w, number, reg, offset, size, write, value, signed)
    if base in (K.PACKET, K.PACKET_META):
        if write and w.program.kind not in _PACKET_WRITERS:
            raise Rejected(R.READ_ONLY, "programs of this kind cannot write into packets")
        check_packet(number, reg, offset, size)
        return unknown()
    if base == K.CTX:
        check_offset_is_plain(w, number)
        return contexts.access(w, number, offset, size, write, signed)
    if base == K.MEM:
        return _region(w, number, reg, offset, size, write)
    if base == K.MAP_KEY:
        if write:
            raise Rejected(R.READ_ONLY, "the key of a map element cannot be written", "", (number,))
        check_region(number, reg, offset, size, reg.obj.key_size)
        return unknown()
    if base == K.BTF:
        from bpfwright.userspace.verifier.kerneltypes import access as typed
        return typed(w, number, reg, offset, size, write, value)
    if base in (K.SOCKET, K.SOCK_COMMON, K.TCP_SOCK, K.FLOW_KEYS):
        return _struct(w, number, reg, offset, size, write)
    if base == K.BUF:
        if write and reg.type & K.RDONLY:
            raise Rejected(R.READ_ONLY, f"r{number} points to memory that can only be read", "", (number,))
        if offset < 0:
            raise Rejected(R.MEMORY, f"r{number} reaches {-offset} bytes before its memory", "", (number,))
        if reg.mask or reg.value:
            raise Rejected(R.MEMORY, f"r{number} has a variable offset", "a constant offset", (number,))
        return unknown()
    if base == K.TP_BUFFER:
        if offset < 0 or reg.mask or reg.value:
            raise Rejected(R.MEMORY, f"r{number} needs a constant offset, not below 0", "", (number,))
        return unknown()
    if base == K.ARENA:
        return unknown()
    if base == K.MAP_PTR and w.profile.map_struct and not write:
        return unknown() if offset >= 0 and offset + size <= 256 else _refuse(number, reg)
    return _refuse(number, reg)


def _refuse(number: int, reg: Reg) -> Reg:
    if reg.type == SCALAR:
        raise Rejected(R.TYPE, f"r{number} is a number and is used as an address", f"a checked pointer in r{number}",
                       (number,))
    raise Rejected(R.TYPE, f"r{number}, a {K.name(reg.type)}, cannot be accessed so", "", (number,))


def _aligned(reg: Reg, offset: int, size: int, number: int) -> None:
    if size == 1:
        return
    low = reg.off + offset + reg.value
    if low & size - 1 or reg.mask & size - 1:
        stacked = reg.type & K.BASE == K.STACK
        raise Rejected(R.STACK if stacked else R.ALIGNMENT,
                       f"an access of {size} bytes through r{number} is not aligned", f"an offset divisible by {size}",
                       (number,))


def check_offset_is_plain(w: Walk, number: int) -> None:
    """A context pointer (and others) must be as it was given: no offset."""
    reg = w.state.frames[-1].regs[number]
    kind = K.name(reg.type)
    if reg.off < 0:
        raise Rejected(R.CONTEXT, f"r{number} is a {kind} with offset {reg.off}", "the unchanged pointer", (number,))
    if reg.off:
        raise Rejected(R.CONTEXT, f"r{number} is a {kind} with offset {reg.off}", "the unchanged pointer", (number,))
    if reg.mask or reg.value:
        raise Rejected(R.CONTEXT, f"r{number} is a {kind} with a variable offset", "the unchanged pointer", (number,))


def check_packet(number: int, reg: Reg, offset: int, size: int, zero: bool = False) -> None:
    """Bytes of the packet, which must have been compared with its end."""
    if reg.smin < 0:
        raise Rejected(R.SIZE, f"the offset in r{number} may be negative", "an offset that is at least 0", (number,))
    if reg.range < 0 or offset < 0 or not (size or zero) or offset + size > reg.range:
        checked = max(reg.range, 0)
        raise Rejected(R.PACKET, f"bytes {offset} to {offset + size} of the packet: {checked} are known to be there",
                       f"r{number} + {offset + size - reg.off} <= data_end on this path", (number,))


def check_region(number: int, reg: Reg, offset: int, size: int, room: int, zero: bool = False,
                 reason: str = R.MEMORY) -> None:
    """Bytes of memory of a known size, at an offset in a range."""
    smin = reg.smin
    if smin < 0 and (smin == S64_MIN or offset + smin < 0):
        raise Rejected(R.SIZE, f"the offset in r{number} may be negative", "an offset that is at least 0: an unsigned "
                       "type, or a comparison with 0", (number,))
    if not _fits(smin + offset, size, room, zero):
        raise Rejected(reason, f"bytes {smin + offset} to {smin + offset + size} of {room}",
                       f"offset + {size} <= {room}", (number,))
    if reg.umax >= K.MAX_VAR_OFF:
        raise Rejected(R.SIZE, f"the offset in r{number} has no upper bound", "an upper bound: a comparison, or a mask",
                       (number,))
    if not _fits(reg.umax + offset, size, room, zero):
        raise Rejected(reason, f"bytes {reg.umax + offset} to {reg.umax + offset + size} of {room}",
                       f"an offset of at most {room - size - offset}", (number,))


def _fits(offset: int, size: int, room: int, zero: bool) -> bool:
    return offset >= 0 and (size > 0 or (size == 0 and zero)) and offset + size <= room


def check_map_value(w: Walk, number: int, reg: Reg, offset: int, size: int, zero: bool, direct: bool) -> None:
    """Bytes of a map's value, none of them the kernel's own."""
    one: Map = reg.obj
    check_region(number, reg, offset, size, one.value_size, zero, R.MAP_VALUE)
    for field in one.fields:
        if reg.smin + offset < field.offset + field.size and field.offset < reg.umax + offset + size:
            if field.kind == "kptr":
                if not direct or reg.mask:
                    raise Rejected(R.MAP, "a kernel pointer in a map's value takes plain loads and stores only")
                if offset + reg.value != field.offset or size != 8:
                    raise Rejected(R.MAP, "a kernel pointer in a map's value is accessed as a whole")
            else:
                raise Rejected(R.LOCK if "lock" in field.kind else R.MAP,
                               f"{_FIELD_NAMES.get(field.kind, field.kind)} in a map's value cannot be accessed "
                               "directly", "", (number,))


def check_map_access(reg: Reg, write: bool) -> None:
    """Maps that programs may only read, or only write."""
    flags = reg.obj.flags
    if write and flags & _RDONLY_PROG:
        raise Rejected(R.READ_ONLY, f"map {reg.obj.name} is read-only for programs")
    if not write and flags & _WRONLY_PROG:
        raise Rejected(R.READ_ONLY, f"map {reg.obj.name} can only be written by programs")


def _map_value(w: Walk, number: int, reg: Reg, offset: int, size: int, write: bool, value: int, signed: bool) -> Reg:
    check_map_access(reg, write)
    check_map_value(w, number, reg, offset, size, False, True)
    one: Map = reg.obj
    if one.fields and not reg.mask:
        field = next((field for field in one.fields if field.kind == "kptr" and field.offset == offset + reg.value),
                     None)
        if field is not None:
            from bpfwright.userspace.verifier.kerneltypes import kernel_pointer
            return kernel_pointer(w, one, field, write, value)
    if not write and not reg.mask and one.flags & _RDONLY_PROG and one.frozen and one.kind == _ARRAY and (
            one.contents is not None and one.max_entries == 1):
        return known(constant(one, offset + reg.value, size, signed))
    return unknown()


def constant(one: Map, offset: int, size: int, signed: bool) -> int:
    """What a frozen read-only map holds."""
    data = one.contents or b""
    number = word(data.ljust(one.value_size, b"\0"), offset, size)
    return s64(number << 64 - 8 * size) >> 64 - 8 * size & U64 if signed else number


def _region(w: Walk, number: int, reg: Reg, offset: int, size: int, write: bool) -> Reg:
    if write and reg.type & K.RDONLY:
        raise Rejected(R.READ_ONLY, f"r{number} points to memory that can only be read", "", (number,))
    if not (reg.type & K.RDONLY and reg.type & K.UNTRUSTED):
        check_region(number, reg, offset, size, reg.range)
    return unknown()


def _struct(w: Walk, number: int, reg: Reg, offset: int, size: int, write: bool) -> Reg:
    """The fields of sockets and flow keys that programs may see."""
    base = reg.type & K.BASE
    if write and base != K.FLOW_KEYS:
        raise Rejected(R.READ_ONLY, f"r{number}, a {K.name(reg.type)}, cannot be written", "", (number,))
    if reg.smin < 0 and base != K.FLOW_KEYS:
        raise Rejected(R.SIZE, f"the offset in r{number} may be negative", "", (number,))
    if not contexts.struct_allows(w.profile, K.NAMES[base], offset, size, write) or reg.mask or reg.value:
        raise Rejected(R.MEMORY, f"bytes {offset} to {offset + size} of a {K.NAMES[base]} are not for programs", "",
                       (number,))
    return unknown()


HANDLERS: dict[int, Callable[[Walk, Insn], int]] = {}
for _bits in _SIZES:
    HANDLERS[0x61 | _bits] = _load
    HANDLERS[0x62 | _bits] = _store_number
    HANDLERS[0x63 | _bits] = _store_register
    HANDLERS[0xC3 | _bits] = _atomic
    if _bits != 0x18:
        HANDLERS[0x81 | _bits] = _load
