"""Changes of user: setuid, setreuid, setresuid and setfsuid, with arguments and result.

examples:
  bpfwright tool setuids              every call
  bpfwright tool setuids -p 181       of process 181
  bpfwright tool setuids --comm sudo  of sudo
"""
from bpfwright.types import L, Struct, char, i32, i64, ptr, u32
from bpfwright.facets.tools._calls import Registers, argument, call, name_of, native, number
from bpfwright.facets.tools._tool import Column, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf


class Changed(Struct):
    pid: u32
    uid: u32
    which: u32
    ret: i32
    first: i32
    second: i32
    third: i32
    comm: char[L[16]]


changes = RingBuf[Changed](size_bytes=1 << 22)
ARGUMENTS = {"setuid": 1, "setreuid": 2, "setresuid": 3, "setfsuid": 1}
SETUIDS = tuple(map(number, ARGUMENTS))


@raw_tracepoint.program("sys_exit")
def changed(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    which = call(regs)
    if which in SETUIDS and native() and wanted():
        changes.emit(Changed(pid(), current.uid, which, i32(ret), i32(argument(regs, 0)), i32(argument(regs, 1)),
                             i32(argument(regs, 2)), current.comm))


def arguments(e: Changed) -> str:
    return ", ".join(map(str, (e.first, e.second, e.third)[:ARGUMENTS[name_of(e.which)]]))


TOOL = Rows(changes, (changed,), (
    Column("TIME", "<8", "@clock"), Column("PID", "<7"), Column("COMM", "<16"), Column("UID", "<6"),
    Column("SYSCALL", "<10", lambda e: name_of(e.which)), Column("ARGS", "<20", arguments), Column("RET")))
