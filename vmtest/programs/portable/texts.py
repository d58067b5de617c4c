"""A uprobe and a uretprobe, user memory and stacks."""
from __future__ import annotations

from bpfwright import L, Struct, char, u32, u64
from bpfwright.helpers import current
from bpfwright.hooks import uprobe
from bpfwright.maps import Hash, RingBuf, StackTrace
from bpfwright.types import User, UserStr


class Plain(Struct):
    pid: u32
    data: char[L[200]]


texts = RingBuf[Plain](size_bytes=1 << 16)
stacks = StackTrace(max_entries=1024)
hits = Hash[u32, u64](max_entries=64)


@uprobe.program("libc.so.6:puts")
def put(ctx: uprobe.Context, text: UserStr) -> None:
    found = text.read(200)
    if found is not None:
        texts.emit(Plain(current.pid, found))
    stack = stacks.capture(ctx, user=True)
    if stack is not None:
        hits.increment(stack)


@uprobe.exit("libc.so.6:puts")
def did(ctx: uprobe.Context, result: u64) -> None:
    hits.increment(u32(result))


@uprobe.program("libc.so.6:gettimeofday")
def time(ctx: uprobe.Context, where: User[u64]) -> None:
    value = where.read()
    if value is not None:
        hits.increment(u32(value))
