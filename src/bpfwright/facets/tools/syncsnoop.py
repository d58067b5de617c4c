"""Calls that make data safe: sync, syncfs, fsync, fdatasync, msync, sync_file_range.

examples:
  bpfwright tool syncsnoop              every call
  bpfwright tool syncsnoop -p 181       of process 181
"""
from bpfwright.types import L, Struct, char, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, name_of, native, number
from bpfwright.facets.tools._tool import Column, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf


class Synced(Struct):
    at: u64
    pid: u32
    which: u32
    comm: char[L[16]]


syncs = RingBuf[Synced](size_bytes=1 << 18)
SYNCS = tuple(map(number, ("sync", "syncfs", "fsync", "fdatasync", "msync", "sync_file_range")))


@raw_tracepoint.program("sys_enter")
def synced(ctx: raw_tracepoint.Context, regs: ptr[Registers], id: i64) -> None:
    if u32(id) in SYNCS and native() and wanted():
        syncs.emit(Synced(now_ns(), pid(), u32(id), current.comm))


TOOL = Rows(syncs, (synced,), (
    Column("TIME(s)", "<18.9f", lambda e: e.at / 1e9), Column("PID", "<7"), Column("COMM", "<16"),
    Column("CALL", "", lambda e: name_of(e.which))))
