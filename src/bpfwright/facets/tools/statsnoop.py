"""Calls of stat and its kin: which paths processes look at, and what came of it.

stat, lstat, newfstatat, statx, statfs and access; FD is 0, or -1 and the error.

examples:
  bpfwright tool statsnoop              every call
  bpfwright tool statsnoop -t           with seconds since the first
  bpfwright tool statsnoop -x           those that failed
  bpfwright tool statsnoop -p 181       of process 181
"""
from bpfwright.types import Config, L, Struct, char, i32, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, argument, call, native, number
from bpfwright.facets.tools._tool import SINCE, Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns, user_text
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf


class Looked(Struct):
    at: u64
    pid: u32
    ret: i32
    comm: char[L[16]]
    path: char[L[256]]


class Choice(Config):
    failed: bool = False


choice = Choice()
looks = RingBuf[Looked](size_bytes=1 << 22)
FIRST = tuple(map(number, ("stat", "lstat", "statfs", "access")))
SECOND = tuple(map(number, ("newfstatat", "statx", "faccessat", "faccessat2")))


@raw_tracepoint.program("sys_exit")
def looked(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    which = call(regs)
    if (which not in FIRST and which not in SECOND) or (choice.failed and ret >= 0) or not native() or not wanted():
        return
    path = argument(regs, 0) if which in FIRST else argument(regs, 1)
    looks.emit(Looked(now_ns(), pid(), i32(ret), current.comm, user_text(path, 256)))


TOOL = Rows(looks, (looked,), (
    Column("TIME(s)", "<13.9f", "@elapsed", "timestamp"), Column("PID", "<7"), Column("COMM", "<16"),
    Column("FD", ">4d", lambda e: max(e.ret, -1)), Column("ERR", ">3d", lambda e: max(-e.ret, 0)), Column("PATH")),
    options=(SINCE, Option("-x, --failed", "failures only")), config=Choice)
