"""Values that belong to a task, a socket, a file or a cgroup (kernel/bpf/bpf_local_storage.c): a hash table by the
object's address. User space names the object by its number in the machine, which is that address."""
from __future__ import annotations

from bpfwright.maps.stores._header import E2BIG, EEXIST, ENOENT, MAX_ENTRIES, OWN, VALUE_SIZE
from bpfwright.maps.stores._table import (EXIST, NOEXIST, VALUE_AT, entry_room, find, hash_of, lay_out, link, take,
                                          unlink)
from bpfwright.maps.stores.hash import each, key_of, next_key, value_of
from bpfwright.spec.memory import copy, fill, load32, store32, store64
from bpfwright.types import i64, u64

__all__ = ["KINDS", "OWNERS", "PRIVATE", "create", "delete", "drop", "each", "get", "key_of", "lookup", "next_key",
           "room", "update", "value_of"]

KINDS = (24, 28, 29, 32)
PRIVATE = True
OWNERS = 1024  # that may have a value at once
_CREATE = 1
_OWNER = OWN + 24  # where an address stands while it is a key


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return entry_room(4, value_size, OWNERS)


def create(m: u64) -> None:
    store32(m + MAX_ENTRIES, OWNERS)
    lay_out(m, load32(m + VALUE_SIZE))


def lookup(m: u64, key: u64) -> u64:
    entry = find(m, key, 4, hash_of(key, 4))
    if entry == 0:
        return 0
    return entry + load32(m + VALUE_AT)


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    code = hash_of(key, 4)
    entry: u64 = find(m, key, 4, code)
    if entry != 0:
        if flags == NOEXIST:
            return EEXIST
    else:
        if flags == EXIST:
            return ENOENT
        entry = take(m, load32(m + VALUE_SIZE))
        if entry == 0:
            return E2BIG
        link(m, entry, key, 4, code)
    copy(entry + load32(m + VALUE_AT), value, load32(m + VALUE_SIZE))
    return 0


def delete(m: u64, key: u64) -> i64:
    entry = find(m, key, 4, hash_of(key, 4))
    if entry == 0:
        return ENOENT
    unlink(m, entry)
    return 0


def get(m: u64, owner: u64, value: u64, flags: u64) -> u64:
    """An owner's value; made, zero or a copy of `value`, if the flags say so."""
    if owner == 0 or flags > _CREATE:
        return 0
    store64(m + _OWNER, owner)
    found = lookup(m, m + _OWNER)
    if found != 0 or flags == 0:
        return found
    code = hash_of(m + _OWNER, 4)
    entry = take(m, load32(m + VALUE_SIZE))
    if entry == 0:
        return 0
    link(m, entry, m + _OWNER, 4, code)
    place = entry + load32(m + VALUE_AT)
    if value != 0:
        copy(place, value, load32(m + VALUE_SIZE))
    else:
        fill(place, 0, load32(m + VALUE_SIZE))
    return place


def drop(m: u64, owner: u64) -> i64:
    """Give an owner's value up."""
    if owner == 0:
        return 0 - 22
    store64(m + _OWNER, owner)
    return delete(m, m + _OWNER)
