"""Whose events count: -p, -t, -u, --comm, --cgroup, --container, and PIDs as the user's own PID namespace sees them.

A tool's programs call `wanted()`, `pid()` and `tid()`. What was not asked for is a constant 0 when the kernel verifies
the program, and the kernel removes the branch.
"""
from __future__ import annotations

import os

from bpfwright._typing import Any
from bpfwright.errors import TargetError, UsageError
from bpfwright.helpers import address_of, current
from bpfwright.helpers.tasks import number_in
from bpfwright.types import Config, CUnion, L, array, char, u32, u64
from bpfwright.vmlinux import task_struct

__all__ = ["Who", "parent", "pid", "pid_of", "tid", "tid_of", "wanted", "wanted_ids", "wanted_task", "who", "who_of"]

_FIRST_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO


class Who(Config):
    """What a program compares with; 0 leaves the question out."""

    pid: u32 = 0
    tid: u32 = 0
    uid: u32 = 0
    any_uid: u32 = 1
    asked: u32 = 0
    comm_low: u64 = 0
    comm_high: u64 = 0
    cgroup: u64 = 0
    depth: u32 = 0
    device: u64 = 0
    namespace: u64 = 0


class Name(CUnion):
    """A thread's name as two numbers."""

    text: char[L[16]]
    words: array[u64, L[2]]


who = Who()


def ids() -> u64:
    """Process and thread, as this user's PID namespace numbers them; 0 outside of it and of those inside it."""
    if who.namespace == 0:
        return current.ids
    here = current.ids_in(who.device, who.namespace)  # 0 in a namespace inside of it, too
    return here if here != 0 else (u64(pid_of(current.task)) << 32) | u64(tid_of(current.task))


def pid() -> u32:
    """The current process, as the user sees it."""
    return u32(ids() >> 32)


def tid() -> u32:
    """The current thread, as the user sees it."""
    return u32(ids())


def seen_as(task: task_struct) -> u32:
    """A thread's number in the user's namespace; 0 when it is not in it."""
    return number_in(address_of(task), who.namespace)


def pid_of(task: task_struct) -> u32:
    """A task's process, as the user sees it."""
    return seen_as(task.group_leader) if who.namespace != 0 else u32(task.tgid)


def tid_of(task: task_struct) -> u32:
    """A task's thread, as the user sees it."""
    return seen_as(task) if who.namespace != 0 else u32(task.pid)


def parent() -> u32:
    """The current process's parent, as the user sees it."""
    return pid_of(current.task.real_parent)


def wanted_ids(process: u32, thread: u32) -> bool:
    """Whether a process and thread pass -p and -t: for events that are about another than the current one."""
    if who.pid != 0 and process != who.pid:
        return False
    return not (who.tid != 0 and thread != who.tid)


def wanted_task(task: task_struct) -> bool:
    """Whether a thread that is not the current one passes -p, -t and --comm."""
    if not wanted_ids(pid_of(task) if who.pid != 0 else 0, tid_of(task) if who.tid != 0 else 0):
        return False
    return who.comm_low == 0 or _named(task.comm)


def _named(comm: char[L[16]]) -> bool:
    name = Name()
    name.text = comm
    return name.words[0] == who.comm_low and name.words[1] == who.comm_high


def wanted() -> bool:
    """Whether the current thread passes every filter."""
    if who.namespace != 0 and ids() == 0:
        return False
    if who.pid != 0 and pid() != who.pid:
        return False
    if who.tid != 0 and tid() != who.tid:
        return False
    if who.any_uid == 0 and current.uid != who.uid:
        return False
    if who.comm_low != 0 and not _named(current.comm):
        return False
    return not (who.cgroup != 0 and current.ancestor_cgroup_id(who.depth) != who.cgroup)


def who_of(options: Any) -> Who:
    """The settings that a tool's options ask for."""
    comm = (options.comm or "").encode()
    if len(comm) > 15:
        raise UsageError(f"{options.comm!r} is longer than any name of a thread", why="The kernel keeps 15 bytes.",
                         cure=f"Write --comm {comm[:15].decode(errors='ignore')!r}.")
    comm = comm.ljust(16, b"\0")
    path = _container(options.container) if options.container else options.cgroup
    cgroup, depth = _cgroup(path) if path else (0, 0)
    device, namespace = _namespace()
    asked = any((options.pid, options.tid, options.uid is not None, options.comm, path))
    return Who(asked=int(asked), pid=options.pid or 0, tid=options.tid or 0, uid=options.uid or 0,
               any_uid=int(options.uid is None),
               comm_low=int.from_bytes(comm[:8], "little"), comm_high=int.from_bytes(comm[8:], "little"),
               cgroup=cgroup, depth=depth, device=device, namespace=namespace)


def _namespace() -> tuple[int, int]:
    """(device, inode) of this process's PID namespace, (0, 0) when it is the first."""
    status = os.stat("/proc/self/ns/pid")
    return (0, 0) if status.st_ino == _FIRST_NAMESPACE else (status.st_dev, status.st_ino)


def _cgroup(path: str) -> tuple[int, int]:
    """(id, depth below the root) of a cgroup v2: the path of its directory, or as /proc/PID/cgroup writes it."""
    from bpfwright.kernel.mounts import cgroup2
    root = os.path.realpath(cgroup2())
    for folder in (path, root + "/" + path.lstrip("/")):
        real = os.path.realpath(folder)
        if os.path.isdir(real) and (real + "/").startswith(root + "/"):
            below = real.removeprefix(root).strip("/")
            return os.stat(real).st_ino, len(below.split("/")) if below else 0
    if os.path.isdir(path):
        raise TargetError(f"{path} is no cgroup of version 2", why=f"The kernel's programs see the tree at {root} "
                          "only; a process may stand elsewhere in a tree of version 1.",
                          cure="Name the cgroup there, or filter by -p.")
    raise TargetError(f"there is no cgroup {path}", why=f"looked at {path} and under {root}",
                      cure="`cat /proc/PID/cgroup` says where a process stands; its line begins with 0::.")


def _container(name: str) -> str:
    """The cgroup of a container by its id (or the start of it), or by the name that Docker or Podman gave it."""
    from bpfwright.kernel.mounts import cgroup2
    found = _search(cgroup2(), name)
    if len(found) != 1:
        found = found if found else _search(cgroup2(), _id_of(name))
    if len(found) > 1:
        raise TargetError(f"{name!r} is the start of {len(found)} containers", why=", ".join(sorted(found)[:4]),
                          cure="Write more of the id.")
    if not found:
        raise TargetError(f"there is no container {name!r} here", why="No cgroup of version 2 has its id in its name.",
                          cure="`docker ps --no-trunc` shows ids; --cgroup takes any cgroup's directory.")
    return found.pop()


def _search(root: str, name: str) -> set[str]:
    """Cgroups whose last part holds an id that starts so: `docker-ID.scope`, `crio-ID`, `ID`, or that name itself."""
    found: set[str] = set()
    for folder, names, _ in os.walk(root) if name else ():
        for each in names:
            if any(part == name or (len(name) >= 3 and part.startswith(name))
                   for part in (each, each.rpartition("-")[2].partition(".")[0])):
                found.add(os.path.join(folder, each))
    return {each for each in found if not any(other != each and each.startswith(other + "/") for other in found)}


def _id_of(name: str) -> str:
    """The id behind a name, as a container runtime's own command says it; "" when none knows it."""
    from bpfwright._host import output_of
    for command in ("docker", "podman", "nerdctl"):
        try:
            return output_of(command, "inspect", "--format", "{{.Id}}", name).strip()
        except OSError:
            continue
    return ""
