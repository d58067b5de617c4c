"""Interfaces by any number (kernel/bpf/devmap.c: dev_map_hash_ops)."""
from __future__ import annotations

from bpfwright.maps.stores import devices
from bpfwright.maps.stores._header import EINVAL, KIND
from bpfwright.maps.stores.hash import (create, delete, each, key_of, lookup, next_key, room, update as put, value_of)
from bpfwright.spec.memory import load32, store32, store64
from bpfwright.spec.page import REDIRECT, REDIRECT_FLAGS, REDIRECT_MAP
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "each", "key_of", "lookup", "next_key", "redirect", "room",
           "update", "value_of"]

KINDS = (25,)
PRIVATE = True
_ABORTED, _XDP_REDIRECT, _BROADCAST, _KNOWN = 0, 4, 8, 27  # bits of the flags: action, broadcast, not back
_KEY = REDIRECT_FLAGS + 16


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    if load32(value) == 0:
        return EINVAL
    return put(m, key, value, flags)


def redirect(m: u64, index: u64, flags: u64) -> i64:
    """bpf_redirect_map() for all these maps: where one has nothing, the action in the lowest bits of the flags."""
    if flags & (0xFFFFFFFFFFFFFFFF ^ _KNOWN) != 0:
        return _ABORTED
    store32(_KEY, index)
    found: u64 = 0
    if load32(m + KIND) == 25:
        found = lookup(m, _KEY)
    else:
        found = devices.lookup(m, _KEY)
    if found == 0 and flags & _BROADCAST == 0:
        return flags & 3
    store32(REDIRECT, 51)
    store32(REDIRECT + 4, index)
    store64(REDIRECT_FLAGS, flags)
    store64(REDIRECT_MAP, m)
    return _XDP_REDIRECT
