"""What this kernel can do, found by trying; each answer is kept for the life of the process.

Every probe loads or makes the smallest thing that needs the feature and looks at how the kernel answers. No version is
ever compared: `since` is for people.
"""
from __future__ import annotations

import errno
import os
from struct import pack

from bpfwright._abi import bpf as B
from bpfwright._abi.helpers import HELPER_NAMES, HELPERS
from bpfwright._typing import TYPE_CHECKING, Callable, NamedTuple
from bpfwright.errors import BpfwrightError, KernelError
from bpfwright.formats.isa.instructions import Instruction, encode
from bpfwright.kernel import sys

if TYPE_CHECKING:
    from bpfwright.kernel.types import KernelTypes

__all__ = ["ATTACH_TYPES", "Features", "Verdict"]

_MOV, _EXIT, _CALL, _MAY_GOTO, _LONG_JUMP = 0xB7, 0x95, 0x85, 0xE5, 0x06
_RETURN = (Instruction(_MOV, imm=0), Instruction(_EXIT))


class Verdict(NamedTuple):
    """Whether a feature works here; if not, why, and since which kernel it exists. False for want of privilege too."""

    name: str
    works: bool
    since: str = ""
    why: str = ""


# (program type, attach type) -> (what people call it, since, a target that every kernel with it has).
ATTACH_TYPES: dict[tuple[int, int], tuple[str, str, str]] = {
    (B.BPF_PROG_TYPE_XDP, B.BPF_XDP): ("XDP links", "5.9", ""),
    (B.BPF_PROG_TYPE_XDP, B.BPF_XDP_DEVMAP): ("XDP programs in device maps", "5.8", ""),
    (B.BPF_PROG_TYPE_XDP, B.BPF_XDP_CPUMAP): ("XDP programs in CPU maps", "5.9", ""),
    (B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_TCX_INGRESS): ("tcx", "6.6", ""),
    (B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_TCX_EGRESS): ("tcx", "6.6", ""),
    (B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_NETKIT_PRIMARY): ("netkit", "6.7", ""),
    (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_RAW_TP): ("raw tracepoints by type", "5.5", "sched_switch"),
    (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_FENTRY): ("fentry", "5.5", "do_nanosleep"),
    (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_FEXIT): ("fexit", "5.5", "do_nanosleep"),
    (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_FSESSION): ("fsession", "7.0", "do_nanosleep"),
    (B.BPF_PROG_TYPE_TRACING, B.BPF_MODIFY_RETURN): ("fmod_ret", "5.7", "security_file_open"),
    (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_ITER): ("iterators", "5.8", "task"),
    (B.BPF_PROG_TYPE_LSM, B.BPF_LSM_MAC): ("LSM programs", "5.7", "file_open"),
    (B.BPF_PROG_TYPE_LSM, B.BPF_LSM_CGROUP): ("LSM programs of cgroups", "6.0", "socket_bind"),
    (B.BPF_PROG_TYPE_KPROBE, B.BPF_TRACE_KPROBE_MULTI): ("kprobe.multi", "5.18", ""),
    (B.BPF_PROG_TYPE_KPROBE, B.BPF_TRACE_UPROBE_MULTI): ("uprobe.multi", "6.6", ""),
    (B.BPF_PROG_TYPE_KPROBE, B.BPF_TRACE_KPROBE_SESSION): ("kprobe.session", "6.10", ""),
    (B.BPF_PROG_TYPE_KPROBE, B.BPF_TRACE_UPROBE_SESSION): ("uprobe.session", "6.13", ""),
    (B.BPF_PROG_TYPE_NETFILTER, B.BPF_NETFILTER): ("netfilter links", "6.4", ""),
    (B.BPF_PROG_TYPE_SK_LOOKUP, B.BPF_SK_LOOKUP): ("socket lookup", "5.9", ""),
    (B.BPF_PROG_TYPE_FLOW_DISSECTOR, B.BPF_FLOW_DISSECTOR): ("flow dissectors", "4.20", ""),
    (B.BPF_PROG_TYPE_CGROUP_SKB, B.BPF_CGROUP_INET_INGRESS): ("cgroup ingress filters", "4.10", ""),
    (B.BPF_PROG_TYPE_CGROUP_SKB, B.BPF_CGROUP_INET_EGRESS): ("cgroup egress filters", "4.10", ""),
    (B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_INET4_CONNECT): ("cgroup connect4", "4.17", ""),
    (B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_INET6_CONNECT): ("cgroup connect6", "4.17", ""),
    (B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR, B.BPF_CGROUP_UNIX_CONNECT): ("cgroup unix connect", "6.7", ""),
    (B.BPF_PROG_TYPE_SK_REUSEPORT, B.BPF_SK_REUSEPORT_SELECT_OR_MIGRATE): ("reuseport migration", "5.14", ""),
}
# Program types that are nothing without an attach type.
_NEEDS_ATTACH = {
    B.BPF_PROG_TYPE_CGROUP_SOCK: B.BPF_CGROUP_INET_SOCK_CREATE,
    B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR: B.BPF_CGROUP_INET4_CONNECT,
    B.BPF_PROG_TYPE_CGROUP_SOCKOPT: B.BPF_CGROUP_GETSOCKOPT,
    B.BPF_PROG_TYPE_SK_LOOKUP: B.BPF_SK_LOOKUP, B.BPF_PROG_TYPE_TRACING: B.BPF_TRACE_RAW_TP,
    B.BPF_PROG_TYPE_NETFILTER: B.BPF_NETFILTER, B.BPF_PROG_TYPE_LSM: B.BPF_LSM_MAC,
    B.BPF_PROG_TYPE_SK_REUSEPORT: B.BPF_SK_REUSEPORT_SELECT,
}
_RETURNS_ONE = frozenset({B.BPF_PROG_TYPE_SK_LOOKUP, B.BPF_PROG_TYPE_NETFILTER, B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR,
                          B.BPF_PROG_TYPE_CGROUP_SOCK, B.BPF_PROG_TYPE_CGROUP_SOCKOPT})
# Feature -> since, for features that are neither a type nor a helper.
_NAMED = {
    "may_goto": "6.9", "bpf_loop": "5.17", "open-coded iterators": "6.4", "cpu v3": "5.1", "cpu v4": "6.6",
    "atomics": "5.12",
    "bounded loops": "5.3", "BPF links": "5.7", "XDP links": "5.9", "perf links": "5.15", "tcx links": "6.6",
    "netkit links": "6.7", "BPF token": "6.9", "BTF": "4.18", "batch operations": "5.6", "global functions": "5.6",
    "mapped arrays": "5.5", "statistics": "5.8", "module kfuncs": "5.18", "timers in tracing": "7.0",
}


class Features:
    """Probes of the running kernel.

        >>> Features().map_type(B.BPF_MAP_TYPE_HASH).works      # with privilege
        True
    """

    _known: dict[tuple[object, ...], Verdict] = {}

    def __init__(self, types: KernelTypes | None = None) -> None:
        self._types = types

    def _kernel_types(self) -> KernelTypes:
        """The kernel's types: those that were given, or read now; they hold no descriptor unless a module is named."""
        if self._types is None:
            from bpfwright.kernel.types import KernelTypes
            return KernelTypes()
        return self._types

    def _once(self, key: tuple[object, ...], probe: Callable[[], Verdict]) -> Verdict:
        if key not in self._known:
            self._known[key] = probe()
        return self._known[key]

    # Types

    def program_type(self, kind: int) -> Verdict:
        """Whether programs of a type load. Types that need a target (fentry, LSM, replacement): see attach_type."""
        return self._once(("program", kind), lambda: self._program_type(kind))

    def _program_type(self, kind: int) -> Verdict:
        from bpfwright.kernel.explain import PROGRAM_TYPES
        name, since = PROGRAM_TYPES.get(kind, (f"program type {kind}", ""))
        if kind in (B.BPF_PROG_TYPE_STRUCT_OPS, B.BPF_PROG_TYPE_EXT, B.BPF_PROG_TYPE_LSM, B.BPF_PROG_TYPE_TRACING):
            # Without a target they fail; but the kernel knows the type if it complains about the target.
            return _without_target(name, since, kind)
        attach = _NEEDS_ATTACH.get(kind, 0)
        return _verdict(name, since, _load_errno(kind, _returning(kind), attach_type=attach))

    def attach_type(self, kind: int, attach_type: int) -> Verdict:
        """Whether programs load for an attach type and attach there; attaching is tried where that disturbs nobody."""
        return self._once(("attach", kind, attach_type), lambda: self._attach_type(kind, attach_type))

    def _attach_type(self, kind: int, attach_type: int) -> Verdict:
        from bpfwright.kernel.explain import PROGRAM_TYPES
        fallback = PROGRAM_TYPES.get(kind, (f"program type {kind}", ""))
        name, since, target = ATTACH_TYPES.get((kind, attach_type), (*fallback, ""))
        target_id = 0
        if target:
            try:
                target_id = self._kernel_types().attach_target(kind, attach_type, target)[0]
            except BpfwrightError as error:
                return Verdict(name, False, since, error.why or error.what)
        number, fd = _load(kind, _returning(kind), attach_type=attach_type, target_id=target_id)
        if fd < 0:
            return _verdict(name, since, number)
        try:
            return _attached(name, since, kind, attach_type, fd)
        finally:
            os.close(fd)

    def map_type(self, kind: int) -> Verdict:
        """Whether maps of a type can be made."""
        return self._once(("map", kind), lambda: self._map_type(kind))

    def _map_type(self, kind: int) -> Verdict:
        from bpfwright.kernel.explain import MAP_TYPES
        name, since = MAP_TYPES.get(kind, (f"map type {kind}", ""))
        try:
            fd = _make_map(kind)
        except KernelError as error:
            number = error.errno or 0
            # The kernel knows this type if it only minds that type 1 of its BTF is no such struct.
            if kind == B.BPF_MAP_TYPE_STRUCT_OPS and number == 524:
                return Verdict(name, True, since)
            return _verdict(name, since, number)
        os.close(fd)
        return Verdict(name, True, since)

    def helper(self, kind: int, helper: int | str) -> Verdict:
        """Whether programs of a type may call a helper, by number or name."""
        number = HELPERS.get(helper, 0) if isinstance(helper, str) else helper
        return self._once(("helper", kind, number), lambda: self._helper(kind, number))

    def _helper(self, kind: int, number: int) -> Verdict:
        name = f"bpf_{HELPER_NAMES.get(number, number)}"
        log = bytearray(4096)
        _, fd = _load(kind, (Instruction(_CALL, imm=number), *_RETURN), attach_type=_NEEDS_ATTACH.get(kind, 0), log=log)
        if fd >= 0:
            os.close(fd)
            return Verdict(name, True)
        text = log.partition(b"\0")[0].decode("utf-8", "replace")
        refused = ("invalid func", "unknown func", "program of this type cannot use helper", "not supported")
        if not text:
            return Verdict(name, False, "", "programs of this type do not load here")
        unknown = any(words in text for words in refused)
        return Verdict(name, not unknown, "", text.splitlines()[-2] if unknown and "\n" in text[:-1] else "")

    # Features by name

    def names(self) -> list[str]:
        """What `named` can answer."""
        return list(_NAMED)

    def named(self, name: str) -> Verdict:
        """Whether a feature of the list works; KeyError for one that is not in it."""
        since = _NAMED[name]
        function = _KERNEL_FUNCTIONS.get(name)
        return self._once(("named", name), lambda: _verdict(
            name, since, _PROBES[name]() if function is None else self._function(function)))

    def _function(self, name: str) -> int:
        """0 when the kernel's type information has a function."""
        from bpfwright.formats.btf import Kind
        try:
            return 0 if self._kernel_types().find(name, Kind.FUNC) else errno.EINVAL
        except BpfwrightError:
            return errno.EINVAL


_EPERM = "the kernel refuses it: not permitted"
_WORDS = {errno.EPERM: _EPERM, errno.EACCES: "the verifier refuses it", errno.EINVAL: "the kernel does not know it",
          errno.EOPNOTSUPP: "the kernel was built without it", 524: "the kernel was built without it"}


def _verdict(name: str, since: str, number: int) -> Verdict:
    return Verdict(name, number == 0, since, "" if number == 0 else _WORDS.get(number, os.strerror(number)))


def _returning(kind: int) -> tuple[Instruction, ...]:
    return (Instruction(_MOV, imm=1), Instruction(_EXIT)) if kind in _RETURNS_ONE else _RETURN


def _load(kind: int, code: tuple[Instruction, ...], *, attach_type: int = 0, target_id: int = 0,
          log: bytearray | None = None, function_info: bytes = b"", btf_fd: int = 0) -> tuple[int, int]:
    """(errno, -1) or (0, descriptor)."""
    attributes = sys.ProgramLoad(kind, encode(code), "GPL", "probe")
    attributes.values.update(expected_attach_type=attach_type, attach_btf_id=target_id)
    if kind == B.BPF_PROG_TYPE_SYSCALL:
        attributes.values["flags"] = B.BPF_F_SLEEPABLE
    if kind == B.BPF_PROG_TYPE_KPROBE:
        attributes.values["kern_version"] = 0xFFFFFFFF
    if function_info:
        attributes.values.update(btf_fd=btf_fd, func_info_rec_size=8, func_info=attributes.keep(function_info),
                                 func_info_cnt=len(function_info) // 8)
    try:
        return 0, attributes.send(1 if log else 0, log)
    except KernelError as error:
        return error.errno or 0, -1


def _load_errno(kind: int, code: tuple[Instruction, ...], *, attach_type: int = 0, log: bool = False) -> int:
    number, fd = _load(kind, code, attach_type=attach_type, log=bytearray(4096) if log else None)
    if fd >= 0:
        os.close(fd)
    return number


def _without_target(name: str, since: str, kind: int) -> Verdict:
    """A type that needs a target: the verifier asks for it in its log, where an unknown type never reaches it."""
    log = bytearray(4096)
    number, fd = _load(kind, _RETURN, attach_type=_NEEDS_ATTACH.get(kind, 0), log=log)
    if fd >= 0:
        os.close(fd)
    return Verdict(name, True, since) if fd >= 0 or log[0] else _verdict(name, since, number)


def _attached(name: str, since: str, kind: int, attach_type: int, fd: int) -> Verdict:
    """Try the attachment itself, where no one else's traffic passes."""
    try:
        if (kind, attach_type) in ((B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_RAW_TP),
                                   (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_FENTRY),
                                   (B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_FEXIT)):
            link = sys.raw_tracepoint_open(fd, "")
        elif attach_type == B.BPF_TRACE_ITER:
            link = sys.link_create(fd, 0, attach_type)
        elif attach_type in (B.BPF_TRACE_KPROBE_MULTI, B.BPF_TRACE_KPROBE_SESSION):
            symbol = b"do_nanosleep\0"
            symbols = pack("=Q", sys.address(symbol))
            link = sys.link_create(fd, 0, attach_type, 0, pack("=IIQQQ", 0, 1, sys.address(symbols), 0, 0))
        elif attach_type in (B.BPF_TRACE_UPROBE_MULTI, B.BPF_TRACE_UPROBE_SESSION):
            root, offset = b"/\0", bytes(8)
            extra = pack("=QQQQIII4x", sys.address(root), sys.address(offset), 0, 0, 1, 0, 0)
            link = sys.link_create(fd, 0, attach_type, 0, extra)
        elif attach_type in (B.BPF_TCX_INGRESS, B.BPF_TCX_EGRESS, B.BPF_NETKIT_PRIMARY, B.BPF_NETKIT_PEER):
            link = sys.link_create(fd, 0x7FFFFFFF, attach_type)
        elif (kind, attach_type) == (B.BPF_PROG_TYPE_XDP, B.BPF_XDP):
            return _verdict(name, since, _xdp_link(fd))
        else:
            return Verdict(name, True, since)
    except KernelError as error:
        # There is no such interface, or a folder is no file: the kernel went to look.
        if error.errno in (errno.ENODEV, errno.EBADF):
            return Verdict(name, True, since)
        words = _WORDS.get(error.errno or 0, os.strerror(error.errno or 0))
        return Verdict(name, False, since, f"it loads, but does not attach: {words}")
    os.close(link)
    return Verdict(name, True, since)


def _xdp_link(fd: int) -> int:
    """Attach to the loopback interface of a network namespace of our own."""
    from bpfwright.kernel.namespace import NetworkNamespace
    try:
        with NetworkNamespace.create() as space, space.entered():
            os.close(sys.link_create(fd, 1, B.BPF_XDP, B.XDP_FLAGS_SKB_MODE))
    except KernelError as error:
        return error.errno or 0
    return 0


# Maps that want more than four bytes of key and value and one entry: (key, value, entries, flags).
_SHAPES = {
    B.BPF_MAP_TYPE_LPM_TRIE: (8, 8, 1, B.BPF_F_NO_PREALLOC), B.BPF_MAP_TYPE_STACK_TRACE: (4, 8, 1, 0),
    B.BPF_MAP_TYPE_QUEUE: (0, 4, 1, 0), B.BPF_MAP_TYPE_STACK: (0, 4, 1, 0), B.BPF_MAP_TYPE_BLOOM_FILTER: (0, 4, 1, 0),
    B.BPF_MAP_TYPE_RINGBUF: (0, 0, 4096, 0), B.BPF_MAP_TYPE_USER_RINGBUF: (0, 0, 4096, 0),
    B.BPF_MAP_TYPE_CGROUP_STORAGE: (16, 8, 0, 0), B.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: (16, 8, 0, 0),
    B.BPF_MAP_TYPE_SK_STORAGE: (4, 4, 0, B.BPF_F_NO_PREALLOC), B.BPF_MAP_TYPE_INODE_STORAGE: (4, 4, 0,
                                                                                              B.BPF_F_NO_PREALLOC),
    B.BPF_MAP_TYPE_TASK_STORAGE: (4, 4, 0, B.BPF_F_NO_PREALLOC), B.BPF_MAP_TYPE_CGRP_STORAGE: (4, 4, 0,
                                                                                             B.BPF_F_NO_PREALLOC),
    B.BPF_MAP_TYPE_ARENA: (0, 0, 1, B.BPF_F_MMAPABLE), B.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: (4, 8, 1, 0),
    B.BPF_MAP_TYPE_INSN_ARRAY: (4, 16, 1, 0), B.BPF_MAP_TYPE_RHASH: (4, 4, 1, B.BPF_F_NO_PREALLOC),
}
_STORAGE = (B.BPF_MAP_TYPE_SK_STORAGE, B.BPF_MAP_TYPE_INODE_STORAGE, B.BPF_MAP_TYPE_TASK_STORAGE,
            B.BPF_MAP_TYPE_CGRP_STORAGE)


def _make_map(kind: int) -> int:
    key, value, entries, flags = _SHAPES.get(kind, (4, 4, 1, 0))
    if kind in (B.BPF_MAP_TYPE_ARRAY_OF_MAPS, B.BPF_MAP_TYPE_HASH_OF_MAPS):
        inner = sys.map_create(B.BPF_MAP_TYPE_ARRAY, 4, 4, 1)
        try:
            return sys.map_create(kind, key, value, entries, inner_fd=inner)
        finally:
            os.close(inner)
    if kind in _STORAGE:
        btf = sys.btf_load(_int_btf())
        try:
            return sys.map_create(kind, key, value, entries, flags=flags, btf_fd=btf, key_type=1, value_type=1)
        finally:
            os.close(btf)
    struct = 1 if kind == B.BPF_MAP_TYPE_STRUCT_OPS else 0
    return sys.map_create(kind, key, value, entries, flags=flags, value_struct_type=struct)


def _int_btf() -> bytes:
    """Type information of one int, and of a function of none that gives it (2: prototype, 3: function)."""
    types = pack("=4I", 1, 1 << 24, 4, 0x01000020) + pack("=3I", 0, 13 << 24, 1) + pack("=3I", 5, 12 << 24 | 1, 2)
    strings = b"\0int\0fun\0"
    return pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(strings)) + types + strings


# Named features

def _xdp(code: tuple[Instruction, ...]) -> int:
    return _load_errno(B.BPF_PROG_TYPE_XDP, code)


def _with_functions(code: tuple[Instruction, ...], second: int) -> int:
    """Load a program whose second function begins at an instruction; both are global."""
    try:
        btf = sys.btf_load(_int_btf())
    except KernelError as error:
        return error.errno or 0
    try:
        number, fd = _load(B.BPF_PROG_TYPE_XDP, code, function_info=pack("=4I", 0, 3, second, 3), btf_fd=btf)
    finally:
        os.close(btf)
    if fd >= 0:
        os.close(fd)
    return number


def _link_probe(kind: int, attach_type: int) -> int:
    """An attachment to descriptor -1 or interface 2^31-1: an unknown type is EINVAL before the target is looked at."""
    number, fd = _load(kind, _RETURN, attach_type=attach_type)
    if fd < 0:
        return number
    try:
        os.close(sys.link_create(fd, 0x7FFFFFFF, attach_type))
    except KernelError as error:
        return 0 if error.errno in (errno.EBADF, errno.ENODEV) else error.errno or 0
    finally:
        os.close(fd)
    return 0


def _command(command: int, attributes: bytes, known: tuple[int, ...]) -> int:
    """0 when the kernel answers a senseless command as one who knows it."""
    try:
        fd = sys.bpf(command, attributes)
    except KernelError as error:
        return 0 if error.errno in known else error.errno or 0
    if command == B.BPF_ENABLE_STATS:
        os.close(fd)
    return 0


def _batches() -> int:
    fd = sys.map_create(B.BPF_MAP_TYPE_HASH, 4, 4, 1)
    keys, token = bytearray(4), bytearray(4)
    try:
        _, number = sys.map_batch(B.BPF_MAP_LOOKUP_BATCH, fd, sys.address(keys), sys.address(keys), 1,
                                  end=sys.address(token))
    finally:
        os.close(fd)
    return 0 if number in (0, errno.ENOENT) else number


def _mapped() -> int:
    try:
        os.close(sys.map_create(B.BPF_MAP_TYPE_ARRAY, 4, 4, 1, flags=B.BPF_F_MMAPABLE))
    except KernelError as error:
        return error.errno or 0
    return 0


def _tracing_timers() -> int:
    """A tracepoint's program that names a map whose values hold a timer."""
    from bpfwright.formats.btf import BtfBuilder
    if not Features().helper(B.BPF_PROG_TYPE_XDP, "timer_init").works:
        return errno.EINVAL
    types = BtfBuilder()
    number = types.add_int("int", 4)
    timer = types.add_struct("bpf_timer", 16, [("opaque", types.add_array(types.add_int("long", 8), 2), 0, 0)])
    value = types.add_struct("value", 16, [("timer", timer, 0, 0)])
    btf = held = -1
    try:
        btf = sys.btf_load(types.build())
        held = sys.map_create(B.BPF_MAP_TYPE_HASH, 4, 16, 1, btf_fd=btf, key_type=number, value_type=value)
        return _load_errno(B.BPF_PROG_TYPE_TRACEPOINT, (Instruction(0x18, 1, 1, 0, held), *_RETURN))
    except KernelError as error:
        return error.errno or 0
    finally:
        for fd in (btf, held):
            if fd >= 0:
                os.close(fd)


_COUNT_DOWN = (Instruction(_MOV, imm=3), Instruction(0x07, imm=-1), Instruction(0x55, offset=-2), Instruction(_EXIT))
_CALL_FUNCTION = (Instruction(_CALL, src=1, imm=1), Instruction(_EXIT), *_RETURN)

_KERNEL_FUNCTIONS = {"open-coded iterators": "bpf_iter_num_new"}
_PROBES: dict[str, Callable[[], int]] = {
    "may_goto": lambda: _xdp((Instruction(_MAY_GOTO, offset=1), Instruction(0x05, offset=-2), *_RETURN)),
    "bpf_loop": lambda: 0 if Features().helper(B.BPF_PROG_TYPE_XDP, "loop").works else errno.EINVAL,
    "cpu v3": lambda: _xdp((Instruction(0xB4, imm=0), Instruction(0x16, offset=0), Instruction(_EXIT))),
    "atomics": lambda: _xdp((Instruction(0xB7, dst=1, imm=1), Instruction(0x7B, dst=10, src=1, offset=-8),
                             Instruction(0xDB, dst=10, src=1, offset=-8, imm=1), *_RETURN)),  # fetch and add
    "cpu v4": lambda: _xdp((Instruction(_LONG_JUMP, imm=0), *_RETURN)),
    "bounded loops": lambda: _xdp(_COUNT_DOWN),
    "BPF links": lambda: _command(B.BPF_LINK_UPDATE, pack("=4I", 0xFFFFFFFF, 0, 0, 0), (errno.EBADF,)),
    "XDP links": lambda: 0 if Features().attach_type(B.BPF_PROG_TYPE_XDP, B.BPF_XDP).works else errno.EINVAL,
    "perf links": lambda: _link_probe(B.BPF_PROG_TYPE_TRACEPOINT, B.BPF_PERF_EVENT),
    "tcx links": lambda: _link_probe(B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_TCX_INGRESS),
    "netkit links": lambda: _link_probe(B.BPF_PROG_TYPE_SCHED_CLS, B.BPF_NETKIT_PRIMARY),
    "BPF token": lambda: _command(B.BPF_TOKEN_CREATE, pack("=II", 0, 0xFFFFFFFF), (errno.EBADF,)),
    "BTF": lambda: 0 if os.path.exists("/sys/kernel/btf/vmlinux") else errno.EOPNOTSUPP,
    "batch operations": _batches,
    "global functions": lambda: _with_functions(_CALL_FUNCTION, 2),
    "mapped arrays": _mapped,
    "statistics": lambda: _command(B.BPF_ENABLE_STATS, pack("=I", B.BPF_STATS_RUN_TIME), ()),
    "timers in tracing": _tracing_timers,
    "module kfuncs": lambda: _command(B.BPF_BTF_GET_NEXT_ID, pack("=III", 0, 0, 0), (errno.ENOENT,)),
}
