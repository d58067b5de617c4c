"""Stacks: a queue's ring, taken from its head (kernel/bpf/queue_stack_maps.c)."""
from __future__ import annotations

from bpfwright.maps.stores._header import ENOENT, MAX_ENTRIES, VALUE_SIZE
from bpfwright.maps.stores.queue import HEAD, TAIL, create, place, push, room
from bpfwright.spec.memory import copy, fill, load32, store32
from bpfwright.types import i64, u32, u64

__all__ = ["KINDS", "PRIVATE", "create", "peek", "pop", "push", "room"]

KINDS = (23,)
PRIVATE = True


def _top(m: u64) -> u32:
    head = load32(m + HEAD)
    if head == 0:
        return load32(m + MAX_ENTRIES)
    return (head - 1) & 0xFFFFFFFF


def peek(m: u64, out: u64) -> i64:
    if load32(m + HEAD) == load32(m + TAIL):
        fill(out, 0, load32(m + VALUE_SIZE))
        return ENOENT
    copy(out, place(m, _top(m)), load32(m + VALUE_SIZE))
    return 0


def pop(m: u64, out: u64) -> i64:
    code = peek(m, out)
    if code == 0:
        store32(m + HEAD, _top(m))
    return code
