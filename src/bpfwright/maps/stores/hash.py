"""Hash tables with one value a key (kernel/bpf/hashtab.c: htab_map_ops)."""
from __future__ import annotations

from bpfwright.maps.stores._header import ENOENT, KEY_SIZE, VALUE_SIZE
from bpfwright.maps.stores._table import (KEY, LOCK, VALUE_AT, after, entry_at, entry_room, find, hash_of, lay_out,
                                          next_of, place, unlink)
from bpfwright.spec.memory import copy, load32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "each", "holding", "key_of", "lookup", "next_key", "room",
           "update", "value_of"]

KINDS = (1,)
PRIVATE = True  # but for the values, each from its first use on


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return entry_room(key_size, value_size, max_entries)


def create(m: u64) -> None:
    lay_out(m, load32(m + VALUE_SIZE))


def lookup(m: u64, key: u64) -> u64:
    size = load32(m + KEY_SIZE)
    entry = find(m, key, size, hash_of(key, size))
    if entry == 0:
        return 0
    return entry + load32(m + VALUE_AT)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    entry = place(m, key, flags & (0xFFFFFFFFFFFFFFFF ^ LOCK), load32(m + VALUE_SIZE), 0, False)
    if entry < 0:
        return entry
    copy(u64(entry) + load32(m + VALUE_AT), value, load32(m + VALUE_SIZE))
    return 0


def delete(m: u64, key: u64) -> i64:
    size = load32(m + KEY_SIZE)
    entry = find(m, key, size, hash_of(key, size))
    if entry == 0:
        return ENOENT
    unlink(m, entry)
    return 0


def next_key(m: u64, key: u64, out: u64) -> i64:
    return next_of(m, key, out)


def each(m: u64, cursor: u64) -> u64:
    return after(m, cursor)


def holding(m: u64, address: u64) -> u64:
    return entry_at(m, address)


def key_of(m: u64, cursor: u64) -> u64:
    return cursor + KEY


def value_of(m: u64, cursor: u64) -> u64:
    return cursor + load32(m + VALUE_AT)
