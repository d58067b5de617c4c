"""Hash tables that drop what was not used lately when they are full (kernel/bpf/bpf_lru_list.c): a clock's hand goes
round the entries and passes once over each that was looked up since."""
from __future__ import annotations

from bpfwright.maps.stores._header import E2BIG, EEXIST, EINVAL, ENOENT, KEY_SIZE, VALUE_SIZE
from bpfwright.maps.stores._table import (EXIST, HASH, LOCK, NOEXIST, RECENT, VALUE_AT, evict, find, hash_of, link,
                                          take)
from bpfwright.maps.stores.hash import create, delete, each, holding, key_of, lookup as look, next_key, room, value_of
from bpfwright.spec.memory import copy, load32, store32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "each", "holding", "key_of", "look", "lookup", "next_key", "room",
           "update", "value_of"]

KINDS = (9,)
PRIVATE = True


def lookup(m: u64, key: u64) -> u64:
    size = load32(m + KEY_SIZE)
    entry = find(m, key, size, hash_of(key, size))
    if entry == 0:
        return 0
    code = load32(entry + HASH)
    if code < RECENT:
        store32(entry + HASH, code | RECENT)
    return entry + load32(m + VALUE_AT)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    how = flags & (0xFFFFFFFFFFFFFFFF ^ LOCK)
    if how > EXIST:
        return EINVAL
    size = load32(m + KEY_SIZE)
    code = hash_of(key, size)
    entry: u64 = find(m, key, size, code)
    if entry != 0:
        if how == NOEXIST:
            return EEXIST
        store32(entry + HASH, code | RECENT)
    else:
        if how == EXIST:
            return ENOENT
        entry = take(m, load32(m + VALUE_SIZE))
        if entry == 0:
            evict(m)
            entry = take(m, load32(m + VALUE_SIZE))
            if entry == 0:
                return E2BIG
        link(m, entry, key, size, code)
    copy(entry + load32(m + VALUE_AT), value, load32(m + VALUE_SIZE))
    return 0
