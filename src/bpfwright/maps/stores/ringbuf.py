"""Ring buffers (kernel/bpf/ringbuf.c): two positions that only grow, and records behind headers of 8 bytes.

The data stands in room for twice its size: a record that begins before the end goes on behind it, and readers find it
there in one piece, as the kernel's double mapping shows it.
"""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, E2BIG, EINVAL, MAX_ENTRIES, OWN
from bpfwright.spec.memory import copy, load32, load64, store32, store64
from bpfwright.spec.page import HELD_RECORDS
from bpfwright.spec.shadow import grant, revoke
from bpfwright.types import i64, u64

__all__ = ["CONSUMER", "KINDS", "PRIVATE", "PRODUCER", "create", "delete", "discard", "discard_dynptr", "lookup",
           "next_key", "output", "query", "reserve", "reserve_dynptr", "room", "submit", "submit_dynptr", "update"]

KINDS = (27,)
PRIVATE = True  # a program sees nothing of it but the records it reserved
CONSUMER, PRODUCER = OWN, OWN + 8
_BUSY, _DISCARD, _LENGTH = 0x80000000, 0x40000000, 0x3FFFFFFF
_EAGAIN, _RING_KIND = -11, 2


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return 2 * max_entries


def create(m: u64) -> None:
    store64(m + CONSUMER, 0)
    store64(m + PRODUCER, 0)


def reserve(m: u64, size: u64, flags: u64) -> u64:
    whole = (size + 15) & 0xFFFFFFFFFFFFFFF8
    length = load32(m + MAX_ENTRIES)
    if flags != 0 or size > _LENGTH or whole > length:
        return 0
    at = load64(m + PRODUCER)
    if at + whole - load64(m + CONSUMER) > length - 1:
        return 0
    header = m + BODY + (at & (length - 1))
    store32(header, size | _BUSY)
    store32(header + 4, m)
    store64(m + PRODUCER, at + whole)
    grant(header + 8, size)
    store64(HELD_RECORDS, load64(HELD_RECORDS) + 1)
    return header + 8


def submit(record: u64, flags: u64) -> u64:
    size = load32(record - 8) & _LENGTH
    revoke(record, size)
    store32(record - 8, size)
    store64(HELD_RECORDS, load64(HELD_RECORDS) - 1)
    return 0


def discard(record: u64, flags: u64) -> u64:
    size = load32(record - 8) & _LENGTH
    revoke(record, size)
    store32(record - 8, size | _DISCARD)
    store64(HELD_RECORDS, load64(HELD_RECORDS) - 1)
    return 0


def output(m: u64, data: u64, size: u64, flags: u64) -> i64:
    if flags > 3:
        return EINVAL
    record = reserve(m, size, 0)
    if record == 0:
        return _EAGAIN
    copy(record, data, size)
    submit(record, 0)
    return 0


def reserve_dynptr(m: u64, size: u64, flags: u64, d: u64) -> i64:
    """A record as a dynptr (helpers/bodies/dynptrs.py), which is null when there is no room."""
    store64(d, 0)
    store64(d + 8, 0)
    wanted = size & 0xFFFFFFFF
    if flags != 0:
        return EINVAL
    if wanted > 0xFFFFFF:
        return E2BIG
    record = reserve(m, wanted, 0)
    if record == 0:
        return EINVAL
    store32(d, record)
    store32(d + 4, _RING_KIND)
    store32(d + 8, wanted)
    return 0


def submit_dynptr(d: u64, flags: u64) -> u64:
    if load32(d) != 0:
        submit(load32(d), flags)
        store64(d, 0)
        store64(d + 8, 0)
    return 0


def discard_dynptr(d: u64, flags: u64) -> u64:
    if load32(d) != 0:
        discard(load32(d), flags)
        store64(d, 0)
        store64(d + 8, 0)
    return 0


def query(m: u64, what: u64) -> u64:
    if what == 0:
        return load64(m + PRODUCER) - load64(m + CONSUMER)
    if what == 1:
        return load32(m + MAX_ENTRIES)
    if what == 2:
        return load64(m + CONSUMER)
    if what == 3:
        return load64(m + PRODUCER)
    return 0


def lookup(m: u64, key: u64) -> u64:
    return 0


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    return EINVAL


def delete(m: u64, key: u64) -> i64:
    return EINVAL


def next_key(m: u64, key: u64, out: u64) -> i64:
    return EINVAL
