"""Whether a path leads us to the very file that a process has mapped."""
from __future__ import annotations

import mmap
import os
import stat
from functools import lru_cache

from bpfwright._native import address_of
from bpfwright.symbols.mappings import Mapping, read_mappings

__all__ = ["is_ours", "is_that"]

_Place = tuple[tuple[int, int], int]  # device and inode


def is_ours(mapping: Mapping) -> bool:
    """Whether its path leads us there: then it stays within reach when the process ends."""
    try:
        return is_that(os.stat(mapping.path), mapping)
    except (OSError, ValueError):
        return False


def is_that(status: os.stat_result, mapping: Mapping) -> bool:
    """Whether the file of a `status`, found at the mapping's path, is the one that is mapped."""
    place = (os.major(status.st_dev), os.minor(status.st_dev)), status.st_ino
    if place == (mapping.device, mapping.inode):
        return True
    if not stat.S_ISREG(status.st_mode) or mapping.deleted:
        return False
    # File systems in layers (overlayfs up to Linux 6.7, btrfs) have other numbers in maps than stat() says.
    return _as_shown(mapping.path, *place, status.st_ctime_ns) == (mapping.device, mapping.inode)


@lru_cache(4096)
def _as_shown(path: str, device: tuple[int, int], inode: int, changed_ns: int) -> _Place | None:
    """What the kernel shows of the file at a path where it is mapped: seen by mapping it here."""
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        status = os.fstat(file)
        if ((os.major(status.st_dev), os.minor(status.st_dev)), status.st_ino) != (device, inode) or not status.st_size:
            return None
        with mmap.mmap(file, 1, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
            at = address_of(memory)
            with open("/proc/self/maps", "rb") as maps:
                found = next((m for m in read_mappings(maps.read()) if m.start <= at < m.end), None)
    finally:
        os.close(file)
    return None if found is None else (found.device, found.inode)
