"""What may be probed, as funccount, stackcount and argdist take it: `vfs_*`, `c:malloc`, `t:sched:sched_switch`."""
from __future__ import annotations

import os
from itertools import takewhile

from bpfwright._cache import key_of
from bpfwright._typing import Any, NamedTuple
from bpfwright.errors import TargetError, UsageError

__all__ = ["Point", "bound", "expand", "library_path", "matches", "written"]

MOST = 1000  # places that one command may probe


class Point(NamedTuple):
    """One place: `k` a kernel function, `u` one of a file, `t` a tracepoint."""

    kind: str
    where: str
    name: str

    def label(self) -> str:
        """As it is shown."""
        return f"{self.where}:{self.name}" if self.kind == "t" else self.name


def expand(pattern: str, *, pid: int | None = None, regexp: bool = False, events: bool = True) -> list[Point]:
    """The places that a pattern means. TargetError when there is none, UsageError when it means too many."""
    parts = pattern.split(":")
    if parts[0] == "t" and len(parts) == 3 and not events:
        raise UsageError(f"{pattern!r}: an event has no duration", cure="Write a function: vfs_read, c:read.")
    if parts[0] == "t" and len(parts) == 3:
        found = [Point("t", parts[1], name) for name in _tracepoints(parts[1]) if matches(name, parts[2], regexp)]
    elif parts[0] in ("p", "") and len(parts) == 3 and parts[1]:
        found = _user(parts[1], parts[2], pid, regexp)
    elif len(parts) == 2 and parts[0] != "p":
        found = _user(parts[0], parts[1], pid, regexp)
    elif len(parts) == 1 or (parts[0] == "p" and len(parts) in (2, 3)):
        found = _kernel(parts[-1], regexp)
    else:
        raise UsageError(f"{pattern!r} names no probe",
                         cure="Write vfs_read, c:malloc, /path/of/program:function or t:sched:sched_switch.")
    if not found:
        raise TargetError(f"nothing matches {pattern!r}")
    if len(found) > MOST:
        raise UsageError(f"{pattern!r} means {len(found):,} places", why=f"At most {MOST:,} are probed at once.",
                         cure="Write more of the name.")
    return found


def matches(name: str, pattern: str, regexp: bool = False) -> bool:
    """Whether a name is meant by a pattern."""
    if regexp:
        import re
        return re.search(pattern, name) is not None
    if "*" not in pattern and "?" not in pattern:
        return name == pattern
    from fnmatch import fnmatchcase
    return fnmatchcase(name, pattern)


def _tracepoints(category: str) -> list[str]:
    from bpfwright.kernel.tracepoints import events
    return events(category)


def _user(library: str, pattern: str, pid: int | None, regexp: bool) -> list[Point]:
    """Functions of a program or library, each address once."""
    from bpfwright.formats.elf.image import symbols
    path = library_path(library, pid)
    with open(path, "rb") as file:
        found = {address: name for raw, address in sorted(symbols(file.read()))
                 if matches(name := raw.partition(b"@")[0].decode(errors="replace"), pattern, regexp)}
    return [Point("u", path, name) for name in sorted(set(found.values()))]


def library_path(library: str, pid: int | None = None) -> str:
    """The file of a library by its short name (`c`, `ssl`), its file name or a path; a process's own one."""
    from bpfwright.hooks.uprobe import find_library
    if "/" in library:
        return find_library(library)
    if pid is not None:
        found = _mapped(library, pid)
        if found:
            return found
    for name in (library, *_versions(library), f"lib{library}.so"):
        try:
            path = find_library(name)
        except TargetError:
            continue
        with open(path, "rb") as file:
            if file.read(4) == b"\x7fELF":  # libc.so is a linker's script
                return path
    raise TargetError(f"{library} is neither a library nor a program here",
                      cure="Name the file: /path/to/lib.so:function.")


def _mapped(library: str, pid: int) -> str:
    try:
        with open(f"/proc/{pid}/maps") as maps:
            paths = {line.split(maxsplit=5)[5].strip() for line in maps if line.count(" ") > 4 and "/" in line}
    except OSError:
        raise TargetError(f"process {pid} is not there") from None
    return next((f"/proc/{pid}/root{path}" for path in sorted(paths)
                 if os.path.basename(path).startswith((f"lib{library}.so", f"lib{library}-", library + ".so"))), "")


def _versions(library: str) -> list[str]:
    from bpfwright._host import processor
    found = []
    triplet = f"{processor()}-linux-gnu"
    for folder in (f"/lib/{triplet}", f"/usr/lib/{triplet}", "/lib64", "/usr/lib64", "/usr/lib"):
        if os.path.isdir(folder):
            found += [name for name in sorted(os.listdir(folder), reverse=True) if name.startswith(f"lib{library}.so.")]
    return found


def _kernel(pattern: str, regexp: bool) -> list[Point]:
    found = {}
    begins = "" if regexp else " " + "".join(takewhile(lambda character: character not in "*?[", pattern))
    with open("/proc/kallsyms", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if begins not in line:  # a hundred thousand lines, and to split one takes ten times as long
                continue
            _, kind, name, *module = line.split()
            if kind in "tT" and not module and "." not in name and matches(name, pattern, regexp):
                found[name] = Point("k", "", name)
    return list(found.values())


def bound(points: list[Point], kernel: Any, user: Any, event: Any, *, pid: int | None = None) -> tuple[Any, ...]:
    """Programs bound to points; the cookie is a point's place, from 1."""
    from bpfwright.hooks import kprobe, tracepoint, uprobe
    if points[0].kind == "t":
        return tuple(event.on(tracepoint.Event(f"{point.where}:{point.name}", cookie=at))
                     for at, point in enumerate(points, 1))
    if points[0].kind == "k":
        return tuple(kernel.on(kprobe.Function(point.name, cookie=at)) for at, point in enumerate(points, 1))
    return tuple(user.on(uprobe.Symbol(point.where, point.name, pid=pid, cookie=at))
                 for at, point in enumerate(points, 1))


def written(source: str, name: str, space: dict[str, Any]) -> Any:
    """The program `name` of a source text, which the compiler reads where Python keeps such texts."""
    import linecache
    place = f"<{name} {key_of(source.encode())[:16]}>"  # the same in every process, or nothing cached is found again
    linecache.cache[place] = (len(source), None, source.splitlines(True), place)
    made = dict(space)
    exec(compile(source, place, "exec"), made)
    return made[name]
