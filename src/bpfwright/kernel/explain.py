"""Says why the kernel refused: the missing privilege, the missing feature, or the limit that was hit."""
from __future__ import annotations

import errno
import os

from bpfwright._abi import bpf as B
from bpfwright.errors import BpfwrightError, KernelError, NotSupported, PrivilegeError, UsageError
from bpfwright.spec.objects import MapSpec, ProgramSpec

__all__ = ["map_error", "missing_capabilities", "privilege_error", "program_error"]

CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 12, 21, 38, 39
_NAMES = {CAP_NET_ADMIN: "CAP_NET_ADMIN", CAP_SYS_ADMIN: "CAP_SYS_ADMIN", CAP_PERFMON: "CAP_PERFMON",
          CAP_BPF: "CAP_BPF"}

_TRACING = frozenset({B.BPF_PROG_TYPE_KPROBE, B.BPF_PROG_TYPE_TRACEPOINT, B.BPF_PROG_TYPE_PERF_EVENT,
                      B.BPF_PROG_TYPE_RAW_TRACEPOINT, B.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
                      B.BPF_PROG_TYPE_TRACING, B.BPF_PROG_TYPE_LSM})

# Program type -> (what people call it, the kernel that brought it).
PROGRAM_TYPES: dict[int, tuple[str, str]] = {
    B.BPF_PROG_TYPE_SOCKET_FILTER: ("socket filters", "3.19"), B.BPF_PROG_TYPE_KPROBE: ("kprobe programs", "4.1"),
    B.BPF_PROG_TYPE_SCHED_CLS: ("tc classifiers", "4.1"), B.BPF_PROG_TYPE_SCHED_ACT: ("tc actions", "4.1"),
    B.BPF_PROG_TYPE_TRACEPOINT: ("tracepoint programs", "4.7"), B.BPF_PROG_TYPE_XDP: ("XDP programs", "4.8"),
    B.BPF_PROG_TYPE_PERF_EVENT: ("perf event programs", "4.9"), B.BPF_PROG_TYPE_CGROUP_SKB: ("cgroup filters", "4.10"),
    B.BPF_PROG_TYPE_CGROUP_SOCK: ("cgroup socket programs", "4.10"), B.BPF_PROG_TYPE_LWT_IN: ("LWT input", "4.10"),
    B.BPF_PROG_TYPE_LWT_OUT: ("LWT output", "4.10"), B.BPF_PROG_TYPE_LWT_XMIT: ("LWT transmit", "4.10"),
    B.BPF_PROG_TYPE_SOCK_OPS: ("socket operations", "4.13"), B.BPF_PROG_TYPE_SK_SKB: ("socket parsers", "4.14"),
    B.BPF_PROG_TYPE_CGROUP_DEVICE: ("device rules", "4.15"), B.BPF_PROG_TYPE_SK_MSG: ("socket messages", "4.17"),
    B.BPF_PROG_TYPE_RAW_TRACEPOINT: ("raw tracepoints", "4.17"),
    B.BPF_PROG_TYPE_CGROUP_SOCK_ADDR: ("cgroup address programs", "4.17"),
    B.BPF_PROG_TYPE_LWT_SEG6LOCAL: ("seg6 programs", "4.18"), B.BPF_PROG_TYPE_LIRC_MODE2: ("infrared decoders", "4.18"),
    B.BPF_PROG_TYPE_SK_REUSEPORT: ("reuseport selectors", "4.19"),
    B.BPF_PROG_TYPE_FLOW_DISSECTOR: ("flow dissectors", "4.20"),
    B.BPF_PROG_TYPE_CGROUP_SYSCTL: ("sysctl programs", "5.2"),
    B.BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE: ("writable raw tracepoints", "5.2"),
    B.BPF_PROG_TYPE_CGROUP_SOCKOPT: ("socket option programs", "5.3"),
    B.BPF_PROG_TYPE_TRACING: ("tracing programs", "5.5"),
    B.BPF_PROG_TYPE_STRUCT_OPS: ("struct_ops", "5.6"), B.BPF_PROG_TYPE_EXT: ("program replacements", "5.6"),
    B.BPF_PROG_TYPE_LSM: ("security programs", "5.7"), B.BPF_PROG_TYPE_SK_LOOKUP: ("socket lookup", "5.9"),
    B.BPF_PROG_TYPE_SYSCALL: ("syscall programs", "5.14"), B.BPF_PROG_TYPE_NETFILTER: ("netfilter programs", "6.4"),
}

MAP_TYPES: dict[int, tuple[str, str]] = {
    B.BPF_MAP_TYPE_HASH: ("hash", "3.19"), B.BPF_MAP_TYPE_ARRAY: ("array", "3.19"),
    B.BPF_MAP_TYPE_PROG_ARRAY: ("program array", "4.2"), B.BPF_MAP_TYPE_PERF_EVENT_ARRAY: ("perf event array", "4.3"),
    B.BPF_MAP_TYPE_PERCPU_HASH: ("per-CPU hash", "4.6"), B.BPF_MAP_TYPE_PERCPU_ARRAY: ("per-CPU array", "4.6"),
    B.BPF_MAP_TYPE_STACK_TRACE: ("stack trace", "4.6"), B.BPF_MAP_TYPE_CGROUP_ARRAY: ("cgroup array", "4.8"),
    B.BPF_MAP_TYPE_LRU_HASH: ("LRU hash", "4.10"), B.BPF_MAP_TYPE_LRU_PERCPU_HASH: ("per-CPU LRU hash", "4.10"),
    B.BPF_MAP_TYPE_LPM_TRIE: ("LPM trie", "4.11"), B.BPF_MAP_TYPE_ARRAY_OF_MAPS: ("array of maps", "4.12"),
    B.BPF_MAP_TYPE_HASH_OF_MAPS: ("hash of maps", "4.12"), B.BPF_MAP_TYPE_DEVMAP: ("device map", "4.14"),
    B.BPF_MAP_TYPE_SOCKMAP: ("socket map", "4.14"), B.BPF_MAP_TYPE_CPUMAP: ("CPU map", "4.15"),
    B.BPF_MAP_TYPE_XSKMAP: ("AF_XDP socket map", "4.18"), B.BPF_MAP_TYPE_SOCKHASH: ("socket hash", "4.18"),
    B.BPF_MAP_TYPE_CGROUP_STORAGE: ("cgroup storage (old)", "4.19"),
    B.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY: ("reuseport array", "4.19"),
    B.BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE: ("per-CPU cgroup storage (old)", "4.20"),
    B.BPF_MAP_TYPE_QUEUE: ("queue", "4.20"), B.BPF_MAP_TYPE_STACK: ("stack", "4.20"),
    B.BPF_MAP_TYPE_SK_STORAGE: ("socket storage", "5.2"), B.BPF_MAP_TYPE_DEVMAP_HASH: ("device hash", "5.4"),
    B.BPF_MAP_TYPE_STRUCT_OPS: ("struct_ops", "5.6"), B.BPF_MAP_TYPE_RINGBUF: ("ring buffer", "5.8"),
    B.BPF_MAP_TYPE_INODE_STORAGE: ("inode storage", "5.10"), B.BPF_MAP_TYPE_TASK_STORAGE: ("task storage", "5.11"),
    B.BPF_MAP_TYPE_BLOOM_FILTER: ("bloom filter", "5.16"),
    B.BPF_MAP_TYPE_USER_RINGBUF: ("user ring buffer", "6.1"), B.BPF_MAP_TYPE_CGRP_STORAGE: ("cgroup storage", "6.2"),
    B.BPF_MAP_TYPE_ARENA: ("arena", "6.9"), B.BPF_MAP_TYPE_INSN_ARRAY: ("instruction array", "6.19"),
    B.BPF_MAP_TYPE_RHASH: ("resizable hash", "7.3"),
}


def effective_capabilities() -> int:
    """The bit set of this thread's effective capabilities."""
    try:
        with open("/proc/thread-self/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1], 16) for line in file if line.startswith("CapEff")), 0)
    except OSError:
        return 0


def missing_capabilities(kind: int = B.BPF_PROG_TYPE_UNSPEC) -> list[str]:
    """What this thread lacks to load programs of a type; CAP_SYS_ADMIN stands for all of them."""
    have = effective_capabilities()
    if have >> CAP_SYS_ADMIN & 1:
        return []
    networked = kind not in _TRACING and kind not in (B.BPF_PROG_TYPE_UNSPEC, B.BPF_PROG_TYPE_SOCKET_FILTER)
    wanted = [CAP_BPF] + ([CAP_PERFMON] if kind in _TRACING else []) + ([CAP_NET_ADMIN] if networked else [])
    return [_NAMES[number] for number in wanted if not have >> number & 1]


def privilege_error(what: str, error: KernelError, kind: int = B.BPF_PROG_TYPE_UNSPEC) -> PrivilegeError:
    """The error of a call that privilege would have allowed."""
    missing = missing_capabilities(kind)
    if missing:
        return PrivilegeError(f"{what}: not permitted", error.errno or errno.EPERM,
                              why=f"this process lacks {', '.join(missing)}",
                              cure="Run it with sudo, or give the service these capabilities.")
    return PrivilegeError(f"{what}: not permitted", error.errno or errno.EPERM, why=_refuser(),
                          cure="`bpfwright doctor` says what this kernel allows.")


def in_user_namespace() -> bool:
    """Whether this process is in another user namespace than the kernel's first."""
    try:
        with open("/proc/self/uid_map", encoding="ascii") as file:
            return file.read().split() != ["0", "0", "4294967295"]
    except OSError:
        return False


def _refuser() -> str:
    """Why a privileged process is refused all the same."""
    if in_user_namespace():
        return "the privilege of a user namespace counts for BPF only as far as a token delegates it (since Linux 6.9)"
    try:
        with open("/sys/kernel/security/lockdown", encoding="ascii") as file:
            text = file.read()
        mode = text[text.index("[") + 1:text.index("]")]
    except (OSError, ValueError):
        mode = "none"
    if mode != "none":
        return f"the kernel is locked down ({mode}), or was built to refuse this"
    return "this kernel refuses it to everyone, or a container's seccomp or user namespace does"


def program_error(spec: ProgramSpec, error: KernelError) -> BpfwrightError:
    """The error of a load that failed before the verifier had anything to say."""
    name, since = PROGRAM_TYPES.get(spec.type, (f"programs of type {spec.type}", ""))
    number = error.errno or 0
    what = f"program {spec.name!r} was not loaded"
    if number == errno.EPERM:
        if not missing_capabilities(spec.type) and not in_user_namespace():
            from bpfwright.kernel.features import Features
            known = Features().attach_type(spec.type, spec.expected_attach_type)
            if not known.works:
                return NotSupported(f"{what}: this kernel refuses {known.name}", since=known.since,
                                    why=known.why or _refuser())
        return privilege_error(what, error, spec.type)
    if number in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT, 524):
        from bpfwright.kernel.features import Features
        verdict = Features().program_type(spec.type)
        if not verdict.works:
            return NotSupported(f"{what}: this kernel has no {name}", since=since, why=verdict.why)
        attach = Features().attach_type(spec.type, spec.expected_attach_type)
        if not attach.works:
            return NotSupported(f"{what}: this kernel has no {attach.name}", since=attach.since, why=attach.why)
        return KernelError(what, number, why=f"{os.strerror(number)}: the kernel refused it before verifying",
                           cure="It may use an instruction, flag or target that this kernel lacks: build for an older "
                                "target.")
    if number == errno.E2BIG:
        return KernelError(what, number, why="it has too many instructions (1,000,000 with privilege, 4096 without)",
                           cure="Split it by tail calls.")
    if number == errno.ENOMEM:
        return KernelError(what, number, why="the kernel has no memory for it, or the cgroup's limit is reached")
    return KernelError(what, number, why=os.strerror(number))


def map_error(spec: MapSpec, error: KernelError) -> BpfwrightError:
    """The error of a map that was not created."""
    name, since = MAP_TYPES.get(spec.type, (f"maps of type {spec.type}", ""))
    number = error.errno or 0
    what = f"map {spec.name!r} was not created"
    if number == errno.EPERM:
        return privilege_error(what, error)
    if number in (errno.EINVAL, errno.EOPNOTSUPP, 524):
        from bpfwright.kernel.features import Features
        verdict = Features().map_type(spec.type)
        if not verdict.works:
            return NotSupported(f"{what}: this kernel has no {name} maps", since=since, why=verdict.why)
        return UsageError(f"{what}: the kernel refuses a {name} map of this shape",
                          why=f"keys of {spec.key_size} bytes, values of {spec.value_size}, {spec.max_entries} "
                              f"entries, flags {spec.flags:#x}", cure=_shape(spec))
    if number in (errno.E2BIG, errno.ENOMEM):
        return KernelError(what, number, why=f"{spec.max_entries} entries of {spec.key_size} + {spec.value_size} bytes "
                           "are more than the kernel gives", cure="Ask for fewer entries, or do not preallocate.")
    return KernelError(what, number, why=os.strerror(number))


def _shape(spec: MapSpec) -> str:
    """The rule of a map type that is broken most often."""
    rings = (B.BPF_MAP_TYPE_RINGBUF, B.BPF_MAP_TYPE_USER_RINGBUF)
    if spec.type in rings:
        return "Its max_entries is a size in bytes: a power of two, at least a page."
    if spec.type == B.BPF_MAP_TYPE_LPM_TRIE and not spec.flags & B.BPF_F_NO_PREALLOC:
        return "An LPM trie needs BPF_F_NO_PREALLOC."
    if spec.max_entries == 0:
        return "Its max_entries must not be 0."
    return "Arrays have keys of 4 bytes; queues, stacks and rings have none."
