"""What a program asks of the machine it runs on: clock, randomness, CPU, the current task, cgroups and sockets."""
from __future__ import annotations

from bpfwright.spec.memory import copy, fill, load32, load64, store64
from bpfwright.spec.page import (ANCESTORS, ATTACH_COOKIE, CGROUP, CLOCK, COMM, CPU, FUNCTION_ADDRESS, JIFFY_NS,
                                 PID_TGID, RANDOM, SOCKET_COOKIE, SOCKET_UID, TASK, UID_GID)
from bpfwright.types import i64, u64

__all__ = ["ancestor_cgroup", "attach_cookie", "cgroup", "comm", "cpu", "function_address", "jiffies", "ktime", "no",
           "no_entry", "not_valid", "pid_tgid", "random", "same", "skb_ancestor_cgroup", "socket_cookie", "socket_uid",
           "task", "uid_gid"]

_MOST_ANCESTORS = 16


def ktime() -> u64:
    """Virtual time: what the run's owner set it to, and a nanosecond more at each look, so that it moves on."""
    now = load64(CLOCK)
    store64(CLOCK, now + 1)
    return now


def jiffies() -> u64:
    return load64(CLOCK) // JIFFY_NS


def random() -> u64:
    """SplitMix64's stream from the machine's seed, its upper half."""
    state = (load64(RANDOM) + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    store64(RANDOM, state)
    mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return (mixed ^ (mixed >> 31)) >> 32


def cpu() -> u64:
    return load32(CPU)


def no() -> u64:
    """Of what has nothing to do here (locks), or is always the first (NUMA nodes)."""
    return 0


def same(value: u64) -> u64:
    """Of what gives its argument: per-CPU variables, of which there is one."""
    return value


def not_valid() -> i64:
    return -22


def no_entry() -> i64:
    return -2


def pid_tgid() -> u64:
    return load64(PID_TGID)


def uid_gid() -> u64:
    return load64(UID_GID)


def task() -> u64:
    return load64(TASK)


def attach_cookie(ctx: u64) -> u64:
    return load64(ATTACH_COOKIE)


def function_address(ctx: u64) -> u64:
    return load64(FUNCTION_ADDRESS)


def socket_cookie(ctx: u64) -> u64:
    return load64(SOCKET_COOKIE)


def socket_uid(ctx: u64) -> u64:
    return load64(SOCKET_UID)


def cgroup() -> u64:
    return load64(CGROUP)


def ancestor_cgroup(level: u64) -> u64:
    """The ancestor so far from the root, or the cgroup itself at its own level; 0 below it."""
    if level >= _MOST_ANCESTORS:
        return 0
    found = load64(ANCESTORS + 8 * level)
    if found == 0 and (level == 0 or load64(ANCESTORS + 8 * level - 8) != 0):
        return load64(CGROUP)
    return found


def skb_ancestor_cgroup(skb: u64, level: u64) -> u64:
    return ancestor_cgroup(level & 0xFFFFFFFF)


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
