"""Where bpffs, tracefs and cgroup2 are mounted; the first two are mounted when they are missing."""
from __future__ import annotations

import errno
import os

from bpfwright.errors import KernelError, NotSupported
from bpfwright.kernel import sys

__all__ = ["bpffs", "cgroup2", "mounted", "pin", "tracefs"]

_TRACING = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_BPFFS = "/sys/fs/bpf"


def mounted(kind: str) -> list[str]:
    """The places where a file system of a kind is mounted, in this mount namespace."""
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split() for line in file]
    except OSError:
        return []
    return [_unescaped(row[1]) for row in rows if len(row) > 2 and row[2] == kind]


def _unescaped(path: str) -> str:
    """A path of /proc/self/mounts, where spaces stand as `\\040`."""
    if "\\" not in path:
        return path
    raw = path.encode("utf-8", "surrogateescape").decode("unicode_escape").encode("latin-1")
    return raw.decode("utf-8", "surrogateescape")


def _mount(kind: str, target: str, what: str) -> str:
    try:
        if not os.path.isdir(target):
            raise NotSupported(f"{what} cannot be mounted", why=f"{target} does not exist",
                               cure="The kernel was built without it, or /sys is not mounted.")
        sys.mount(kind, target, kind)
    except KernelError as error:
        raise KernelError(f"{what} is not mounted", error.errno or 0,
                          why=f"mounting it at {target}: {os.strerror(error.errno or 0)}",
                          cure=f"Type: sudo mount -t {kind} {kind} {target}") from None
    return target


def bpffs() -> str:
    """The BPF file system, where things are pinned."""
    places = mounted("bpf")
    if _BPFFS in places or not places:
        return _BPFFS if places else _mount("bpf", _BPFFS, "the BPF file system (bpffs)")
    return places[0]


def pin(fd: int, path: str) -> None:
    """Give what a descriptor holds a name below bpffs, which is mounted if its usual place is meant and empty."""
    try:
        sys.obj_pin(fd, path)
    except KernelError as error:
        if mounted("bpf") or not path.startswith(f"{_BPFFS}/"):
            raise
        if error.errno not in (errno.ENOENT, errno.EPERM, errno.EINVAL):
            raise
        bpffs()
        sys.obj_pin(fd, path)


def tracefs() -> str:
    """The tracing file system, which numbers tracepoints and describes their fields."""
    for place in (*_TRACING, *mounted("tracefs")):
        if os.path.isdir(f"{place}/events"):
            return place
    return _mount("tracefs", _TRACING[0], "the tracing file system (tracefs)")


def cgroup2() -> str:
    """The root of the unified control group tree."""
    places = mounted("cgroup2")
    if not places:
        raise NotSupported("no cgroup2 tree is mounted", since="4.5",
                           cure="Type: sudo mount -t cgroup2 none /sys/fs/cgroup")
    return places[0]
