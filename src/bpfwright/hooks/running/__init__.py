"""How the userspace machine runs a program of each hook: its context laid out in the machine's memory, one file each.

A file has `TYPES` (numbers of bpf_prog_type) and a class `Stage(arena, data, context, type)`, which lays out packet
and context as the kernel's BPF_PROG_TEST_RUN does, and says what stands there afterwards (_stage.py).
"""
from __future__ import annotations

__all__ = ["FILES"]

FILES: dict[int, str] = {
    1: "skb", 2: "record", 3: "skb", 4: "skb", 5: "record", 6: "xdp", 7: "record", 8: "skb", 9: "written",
    13: "written", 15: "written", 17: "record", 18: "written", 22: "flow", 23: "written", 25: "written",
    26: "record", 29: "record", 30: "written", 31: "written",
}
"""The file of each bpf_prog_type; a test holds it against the files' own `TYPES`."""
