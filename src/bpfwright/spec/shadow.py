"""Hands memory to programs and takes it back: the shadow that checked runs ask.

For each byte it says how many bytes from there on are a program's own, up to 255. Records of a ring, moved packets and
the like are that for a while only. What was granted is one object: it is granted again as a whole when it grows.
"""
from __future__ import annotations

from bpfwright.spec.memory import copy, fill, load8, load64
from bpfwright.spec.page import DESCENT, SHADOW
from bpfwright.types import u64

__all__ = ["grant", "readable", "revoke"]


def grant(address: u64, size: u64) -> None:
    """A program may access these bytes."""
    at = load64(SHADOW) + address
    if size <= 255:
        copy(at, DESCENT + 255 - size, size)
    else:
        fill(at, 255, size - 255)
        copy(at + size - 255, DESCENT, 255)


def revoke(address: u64, size: u64) -> None:
    """A program may not touch these bytes any more."""
    fill(load64(SHADOW) + address, 0, size)


def readable(address: u64, size: u64) -> bool:
    """Whether a program may read these bytes, of one object or of several side by side."""
    end = load64(SHADOW)
    if address >= end or size > end - address:
        return False
    at: u64 = address
    left: u64 = size
    while left != 0:
        run = load8(end + at)
        if run == 0:
            return False
        if run >= left:
            return True
        at = at + run
        left = left - run
    return True
