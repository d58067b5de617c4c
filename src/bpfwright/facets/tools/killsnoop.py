"""Signals that processes send with kill, tkill and tgkill: who, which, to whom, and what came of it.

examples:
  bpfwright tool killsnoop              every signal
  bpfwright tool killsnoop -x           those that failed
  bpfwright tool killsnoop -p 181       sent by process 181
  bpfwright tool killsnoop -s 9         SIGKILL only
"""
from bpfwright.types import Config, L, Struct, char, i32, i64, ptr, u32
from bpfwright.facets.tools._calls import Registers, argument, call, native, number
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf


class Sent(Struct):
    pid: u32
    sig: u32
    tpid: i32
    result: i32
    comm: char[L[16]]


class Choice(Config):
    failed: bool = False
    signal: u32 = 0


choice = Choice()
signals = RingBuf[Sent](size_bytes=1 << 22)
TGKILL, KILLS = number("tgkill"), (number("kill"), number("tkill"), number("tgkill"))


@raw_tracepoint.program("sys_exit")
def sent(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    which = call(regs)
    if which not in KILLS or (choice.failed and ret >= 0) or not native() or not wanted():
        return
    sig = u32(argument(regs, 2) if which == TGKILL else argument(regs, 1))
    if choice.signal == 0 or sig == choice.signal:
        to = argument(regs, 1) if which == TGKILL else argument(regs, 0)
        signals.emit(Sent(pid(), sig, i32(to), i32(ret), current.comm))


TOOL = Rows(signals, (sent,), (
    Column("TIME", "<8", "@clock"), Column("PID", "<7"), Column("COMM", "<16"), Column("SIG", "<4"),
    Column("TPID", "<7"), Column("RESULT")),
    options=(Option("-x, --failed", "failures only"), Option("-s, --signal", "this signal only", 0)), config=Choice)
