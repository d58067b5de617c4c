"""Cgroup ids to paths, in the hierarchies that are mounted."""
from __future__ import annotations

import os
from fnmatch import fnmatchcase

from bpfwright import _host

__all__ = ["Cgroups"]

_MOST = 100_000
"""Cgroups looked at in one hierarchy."""

_FRESH_NS = 1_000_000_000
"""How long mounts, and what was not found, are believed: walking a large hierarchy takes tens of milliseconds."""


class Cgroups:
    """The mounted hierarchies: version 2 is called `unified`, the others as their mount points are."""

    def __init__(self, mounts: str = "/proc/self/mounts") -> None:
        self._mounts = mounts
        self._paths: dict[tuple[str, int], str] = {}
        self._missing: dict[tuple[str, int], int] = {}
        self._roots: list[tuple[str, str]] = []
        self._roots_read_ns = 0

    def path(self, number: int, pattern: str) -> bytes:
        """`unified:/a/b,cpu:/a`, of the hierarchies whose names match the pattern (all, if it is empty)."""
        found = []
        now = _host.now_ns()
        if now - self._roots_read_ns > _FRESH_NS:
            self._roots, self._roots_read_ns = self._hierarchies(), now
        for name, root in self._roots:
            if not pattern or fnmatchcase(name, pattern):
                where = self._find(root, number, now)
                if where:
                    found.append(f"{name}:{where}")
        return ",".join(found).encode("utf-8", "surrogateescape")

    def _hierarchies(self) -> list[tuple[str, str]]:
        unified, others = [], []
        try:
            with open(self._mounts, encoding="utf-8", errors="surrogateescape") as file:
                for line in file:
                    _, root, kind, *_ = line.split(" ")
                    root = root.replace("\\040", " ")
                    if kind == "cgroup2":
                        unified.append(("unified", root))
                    elif kind == "cgroup":
                        others.append((os.path.basename(root), root))
        except (OSError, ValueError):
            pass
        return unified + sorted(others)

    def _find(self, root: str, number: int, now: int) -> str:
        known = self._paths.get((root, number))
        if known is not None and _number(root + known) == number:
            return known
        if _number(root) == number:
            return "/"
        if now - self._missing.get((root, number), -_FRESH_NS) < _FRESH_NS:
            return ""
        for path, inode in _walk(root):
            self._paths[root, inode] = path
            if inode == number:
                return path
        if len(self._missing) > _MOST:
            self._missing.clear()
        self._missing[root, number] = now
        return ""


def _number(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return -1


def _walk(root: str) -> list[tuple[str, int]]:
    """All cgroups below the root, nearest first."""
    found: list[tuple[str, int]] = []
    waiting = [""]
    for path in waiting:
        try:
            with os.scandir(root + path) as entries:
                inside = [(f"{path}/{entry.name}", entry.inode()) for entry in entries
                          if entry.is_dir(follow_symlinks=False)]
        except OSError:
            continue  # it went meanwhile
        found += inside
        waiting += [where for where, _ in inside]
        if len(found) > _MOST:
            break
    return found
