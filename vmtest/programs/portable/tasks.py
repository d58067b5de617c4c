"""An iterator over tasks."""
from __future__ import annotations

from bpfwright import L, Struct, char, u32
from bpfwright.hooks import iterator


class Row(Struct):
    pid: u32
    comm: char[L[16]]


@iterator.program
def tasks(ctx: iterator.Task) -> None:
    task = ctx.task
    if task is None:
        return
    ctx.write(Row(task.tgid, task.comm))
