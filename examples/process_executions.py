"""Every program that is started, by whom: `sudo bpfwright run process_executions.py`."""
from bpfwright import L, Struct, char, u32
from bpfwright.helpers import current
from bpfwright.hooks import tracepoint
from bpfwright.maps import RingBuf


class sched_process_exec(tracepoint.Fields, event="sched:sched_process_exec"):
    filename: char[L[128]]  # of the kernel's event, the field that is used; checked when it is attached


class Executed(Struct):
    pid: u32
    parent: u32
    uid: u32
    comm: char[L[16]]
    filename: char[L[128]]


executions = RingBuf[Executed](size_bytes=1 << 20)


@tracepoint.program
def executed(ctx: sched_process_exec) -> None:
    parent = u32(current.task.real_parent.tgid)  # a kernel struct, read where this kernel has its fields
    executions.emit(Executed(current.pid, parent, current.uid, current.comm, ctx.filename))
