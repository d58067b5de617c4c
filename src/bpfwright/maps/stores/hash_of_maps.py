"""Hash tables of maps (kernel/bpf/hashtab.c: htab_of_maps_map_ops): numbers, and the addresses that programs look
up."""
from __future__ import annotations

from bpfwright.maps.stores._header import E2BIG, EEXIST, EINVAL, ENOENT, KEY_SIZE
from bpfwright.maps.stores._table import (EXIST, NOEXIST, VALUE_AT, entry_room, find, hash_of, lay_out, link, take)
from bpfwright.maps.stores.hash import delete, next_key
from bpfwright.spec.memory import copy, load32, store32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "lookup", "next_key", "read", "room", "update"]

KINDS = (13,)
PRIVATE = True


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return entry_room(key_size, 8, max_entries)


def create(m: u64) -> None:
    lay_out(m, 8)


def lookup(m: u64, key: u64) -> u64:
    size = load32(m + KEY_SIZE)
    entry = find(m, key, size, hash_of(key, size))
    if entry == 0:
        return 0
    return load32(entry + load32(m + VALUE_AT) + 4)


def read(m: u64, key: u64, out: u64) -> i64:
    size = load32(m + KEY_SIZE)
    entry = find(m, key, size, hash_of(key, size))
    if entry == 0:
        return ENOENT
    store32(out, load32(entry + load32(m + VALUE_AT)))
    return 0


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    if flags > EXIST:
        return EINVAL
    size = load32(m + KEY_SIZE)
    code = hash_of(key, size)
    entry: u64 = find(m, key, size, code)
    if entry != 0:
        if flags == NOEXIST:
            return EEXIST
    else:
        if flags == EXIST:
            return ENOENT
        entry = take(m, 0)
        if entry == 0:
            return E2BIG
        link(m, entry, key, size, code)
    copy(entry + load32(m + VALUE_AT), value, 8)
    return 0
