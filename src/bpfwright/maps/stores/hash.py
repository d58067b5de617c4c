"""Hash tables: chains of entries that never move, and a list of the free ones (kernel/bpf/hashtab.c).

Behind the header: a power of two of chain heads (4 bytes each), then entries: next, hash, key, value, each part at a
multiple of 8 bytes.
"""
from __future__ import annotations

from bpfwright.maps.stores._header import (BODY, COUNT, E2BIG, EEXIST, EINVAL, ENOENT, KEY_SIZE, MAX_ENTRIES, OWN,
                                           STRIDE, VALUE_SIZE)
from bpfwright.spec.memory import copy, differ, load8, load32, load64, store32
from bpfwright.types import i64, u32, u64

__all__ = ["KINDS", "create", "delete", "lookup", "next_key", "room", "update"]

KINDS = (1,)
_NOEXIST, _EXIST, _LOCK = 1, 2, 4
MASK, FREE, ENTRIES, VALUE_AT = OWN, OWN + 4, OWN + 8, OWN + 12
_NEXT, _HASH, _KEY = 0, 4, 8


def _buckets(max_entries: int) -> int:
    count = 1
    while count < max_entries:
        count *= 2
    return count


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    entry = _KEY + -(-key_size // 8) * 8 + -(-value_size // 8) * 8
    return -(-4 * _buckets(max_entries) // 8) * 8 + max_entries * entry


def create(m: u64) -> None:
    most = load32(m + MAX_ENTRIES)
    buckets: u64 = 1
    while buckets < most:
        buckets = buckets * 2
    value_at = _KEY + ((load32(m + KEY_SIZE) + 7) & 0xFFFFFFF8)
    stride = value_at + ((load32(m + VALUE_SIZE) + 7) & 0xFFFFFFF8)
    entries = m + BODY + ((4 * buckets + 7) & 0xFFFFFFF8)
    store32(m + MASK, buckets - 1)
    store32(m + ENTRIES, entries)
    store32(m + VALUE_AT, value_at)
    store32(m + STRIDE, stride)
    store32(m + FREE, entries)
    for index in range(most - 1):
        store32(entries + index * stride, entries + (index + 1) * stride)


def hash_of(key: u64, size: u32) -> u32:
    """Multiply and fold, eight bytes at a time: the upper half of the product holds every bit of the key."""
    left: u64 = size
    at: u64 = key
    state: u64 = 0x9E3779B97F4A7C15 ^ left
    while left >= 8:
        state = (state ^ load64(at)) * 0xFF51AFD7ED558CCD
        state = state ^ (state >> 32)
        at = at + 8
        left = left - 8
    if left >= 4:
        state = (state ^ load32(at)) * 0xFF51AFD7ED558CCD
        state = state ^ (state >> 32)
        at = at + 4
        left = left - 4
    while left != 0:
        state = (state ^ load8(at)) * 0xFF51AFD7ED558CCD
        state = state ^ (state >> 32)
        at = at + 1
        left = left - 1
    return state & 0xFFFFFFFF


def _find(m: u64, key: u64, size: u32, code: u32) -> u64:
    entry: u64 = load32(m + BODY + 4 * (code & load32(m + MASK)))
    while entry != 0:
        if load32(entry + _HASH) == code and not differ(entry + _KEY, key, size):
            return entry
        entry = load32(entry + _NEXT)
    return 0


def lookup(m: u64, key: u64) -> u64:
    size = load32(m + KEY_SIZE)
    entry = _find(m, key, size, hash_of(key, size))
    if entry == 0:
        return 0
    return entry + load32(m + VALUE_AT)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    if flags > 2:
        return EINVAL
    size = load32(m + KEY_SIZE)
    code = hash_of(key, size)
    entry = _find(m, key, size, code)
    if entry != 0:
        if flags == _NOEXIST:
            return EEXIST
        copy(entry + load32(m + VALUE_AT), value, load32(m + VALUE_SIZE))
        return 0
    if flags == _EXIST:
        return ENOENT
    fresh: u64 = load32(m + FREE)
    if fresh == 0:
        return E2BIG
    store32(m + FREE, load32(fresh + _NEXT))
    store32(fresh + _HASH, code)
    copy(fresh + _KEY, key, size)
    copy(fresh + load32(m + VALUE_AT), value, load32(m + VALUE_SIZE))
    head = m + BODY + 4 * (code & load32(m + MASK))
    store32(fresh + _NEXT, load32(head))
    store32(head, fresh)
    store32(m + COUNT, load32(m + COUNT) + 1)
    return 0


def delete(m: u64, key: u64) -> i64:
    size = load32(m + KEY_SIZE)
    code = hash_of(key, size)
    entry = _find(m, key, size, code)
    if entry == 0:
        return ENOENT
    link: u64 = m + BODY + 4 * (code & load32(m + MASK))
    while load32(link) != entry:
        link = load32(link)
    store32(link, load32(entry + _NEXT))
    store32(entry + _NEXT, load32(m + FREE))
    store32(m + FREE, entry)
    store32(m + COUNT, load32(m + COUNT) - 1)
    return 0


def next_key(m: u64, key: u64, out: u64) -> i64:
    size = load32(m + KEY_SIZE)
    mask = load32(m + MASK)
    entry: u64 = 0
    bucket: u64 = 0
    if key != 0:
        code = hash_of(key, size)
        found = _find(m, key, size, code)
        if found != 0:
            entry = load32(found + _NEXT)
            bucket = (code & mask) + 1
    while entry == 0 and bucket <= mask:
        entry = load32(m + BODY + 4 * bucket)
        bucket = bucket + 1
    if entry == 0:
        return ENOENT
    copy(out, entry + _KEY, size)
    return 0
