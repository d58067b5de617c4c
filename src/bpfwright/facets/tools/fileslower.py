"""Reads and writes of files that take long, at least MIN_MS milliseconds.

examples:
  bpfwright tool fileslower             slower than 10 ms
  bpfwright tool fileslower 1           slower than 1 ms
  bpfwright tool fileslower -p 181 0    all of process 181
  bpfwright tool fileslower -a 100      pipes, sockets and devices too
"""
from bpfwright.types import Config, L, Struct, char, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import READS, WRITES, Registers, argument, call, native
from bpfwright.facets.tools._files import base_name, file_of, is_regular
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import tid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash, RingBuf


class Slow(Struct):
    at: u64
    took: u64
    bytes: u64
    tid: u32
    write: bool
    comm: char[L[16]]
    name: char[L[64]]


class Choice(Config):
    min_ns: u64 = 0
    all_files: bool = False


choice = Choice()
begun = LruHash[u32, u64](max_entries=10_240)
slow = RingBuf[Slow](size_bytes=1 << 22)


@raw_tracepoint.program("sys_enter")
def enter(ctx: raw_tracepoint.Context, regs: ptr[Registers], id: i64) -> None:
    if (u32(id) in READS or u32(id) in WRITES) and wanted():
        begun[current.tid] = now_ns()


@raw_tracepoint.program("sys_exit")
def leave(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    which = call(regs)
    if (which not in READS and which not in WRITES) or not native():
        return
    start = begun.pop(current.tid, None)
    if start is None or ret < 0 or now_ns() - start < choice.min_ns:
        return
    file = file_of(argument(regs, 0))
    if choice.all_files or is_regular(file.f_inode):
        slow.emit(Slow(now_ns(), now_ns() - start, u64(ret), tid(), which in WRITES, current.comm, base_name(file)))


TOOL = Rows(slow, (enter, leave), (
    Column("TIME(s)", "<9.3f", "@elapsed"), Column("COMM", "<16"), Column("TID", "<7"),
    Column("D", "<1", lambda e: "W" if e.write else "R"), Column("BYTES", "<7"),
    Column("LAT(ms)", ">7.2f", lambda e: e.took / 1e6), Column("FILENAME", of="name")),
    options=(Option("min_ms", "the least that is shown", 10.0),
             Option("-a, --all-files", "pipes, sockets and devices too")),
    config=lambda o: Choice(min_ns=int(o.min_ms * 1e6), all_files=o.all_files), rank="lat_ms")
