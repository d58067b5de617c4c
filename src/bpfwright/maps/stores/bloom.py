"""Bloom filters: a power of two of bits, some of them set for each value (kernel/bpf/bloom_filter.c)."""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, EINVAL, ENOENT, EXTRA, MAX_ENTRIES, OWN, VALUE_SIZE
from bpfwright.spec.hashing import hash_of
from bpfwright.spec.memory import load8, load32, store8, store32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "peek", "push", "room"]

KINDS = (30,)
PRIVATE = True
_MASK, _HASHES = OWN, OWN + 4
_MOST_HASHES = 15


def _bits(wanted: u64) -> u64:
    bits: u64 = 64
    while bits < wanted:
        bits = bits * 2
    return bits


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return _bits(max_entries * _MOST_HASHES * 7 // 5) // 8


def create(m: u64) -> None:
    hashes = load32(m + EXTRA) & 15
    if hashes == 0:
        store32(m + _HASHES, 5)
    else:
        store32(m + _HASHES, hashes)
    most: u64 = load32(m + MAX_ENTRIES)
    wanted: u64 = most * load32(m + _HASHES) * 7 // 5
    if wanted > 0x80000000:
        wanted = 0x80000000
    store32(m + _MASK, _bits(wanted) - 1)


def _spread(code: u64, round: u64) -> u64:
    """One more hash out of a hash (SplitMix64)."""
    mixed: u64 = (code + round * 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    return mixed ^ (mixed >> 29)


def push(m: u64, value: u64, flags: u64) -> i64:
    if flags != 0:
        return EINVAL
    code = hash_of(value, load32(m + VALUE_SIZE))
    for index in range(load32(m + _HASHES)):
        bit = _spread(code, index) & load32(m + _MASK)
        at = m + BODY + (bit >> 3)
        store8(at, load8(at) | (1 << (bit & 7)))
    return 0


def peek(m: u64, value: u64) -> i64:
    code = hash_of(value, load32(m + VALUE_SIZE))
    for index in range(load32(m + _HASHES)):
        bit = _spread(code, index) & load32(m + _MASK)
        if (load8(m + BODY + (bit >> 3)) >> (bit & 7)) & 1 == 0:
            return ENOENT
    return 0
