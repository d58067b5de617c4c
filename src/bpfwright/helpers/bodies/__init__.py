"""How helpers behave in the userspace machine, in the dialect: functions of up to five words that give one.

They work on the machine's memory through `spec.memory`; its own page is at 0x1000 (userspace/arena.py says what stands
where). Helpers that call back into a program (tail calls, loops, timers) belong to the engines.
"""
from __future__ import annotations

__all__ = ["BODIES", "KERNEL_FUNCTIONS"]

BODIES: dict[int, str] = {
    5: "machine:ktime", 7: "machine:random", 8: "machine:cpu", 14: "machine:pid_tgid", 15: "machine:uid_gid",
    16: "machine:comm", 125: "machine:ktime", 160: "machine:ktime",
    26: "packets:skb_load_bytes", 44: "packets:xdp_adjust_head", 65: "packets:xdp_adjust_tail",
}
"""`file:function` by helper number."""

KERNEL_FUNCTIONS: dict[str, str] = {
    "bpf_iter_num_new": "iterators:new", "bpf_iter_num_next": "iterators:next_number",
    "bpf_iter_num_destroy": "iterators:destroy",
}
"""`file:function` by the name of a kernel function."""
