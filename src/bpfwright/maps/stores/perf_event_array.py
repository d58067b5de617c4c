"""Perf event arrays: for each CPU the address of a buffer that user space reads (kernel/trace/bpf_trace.c:
bpf_perf_event_output(); kernel/events/ring_buffer.c).

A buffer is a page with the reader's and the writer's position, as in struct perf_event_mmap_page, and a power of two
of bytes of records.
"""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, E2BIG, EFAULT, EINVAL, ENOENT, MAX_ENTRIES
from bpfwright.maps.stores.handles import create, delete, lookup, next_key, read, room, update
from bpfwright.spec.memory import copy, load32, load64, store64
from bpfwright.spec.page import CPU, PROGRAM
from bpfwright.types import i64, u64

__all__ = ["CONTROL", "KINDS", "PRIVATE", "SIZE", "create", "delete", "lookup", "next_key", "output", "read", "room",
           "update"]

KINDS = (4,)
PRIVATE = True
CONTROL = 4096
_HEAD, _TAIL, SIZE, _LOST = 1024, 1032, 2048, 2056
_SAMPLE, _LOST_RECORD = 9, 2
_MOST, _ENOSPC = 65504, -28
_XDP = 6


def _put(buffer: u64, at: u64, source: u64, size: u64) -> None:
    """Copy into the records from a position on, over the end where it must be."""
    length = load64(buffer + SIZE)
    place = at & (length - 1)
    first: u64 = size
    if place + size > length:
        first = length - place
        copy(buffer + CONTROL, source + first, size - first)
    copy(buffer + CONTROL + place, source, first)


def _word(buffer: u64, at: u64, value: u64) -> None:
    """Eight bytes at a position, which is a multiple of 8."""
    store64(buffer + CONTROL + (at & (load64(buffer + SIZE) - 1)), value)


def _tell_lost(buffer: u64) -> None:
    """A record of how many found no room, before the next that does."""
    at = load64(buffer + _HEAD)
    _word(buffer, at, _LOST_RECORD | (24 << 48))
    _word(buffer, at + 8, 0)
    _word(buffer, at + 16, load64(buffer + _LOST))
    store64(buffer + _HEAD, at + 24)
    store64(buffer + _LOST, 0)


def output(ctx: u64, m: u64, flags: u64, data: u64, size: u64) -> i64:
    """Send `size` bytes and, as bits 32 to 51 of the flags say, so many of the packet."""
    index: u64 = flags & 0xFFFFFFFF
    packet: u64 = (flags >> 32) & 0xFFFFF
    if flags >> 52 != 0 or size > _MOST:
        return EINVAL
    if index == 0xFFFFFFFF:
        index = load32(CPU)
    if index >= load32(m + MAX_ENTRIES):
        return E2BIG
    buffer: u64 = load32(m + BODY + 8 * index)
    if buffer == 0:
        return ENOENT
    start: u64 = 0
    if packet != 0:
        end: u64 = load32(ctx + 80)
        start = load32(ctx + 76)
        if load32(PROGRAM) == _XDP:
            start = load32(ctx)
            end = load32(ctx + 4)
        if packet > end - start:
            return EFAULT
    body = (size + packet + 4 + 7) & 0xFFFFFFFFFFFFFFF8
    needed: u64 = body + 8
    if load64(buffer + _LOST) != 0:
        needed = needed + 24
    if load64(buffer + _HEAD) + needed - load64(buffer + _TAIL) > load64(buffer + SIZE):
        store64(buffer + _LOST, load64(buffer + _LOST) + 1)
        return _ENOSPC
    if load64(buffer + _LOST) != 0:
        _tell_lost(buffer)
    at = load64(buffer + _HEAD)
    _word(buffer, at, _SAMPLE | ((body + 8) << 48))
    _word(buffer, at + body, 0)
    _word(buffer, at + 8, (body - 4) & 0xFFFFFFFF)
    _put(buffer, at + 12, data, size)
    if packet != 0:
        _put(buffer, at + 12 + size, start, packet)
    store64(buffer + _HEAD, at + 8 + body)
    return 0
