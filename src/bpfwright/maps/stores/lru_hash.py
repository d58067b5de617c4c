"""Hash tables that drop what was not used lately when they are full (kernel/bpf/bpf_lru_list.c): a clock's hand goes
round the entries and passes once over each that was looked up since."""
from __future__ import annotations

from bpfwright.maps.stores._header import VALUE_SIZE
from bpfwright.maps.stores._table import LOCK, RECENT, VALUE_AT, found, place
from bpfwright.maps.stores.hash import create, delete, each, holding, key_of, lookup as look, next_key, room, value_of
from bpfwright.spec.memory import copy, load32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "each", "holding", "key_of", "look", "lookup", "next_key", "room",
           "update", "value_of"]

KINDS = (9,)
PRIVATE = True


def lookup(m: u64, key: u64) -> u64:
    entry = found(m, key)
    if entry == 0:
        return 0
    return entry + load32(m + VALUE_AT)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    entry = place(m, key, flags & (0xFFFFFFFFFFFFFFFF ^ LOCK), load32(m + VALUE_SIZE), RECENT, False)
    if entry < 0:
        return entry
    copy(u64(entry) + load32(m + VALUE_AT), value, load32(m + VALUE_SIZE))
    return 0
