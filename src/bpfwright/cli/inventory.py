"""What BPF is loaded on this machine: programs, where they are attached, and which processes hold them.

Struct offsets are those of bpf_prog_info and bpf_link_info in include/uapi/linux/bpf.h; both only ever grow.
"""
from __future__ import annotations

import _socket  # socket itself takes 3 ms
import errno
import os
from struct import pack_into, unpack_from

from bpfwright._abi import bpf as B
from bpfwright._typing import Callable, Iterator, NamedTuple
from bpfwright.cli.names import attach_names, kernel_names
from bpfwright.errors import BpfwrightError, KernelError
from bpfwright.kernel import sys
from bpfwright.kernel.types import KernelTypes

__all__ = ["Holder", "Program", "attachments", "holders", "programs"]

PROG_INFO_SIZE = 232
LINK_INFO_SIZE = 64
NAME_ROOM = 256


class Program(NamedTuple):
    """A loaded program. `runs` and `run_ns` stay 0 unless statistics are on."""

    id: int
    kind: str
    name: str
    uid: int
    loaded_ns: int  # of CLOCK_BOOTTIME
    map_count: int
    instructions: int
    memory_bytes: int
    runs: int
    run_ns: int
    missed: int


class Holder(NamedTuple):
    """A process that keeps a program alive."""

    pid: int
    name: str


def _each(next_command: int, open_command: int) -> Iterator[tuple[int, int]]:
    """(id, descriptor) of everything of a kind; what comes or goes meanwhile is left out."""
    number = 0
    while number := sys.next_id(next_command, number):
        try:
            opened = sys.fd_by_id(open_command, number)
        except KernelError as problem:
            if problem.errno in (errno.ENOENT, errno.EAGAIN):  # gone already; a link that is not settled yet
                continue
            raise
        try:
            yield number, opened
        finally:
            os.close(opened)


def programs() -> list[Program]:
    """Every program, by id."""
    kinds = kernel_names("BPF_PROG_TYPE_")
    return [_program(opened, kinds) for _, opened in _each(B.BPF_PROG_GET_NEXT_ID, B.BPF_PROG_GET_FD_BY_ID)]


def _program(opened: int, kinds: dict[int, str]) -> Program:
    info = sys.obj_info(opened, PROG_INFO_SIZE).ljust(PROG_INFO_SIZE, b"\0")
    kind, number = unpack_from("=II", info, 0)
    instructions_bytes, = unpack_from("=I", info, 20)
    loaded, uid, maps = unpack_from("=QII", info, 40)
    run_ns, runs, missed = unpack_from("=QQQ", info, 192)
    name = info[64:80].partition(b"\0")[0].decode(errors="replace")
    return Program(number, kinds.get(kind, str(kind)), name, uid, loaded, maps, instructions_bytes // 8,
                   _memory(opened), runs, run_ns, missed)


def _memory(opened: int) -> int:
    """What the kernel charges for it."""
    with open(f"/proc/self/fdinfo/{opened}") as lines:
        for line in lines:
            if line.startswith("memlock:"):
                return int(line.split()[1])
    return 0


# Who holds what

def holders() -> tuple[dict[int, list[Holder]], dict[int, list[str]]]:
    """By program id: the processes that hold it, and what perf events attach it to.

    A process that ends meanwhile, or that we may not look into, is left out.
    """
    held: dict[int, dict[int, Holder]] = {}
    attached: dict[int, list[str]] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            for number, target in _held_by(int(entry)):
                held.setdefault(number, {})[int(entry)] = Holder(int(entry), _name_of(entry))
                if target and target not in attached.setdefault(number, []):
                    attached[number].append(target)
        except OSError:
            continue
    return {number: sorted(found.values()) for number, found in held.items()}, attached


def _name_of(pid: str) -> str:
    with open(f"/proc/{pid}/comm") as file:
        return file.read().rstrip("\n")


def _held_by(pid: int) -> Iterator[tuple[int, str]]:
    """(program id, what a perf event attaches it to or nothing) for each descriptor of a process."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            kind = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if kind.startswith(("anon_inode:bpf-prog", "anon_inode:bpf_link", "anon_inode:bpf-link")):
            number = _noted(pid, name)
            if number:
                yield number, ""
        elif kind == "anon_inode:[perf_event]":
            found = _perf_event(pid, int(name))
            if found:
                yield found


def _noted(pid: int, descriptor: str) -> int:
    with open(f"/proc/{pid}/fdinfo/{descriptor}") as lines:
        for line in lines:
            if line.startswith("prog_id:"):
                return int(line.split()[1])
    return 0


def _perf_event(pid: int, descriptor: int) -> tuple[int, str] | None:
    """BPF_TASK_FD_QUERY: the program of a perf event, and its tracepoint, function or file."""
    room = bytearray(NAME_ROOM)
    attributes = bytearray(48)
    pack_into("=IIIIQ", attributes, 0, pid, descriptor, 0, NAME_ROOM, sys.address(room))
    try:
        sys.bpf(B.BPF_TASK_FD_QUERY, attributes)
    except KernelError:  # an event without a program
        return None
    program, kind, offset, _ = unpack_from("=IIQQ", attributes, 24)
    kinds = kernel_names("BPF_FD_TYPE_")
    text = f"{kinds.get(kind, 'perf')} {_string(room)}".rstrip()
    return program, f"{text}+{offset:#x}" if offset and "probe" in text else text


# Where links attach

def attachments() -> dict[int, list[str]]:
    """By program id: what its links attach it to."""
    found: dict[int, list[str]] = {}
    try:
        for _, opened in _each(B.BPF_LINK_GET_NEXT_ID, B.BPF_LINK_GET_FD_BY_ID):
            program, text = _link(opened)
            if text not in found.setdefault(program, []):
                found[program].append(text)
    except KernelError as problem:
        if problem.errno != errno.EINVAL:  # before Linux 5.8 links cannot be listed
            raise
    return found


def _link(opened: int) -> tuple[int, str]:
    info = sys.obj_info(opened, LINK_INFO_SIZE).ljust(LINK_INFO_SIZE, b"\0")
    kind, _, program = unpack_from("=III", info, 0)
    describe = _LINKS.get(kind)
    name = kernel_names("BPF_LINK_TYPE_").get(kind, f"link {kind}")
    return program, describe(opened, info) if describe else name


def _named(at: int) -> Callable[[int, bytes], str]:
    """Links that give a name: the caller hands in room for it, pointer and length standing at `at`."""
    def describe(opened: int, info: bytes) -> str:
        room = bytearray(NAME_ROOM)
        asked = bytearray(LINK_INFO_SIZE)
        pack_into("=QI", asked, at, sys.address(room), NAME_ROOM)
        kind, = unpack_from("=I", sys.obj_info(opened, LINK_INFO_SIZE, bytes(asked)), 0)
        return f"{kernel_names('BPF_LINK_TYPE_').get(kind, 'link')} {_string(room)}".rstrip()
    return describe


def _perf_link(opened: int, info: bytes) -> str:
    kinds = kernel_names("BPF_PERF_EVENT_")
    text = _named(24)(opened, info)
    return text.replace("perf_event", kinds.get(unpack_from("=I", info, 16)[0], "perf_event"), 1)


def _tracing(opened: int, info: bytes) -> str:
    attach_type, target_object, target = unpack_from("=III", info, 16)
    # Object 1 is the kernel's own BTF; a module's numbers would need that module's.
    return f"{_attach_type(attach_type)} {_kernel_type(target) if target_object == 1 else ''}".rstrip()


def _interface(opened: int, info: bytes) -> str:
    kind, = unpack_from("=I", info, 0)
    index, attach_type = unpack_from("=II", info, 16)
    try:
        interface = _socket.if_indextoname(index)
    except OSError:
        interface = f"interface {index}" if index else "a vanished interface"
    return f"{'xdp' if kind == B.BPF_LINK_TYPE_XDP else _attach_type(attach_type)} {interface}"


def _cgroup(opened: int, info: bytes) -> str:
    identity, attach_type = unpack_from("=QI", info, 16)
    return f"{_attach_type(attach_type)} cgroup {identity}"


def _netns(opened: int, info: bytes) -> str:
    inode, attach_type = unpack_from("=II", info, 16)
    return f"{_attach_type(attach_type)} netns {inode}"


def _attach_type(number: int) -> str:
    return attach_names().get(number, str(number))


def _kernel_type(number: int) -> str:
    try:
        return _types.vmlinux.name(number)
    except BpfwrightError:
        return ""


def _string(room: bytearray) -> str:
    return room.partition(b"\0")[0].decode(errors="replace")


_types = KernelTypes()

_LINKS: dict[int, Callable[[int, bytes], str]] = {
    B.BPF_LINK_TYPE_RAW_TRACEPOINT: _named(16), B.BPF_LINK_TYPE_ITER: _named(16),
    B.BPF_LINK_TYPE_PERF_EVENT: _perf_link, B.BPF_LINK_TYPE_TRACING: _tracing, B.BPF_LINK_TYPE_XDP: _interface,
    B.BPF_LINK_TYPE_TCX: _interface, B.BPF_LINK_TYPE_NETKIT: _interface, B.BPF_LINK_TYPE_CGROUP: _cgroup,
    B.BPF_LINK_TYPE_NETNS: _netns,
}
