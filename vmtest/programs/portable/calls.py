"""A raw tracepoint that counts system calls by number, by what a Config says."""
from __future__ import annotations

from bpfwright import Config, u32, u64
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import PerCpuHash


class Limits(Config):
    only: u32 = 0
    deep: bool = False


limits = Limits()
calls = PerCpuHash[u64, u64](max_entries=1024)


@raw_tracepoint.program("sys_enter", btf=False)
def count(ctx: raw_tracepoint.Context, registers: u64, number: u64) -> None:
    if limits.only != 0 and current.pid != limits.only:
        return
    if limits.deep:
        calls.increment(registers)
    calls.increment(number)
