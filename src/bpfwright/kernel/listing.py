"""What is loaded on this machine: all programs, maps and links, by whom they are held and what they cost."""
from __future__ import annotations

import os
from struct import pack, unpack_from

from bpfwright._abi import bpf as B
from bpfwright._typing import Iterator, NamedTuple
from bpfwright.errors import KernelError
from bpfwright.kernel import sys

__all__ = ["Holder", "LinkInfo", "MapInfo", "ProgramInfo", "holders", "links", "maps", "program_info", "programs"]

_PROG_SIZE, _MAP_SIZE, _LINK_SIZE = 232, 88, 128
_MAX_MAPS = 64


class ProgramInfo(NamedTuple):
    """A program. Times in ns; `loaded_ns` counts from boot (CLOCK_BOOTTIME); sizes in bytes."""

    id: int
    type: int
    name: str
    tag: str
    loaded_ns: int
    uid: int
    translated_bytes: int
    compiled_bytes: int
    map_ids: tuple[int, ...]
    btf_id: int
    gpl: bool
    run_time_ns: int
    runs: int
    recursion_misses: int
    verified_instructions: int


class MapInfo(NamedTuple):
    """A map."""

    id: int
    type: int
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int
    btf_id: int


class LinkInfo(NamedTuple):
    """A link: `target` in words (`eth0`, `cgroup 123`, `sched_switch`)."""

    id: int
    type: int
    program_id: int
    attach_type: int
    target: str


class Holder(NamedTuple):
    """A process that holds a descriptor."""

    pid: int
    command: str


def _walk(next_command: int, fd_command: int) -> Iterator[int]:
    """A descriptor of each object in turn, closed when the next is asked for; what goes meanwhile is left out."""
    number = sys.next_id(next_command, 0)
    while number:
        try:
            fd = sys.fd_by_id(fd_command, number)
        except KernelError:
            fd = -1
        if fd >= 0:
            try:
                yield fd
            finally:
                os.close(fd)
        number = sys.next_id(next_command, number)


def programs() -> Iterator[ProgramInfo]:
    """Every program, oldest first. KernelError (EPERM) without privilege."""
    for fd in _walk(B.BPF_PROG_GET_NEXT_ID, B.BPF_PROG_GET_FD_BY_ID):
        yield program_info(fd)


def program_info(fd: int) -> ProgramInfo:
    """What the kernel says about a program, by descriptor."""
    numbers = bytearray(4 * _MAX_MAPS)
    prefill = bytearray(64)
    prefill[52:64] = pack("=IQ", _MAX_MAPS, sys.address(numbers))
    info = sys.obj_info(fd, _PROG_SIZE, bytes(prefill)).ljust(_PROG_SIZE, b"\0")
    kind, number = unpack_from("=II", info)
    compiled, translated = unpack_from("=II", info, 16)
    loaded, uid, count = unpack_from("=QII", info, 40)
    run_time, runs, misses, verified = unpack_from("=QQQI", info, 192)
    return ProgramInfo(number, kind, _name(info, 64), info[8:16].hex(), loaded, uid, translated, compiled,
                       unpack_from(f"={min(count, _MAX_MAPS)}I", numbers), unpack_from("=I", info, 128)[0],
                       bool(info[84] & 1), run_time, runs, misses, verified)


def maps() -> Iterator[MapInfo]:
    """Every map, oldest first."""
    for fd in _walk(B.BPF_MAP_GET_NEXT_ID, B.BPF_MAP_GET_FD_BY_ID):
        info = sys.obj_info(fd, _MAP_SIZE).ljust(_MAP_SIZE, b"\0")
        kind, number, key, value, entries, flags = unpack_from("=6I", info)
        yield MapInfo(number, kind, _name(info, 24), key, value, entries, flags, unpack_from("=I", info, 64)[0])


def links() -> Iterator[LinkInfo]:
    """Every link, oldest first."""
    for fd in _walk(B.BPF_LINK_GET_NEXT_ID, B.BPF_LINK_GET_FD_BY_ID):
        yield link_info(fd)


def link_info(fd: int) -> LinkInfo:
    """What the kernel says about a link, by descriptor."""
    info = sys.obj_info(fd, _LINK_SIZE).ljust(_LINK_SIZE, b"\0")
    kind, number, program = unpack_from("=III", info)
    attach_type, target = _target(fd, kind, info)
    return LinkInfo(number, kind, program, attach_type, target)


def _target(fd: int, kind: int, info: bytes) -> tuple[int, str]:
    """(attach type or 0, what it is attached to); the union of struct bpf_link_info begins at byte 16."""
    first, second = unpack_from("=II", info, 16)
    if kind in (B.BPF_LINK_TYPE_XDP, B.BPF_LINK_TYPE_TCX, B.BPF_LINK_TYPE_NETKIT):
        return (B.BPF_XDP if kind == B.BPF_LINK_TYPE_XDP else second), _interface(first)
    if kind == B.BPF_LINK_TYPE_RAW_TRACEPOINT:
        return 0, _text(fd, 16)
    if kind == B.BPF_LINK_TYPE_TRACING:
        return first, f"kernel type {unpack_from('=I', info, 24)[0]}"
    if kind == B.BPF_LINK_TYPE_CGROUP:
        return unpack_from("=I", info, 24)[0], f"cgroup {unpack_from('=Q', info, 16)[0]}"
    if kind == B.BPF_LINK_TYPE_NETNS:
        return second, f"network namespace {first}"
    if kind == B.BPF_LINK_TYPE_ITER:
        return B.BPF_TRACE_ITER, _text(fd, 16)
    if kind == B.BPF_LINK_TYPE_PERF_EVENT:
        return B.BPF_PERF_EVENT, _perf_target(fd, first)
    if kind == B.BPF_LINK_TYPE_NETFILTER:
        return B.BPF_NETFILTER, f"family {first}, hook {second}"
    return 0, ""


def _perf_target(fd: int, kind: int) -> str:
    if kind == B.BPF_PERF_EVENT_EVENT:
        return "perf event"
    words = {B.BPF_PERF_EVENT_UPROBE: "uprobe", B.BPF_PERF_EVENT_URETPROBE: "uretprobe",
             B.BPF_PERF_EVENT_KPROBE: "kprobe", B.BPF_PERF_EVENT_KRETPROBE: "kretprobe",
             B.BPF_PERF_EVENT_TRACEPOINT: "tracepoint"}
    return f"{words.get(kind, 'perf event')} {_text(fd, 24)}".strip()


def _text(fd: int, at: int) -> str:
    """A name that the info struct points to: a pointer and a length at a place of its union."""
    name = bytearray(256)
    try:
        sys.obj_info(fd, _LINK_SIZE, bytes(at) + pack("=QI", sys.address(name), len(name)))
    except KernelError:
        return ""
    return name.partition(b"\0")[0].decode("utf-8", "replace")


def _interface(number: int) -> str:
    import _socket
    try:
        return _socket.if_indextoname(number)
    except OSError:
        return f"interface {number} (elsewhere or gone)" if number else "an interface that is gone"


def _name(info: bytes, at: int) -> str:
    return info[at:at + 16].partition(b"\0")[0].decode("ascii", "replace")


def holders() -> dict[tuple[str, int], list[Holder]]:
    """Who holds what: ("prog" | "map" | "link", number) -> processes. Processes of others need privilege."""
    found: dict[tuple[str, int], list[Holder]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            for key in _held_by(entry):
                holder = Holder(int(entry), _command(entry))
                if holder not in found.setdefault(key, []):
                    found[key].append(holder)
    return found


def _held_by(pid: str) -> Iterator[tuple[str, int]]:
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for fd in descriptors:
        try:
            if not os.readlink(f"/proc/{pid}/fd/{fd}").startswith("anon_inode:bpf"):
                continue
            with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii", errors="replace") as file:
                fields = dict(line.split(":", 1) for line in file if ":" in line)
        except OSError:
            continue
        # A link's fdinfo names its program too: it holds both.
        for kind in ("link", "map", "prog"):
            number = fields.get(f"{kind}_id", "").strip()
            if number.isdigit():
                yield kind, int(number)


def _command(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
