"""Where things stand in the userspace machine's own page of memory, and in a map's header.

Engines, stores and helpers share these places; a program sees none of them.
"""
from __future__ import annotations

__all__ = ["ANCESTORS", "ATTACH_COOKIE", "ATTACH_TYPE", "CGROUP", "CHECKED", "CLOCK", "COMM", "CONTEXT", "CPU",
           "CPUMASKS", "CPUS", "DESCENT", "FAULT", "FAULT_ADDRESS", "FAULT_SLOT", "FUNCTION_ADDRESS",
           "HELD_INTERRUPTS", "HELD_ITERATORS", "HELD_LOCKS", "HELD_OBJECTS", "HELD_PREEMPTION", "HELD_RCU",
           "HELD_RECORDS", "HELD_SOCKETS", "JIFFY_NS", "PAGE", "PID_TGID", "PROGRAM", "RANDOM", "REDIRECT",
           "REDIRECT_FLAGS", "REDIRECT_MAP", "RETVAL", "SECRET",
           "SHADOW", "SOCKET", "SOCKET_COOKIE", "SOCKET_UID", "STACK_LOW", "STACK_TOP", "TAIL_CALLS", "TASK", "TASKS",
           "UID_GID"]

PAGE = 0x1000
CPU, CPUS, CLOCK, RANDOM = PAGE, PAGE + 4, PAGE + 8, PAGE + 16  # 32 bits, 32 bits, ns, state
PID_TGID, UID_GID, COMM, CGROUP, TASK = PAGE + 24, PAGE + 32, PAGE + 40, PAGE + 56, PAGE + 64
FAULT, FAULT_SLOT, FAULT_ADDRESS, STACK_LOW = PAGE + 72, PAGE + 76, PAGE + 80, PAGE + 88
TAIL_CALLS, REDIRECT = PAGE + 96, PAGE + 104
PROGRAM = PAGE + 128  # the bpf_prog_type of what runs
ANCESTORS = PAGE + 136  # 16 cgroup ids, from the root down
SOCKET_COOKIE, SOCKET_UID, ATTACH_COOKIE, ATTACH_TYPE = PAGE + 264, PAGE + 272, PAGE + 280, PAGE + 288
REDIRECT_MAP, REDIRECT_FLAGS = PAGE + 296, PAGE + 304  # REDIRECT holds the helper's number and the target
TASKS, CPUMASKS, RETVAL = PAGE + 368, PAGE + 376, PAGE + 384
CONTEXT, SECRET = PAGE + 352, PAGE + 360  # of the run; what maps are known by
FUNCTION_ADDRESS = PAGE + 312  # 320: four bytes that are a key for a moment
JIFFY_NS = 4_000_000  # CONFIG_HZ=250
CHECKED = PAGE + 328  # whether the run asks the shadow
STACK_TOP = PAGE + 120  # of the CPU that runs: the first frame stays granted
SHADOW = PAGE + 112  # where the shadow begins
SOCKET = PAGE + 392  # what look-ups of sockets find, or 0
# What a run took and did not give back, by kind: counts.
HELD_RECORDS, HELD_SOCKETS, HELD_LOCKS, HELD_OBJECTS = PAGE + 400, PAGE + 408, PAGE + 416, PAGE + 424
HELD_ITERATORS, HELD_RCU, HELD_PREEMPTION, HELD_INTERRUPTS = PAGE + 432, PAGE + 440, PAGE + 448, PAGE + 456
DESCENT = PAGE + 0x200  # the bytes 255 to 0: the end of every object's shadow
