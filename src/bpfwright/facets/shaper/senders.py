"""Who sends, as tc sees it: a socket has a cgroup and a user; its process is known by its cgroup only.

What runs when a packet goes out is not always who sent it (answers to acknowledgements go out of interrupts), and a
socket does not say who made it. So a process is meant by its cgroup, if nobody else is in that.
"""
from __future__ import annotations

import os

from bpfwright._typing import Iterator, NamedTuple
from bpfwright.datapath.configuration import Scalar
from bpfwright.datapath.sources import Sources

__all__ = ["Cgroup", "cgroup_of", "cgroups_of_process", "user_of"]


class Cgroup(NamedTuple):
    """A cgroup of version 2: its inode, and how far it is below the root of the tree."""

    number: int
    depth: int


def cgroup_of(scalar: Scalar) -> Cgroup:
    """A cgroup by its path below the root; what is below it belongs to it."""
    found = _cgroup(scalar.text)
    if found is None:
        scalar.wrong(f"there is no cgroup {scalar.text}", "Name it below the cgroup2 tree, as in system.slice.")
    return found


def cgroups_of_process(scalar: Scalar, sources: Sources) -> list[Cgroup]:
    """The cgroups of the processes of a name, or of one by its number, which nobody else shares with them. A
    generation that is made again has those that were found when it was applied."""
    def find() -> str:
        return " ".join(f"{group.number}:{group.depth}" for group in _cgroups_of_process(scalar))

    return [Cgroup(*map(int, word.split(":"))) for word in sources.noted(f"process {scalar.text}", find).split()]


def _cgroups_of_process(scalar: Scalar) -> list[Cgroup]:
    numbers = [int(scalar.text)] if scalar.text.isdigit() else list(_named(scalar.text))
    paths = sorted({path for path in map(_path_of, numbers) if path})
    if not paths:
        scalar.wrong(f"there is no process {scalar.text}", "Start it first: its cgroup is looked up when this is read.")
    found = []
    for path in paths:
        others = sorted({name for pid, name in _members(path) if not _meant(scalar.text, pid, name)})
        if path == "/" or others:
            scalar.wrong(f"{scalar.text} is in the cgroup {path} with others" + (f": {', '.join(others[:5])}"
                                                                                 if others else ""),
                         "Give it one of its own (`systemd-run --scope`, a service), or write `user:` or `cgroup:`.")
        group = _cgroup(path)
        found += [group] if group is not None else []
    return found


def user_of(scalar: Scalar) -> int:
    """A user by name or number."""
    if scalar.text.isdigit():
        return scalar.number(0, (1 << 32) - 2)
    import pwd
    try:
        return pwd.getpwnam(scalar.text).pw_uid
    except KeyError:
        scalar.wrong(f"there is no user {scalar.text}")


def _cgroup(path: str) -> Cgroup | None:
    from bpfwright.kernel.mounts import cgroup2
    inside = path.strip("/")
    try:
        return Cgroup(os.stat(f"{cgroup2()}/{inside}").st_ino, len(inside.split("/")) if inside else 0)
    except OSError:
        return None


def _named(name: str) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and _comm(int(entry)) == name:
            yield int(entry)


def _comm(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().rstrip("\n")
    except OSError:
        return ""


def _path_of(pid: int) -> str:
    """Its cgroup of version 2, from the root of the tree."""
    try:
        with open(f"/proc/{pid}/cgroup") as file:
            return next((line.rstrip("\n")[3:] for line in file if line.startswith("0::")), "")
    except OSError:
        return ""


def _members(path: str) -> Iterator[tuple[int, str]]:
    """(number, name) of what is in a cgroup, or below it."""
    from bpfwright.kernel.mounts import cgroup2
    for folder, _, _ in os.walk(f"{cgroup2()}/{path.strip('/')}"):
        try:
            with open(f"{folder}/cgroup.procs") as file:
                numbers = [int(line) for line in file]
        except OSError:  # gone, or one of threads
            continue
        yield from ((pid, name) for pid in numbers if (name := _comm(pid)))


def _meant(text: str, pid: int, name: str) -> bool:
    return pid == int(text) if text.isdigit() else name == text
