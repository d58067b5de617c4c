"""Open-coded iterators over numbers (kernel/bpf/bpf_iter.c): 8 bytes of state, the number given last and the end."""
from __future__ import annotations

from bpfwright.spec.memory import load32, load64, store32, store64
from bpfwright.spec.page import HELD_ITERATORS
from bpfwright.types import i64, u64

__all__ = ["destroy", "next_number", "new"]

_EINVAL, _E2BIG = -22, -7
_SIGN = 0x80000000


def new(state: u64, start: u64, end: u64) -> i64:
    """Signed bounds are compared with their sign bits turned."""
    store64(HELD_ITERATORS, load64(HELD_ITERATORS) + 1)  # also of what gives nothing: it is to be destroyed
    low = (start & 0xFFFFFFFF) ^ _SIGN
    high = (end & 0xFFFFFFFF) ^ _SIGN
    if low > high or high - low > 0x800000:
        store32(state, 0)
        store32(state + 4, 0)
        return _EINVAL if low > high else _E2BIG
    store32(state, (start - 1) & 0xFFFFFFFF)
    store32(state + 4, end & 0xFFFFFFFF)
    return 0


def next_number(state: u64) -> u64:
    following = (load32(state) + 1) & 0xFFFFFFFF
    if (following ^ _SIGN) >= (load32(state + 4) ^ _SIGN):
        store32(state, 0)
        store32(state + 4, 0)
        return 0
    store32(state, following)
    return state


def destroy(state: u64) -> u64:
    store64(HELD_ITERATORS, load64(HELD_ITERATORS) - 1)
    return 0
