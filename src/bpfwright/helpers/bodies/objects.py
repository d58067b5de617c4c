"""Kernel objects that functions hand out: tasks by number, masks of CPUs (kernel/bpf/helpers.c, cpumask.c)."""
from __future__ import annotations

from bpfwright.spec.memory import fill, load8, load32, load64, store8, store64
from bpfwright.spec.page import CPUMASKS, CPUS, HELD_OBJECTS, PID_TGID, RETVAL, TASKS
from bpfwright.spec.shadow import grant, revoke
from bpfwright.types import i64, u64

__all__ = ["cpumask_clear", "cpumask_clear_cpu", "cpumask_create", "cpumask_empty", "cpumask_first",
           "cpumask_full", "cpumask_release", "cpumask_set_all", "cpumask_set_cpu", "cpumask_test_cpu",
           "cpumask_weight", "exchange", "get_retval", "namespace_pids", "set_retval", "task_from_pid"]

_MOST_MASKS, _MASK_ROOM, _MASK_SIZE = 64, 64, 32  # bytes of 256 CPUs
_HALF = 0xFFFFFFFF


def task_from_pid(pid: u64) -> u64:
    """The recorded task of a thread number, 0 when there is none."""
    table = load64(TASKS)
    if table == 0:
        return 0
    for index in range(load32(table)):
        if load32(table + 16 + 16 * index) == pid & _HALF:
            store64(HELD_OBJECTS, load64(HELD_OBJECTS) + 1)
            return load64(table + 24 + 16 * index)
    return 0


def exchange(place: u64, pointer: u64) -> u64:
    """bpf_kptr_xchg(): the map holds the new one, the program what was there."""
    before = load64(place)
    store64(place, pointer)
    if before != 0:
        store64(HELD_OBJECTS, load64(HELD_OBJECTS) + 1)
    if pointer != 0:
        store64(HELD_OBJECTS, load64(HELD_OBJECTS) - 1)
    return before


def get_retval() -> i64:
    value = load32(RETVAL)
    if value > 0x7FFFFFFF:
        return value - 0x100000000
    return value


def set_retval(value: u64) -> i64:
    store64(RETVAL, value & _HALF)
    return 0


def namespace_pids(device: u64, inode: u64, out: u64, size: u64) -> i64:
    """Every namespace is the first one here; but no file has the inode 0, nor a device of more than 32 bits."""
    if size & _HALF != 8 or inode == 0 or device > _HALF:
        fill(out, 0, size & _HALF)
        return -22
    store64(out, load64(PID_TGID))
    return 0


def cpumask_create() -> u64:
    pool = load64(CPUMASKS)
    if pool == 0:
        return 0
    for index in range(_MOST_MASKS):
        mask = pool + _MASK_ROOM * index
        if load8(mask + _MASK_SIZE) == 0:
            store8(mask + _MASK_SIZE, 1)
            fill(mask, 0, _MASK_SIZE)
            grant(mask, _MASK_SIZE)
            store64(HELD_OBJECTS, load64(HELD_OBJECTS) + 1)
            return mask
    return 0


def cpumask_release(mask: u64) -> u64:
    revoke(mask, _MASK_SIZE)
    store8(mask + _MASK_SIZE, 0)
    store64(HELD_OBJECTS, load64(HELD_OBJECTS) - 1)
    return 0


def cpumask_set_cpu(cpu: u64, mask: u64) -> u64:
    at = cpu & _HALF
    if at < load32(CPUS):
        store8(mask + (at >> 3), load8(mask + (at >> 3)) | 1 << (at & 7))
    return 0


def cpumask_clear_cpu(cpu: u64, mask: u64) -> u64:
    at = cpu & _HALF
    if at < load32(CPUS):
        store8(mask + (at >> 3), load8(mask + (at >> 3)) & (255 ^ 1 << (at & 7)))
    return 0


def cpumask_test_cpu(cpu: u64, mask: u64) -> u64:
    at = cpu & _HALF
    if at >= load32(CPUS):
        return 0
    return load8(mask + (at >> 3)) >> (at & 7) & 1


def cpumask_clear(mask: u64) -> u64:
    fill(mask, 0, _MASK_SIZE)
    return 0


def cpumask_set_all(mask: u64) -> u64:
    for cpu in range(load32(CPUS)):
        cpumask_set_cpu(cpu, mask)
    return 0


def cpumask_weight(mask: u64) -> u64:
    total: u64 = 0
    for cpu in range(load32(CPUS)):
        total = total + cpumask_test_cpu(cpu, mask)
    return total


def cpumask_first(mask: u64) -> u64:
    for cpu in range(load32(CPUS)):
        if cpumask_test_cpu(cpu, mask) != 0:
            return cpu
    return load32(CPUS)


def cpumask_empty(mask: u64) -> u64:
    if cpumask_weight(mask) == 0:
        return 1
    return 0


def cpumask_full(mask: u64) -> u64:
    if cpumask_weight(mask) == load32(CPUS):
        return 1
    return 0
