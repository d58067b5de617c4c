"""Hash tables with a value for each CPU (kernel/bpf/hashtab.c: htab_percpu_map_ops): they stand in a row, each at a
multiple of 8 bytes."""
from __future__ import annotations

from bpfwright.maps.stores._header import CPUS, KEY_SIZE, VALUE_SIZE
from bpfwright.maps.stores._table import VALUE_AT, entry_room, find, hash_of, lay_out, place
from bpfwright.maps.stores.hash import delete, each, key_of, next_key
from bpfwright.spec.memory import copy, load32
from bpfwright.spec.page import CPU
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "each", "key_of", "lookup", "lookup_on", "next_key", "room",
           "step", "update", "value_of"]

KINDS = (5,)
PRIVATE = True


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return entry_room(key_size, -(-value_size // 8) * 8 * cpus, max_entries)


def step(m: u64) -> u64:
    """How far the values of two CPUs are apart."""
    return (load32(m + VALUE_SIZE) + 7) & 0xFFFFFFF8


def create(m: u64) -> None:
    lay_out(m, step(m) * load32(m + CPUS))


def lookup_on(m: u64, key: u64, cpu: u64) -> u64:
    if cpu >= load32(m + CPUS):
        return 0
    size = load32(m + KEY_SIZE)
    entry = find(m, key, size, hash_of(key, size))
    if entry == 0:
        return 0
    return entry + load32(m + VALUE_AT) + cpu * step(m)


def lookup(m: u64, key: u64) -> u64:
    return lookup_on(m, key, load32(CPU))


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    entry = place(m, key, flags, step(m) * load32(m + CPUS), 0, True)
    if entry < 0:
        return entry
    copy(value_of(m, u64(entry)), value, load32(m + VALUE_SIZE))
    return 0


def value_of(m: u64, cursor: u64) -> u64:
    return cursor + load32(m + VALUE_AT) + load32(CPU) * step(m)
