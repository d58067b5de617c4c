"""A sampling profile by kernel stack and thread name."""
from __future__ import annotations

from bpfwright import L, Struct, char, u32, u64
from bpfwright.helpers import current
from bpfwright.hooks import perf_event
from bpfwright.maps import Hash, StackTrace


class Where(Struct):
    comm: char[L[16]]
    stack: u32


stacks = StackTrace(max_entries=1024)
samples = Hash[Where, u64](max_entries=1024)


@perf_event.program
def sample(ctx: perf_event.Context) -> None:
    stack = stacks.capture(ctx)
    if stack is not None:
        samples.increment(Where(current.comm, stack))
