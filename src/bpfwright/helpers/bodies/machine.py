"""What a program asks of the machine it runs on: clock, randomness, CPU, the current task."""
from __future__ import annotations

from bpfwright.spec.memory import copy, fill, load32, load64, store64
from bpfwright.types import i64, u64

__all__ = ["comm", "cpu", "ktime", "pid_tgid", "random", "uid_gid"]

_CPU, _CLOCK, _RANDOM, _PID_TGID, _UID_GID, _COMM = 0x1000, 0x1008, 0x1010, 0x1018, 0x1020, 0x1028


def ktime() -> u64:
    """Virtual time: what the run's owner set it to, and a nanosecond more at each look, so that it moves on."""
    now = load64(_CLOCK)
    store64(_CLOCK, now + 1)
    return now


def random() -> u64:
    """SplitMix64's stream from the machine's seed, its upper half."""
    state = load64(_RANDOM) + 0x9E3779B97F4A7C15
    store64(_RANDOM, state)
    mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB
    return (mixed ^ (mixed >> 31)) >> 32


def cpu() -> u64:
    return load32(_CPU)


def pid_tgid() -> u64:
    return load64(_PID_TGID)


def uid_gid() -> u64:
    return load64(_UID_GID)


def comm(out: u64, size: u64) -> i64:
    """The task's name, cut to the room given, with a zero at its end."""
    if size == 0:
        return -22
    if size <= 16:
        copy(out, _COMM, size)
        fill(out + size - 1, 0, 1)
    else:
        copy(out, _COMM, 16)
        fill(out + 16, 0, size - 16)
    return 0
