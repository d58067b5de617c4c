"""Contexts: what each kind of program may read and write of what it is handed, and what it may return."""
from __future__ import annotations

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING
from bpfwright.userspace.verifier import kinds as K
from bpfwright.userspace.verifier import reasons as R
from bpfwright.userspace.verifier.reasons import Rejected
from bpfwright.userspace.verifier.values import Reg, unknown, zero_offset

if TYPE_CHECKING:
    from bpfwright.userspace.verifier.profile import Profile
    from bpfwright.userspace.verifier.program import Program
    from bpfwright.userspace.verifier.walk import Walk

__all__ = ["LEGACY_LOADS", "TRACING", "access", "check_target", "returns", "struct_allows"]

LEGACY_LOADS = frozenset({B.BPF_PROG_TYPE_SOCKET_FILTER, B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_PROG_TYPE_SCHED_ACT,
                          B.BPF_PROG_TYPE_CGROUP_SKB})
TRACING_FREPLACE = B.BPF_PROG_TYPE_EXT
# Kinds that may not use what needs locks.
TRACING = frozenset({B.BPF_PROG_TYPE_KPROBE, B.BPF_PROG_TYPE_TRACEPOINT, B.BPF_PROG_TYPE_PERF_EVENT,
                     B.BPF_PROG_TYPE_RAW_TRACEPOINT, B.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE})
_TYPED = frozenset({B.BPF_PROG_TYPE_TRACING, B.BPF_PROG_TYPE_LSM, B.BPF_PROG_TYPE_STRUCT_OPS})
_MAX_RECORD, _HEAD = 8192, 8        # a tracepoint's record, and the part of it that is the kernel's
_POINTERS = {"pkt": K.PACKET, "pkt_end": K.PACKET_END, "pkt_meta": K.PACKET_META, "sock": K.SOCKET,
             "sock_common": K.SOCK_COMMON, "flow_keys": K.FLOW_KEYS, "tp_buffer": K.TP_BUFFER,
             "tcp_sock": K.TCP_SOCK}


def check_target(program: Program, profile: Profile) -> None:
    """Programs of some kinds name what they are for."""
    if program.kind in _TYPED and program.kernel is None:
        from bpfwright.errors import NotSupported
        raise NotSupported("this program is about the kernel's types", why="they are not known here",
                           cure="Give them: verify(..., kernel_btf=Btf(data)).")


def _refuse(offset: int, size: int, write: bool) -> Rejected:
    doing = "written" if write else "read"
    return Rejected(R.CONTEXT, f"bytes {offset} to {offset + size} of the context cannot be {doing} by programs of "
                    "this kind", "a field that this kind of program may use")


def access(w: Walk, number: int, offset: int, size: int, write: bool, signed: bool) -> Reg:
    """One access to the context; what a load gives."""
    program = w.program
    kind = program.kind
    if kind == B.BPF_PROG_TYPE_TRACEPOINT:
        # The kernel compares without sign: below the record nothing stops it.
        if write or 0 <= offset < _HEAD or offset + size > _MAX_RECORD or offset % size:
            raise _refuse(offset, size, write)
        return unknown()
    if offset < 0:
        raise _refuse(offset, size, write)
    if kind in _TYPED:
        from bpfwright.userspace.verifier.kerneltypes import argument
        return argument(w, offset, size, write)
    if kind == B.BPF_PROG_TYPE_SYSCALL:
        if offset + size > 65535 or offset % size:
            raise _refuse(offset, size, write)
        return unknown()
    table = w.profile.context(kind, program.attach_type)
    if table is None:
        raise _refuse(offset, size, write)
    digits = table[1] if write else table[0]
    if offset >= len(digits) or not int(digits[offset], 16) & size:
        raise _refuse(offset, size, write)
    pointer = table[2].get(offset) if not write else None
    if pointer is None:
        return unknown()
    if signed:
        raise _refuse(offset, size, write)
    maybe = pointer.endswith("_or_null")
    bare = pointer.removesuffix("_or_null")
    if bare not in _POINTERS:
        from bpfwright.userspace.verifier.kerneltypes import named
        return named(w, bare, maybe)
    reg = zero_offset(_POINTERS[bare])
    if maybe:
        reg.type |= K.MAYBE_NULL
        reg.id = w.new_id()
    return reg


def struct_allows(profile: Profile, name: str, offset: int, size: int, write: bool) -> bool:
    """Whether a field of a socket or flow keys may be accessed."""
    rows = profile.structs.get(name)
    if rows is None or offset < 0:
        return False
    digits = rows[1] if write else rows[0]
    return offset < len(digits) and bool(int(digits[offset], 16) & size)


_ANY = None
_BOOLEAN = (0, 1)
_SENDMSG = (B.BPF_CGROUP_UDP4_RECVMSG, B.BPF_CGROUP_UDP6_RECVMSG, B.BPF_CGROUP_UNIX_RECVMSG,
            B.BPF_CGROUP_INET4_GETPEERNAME, B.BPF_CGROUP_INET6_GETPEERNAME, B.BPF_CGROUP_UNIX_GETPEERNAME,
            B.BPF_CGROUP_INET4_GETSOCKNAME, B.BPF_CGROUP_INET6_GETSOCKNAME, B.BPF_CGROUP_UNIX_GETSOCKNAME)


def returns(program: Program) -> tuple[int, int] | None:
    """The range of what a program may return; None when anything goes."""
    kind, attach = program.kind, program.attach_type
    if kind == B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR:
        if attach in _SENDMSG:
            return 1, 1
        return (0, 3) if attach in (B.BPF_CGROUP_INET4_BIND, B.BPF_CGROUP_INET6_BIND) else _BOOLEAN
    if kind == B.BPF_PROG_TYPE_CGROUP_SKB:
        return (0, 3) if attach == B.BPF_CGROUP_INET_EGRESS else _BOOLEAN
    if kind in (B.BPF_PROG_TYPE_CGROUP_SOCK, B.BPF_PROG_TYPE_SOCK_OPS, B.BPF_PROG_TYPE_CGROUP_DEVICE,
                B.BPF_PROG_TYPE_CGROUP_SYSCTL, B.BPF_PROG_TYPE_CGROUP_SOCKOPT, B.BPF_PROG_TYPE_SK_LOOKUP,
                B.BPF_PROG_TYPE_NETFILTER):
        return _BOOLEAN
    if kind == B.BPF_PROG_TYPE_TRACING:
        if attach in (B.BPF_TRACE_FENTRY, B.BPF_TRACE_FEXIT):
            return 0, 0
        if attach == B.BPF_TRACE_ITER:
            return _BOOLEAN
        return _ANY
    if kind == B.BPF_PROG_TYPE_KPROBE and attach in (B.BPF_TRACE_KPROBE_SESSION, B.BPF_TRACE_UPROBE_SESSION):
        return _BOOLEAN
    return _ANY
