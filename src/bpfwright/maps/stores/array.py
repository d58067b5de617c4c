"""Arrays: values in a row, each at a multiple of 8 bytes (kernel/bpf/arraymap.c)."""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, E2BIG, EEXIST, EINVAL, ENOENT, MAX_ENTRIES, STRIDE, VALUE_SIZE
from bpfwright.spec.memory import copy, load32, store32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "create", "delete", "lookup", "next_key", "room", "update"]

KINDS = (2,)
_NOEXIST = 1


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return max_entries * (-(-value_size // 8) * 8)


def create(m: u64) -> None:
    store32(m + STRIDE, (load32(m + VALUE_SIZE) + 7) & 0xFFFFFFF8)


def lookup(m: u64, key: u64) -> u64:
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return 0
    return m + BODY + index * load32(m + STRIDE)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    if flags > 2:
        return EINVAL
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return E2BIG
    if flags == _NOEXIST:
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
