"""Arrays: values in a row, each at a multiple of 8 bytes (kernel/bpf/arraymap.c)."""
from __future__ import annotations

from bpfwright.maps.stores._header import (BODY, E2BIG, EEXIST, EINVAL, ENOENT, MAX_ENTRIES, OWN, STRIDE,
                                           VALUE_SIZE)
from bpfwright.spec.memory import copy, load32, store32
from bpfwright.spec.shadow import grant
from bpfwright.types import i64, u64

__all__ = ["INDEX", "KINDS", "create", "delete", "each", "holding", "key_of", "lookup", "next_key", "room", "update",
           "value_of"]

KINDS = (2,)
INDEX = OWN + 16  # where a walk's callback reads the index
_NOEXIST, _EXIST, _LOCK = 1, 2, 4


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return max_entries * (-(-value_size // 8) * 8)


def create(m: u64) -> None:
    store32(m + STRIDE, (load32(m + VALUE_SIZE) + 7) & 0xFFFFFFF8)
    grant(m + INDEX, 4)


def lookup(m: u64, key: u64) -> u64:
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return 0
    return m + BODY + index * load32(m + STRIDE)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    how = flags & (0xFFFFFFFFFFFFFFFF ^ _LOCK)
    if how > _EXIST:
        return EINVAL
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return E2BIG
    if how == _NOEXIST:
        return EEXIST
    copy(m + BODY + index * load32(m + STRIDE), value, load32(m + VALUE_SIZE))
    return 0


def delete(m: u64, key: u64) -> i64:
    return EINVAL


def next_key(m: u64, key: u64, out: u64) -> i64:
    count = load32(m + MAX_ENTRIES)
    index = count
    if key != 0:
        index = load32(key)
    if index >= count:
        store32(out, 0)
        return 0
    if index == count - 1:
        return ENOENT
    store32(out, index + 1)
    return 0


def each(m: u64, cursor: u64) -> u64:
    """A cursor is the index and one."""
    if cursor >= load32(m + MAX_ENTRIES):
        return 0
    return cursor + 1


def holding(m: u64, address: u64) -> u64:
    return (address - m - BODY) // max(load32(m + STRIDE), 1) + 1


def key_of(m: u64, cursor: u64) -> u64:
    store32(m + INDEX, cursor - 1)
    return m + INDEX


def value_of(m: u64, cursor: u64) -> u64:
    return m + BODY + (cursor - 1) * load32(m + STRIDE)
