"""What a program asks of the machine it runs on: clock, randomness, CPU, the current task."""
from __future__ import annotations

from bpfwright.spec.memory import copy, fill, load32, load64, store64
from bpfwright.spec.page import CLOCK, COMM, CPU, PID_TGID, RANDOM, UID_GID
from bpfwright.types import i64, u64

__all__ = ["comm", "cpu", "ktime", "pid_tgid", "random", "uid_gid"]


def ktime() -> u64:
    """Virtual time: what the run's owner set it to, and a nanosecond more at each look, so that it moves on."""
    now = load64(CLOCK)
    store64(CLOCK, now + 1)
    return now


def random() -> u64:
    """SplitMix64's stream from the machine's seed, its upper half."""
    state = load64(RANDOM) + 0x9E3779B97F4A7C15
    store64(RANDOM, state)
    mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB
    return (mixed ^ (mixed >> 31)) >> 32


def cpu() -> u64:
    return load32(CPU)


def pid_tgid() -> u64:
    return load64(PID_TGID)


def uid_gid() -> u64:
    return load64(UID_GID)


def comm(out: u64, size: u64) -> i64:
    """The task's name, cut to the room given, with a zero at its end."""
    if size == 0:
        return -22
    if size <= 16:
        copy(out, COMM, size)
        fill(out + size - 1, 0, 1)
    else:
        copy(out, COMM, 16)
        fill(out + 16, 0, size - 16)
    return 0
