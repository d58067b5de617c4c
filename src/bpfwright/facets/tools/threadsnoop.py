"""New threads (pthread_create): of whom, and the function that they begin with.

examples:
  bpfwright tool threadsnoop              every new thread
  bpfwright tool threadsnoop -p 181       of process 181
  bpfwright tool threadsnoop -j           as JSON
"""
from bpfwright.types import L, Struct, char, u32, u64
from bpfwright.facets.tools._stacks import user_name
from bpfwright.facets.tools._tool import Column, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import uprobe
from bpfwright.maps import RingBuf


class Created(Struct):
    at: u64
    pid: u32
    start: u64
    comm: char[L[16]]


threads = RingBuf[Created](size_bytes=1 << 22)


@uprobe.program("libc.so.6:pthread_create")
def created(ctx: uprobe.Context, thread: u64, attributes: u64, start: u64) -> None:
    if wanted():
        threads.emit(Created(now_ns(), pid(), start, current.comm))


TOOL = Rows(threads, [(created,), (created.on(uprobe.Symbol("libpthread.so.0", "pthread_create")),)], (
    Column("TIME(ms)", "<10d", lambda e: e.at // 1_000_000), Column("PID", "<7"), Column("COMM", "<16"),
    Column("FUNC", "", lambda e: user_name(e.pid, e.start))))
