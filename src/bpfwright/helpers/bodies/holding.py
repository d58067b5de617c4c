"""What a program takes and has to give back: locks, sockets, objects, sections; counted, so that the end of a run tells
what is still held. Records of rings count themselves (maps/stores/ringbuf.py)."""
from __future__ import annotations

from bpfwright.spec.memory import load64, store64
from bpfwright.spec.page import (HELD_INTERRUPTS, HELD_LOCKS, HELD_OBJECTS, HELD_PREEMPTION, HELD_RCU, HELD_SOCKETS,
                                 SOCKET)
from bpfwright.types import u64

__all__ = ["acquire", "lock", "release", "release_socket", "restore_interrupts", "save_interrupts", "socket",
           "start_preemption", "start_rcu", "stop_preemption", "stop_rcu", "unlock"]


def lock(place: u64) -> u64:
    store64(HELD_LOCKS, load64(HELD_LOCKS) + 1)
    return 0


def unlock(place: u64) -> u64:
    store64(HELD_LOCKS, load64(HELD_LOCKS) - 1)
    return 0


def socket() -> u64:
    """The socket that every look-up finds; the machine says whether there is one."""
    found = load64(SOCKET)
    if found != 0:
        store64(HELD_SOCKETS, load64(HELD_SOCKETS) + 1)
    return found


def release_socket(given: u64) -> u64:
    store64(HELD_SOCKETS, load64(HELD_SOCKETS) - 1)
    return 0


def acquire(thing: u64) -> u64:
    """A kernel object, once more."""
    if thing != 0:
        store64(HELD_OBJECTS, load64(HELD_OBJECTS) + 1)
    return thing


def release(thing: u64) -> u64:
    store64(HELD_OBJECTS, load64(HELD_OBJECTS) - 1)
    return 0


def start_rcu() -> u64:
    store64(HELD_RCU, load64(HELD_RCU) + 1)
    return 0


def stop_rcu() -> u64:
    store64(HELD_RCU, load64(HELD_RCU) - 1)
    return 0


def stop_preemption() -> u64:
    store64(HELD_PREEMPTION, load64(HELD_PREEMPTION) + 1)
    return 0


def start_preemption() -> u64:
    store64(HELD_PREEMPTION, load64(HELD_PREEMPTION) - 1)
    return 0


def save_interrupts(flags: u64) -> u64:
    store64(HELD_INTERRUPTS, load64(HELD_INTERRUPTS) + 1)
    return 0


def restore_interrupts(flags: u64) -> u64:
    store64(HELD_INTERRUPTS, load64(HELD_INTERRUPTS) - 1)
    return 0
