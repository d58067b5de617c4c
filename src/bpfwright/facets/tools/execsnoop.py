"""New programs: who started what, with which arguments.

A row for each exec when it returns; --fails shows those that failed too, with the path that was tried.

examples:
  bpfwright tool execsnoop             every new program
  bpfwright tool execsnoop -x          failed ones too
  bpfwright tool execsnoop -T          with the time of day
  bpfwright tool execsnoop -tU         with seconds since the first, and who it was
  bpfwright tool execsnoop -u 1000     of user 1000
  bpfwright tool execsnoop -n ssh      of programs with ssh in their name
  bpfwright tool execsnoop -l conf     with conf among the arguments
"""
from bpfwright.types import Config, L, Struct, array, char, i32, i64, ptr, u8, u32, u64
from bpfwright.facets.tools._calls import Registers, argument, call, native, number
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import parent, pid, wanted
from bpfwright.helpers import current, now_ns, user_bytes
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf


class Executed(Struct):
    at: u64
    pid: u32
    ppid: u32
    uid: u32
    ret: i32
    length: u32
    pcomm: char[L[16]]
    args: array[u8, L[512]]


class Choice(Config):
    fails: bool = False


choice = Choice()
executions = RingBuf[Executed](size_bytes=1 << 22)
EXECVE, EXECVEAT = number("execve"), number("execveat")


@raw_tracepoint.program("sys_exit")
def executed(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    which = call(regs)
    if (which != EXECVE and which != EXECVEAT) or (ret != 0 and not choice.fails) or not native() or not wanted():
        return
    start, length = current.task.mm.arg_start, current.task.mm.arg_end - current.task.mm.arg_start
    if ret != 0:
        start, length = argument(regs, 1) if which == EXECVEAT else argument(regs, 0), 256
    executions.emit(Executed(now_ns(), pid(), parent(), current.uid, i32(ret), u32(length), current.comm,
                             user_bytes(start, length, 512)))


def arguments(e: Executed) -> str:
    raw = bytes(e.args)[:e.length] if e.ret == 0 else bytes(e.args).partition(b"\0")[0]
    return raw.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace") + (" ..." if e.length > 512 else "")


TOOL = Rows(executions, (executed,), (
    Column("TIME", "<8", "@clock", "time"), Column("TIME(s)", "<8.3f", "@elapsed", "timestamp"),
    Column("UID", "<6", when="print_uid"), Column("PCOMM", "<16"), Column("PID", "<7"), Column("PPID", "<7"),
    Column("RET", ">3"), Column("ARGS", "", arguments)),
    options=(Option("-T, --time", "show the time of day"), Option("-t, --timestamp", "show seconds since the first"),
             Option("-x, --fails", "failed ones too"), Option("-U, --print-uid", "show who it was"),
             Option("-n, --name", "part of the program's name", ""), Option("-l, --line", "part of the arguments", "")),
    config=Choice, filters="pid uid comm cgroup",
    keep=lambda e, options: options.name in e.pcomm and options.line in arguments(e))
