"""Hands memory to programs and takes it back: the shadow that checked runs ask, two bits a byte.

Records of a ring, moved packets and the like are a program's own for a while only.
"""
from __future__ import annotations

from bpfwright.spec.memory import fill, load8, load64, store8
from bpfwright.spec.page import READABLE, WRITABLE
from bpfwright.types import u64

__all__ = ["grant", "grant_read", "revoke"]



def _mark(shadow: u64, address: u64, size: u64, on: u64) -> None:
    """Set (`on` 255) or clear (0) the bits of these bytes."""
    first = shadow + (address >> 3)
    last = shadow + ((address + size - 1) >> 3)
    head = (255 << (address & 7)) & 255
    tail = 255 >> (7 - ((address + size - 1) & 7))
    if first == last:
        both = head & tail
        store8(first, (load8(first) & (255 ^ both)) | (both & on))
        return
    store8(first, (load8(first) & (255 ^ head)) | (head & on))
    store8(last, (load8(last) & (255 ^ tail)) | (tail & on))
    fill(first + 1, on, last - first - 1)


def grant(address: u64, size: u64) -> None:
    """A program may read and write these bytes."""
    if size != 0:
        _mark(load64(READABLE), address, size, 255)
        _mark(load64(WRITABLE), address, size, 255)


def grant_read(address: u64, size: u64) -> None:
    """A program may read these bytes."""
    if size != 0:
        _mark(load64(READABLE), address, size, 255)


def revoke(address: u64, size: u64) -> None:
    """A program may not touch these bytes any more."""
    if size != 0:
        _mark(load64(READABLE), address, size, 0)
        _mark(load64(WRITABLE), address, size, 0)
