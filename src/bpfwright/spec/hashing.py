"""The hash that the userspace machine's maps and helpers share, in the dialect."""
from __future__ import annotations

from bpfwright.spec.memory import load8, load32
from bpfwright.types import u32, u64

__all__ = ["USED", "hash_of"]

USED = 0x40000000
"""Set in every hash, so that none is 0; the bit above is always clear."""
_FACTOR, _WORD = 0xFF51AFD7ED558CCD, 0xFFFFFFFFFFFFFFFF


def hash_of(key: u64, size: u32) -> u32:
    """Multiply and fold, eight bytes at a time: the upper half of the product holds every bit of the key.

    Words are read as halves: a program has just written its key in small pieces, and a processor waits long for a load
    that spans two stores. What would be longer than 64 bits is cut by hand: Python would keep it."""
    left: u64 = size
    at: u64 = key
    state: u64 = 0x9E3779B97F4A7C15 ^ left
    while left >= 8:
        state = (state ^ (load32(at) | load32(at + 4) << 32)) * _FACTOR & _WORD
        state = state ^ (state >> 32)
        at = at + 8
        left = left - 8
    if left >= 4:
        state = (state ^ load32(at)) * _FACTOR & _WORD
        state = state ^ (state >> 32)
        at = at + 4
        left = left - 4
    while left != 0:
        state = (state ^ load8(at)) * _FACTOR & _WORD
        state = state ^ (state >> 32)
        at = at + 1
        left = left - 1
    return (state & 0x3FFFFFFF) | USED
