"""Queues and stacks: a ring of one place more than entries, its head and its tail (kernel/bpf/queue_stack_maps.c)."""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, E2BIG, EINVAL, ENOENT, MAX_ENTRIES, OWN, VALUE_SIZE
from bpfwright.spec.memory import copy, fill, load32, store32
from bpfwright.types import i64, u32, u64

__all__ = ["HEAD", "KINDS", "PRIVATE", "TAIL", "create", "peek", "place", "pop", "push", "room", "turn"]

KINDS = (22,)
PRIVATE = True
HEAD, TAIL = OWN, OWN + 4
_EXIST = 2


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return (max_entries + 1) * value_size


def create(m: u64) -> None:
    store32(m + HEAD, 0)
    store32(m + TAIL, 0)


def place(m: u64, index: u32) -> u64:
    return m + BODY + index * load32(m + VALUE_SIZE)


def turn(m: u64, index: u32) -> u32:
    """The place after this one."""
    if index == load32(m + MAX_ENTRIES):
        return 0
    return (index + 1) & 0xFFFFFFFF


def push(m: u64, value: u64, flags: u64) -> i64:
    """BPF_EXIST drops the oldest where there is no room."""
    if flags != 0 and flags != _EXIST:
        return EINVAL
    head = load32(m + HEAD)
    following = turn(m, head)
    if following == load32(m + TAIL):
        if flags == 0:
            return E2BIG
        store32(m + TAIL, turn(m, load32(m + TAIL)))
    copy(place(m, head), value, load32(m + VALUE_SIZE))
    store32(m + HEAD, following)
    return 0


def peek(m: u64, out: u64) -> i64:
    tail = load32(m + TAIL)
    if tail == load32(m + HEAD):
        fill(out, 0, load32(m + VALUE_SIZE))
        return ENOENT
    copy(out, place(m, tail), load32(m + VALUE_SIZE))
    return 0


def pop(m: u64, out: u64) -> i64:
    code = peek(m, out)
    if code == 0:
        store32(m + TAIL, turn(m, load32(m + TAIL)))
    return code
