"""What a call's arguments must be in programs that no verifier saw: maps, a map's keys, memory of the program's own.

Each gives 1 or 0. In front of every map stands a word that only the machine can have written: see `stamp`.
"""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, KEY_SIZE, KIND, MAX_ENTRIES, VALUE_SIZE
from bpfwright.spec.memory import load32, load64
from bpfwright.spec.page import CONTEXT, CPUMASKS, SECRET, SHADOW
from bpfwright.spec.shadow import readable
from bpfwright.types import u64

__all__ = ["GUARDS", "guard_context", "guard_dynptr", "guard_key", "guard_map", "guard_mask", "guard_read",
           "guard_record", "guard_room", "guard_value", "guard_write", "stamp"]

_RING, _BUSY, _LENGTH = 27, 0x80000000, 0x3FFFFFFF
_LEAST = 0x2000
_SKB, _XDP = 3, 4
_MASKS = 64 * 64


def stamp(m: u64) -> u64:
    """The word in front of a map at this address."""
    return load64(SECRET) ^ m


def guard_map(m: u64) -> u64:
    if m < _LEAST or m >= load64(SHADOW) or m & 63 != 0 or load64(m - 8) != stamp(m):
        return 0
    return 1


def guard_read(at: u64, size: u64) -> u64:
    """Memory to read; of no bytes, null too."""
    if readable(at, size):
        return 1
    return 0


def guard_write(at: u64, size: u64) -> u64:
    """Memory to write: the lower half of the machine's is."""
    if at >= load64(SHADOW) >> 1 or not readable(at, size):
        return 0
    return 1


def guard_key(m: u64, key: u64) -> u64:
    return guard_read(key, load32(m + KEY_SIZE))


def guard_value(m: u64, value: u64) -> u64:
    return guard_read(value, load32(m + VALUE_SIZE))


def guard_room(m: u64, value: u64) -> u64:
    return guard_write(value, load32(m + VALUE_SIZE))


def guard_context(ctx: u64) -> u64:
    if ctx != 0 and ctx == load64(CONTEXT):
        return 1
    return 0


def guard_record(record: u64) -> u64:
    """A record of a ring that was reserved and not given back."""
    if record < _LEAST or record >= load64(SHADOW) or record & 7 != 0:
        return 0
    m: u64 = load32(record - 4)
    size: u64 = load32(record - 8)
    if guard_map(m) == 0:
        return 0
    end: u64 = m + BODY + 2 * load32(m + MAX_ENTRIES)
    if load32(m + KIND) != _RING or size < _BUSY or record < m + BODY + 8 or record + (size & _LENGTH) > end:
        return 0
    return 1


def guard_dynptr(d: u64) -> u64:
    """A dynptr whose bytes are what its program may write, or its own packet; or an empty one."""
    if guard_write(d, 16) == 0:
        return 0
    at: u64 = load32(d)
    kind = load32(d + 4) & 255
    if at == 0:
        return 1
    if kind in (_SKB, _XDP):
        return guard_context(at)
    return guard_write(at + load32(d + 12), load32(d + 8))


def guard_mask(mask: u64) -> u64:
    """A mask of CPUs that the machine made."""
    pool = load64(CPUMASKS)
    if mask < pool or mask >= pool + _MASKS or (mask - pool) & 63 != 0:
        return 0
    return 1


GUARDS = (guard_map, guard_read, guard_write, guard_key, guard_value, guard_room, guard_context, guard_record,
          guard_dynptr, guard_mask)
