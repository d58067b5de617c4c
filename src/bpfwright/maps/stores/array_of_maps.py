"""Arrays of maps (kernel/bpf/arraymap.c: array_of_maps_map_ops): numbers, and the addresses that programs look up."""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, MAX_ENTRIES
from bpfwright.maps.stores.handles import create, delete, next_key, read, room, update
from bpfwright.spec.memory import load32
from bpfwright.types import u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "lookup", "next_key", "read", "room", "update"]

KINDS = (12,)
PRIVATE = True


def lookup(m: u64, key: u64) -> u64:
    index = load32(key)
    if index >= load32(m + MAX_ENTRIES):
        return 0
    return load32(m + BODY + 8 * index + 4)
