"""Per-CPU hash tables that drop what was not used lately when they are full (kernel/bpf/hashtab.c:
htab_lru_percpu_map_ops)."""
from __future__ import annotations

from bpfwright.maps.stores._header import CPUS, VALUE_SIZE
from bpfwright.maps.stores._table import RECENT, found, place
from bpfwright.maps.stores.percpu_hash import create, delete, each, key_of, lookup_on, next_key, room, step, value_of
from bpfwright.spec.memory import copy, load32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "each", "key_of", "lookup", "lookup_on", "next_key", "room",
           "update", "value_of"]

KINDS = (10,)
PRIVATE = True


def lookup(m: u64, key: u64) -> u64:
    entry = found(m, key)
    if entry == 0:
        return 0
    return value_of(m, entry)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    entry = place(m, key, flags, step(m) * load32(m + CPUS), RECENT, True)
    if entry < 0:
        return entry
    copy(value_of(m, u64(entry)), value, load32(m + VALUE_SIZE))
    return 0
