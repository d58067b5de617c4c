"""The one door to system calls: bpf(2), perf_event_open(2) and the few others; the only file that touches ctypes.

Every function takes and gives plain numbers and bytes, and raises KernelError with the kernel's errno. Memory handed to
the kernel is kept alive for the length of the call by the caller's frame.
"""
from __future__ import annotations

import ctypes
import errno
import os
import sys
from struct import Struct, pack, unpack_from

from bpfwright._abi import bpf as B
from bpfwright.errors import KernelError, NotSupported

__all__ = ["bpf", "address", "perf_event_open"]

# bpf, perf_event_open, setns are reached by number where libc has no wrapper.
_NUMBERS = {"x86_64": (321, 298), "aarch64": (280, 241), "riscv64": (280, 241), "loongarch64": (280, 241),
            "s390x": (351, 331), "ppc64le": (361, 319)}

Buffer = bytes | bytearray | memoryview


class _Calls:
    """libc, found at the first call: importing this module costs nothing."""

    __slots__ = ("bpf", "bytes_address", "libc", "perf")

    def __init__(self) -> None:
        if not sys.platform.startswith("linux"):
            raise NotSupported("this is not Linux", why="the kernel machine needs bpf(2)",
                               cure="Use the userspace machine: machine=Userspace().")
        machine = os.uname().machine
        if machine not in _NUMBERS:
            raise NotSupported(f"bpf(2) on {machine} is unknown to this version")
        self.bpf, self.perf = _NUMBERS[machine]
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.syscall.restype = ctypes.c_long
        self.libc.mmap.restype = ctypes.c_void_p
        self.libc.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                                   ctypes.c_long)
        self.libc.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
        self.bytes_address = ctypes.pythonapi.PyBytes_AsString
        self.bytes_address.restype = ctypes.c_void_p
        self.bytes_address.argtypes = (ctypes.py_object,)


_calls: _Calls | None = None


def _open() -> _Calls:
    global _calls
    if _calls is None:
        _calls = _Calls()
    return _calls


def fail(what: str, number: int) -> KernelError:
    """The error of a failed call."""
    return KernelError(f"{what}: {os.strerror(number)}", number)


def address(data: Buffer) -> int:
    """Where the bytes of a buffer stand; valid while the caller holds the buffer. Read-only views must be bytes."""
    if isinstance(data, bytes):
        return int(_open().bytes_address(data) or 0)
    if not len(data):
        return 0
    return ctypes.addressof(ctypes.c_char.from_buffer(data))


def bpf(command: int, attributes: bytes | bytearray, what: str = "") -> int:
    """bpf(2). Results that the kernel writes into `attributes` need a bytearray."""
    calls = _calls or _open()
    size = len(attributes)
    for _ in range(64):
        result: int = calls.libc.syscall(calls.bpf, command, ctypes.c_void_p(address(attributes)), size)
        if result >= 0:
            return result
        number = ctypes.get_errno()
        # EAGAIN: the verifier was interrupted by a signal; libbpf retries too.
        if number not in (errno.EAGAIN, errno.EINTR) or command not in (B.BPF_PROG_LOAD, B.BPF_PROG_TEST_RUN):
            break
    raise fail(what or f"bpf({_command_name(command)})", number)


def _command_name(command: int) -> str:
    names = [name for name, value in vars(B).items() if value == command and name.startswith(
        ("BPF_MAP_", "BPF_PROG_", "BPF_OBJ_", "BPF_LINK_", "BPF_BTF_", "BPF_ITER_", "BPF_RAW_", "BPF_TASK_",
         "BPF_ENABLE", "BPF_TOKEN"))]
    return names[0] if names else str(command)


def name_field(name: str) -> bytes:
    """An object name as the kernel takes it: 15 characters, letters, digits, `_` and `.`."""
    clean = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.") else "_" for letter in name)
    return clean.encode("ascii")[:B.BPF_OBJ_NAME_LEN - 1]


# Maps

_ELEMENT = Struct("=I4xQQQ")                # map_fd, key, value or next_key, flags
_BATCH = Struct("=QQQQIIQQ")                # in_batch, out_batch, keys, values, count, map_fd, elem_flags, flags
_CREATE = Struct("=IIIIIII16sIIIIIQiI")


def map_create(kind: int, key_size: int, value_size: int, max_entries: int, *, flags: int = 0, name: str = "",
               inner_fd: int = 0, numa_node: int = -1, btf_fd: int = 0, key_type: int = 0, value_type: int = 0,
               value_struct_type: int = 0, map_extra: int = 0, btf_object_fd: int = 0, token_fd: int = 0) -> int:
    """BPF_MAP_CREATE: a descriptor."""
    if numa_node >= 0:
        flags |= B.BPF_F_NUMA_NODE
    if btf_object_fd:
        flags |= B.BPF_F_VTYPE_BTF_OBJ_FD
    if token_fd:
        flags |= B.BPF_F_TOKEN_FD
    attributes = _CREATE.pack(kind, key_size, value_size, max_entries, flags, inner_fd, max(numa_node, 0),
                              name_field(name), 0, btf_fd, key_type, value_type, value_struct_type, map_extra,
                              btf_object_fd, token_fd)
    # Old kernels refuse trailing bytes that they do not know unless they are zero: cut what is not used.
    return bpf(B.BPF_MAP_CREATE, attributes.rstrip(b"\0").ljust(48, b"\0"), f"creating map {name!r}")


def map_lookup(fd: int, key: int, value: int, flags: int = 0) -> None:
    bpf(B.BPF_MAP_LOOKUP_ELEM, _ELEMENT.pack(fd, key, value, flags))


def map_update(fd: int, key: int, value: int, flags: int = 0) -> None:
    bpf(B.BPF_MAP_UPDATE_ELEM, _ELEMENT.pack(fd, key, value, flags))


def map_delete(fd: int, key: int) -> None:
    bpf(B.BPF_MAP_DELETE_ELEM, _ELEMENT.pack(fd, key, 0, 0))


def map_pop(fd: int, key: int, value: int, flags: int = 0) -> None:
    bpf(B.BPF_MAP_LOOKUP_AND_DELETE_ELEM, _ELEMENT.pack(fd, key, value, flags))


def map_next_key(fd: int, key: int, following: int) -> None:
    bpf(B.BPF_MAP_GET_NEXT_KEY, _ELEMENT.pack(fd, key, following, 0))


def map_freeze(fd: int) -> None:
    bpf(B.BPF_MAP_FREEZE, pack("=I", fd))


def map_batch(command: int, fd: int, keys: int, values: int, count: int, *, start: int = 0, end: int = 0,
              flags: int = 0) -> tuple[int, int]:
    """A batch command: (how many were done, errno or 0)."""
    attributes = bytearray(_BATCH.pack(start, end, keys, values, count, fd, flags, 0))
    try:
        bpf(command, attributes)
        number = 0
    except KernelError as error:
        number = error.errno or 0
        if number == errno.EFAULT:
            return 0, number
    return _BATCH.unpack(attributes)[4], number


# Programs

class ProgramLoad:
    """The attributes of BPF_PROG_LOAD, built once and sent with different log levels."""

    __slots__ = ("_kept", "name", "values")

    _FIELDS = (("type", "I"), ("insn_cnt", "I"), ("insns", "Q"), ("license", "Q"), ("log_level", "I"),
               ("log_size", "I"), ("log_buf", "Q"), ("kern_version", "I"), ("flags", "I"), ("name", "16s"),
               ("ifindex", "I"), ("expected_attach_type", "I"), ("btf_fd", "I"), ("func_info_rec_size", "I"),
               ("func_info", "Q"), ("func_info_cnt", "I"), ("line_info_rec_size", "I"), ("line_info", "Q"),
               ("line_info_cnt", "I"), ("attach_btf_id", "I"), ("attach_prog_fd", "I"), ("core_relo_cnt", "I"),
               ("fd_array", "Q"), ("core_relos", "Q"), ("core_relo_rec_size", "I"), ("log_true_size", "I"),
               ("token_fd", "i"), ("fd_array_cnt", "I"))

    def __init__(self, kind: int, insns: bytes, license_text: str, name: str = "") -> None:
        self._kept: list[Buffer] = []
        self.name = name
        self.values: dict[str, int | bytes] = {
            "type": kind, "insn_cnt": len(insns) // 8, "insns": self.keep(insns),
            "license": self.keep(license_text.encode("utf-8", "replace") + b"\0"), "name": name_field(name),
        }

    def keep(self, data: Buffer) -> int:
        """The address of a buffer that lives as long as this object; 0 for an empty one."""
        self._kept.append(data)
        return address(data) if len(data) else 0

    def send(self, log_level: int = 0, log: bytearray | None = None) -> int:
        """Load; the log, if any, is written into `log`."""
        values = dict(self.values)
        if log is not None:
            values.update(log_level=log_level, log_size=len(log), log_buf=address(log))
        elif log_level:
            values.update(log_level=log_level)
        layout = Struct("=" + "".join(code for _, code in self._FIELDS))
        attributes = layout.pack(*(values.get(field, b"" if code == "16s" else 0) for field, code in self._FIELDS))
        return bpf(B.BPF_PROG_LOAD, attributes.rstrip(b"\0").ljust(72, b"\0"),
                   f"loading program {self.name!r}")


_TEST_RUN = Struct("=IIIIQQIIIIQQIIII")


class RunResult:
    """What BPF_PROG_TEST_RUN gave."""

    __slots__ = ("context", "data", "duration_ns", "value")
    __test__ = False

    def __init__(self, value: int, data: bytes, context: bytes, duration_ns: int) -> None:
        self.value, self.data, self.context, self.duration_ns = value, data, context, duration_ns


def prog_test_run(fd: int, data: bytes, context: bytes, *, repeat: int, flags: int, cpu: int, out_size: int,
                  context_out_size: int, batch: int = 0) -> RunResult:
    """BPF_PROG_TEST_RUN; sizes of 0 ask for no output."""
    out, context_out = bytearray(out_size), bytearray(context_out_size)
    attributes = bytearray(_TEST_RUN.pack(
        fd, 0, len(data), out_size, address(data) if data else 0, address(out), repeat, 0, len(context),
        context_out_size, address(context) if context else 0, address(context_out), flags, cpu, batch, 0))
    bpf(B.BPF_PROG_TEST_RUN, bytes_or_cut(attributes, 80 if batch else 72), "test run")
    fields = _TEST_RUN.unpack(attributes[:80].ljust(80, b"\0"))
    return RunResult(fields[1], bytes(out[:fields[3]]) if out_size else b"",
                     bytes(context_out[:fields[9]]) if context_out_size else b"", fields[7])


def bytes_or_cut(attributes: bytearray, size: int) -> bytearray:
    """The same buffer, cut in place: the kernel answers into it."""
    del attributes[size:]
    return attributes


def btf_load(data: bytes, log: bytearray | None = None, token_fd: int = 0) -> int:
    """BPF_BTF_LOAD: a descriptor."""
    attributes = pack("=QQIIIIIi", address(data), address(log) if log else 0, len(data), len(log) if log else 0,
                      1 if log else 0, 0, B.BPF_F_TOKEN_FD if token_fd else 0, token_fd)
    return bpf(B.BPF_BTF_LOAD, attributes if token_fd else attributes[:28], "loading type information")


# Objects by path, number and information

def obj_pin(fd: int, path: str) -> None:
    name = os.fsencode(path) + b"\0"
    bpf(B.BPF_OBJ_PIN, pack("=QII", address(name), fd, 0), f"pinning at {path}")


def obj_get(path: str, flags: int = 0) -> int:
    name = os.fsencode(path) + b"\0"
    return bpf(B.BPF_OBJ_GET, pack("=QII", address(name), 0, flags), f"opening {path}")


def obj_info(fd: int, size: int, prefill: bytes = b"") -> bytes:
    """BPF_OBJ_GET_INFO_BY_FD: up to `size` bytes of the kind's info struct; `prefill` hands in pointers and counts."""
    info = bytearray(prefill.ljust(size, b"\0"))
    attributes = bytearray(pack("=IIQ", fd, size, address(info)))
    bpf(B.BPF_OBJ_GET_INFO_BY_FD, attributes)
    return bytes(info[:unpack_from("=I", attributes, 4)[0]])


def next_id(command: int, after: int) -> int:
    """BPF_*_GET_NEXT_ID: the number after `after`, 0 at the end."""
    attributes = bytearray(pack("=III", after, 0, 0))
    try:
        bpf(command, attributes)
    except KernelError as error:
        if error.errno == errno.ENOENT:
            return 0
        raise
    return int(unpack_from("=I", attributes, 4)[0])


def fd_by_id(command: int, number: int) -> int:
    return bpf(command, pack("=III", number, 0, 0))


def enable_stats() -> int:
    """BPF_ENABLE_STATS: run counts and times are kept while the descriptor is open."""
    return bpf(B.BPF_ENABLE_STATS, pack("=I", B.BPF_STATS_RUN_TIME), "switching statistics on")


# Links

def link_create(prog_fd: int, target: int, attach_type: int, flags: int = 0, extra: bytes = b"") -> int:
    """BPF_LINK_CREATE; `extra` is the attach type's own part of the attributes."""
    return bpf(B.BPF_LINK_CREATE, pack("=IIII", prog_fd, target, attach_type, flags) + extra, "attaching")


def link_update(fd: int, prog_fd: int, old_fd: int = 0) -> None:
    flags = B.BPF_F_REPLACE if old_fd else 0
    bpf(B.BPF_LINK_UPDATE, pack("=IIII", fd, prog_fd, flags, old_fd), "replacing the program")


def link_detach(fd: int) -> None:
    bpf(B.BPF_LINK_DETACH, pack("=I", fd), "detaching")


def iter_create(link_fd: int) -> int:
    return bpf(33, pack("=II", link_fd, 0), "opening an iterator")


def raw_tracepoint_open(prog_fd: int, name: str, cookie: int = 0) -> int:
    text = os.fsencode(name) + b"\0"
    attributes = pack("=QIIQ", address(text) if name else 0, prog_fd, 0, cookie)
    return bpf(B.BPF_RAW_TRACEPOINT_OPEN, attributes if cookie else attributes[:12],
               f"attaching to {name or 'its target'}")


def prog_attach(target_fd: int, prog_fd: int, attach_type: int, flags: int = 0, replace_fd: int = 0) -> None:
    bpf(B.BPF_PROG_ATTACH, pack("=IIIII", target_fd, prog_fd, attach_type, flags, replace_fd), "attaching")


def prog_detach(target_fd: int, prog_fd: int, attach_type: int) -> None:
    bpf(B.BPF_PROG_DETACH, pack("=III", target_fd, prog_fd, attach_type), "detaching")


def token_create(bpffs_fd: int) -> int:
    return bpf(B.BPF_TOKEN_CREATE, pack("=II", 0, bpffs_fd), "creating a BPF token")


# Others

def perf_event_open(attributes: bytes, pid: int, cpu: int, group: int = -1, flags: int = 8) -> int:
    """perf_event_open(2) with PERF_FLAG_FD_CLOEXEC."""
    calls = _open()
    result: int = calls.libc.syscall(calls.perf, ctypes.c_void_p(address(attributes)), pid, cpu, group, flags)
    if result < 0:
        raise fail("perf_event_open", ctypes.get_errno())
    return result


def mount(source: str, target: str, kind: str) -> None:
    """mount(2) of a pseudo file system."""
    result = _open().libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(0), None)
    if result:
        raise fail(f"mounting {kind} at {target}", ctypes.get_errno())


def setns(fd: int, kind: int = 0) -> None:
    """setns(2)."""
    if _open().libc.setns(fd, kind):
        raise fail("entering a namespace", ctypes.get_errno())


def unshare(flags: int) -> None:
    """unshare(2)."""
    if _open().libc.unshare(flags):
        raise fail("making a namespace", ctypes.get_errno())


def wait_for_readers() -> None:
    """Return when each run of a BPF program that began before has ended: membarrier(2)'s global command is an RCU
    grace period (kernel/sched/membarrier.c). NotSupported on CPUs without ticks (nohz_full)."""
    from bpfwright._abi.syscalls import NUMBERS
    calls = _open()
    if calls.libc.syscall(NUMBERS[os.uname().machine]["membarrier"], 1, 0, 0):
        raise NotSupported("tables that are in use cannot be changed in place here",
                           why=f"membarrier(2): {os.strerror(ctypes.get_errno())}", cure="Write them anew.")


def map_memory(fd: int, size: int, offset: int = 0, *, writable: bool = True) -> tuple[int, memoryview]:
    """mmap(2) shared: the address and a view; unmap_memory undoes it. Offsets need not be what Python's mmap allows."""
    protection = 3 if writable else 1
    where = _open().libc.mmap(None, size, protection, 1, fd, offset)
    if where is None or where == ctypes.c_void_p(-1).value:
        raise fail("mapping memory", ctypes.get_errno())
    view = memoryview((ctypes.c_char * size).from_address(where)).cast("B")
    return int(where), view if writable else view.toreadonly()


def unmap_memory(where: int, size: int) -> None:
    _open().libc.munmap(where, size)


def close_quietly(fd: int) -> None:
    """Close a descriptor whose closing nobody can mend."""
    try:
        os.close(fd)
    except OSError:
        pass
