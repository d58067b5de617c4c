"""How the userspace machine runs a program of each hook: its context laid out in the machine's memory, one file each.

A file has `TYPES` (numbers of bpf_prog_type) and a class `Stage(arena, data, context, type)`, which lays out packet
and context as the kernel's BPF_PROG_TEST_RUN does, and says what stands there afterwards (_stage.py).
"""
from __future__ import annotations

__all__ = ["FILES"]

FILES: dict[int, str] = {6: "xdp", 1: "skb", 3: "skb", 4: "skb", 8: "skb", 5: "record", 7: "record", 17: "record",
                         26: "record"}
"""The file of each bpf_prog_type; a test holds it against the files' own `TYPES`."""
