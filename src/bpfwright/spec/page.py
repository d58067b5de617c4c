"""Where things stand in the userspace machine's own page of memory, and in a map's header.

Engines, stores and helpers share these places; a program sees none of them.
"""
from __future__ import annotations

__all__ = ["CGROUP", "CHECKED", "CLOCK", "COMM", "CPU", "CPUS", "DESCENT", "FAULT", "FAULT_ADDRESS", "FAULT_SLOT",
           "PAGE", "PID_TGID", "RANDOM", "REDIRECT", "SHADOW", "STACK_LOW", "STACK_TOP", "TAIL_CALLS", "TASK",
           "UID_GID"]

PAGE = 0x1000
CPU, CPUS, CLOCK, RANDOM = PAGE, PAGE + 4, PAGE + 8, PAGE + 16  # 32 bits, 32 bits, ns, state
PID_TGID, UID_GID, COMM, CGROUP, TASK = PAGE + 24, PAGE + 32, PAGE + 40, PAGE + 56, PAGE + 64
FAULT, FAULT_SLOT, FAULT_ADDRESS, STACK_LOW = PAGE + 72, PAGE + 76, PAGE + 80, PAGE + 88
TAIL_CALLS, REDIRECT = PAGE + 96, PAGE + 104
CHECKED = PAGE + 128  # whether the run asks the shadow
STACK_TOP = PAGE + 120  # of the CPU that runs: the first frame stays granted
SHADOW = PAGE + 112  # where the shadow begins
DESCENT = PAGE + 0x200  # the bytes 255 to 0: the end of every object's shadow
