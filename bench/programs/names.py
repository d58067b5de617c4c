"""Count system calls of processes by their name."""
from __future__ import annotations

from bpfwright import Struct, shared, u64
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint


class Calls(Struct):
    servers: u64
    workers: u64
    others: u64


calls = shared(Calls(0, 0, 0))


@raw_tracepoint.program("sys_enter", btf=False)
def counting(ctx: raw_tracepoint.Context) -> None:
    name = current.comm
    if name == "nginx":
        calls.servers += 1
    elif name.startswith("kworker/"):
        calls.workers += 1
    else:
        calls.others += 1
