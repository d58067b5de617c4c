"""Where XDP redirects to, by index: interfaces, CPUs, AF_XDP sockets (kernel/bpf/devmap.c, cpumap.c, xskmap.c).

A place whose first word is 0 is empty. Programs read what is in the others.
"""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, E2BIG, EEXIST, EINVAL, KIND, MAX_ENTRIES, STRIDE, VALUE_SIZE
from bpfwright.maps.stores.array import next_key
from bpfwright.spec.memory import copy, fill, load32, store32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "create", "delete", "lookup", "next_key", "room", "update"]

KINDS = (14, 16, 17)
_NOEXIST, _EXIST = 1, 2
_CPUS, _SOCKETS, _LONGEST_QUEUE, _EOVERFLOW = 16, 17, 16384, -75


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return max_entries * (-(-value_size // 8) * 8)


def create(m: u64) -> None:
    store32(m + STRIDE, (load32(m + VALUE_SIZE) + 7) & 0xFFFFFFF8)


def lookup(m: u64, key: u64) -> u64:
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return 0
    place = m + BODY + index * load32(m + STRIDE)
    if load32(place) == 0:
        return 0
    return place


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    index = load32(key)
    if flags > _EXIST:
        return EINVAL
    if index >= load32(m + MAX_ENTRIES):
        return E2BIG
    if flags == _NOEXIST:
        return EEXIST
    if load32(m + KIND) == _CPUS and load32(value) > _LONGEST_QUEUE:
        return _EOVERFLOW
    copy(m + BODY + index * load32(m + STRIDE), value, load32(m + VALUE_SIZE))
    return 0


def delete(m: u64, key: u64) -> i64:
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return EINVAL
    fill(m + BODY + index * load32(m + STRIDE), 0, load32(m + VALUE_SIZE))
    return 0
