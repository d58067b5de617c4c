"""Operations on ext4 that take long: reads, writes, opens and syncs of at least MIN_MS milliseconds.

They are timed at their system calls, with all that the file system does for them.

examples:
  bpfwright tool ext4slower             slower than 10 ms
  bpfwright tool ext4slower 1           slower than 1 ms
  bpfwright tool ext4slower 0           all
  bpfwright tool ext4slower -p 181 1    of process 181
"""
from bpfwright.types import Config, L, Struct, char, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, call, native, operation
from bpfwright.facets.tools._ext4 import file_behind, is_ext4
from bpfwright.facets.tools._files import base_name
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash, RingBuf


class Slow(Struct):
    took: u64
    bytes: u64
    offset: i64
    pid: u32
    what: u32
    comm: char[L[16]]
    name: char[L[64]]


class Choice(Config):
    min_ns: u64 = 0


choice = Choice()
begun = LruHash[u32, u64](max_entries=10_240)
slow = RingBuf[Slow](size_bytes=1 << 22)


@raw_tracepoint.program("sys_enter")
def enter(ctx: raw_tracepoint.Context, regs: ptr[Registers], id: i64) -> None:
    if operation(u32(id)) != 0 and wanted():
        begun[current.tid] = now_ns()


@raw_tracepoint.program("sys_exit")
def leave(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    what = operation(call(regs))
    if what == 0 or not native():
        return
    start = begun.pop(current.tid, None)
    if start is None or ret < 0 or now_ns() - start < choice.min_ns:
        return
    file = file_behind(regs, what, ret)
    if is_ext4(file):
        moved = u64(ret) if what in (82, 87) else 0
        slow.emit(Slow(now_ns() - start, moved, file.f_pos - i64(moved), pid(), what, current.comm, base_name(file)))


TOOL = Rows(slow, (enter, leave), (
    Column("TIME", "<8", "@clock"), Column("COMM", "<16"), Column("PID", "<7"),
    Column("T", "<1", lambda e: chr(e.what)), Column("BYTES", "<7"),
    Column("OFF_KB", "<8d", lambda e: max(e.offset, 0) >> 10), Column("LAT(ms)", ">7.2f", lambda e: e.took / 1e6),
    Column("FILENAME", of="name")),
    options=(Option("min_ms", "the least that is shown", 10.0),), rank="lat_ms",
    config=lambda o: Choice(min_ns=int(o.min_ms * 1e6)))
