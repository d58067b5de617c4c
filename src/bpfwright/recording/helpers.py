"""What of a helper's doing comes from the world outside of the program, and so has to be kept."""
from __future__ import annotations

__all__ = ["ALONE", "GATES", "PROGRAM_TYPES", "STACK_ID", "WORLD", "WORLD_FUNCTIONS"]

_Room = tuple[int, int]  # the register with an address, and that with a size (negative: so many bytes)

WORLD: dict[int, _Room | None] = {
    4: (1, 2), 5: None, 7: None, 8: None, 14: None, 15: None, 16: (1, 2), 22: None, 33: None, 34: None, 35: None,
    37: None, 42: None, 45: (1, 2), 46: None, 47: None, 55: (3, 4), 56: (2, 3), 57: (4, 5), 67: (2, 3), 69: (2, 3),
    79: None, 80: None, 83: None, 84: None, 85: None, 86: None, 95: None, 96: None, 98: None,
    99: None, 101: (2, 3), 102: (2, 3), 103: (2, 3), 112: (1, 2), 113: (1, 2), 114: (1, 2), 115: (1, 2), 118: None,
    120: (3, 4), 122: None, 123: None, 124: None, 125: None, 128: None, 129: None, 136: None, 137: None,
    138: None, 139: None, 140: None, 141: (2, 3), 147: (2, 3), 148: (1, 2), 153: None, 154: None, 158: None,
    160: None, 162: None, 173: None, 174: None, 175: None, 178: None, 183: (3, -8),
    184: (2, -8), 185: None, 186: None, 191: (1, 2), 196: None, 208: None,
}
"""By number: where a helper writes what it found, besides r0. None: r0 is all."""
GATES = frozenset((130, 131))
"""Room in a ring, which was there or not: whether it was is kept, and the rest done again."""
STACK_ID = 27
"""bpf_get_stackid(): its number is kept, with the addresses that user space finds in the map under it."""
ALONE: dict[int, str] = {
    12: "tail calls: each program's part of a run would have to be told apart",
    169: "timers: their functions run by themselves", 170: "timers: their functions run by themselves",
    171: "timers: their functions run by themselves", 172: "timers: their functions run by themselves",
    197: "dynptrs over memory of the kernel", 200: "dynptrs over rings", 209: "records that user space sends",
}
"""Helpers that recording does not know how to follow, and why."""
WORLD_FUNCTIONS: dict[str, int] = {
    "bpf_task_from_pid": 1, "bpf_task_from_vpid": 1, "bpf_task_acquire": 1, "bpf_task_release": 1,
    "bpf_cgroup_acquire": 1, "bpf_cgroup_release": 1, "bpf_cgroup_from_id": 1, "bpf_cgroup_ancestor": 2,
    "bpf_cast_to_kern_ctx": 1, "bpf_rdonly_cast": 2,
}
"""Kernel functions whose result alone is kept, and how many arguments they take."""
PROGRAM_TYPES = frozenset((1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 15, 17, 18, 23, 26, 29, 30))
"""bpf_prog_type of programs whose context can be kept."""
