"""Arrays of programs, perf buffers and other things of the machine, by their numbers (kernel/bpf/arraymap.c:
fd_array_map_delete_elem() and its kin). An empty place holds 0; programs see nothing of it."""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, E2BIG, EINVAL, ENOENT, MAX_ENTRIES, STRIDE
from bpfwright.maps.stores.array import next_key
from bpfwright.spec.memory import copy, load32, load64, store32, store64
from bpfwright.spec.page import ANCESTORS, CGROUP
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "lookup", "next_key", "number_at", "read", "room",
           "skb_under_cgroup", "task_under_cgroup", "update"]

KINDS = (3, 8)
PRIVATE = True
_MOST_ANCESTORS = 16


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return max_entries * 8


def create(m: u64) -> None:
    store32(m + STRIDE, 8)


def number_at(m: u64, index: u64) -> u64:
    """The number in a place; 0 when it is empty, or there is no such place."""
    if index >= load32(m + MAX_ENTRIES):
        return 0
    return load32(m + BODY + 8 * index)


def lookup(m: u64, key: u64) -> u64:
    return 0


def read(m: u64, key: u64, out: u64) -> i64:
    number = number_at(m, load32(key))
    if number == 0:
        return ENOENT
    store32(out, number)
    return 0


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    """A value is a number and, for maps, its address."""
    if flags != 0:
        return EINVAL
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return E2BIG
    copy(m + BODY + 8 * index, value, 8)
    return 0


def delete(m: u64, key: u64) -> i64:
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return E2BIG
    if load32(m + BODY + 8 * index) == 0:
        return ENOENT
    store64(m + BODY + 8 * index, 0)
    return 0


def task_under_cgroup(m: u64, index: u64) -> i64:
    """Whether the current cgroup is the one in a place of a cgroup array, or below it."""
    place = index & 0xFFFFFFFF
    if place >= load32(m + MAX_ENTRIES):
        return -7
    wanted = number_at(m, place)
    if wanted == 0:
        return -11
    if load64(CGROUP) & 0xFFFFFFFF == wanted:
        return 1
    for level in range(_MOST_ANCESTORS):
        if load32(ANCESTORS + 8 * level) == wanted:
            return 1
    return 0


def skb_under_cgroup(skb: u64, m: u64, index: u64) -> i64:
    return task_under_cgroup(m, index)
