"""Per-CPU hash tables that drop what was not used lately when they are full (kernel/bpf/hashtab.c:
htab_lru_percpu_map_ops)."""
from __future__ import annotations

from bpfwright.maps.stores._header import CPUS, E2BIG, EEXIST, EINVAL, ENOENT, KEY_SIZE, VALUE_SIZE
from bpfwright.maps.stores._table import (EXIST, HASH, NOEXIST, RECENT, VALUE_AT, evict, find, hash_of, link,
                                          take)
from bpfwright.maps.stores.percpu_hash import create, delete, each, key_of, lookup_on, next_key, room, step, value_of
from bpfwright.spec.memory import copy, fill, load32, store32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "each", "key_of", "lookup", "lookup_on", "next_key", "room",
           "update", "value_of"]

KINDS = (10,)
PRIVATE = True


def lookup(m: u64, key: u64) -> u64:
    size = load32(m + KEY_SIZE)
    entry = find(m, key, size, hash_of(key, size))
    if entry == 0:
        return 0
    code = load32(entry + HASH)
    if code < RECENT:
        store32(entry + HASH, code | RECENT)
    return value_of(m, entry)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    if flags > EXIST:
        return EINVAL
    size = load32(m + KEY_SIZE)
    code = hash_of(key, size)
    entry: u64 = find(m, key, size, code)
    if entry != 0:
        if flags == NOEXIST:
            return EEXIST
        store32(entry + HASH, code | RECENT)
    else:
        if flags == EXIST:
            return ENOENT
        whole = step(m) * load32(m + CPUS)
        entry = take(m, whole)
        if entry == 0:
            evict(m)
            entry = take(m, whole)
            if entry == 0:
                return E2BIG
        link(m, entry, key, size, code)
        fill(entry + load32(m + VALUE_AT), 0, whole)
    copy(value_of(m, entry), value, load32(m + VALUE_SIZE))
    return 0
