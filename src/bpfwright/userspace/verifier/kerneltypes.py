"""Pointers to the kernel's structs: what they may read, and how far what is read there can be trusted."""
from __future__ import annotations

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.formats.btf import Btf, Kind
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.program import Field, Map, find
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.values import SCALAR, Reg, s64, unknown, zero_offset

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.arguments import Call
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["Type", "access", "argument", "check_exchange", "check_struct", "kernel_pointer", "named", "of",
           "percpu_pointer", "struct_pointer", "variable"]


class Type:
    """A struct that a pointer points to; one object for each, so that they compare by identity."""

    __slots__ = ("btf", "id", "kernel", "name")

    def __init__(self, btf: Btf, number: int, kernel: bool) -> None:
        self.btf, self.id, self.kernel = btf, number, kernel
        self.name = btf.name(number)


def of(w: Walk, number: int, kernel: bool = True) -> Type:
    """The type with a number in the kernel's BTF (or the program's own)."""
    btf = w.program.kernel if kernel else w.program.btf
    if btf is None:
        from bpfwright.errors import NotSupported
        raise NotSupported("this program uses the kernel's types", why="they are not known here",
                           cure="Give them: verify(..., kernel_btf=Btf(data)).")
    number = btf.resolve(number)
    found = w.types.get((kernel, number))
    if found is None:
        found = w.types[kernel, number] = Type(btf, number, kernel)
    return found


def _by_name(w: Walk, name: str) -> Type | None:
    kernel = w.program.kernel
    if kernel is None:
        return None
    found = find(kernel, name, Kind.STRUCT)
    return of(w, found) if found else None


def struct_pointer(w: Walk, name: str, flags: int) -> Reg:
    """A pointer to a kernel struct by its name; without types it points to nothing that could be read."""
    reg = zero_offset(K.BTF | flags)
    reg.obj = _by_name(w, name)
    return reg


def named(w: Walk, text: str, maybe: bool) -> Reg:
    """A pointer as the log names it: `trusted_ptr_sk_buff`."""
    trusted = text.startswith("trusted_")
    reg = struct_pointer(w, text.partition("ptr_")[2], K.TRUSTED if trusted else 0)
    if maybe:
        reg.type |= K.MAYBE_NULL
        reg.id = w.new_id()
    return reg


# What a program is given

def argument(w: Walk, offset: int, size: int, write: bool) -> Reg:
    """A word of a typed context: the arguments of the function, tracepoint or iterator that the program is for."""
    program = w.program
    if write or offset % 8:
        raise Rejected(R.CONTEXT, f"bytes {offset} to {offset + size} of the arguments",
                       "a read of 8 bytes at a multiple of 8")
    kernel = program.kernel
    assert kernel is not None
    parameters, is_iterator = _target(w)
    index = offset // 8
    if index >= len(parameters):
        raise Rejected(R.CONTEXT, f"there is no argument {index + 1}")
    number = parameters[index]
    beneath = kernel.resolve(number)
    if kernel.kind(beneath) != Kind.PTR:
        return unknown()
    if size != 8:
        raise Rejected(R.CONTEXT, f"a part of argument {index + 1}, a pointer", "a read of 8 bytes")
    target = kernel.resolve(kernel.type_of(beneath))
    tags = _type_tags(kernel, kernel.type_of(beneath))
    if kernel.kind(target) != Kind.STRUCT:
        return unknown()
    reg = zero_offset(K.BTF | (K.USER if "user" in tags else K.TRUSTED))
    reg.obj = of(w, target)
    if (is_iterator and index) or (not is_iterator and _may_be_null(program, index)):
        reg.type |= K.MAYBE_NULL
        reg.id = w.new_id()
    return reg


# Tracepoints with arguments that may be null, by position (from 0).
_NULLABLE = {"sched_pi_setprio": {1}, "mm_alloc_contig_migrate_range_info": {0}, "xdp_redirect_err": {3},
             "xdp_redirect_map_err": {3}, "xdp_redirect": {3}, "xdp_redirect_map": {3}, "tcp_send_reset": {1},
             "kfree_skb": {3}, "netlink_extack": set(), "br_fdb_external_learn_add": set()}


def _may_be_null(program: Any, index: int) -> bool:
    return program.attach_type == B.BPF_TRACE_RAW_TP and index in _NULLABLE.get(program.attach_to, ())


def _type_tags(btf: Btf, number: int) -> list[str]:
    tags = []
    while number and btf.kind(number) in Kind.MODIFIERS:
        if btf.kind(number) == Kind.TYPE_TAG:
            tags.append(btf.name(number))
        number = btf.type_of(number)
    return tags


def _target(w: Walk) -> tuple[list[int], bool]:
    """The types of the arguments of what the program is for."""
    program, kernel = w.program, w.program.kernel
    assert kernel is not None
    key = ("target", program.attach_to)
    if key in w.types:
        return w.types[key]  # type: ignore[no-any-return]
    name, attach = program.attach_to, program.attach_type
    is_iterator = attach == B.BPF_TRACE_ITER
    found: list[int] | None = None
    if attach == B.BPF_TRACE_RAW_TP:
        number = find(kernel, f"btf_trace_{name}", Kind.TYPEDEF)
        if number:
            proto = kernel.resolve(kernel.type_of(kernel.resolve(number)))
            found = [one.type_id for one in kernel.parameters(proto)][1:]
    elif is_iterator:
        number = find(kernel, f"bpf_iter__{name}", Kind.STRUCT)
        if number:
            # The context of an iterator is a struct of pointers, which may be null from the second on.
            found = [one.type_id for one in _members_with_unions(kernel, number)]
    else:
        prefix = "bpf_lsm_" if program.kind == B.BPF_PROG_TYPE_LSM else ""
        number = find(kernel, prefix + name, Kind.FUNC)
        if number:
            found = [one.type_id for one in kernel.parameters(number)]
            if attach in (B.BPF_TRACE_FEXIT, B.BPF_MODIFY_RETURN):
                found.append(kernel.type_of(kernel.type_of(number)))
    if found is None:
        raise Rejected(R.TARGET, f"the kernel has no {name!r} to attach to")
    w.types[key] = found, is_iterator
    return found, is_iterator


def _members_with_unions(kernel: Btf, number: int) -> list[Any]:
    """Members in 8-byte steps; an anonymous union stands for its first member."""
    found = []
    for member in kernel.members(number):
        beneath = kernel.resolve(member.type_id)
        if kernel.kind(beneath) == Kind.UNION:
            found.append(kernel.members(beneath)[0])
        else:
            found.append(member)
    return found


# Reading through pointers

def access(w: Walk, number: int, reg: Reg, offset: int, size: int, write: bool, value: int) -> Reg:
    """A field of a kernel struct."""
    if reg.obj is None:
        from bpfwright.errors import NotSupported
        raise NotSupported("this program reads the kernel's structs", why="their layout is not known here",
                           cure="Give it: verify(..., kernel_btf=Btf(data)).")
    name = reg.obj.name
    if reg.obj.kernel and not w.program.gpl:
        raise Rejected(R.HELPER, f"struct {name} of the kernel can be read by GPL programs only")
    if offset < 0:
        raise Rejected(R.MEMORY, f"an offset of {offset} before struct {name}", "", (number,))
    if reg.mask or reg.value:
        raise Rejected(R.MEMORY, f"a variable offset in struct {name}", "a constant offset", (number,))
    if reg.type & (K.USER | K.PERCPU):
        raise Rejected(R.MEMORY, f"r{number} is not memory of the kernel that can be read directly", "", (number,))
    if write and not reg.type & K.ALLOC:
        raise Rejected(R.READ_ONLY, f"struct {name} can only be read", "", (number,))
    found = walk_struct(reg.obj.btf, reg.obj.id, offset, size)
    if found is None or write or value < 0:
        return unknown()
    target, tags, member = found
    result = zero_offset(K.BTF)
    result.obj = of(w, target, reg.obj.kernel)
    if reg.type & K.UNTRUSTED:
        result.type |= K.UNTRUSTED
    elif "user" in tags:
        result.type |= K.USER
    elif "percpu" in tags:
        result.type |= K.PERCPU
    elif reg.type & (K.TRUSTED | K.RCU) or reg.ref:
        if _stays_trusted(name, member) and not reg.type & K.RCU:
            result.type |= K.TRUSTED
        elif w.state.rcu:
            if (name, member) in _RCU_SAFE:
                result.type |= K.RCU
            elif "rcu" in tags or (name, member) in _RCU_OR_NULL:
                result.type |= K.RCU | K.MAYBE_NULL
                result.id = w.new_id()
        else:
            result.type |= K.UNTRUSTED
            if (name, member) not in _RCU_SAFE and "rcu" not in tags:
                result.type &= ~K.UNTRUSTED
    return result


_TRUSTED_FIELDS = {("bpf_iter_meta", "seq"), ("bpf_iter__task", "meta"), ("bpf_iter__task", "task"),
                   ("linux_binprm", "file"), ("file", "f_inode"), ("file", "f_path")}
_RCU_SAFE = {("task_struct", "cpus_ptr"), ("task_struct", "css_set"), ("task_struct", "group_leader"),
             ("task_struct", "real_parent"), ("cgroup", "kn"), ("css_set", "dfl_cgrp"),
             ("cgroup_subsys_state", "cgroup")}
_RCU_OR_NULL = {("mm_struct", "exe_file"), ("sk_buff", "sk"), ("request_sock", "sk")}


def _stays_trusted(name: str, member: str) -> bool:
    return (name, member) in _TRUSTED_FIELDS or name.startswith("bpf_iter__")


def walk_struct(btf: Btf, number: int, offset: int, size: int, depth: int = 0) -> tuple[int, list[str], str] | None:
    """The struct that the pointer read there points to (with its tags and name); None when it is a number."""
    name = btf.name(number) or "(anonymous)"
    total = btf.size(number)
    members = btf.members(number)
    if offset + size > total:
        last = members[-1] if members else None
        if last is not None and btf.kind(btf.resolve(last.type_id)) == Kind.ARRAY:
            element = btf.array(btf.resolve(last.type_id))
            start = last.bit_offset // 8
            if offset >= start and element.count <= 1:
                inner = btf.resolve(element.type_id)
                step = btf.size(inner)
                if btf.kind(inner) in Kind.COMPOSITES and step:
                    return walk_struct(btf, inner, (offset - start) % step, size, depth + 1)
                return None
        raise Rejected(R.MEMORY, f"bytes {offset} to {offset + size} are beyond struct {name} of {total}",
                       "a field of the struct")
    for member in members:
        if member.bit_size:
            begin, end = member.bit_offset // 8, (member.bit_offset + member.bit_size + 7) // 8
            if begin <= offset < end and offset + size <= end + 8:
                return None
            continue
        begin = member.bit_offset // 8
        beneath = btf.resolve(member.type_id)
        try:
            end = begin + btf.size(beneath)
        except Exception:
            continue
        if not begin <= offset < end:
            continue
        if offset + size > end and btf.kind(number) != Kind.UNION:
            raise Rejected(R.MEMORY, f"bytes {offset} to {offset + size} go over the end of {name}.{member.name}",
                           "an access of one field")
        return _walk_member(btf, member, beneath, offset - begin, size, name, depth)
    return None


def _walk_member(btf: Btf, member: Any, beneath: int, inside: int, size: int, name: str, depth: int
                 ) -> tuple[int, list[str], str] | None:
    kind = btf.kind(beneath)
    while kind == Kind.ARRAY:
        element = btf.array(beneath)
        beneath = btf.resolve(element.type_id)
        step = btf.size(beneath)
        if not step:
            return None
        inside %= step
        if inside + size > step:
            if btf.kind(beneath) in Kind.COMPOSITES or btf.kind(beneath) == Kind.PTR:
                raise Rejected(R.MEMORY, f"an access over the end of an element of {name}.{member.name}")
            return None
        kind = btf.kind(beneath)
    if kind in Kind.COMPOSITES:
        return walk_struct(btf, beneath, inside, size, depth + 1) if depth < 16 else None
    if kind == Kind.PTR:
        target = btf.resolve(btf.type_of(beneath))
        if btf.kind(target) != Kind.STRUCT:
            if inside or size != 8:
                raise Rejected(R.MEMORY, f"a part of the pointer {name}.{member.name}", "all 8 bytes of it")
            return None
        if inside or size != 8:
            raise Rejected(R.MEMORY, f"a part of the pointer {name}.{member.name}", "all 8 bytes of it")
        return target, _type_tags(btf, btf.type_of(beneath)), member.name
    return None


# Arguments of helpers

def check_struct(w: Walk, number: int, reg: Reg, name: str, call: Call) -> None:
    """A pointer to a kernel struct of a certain name (or one that begins with it)."""
    wrong = Rejected(R.NULL if reg.type & K.MAYBE_NULL else R.TYPE,
                     f"r{number} is a {K.name(reg.type)}, and bpf_{call.name} takes a struct {name}",
                     f"a pointer to struct {name} in r{number}", (number,))
    if reg.type & K.BASE in (K.SOCKET, K.SOCK_COMMON, K.TCP_SOCK) and name in ("sock_common", "sock"):
        return
    if reg.type & K.BASE != K.BTF or reg.type & (K.USER | K.PERCPU | K.UNTRUSTED):
        raise wrong
    if reg.mask or reg.value or reg.off < 0:
        raise wrong
    if reg.obj is None or not matches(reg.obj.btf, reg.obj.id, reg.off, name):
        raise wrong
    if reg.ref:
        call.ref = reg.ref


def matches(btf: Btf, number: int, offset: int, name: str) -> bool:
    """Whether a struct of that name stands at an offset in a struct."""
    for _ in range(8):
        if not offset and btf.name(number) == name:
            return True
        inner = None
        for member in btf.members(number):
            begin = member.bit_offset // 8
            beneath = btf.resolve(member.type_id)
            if btf.kind(beneath) == Kind.STRUCT and begin <= offset < begin + max(btf.size(beneath), 1):
                inner = beneath
                offset -= begin
                break
        if inner is None:
            return False
        number = inner
    return False


# Variables and kernel pointers in maps

def variable(w: Walk, number: int) -> Reg:
    """The address of a kernel variable or function."""
    kernel = w.program.kernel
    if kernel is None or kernel.kind(number) not in (Kind.VAR, Kind.FUNC):
        raise Rejected(R.STRUCTURE, "the address of a kernel symbol that is none")
    if kernel.kind(number) == Kind.FUNC:
        reg = zero_offset(K.MEM | K.RDONLY)
        return reg
    target = kernel.resolve(kernel.type_of(number))
    percpu = _is_percpu(w, number)
    if kernel.kind(target) == Kind.STRUCT:
        reg = zero_offset(K.BTF | (K.PERCPU if percpu else 0))
        reg.obj = of(w, target)
        return reg
    if percpu:
        reg = zero_offset(K.BTF | K.PERCPU)
        reg.obj = of(w, target)
        return reg
    reg = zero_offset(K.MEM | K.RDONLY)
    try:
        reg.range = kernel.size(target)
    except Exception:
        reg.range = 0
    return reg


def _is_percpu(w: Walk, number: int) -> bool:
    kernel = w.program.kernel
    assert kernel is not None
    section = w.types.get("percpu")
    if section is None:
        sections = list(kernel.find_all(".data..percpu", Kind.DATASEC))
        section = w.types["percpu"] = {one.type_id for at in sections for one in kernel.variables(at)}
    return number in section


def percpu_pointer(w: Walk, reg: Reg) -> Reg:
    """One CPU's copy of a per-CPU variable."""
    kind = reg.obj.btf.kind(reg.obj.id)
    if kind == Kind.STRUCT:
        result = zero_offset(K.BTF)
        result.obj = reg.obj
        return result
    result = zero_offset(K.MEM | K.RDONLY)
    result.range = reg.obj.btf.size(reg.obj.id)
    return result


def kernel_pointer(w: Walk, one: Map, field: Field, write: bool, value: int) -> Reg:
    """A plain load or store of a kernel pointer that a map's value holds."""
    if write:
        if value >= 0:
            reg = w.state.regs[value]
            if not (reg.type == SCALAR and not reg.mask and not reg.value) and field.tag != "kptr_untrusted":
                raise Rejected(R.MAP, "a referenced kernel pointer is stored by bpf_kptr_xchg only")
        return unknown()
    flags = K.MAYBE_NULL | (K.UNTRUSTED if not w.state.rcu else K.RCU)
    result = zero_offset(K.BTF | flags)
    result.id = w.new_id()
    assert one.btf is not None
    name = one.btf.name(one.btf.resolve(field.type_id))
    result.obj = _by_name(w, name)
    return result


def check_exchange(call: Call, number: int, reg: Reg) -> Reg:
    """The place in a map's value that bpf_kptr_xchg changes; what it gives."""
    w = call.w
    if reg.type & K.BASE != K.MAP_VALUE or reg.mask:
        raise Rejected(R.MAP, f"r{number} is not a kernel pointer in a map's value", "", (number,))
    one: Map = reg.obj
    field = next((field for field in one.fields if field.kind == "kptr" and field.offset == reg.off + s64(reg.value)),
                 None)
    if field is None or one.btf is None:
        raise Rejected(R.MAP, f"r{number} is not a kernel pointer in a map's value", "", (number,))
    result = zero_offset(K.BTF)
    result.obj = _by_name(w, one.btf.name(one.btf.resolve(field.type_id)))
    return result
