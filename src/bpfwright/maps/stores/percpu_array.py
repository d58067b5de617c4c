"""Arrays with a value for each CPU (kernel/bpf/arraymap.c: percpu_array_map_ops): those of one index stand in a row."""
from __future__ import annotations

from bpfwright.maps.stores._header import (BODY, CPUS, E2BIG, EEXIST, EINVAL, MAX_ENTRIES, OWN, STRIDE,
                                           VALUE_SIZE)
from bpfwright.maps.stores.array import INDEX, delete, each, key_of, next_key
from bpfwright.spec.memory import copy, load32, store32
from bpfwright.spec.page import CPU
from bpfwright.spec.shadow import grant
from bpfwright.types import i64, u64

__all__ = ["KINDS", "create", "delete", "each", "key_of", "lookup", "lookup_on", "next_key", "room", "update",
           "value_of"]

KINDS = (6,)
_STEP = OWN  # from one CPU's value to the next
_NOEXIST, _EXIST = 1, 2


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return max_entries * cpus * (-(-value_size // 8) * 8)


def create(m: u64) -> None:
    step = (load32(m + VALUE_SIZE) + 7) & 0xFFFFFFF8
    store32(m + _STEP, step)
    store32(m + STRIDE, step * load32(m + CPUS))
    grant(m + INDEX, 4)


def lookup_on(m: u64, key: u64, cpu: u64) -> u64:
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES) or cpu >= load32(m + CPUS):
        return 0
    return m + BODY + index * load32(m + STRIDE) + cpu * load32(m + _STEP)


def lookup(m: u64, key: u64) -> u64:
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return 0
    return m + BODY + index * load32(m + STRIDE) + load32(CPU) * load32(m + _STEP)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    if flags > _EXIST:
        return EINVAL
    place = lookup(m, key)
    if place == 0:
        return E2BIG
    if flags == _NOEXIST:
        return EEXIST
    copy(place, value, load32(m + VALUE_SIZE))
    return 0


def value_of(m: u64, cursor: u64) -> u64:
    return m + BODY + (cursor - 1) * load32(m + STRIDE) + load32(CPU) * load32(m + _STEP)
