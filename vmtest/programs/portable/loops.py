"""Long loops: what the oldest kernel cannot do is said by name, `--target here` takes the kernel's own way."""
from __future__ import annotations

from bpfwright import Struct, shared, u64
from bpfwright.hooks import socket_filter


class Sum(Struct):
    value: u64


total = shared(Sum(0))


@socket_filter.program
def add(ctx: socket_filter.Context) -> int:
    n: u64 = 0
    for i in range(ctx.length % 64):
        n += i
    total.value = n
    return 0
