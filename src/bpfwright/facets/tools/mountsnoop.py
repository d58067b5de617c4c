"""mount and umount: who, in which mount namespace, with which arguments and result.

examples:
  bpfwright tool mountsnoop            every call
  bpfwright tool mountsnoop -p 181     of process 181
  bpfwright tool mountsnoop -j         as JSON
"""
from bpfwright.types import L, Struct, char, i32, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, argument, call, native, number
from bpfwright.facets.tools._names import error_name, mount_flags
from bpfwright.facets.tools._tool import Column, Rows
from bpfwright.facets.tools._who import pid, tid, wanted
from bpfwright.helpers import current, user_text
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf


class Mounted(Struct):
    flags: u64
    pid: u32
    tid: u32
    namespace: u32
    ret: i32
    unmount: bool
    comm: char[L[16]]
    type: char[L[32]]
    source: char[L[128]]
    target: char[L[128]]
    data: char[L[64]]


mounts = RingBuf[Mounted](size_bytes=1 << 18)
MOUNT, UMOUNT = number("mount"), number("umount2")


@raw_tracepoint.program("sys_exit")
def mounted(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    which = call(regs)
    if which not in (MOUNT, UMOUNT) or not native() or not wanted():
        return
    space = current.task.nsproxy.mnt_ns.ns.inum
    if which == UMOUNT:
        mounts.emit(Mounted(argument(regs, 1), pid(), tid(), space, i32(ret), True, current.comm, "", "",
                            user_text(argument(regs, 0), 128), ""))
    else:
        mounts.emit(Mounted(argument(regs, 3), pid(), tid(), space, i32(ret), False, current.comm,
                            user_text(argument(regs, 2), 32), user_text(argument(regs, 0), 128),
                            user_text(argument(regs, 1), 128), user_text(argument(regs, 4), 64)))


def shown(e: Mounted) -> str:
    result = f"-{error_name(-e.ret)}" if e.ret < 0 else e.ret
    if e.unmount:
        return f'umount("{e.target}", {e.flags:#x}) = {result}'
    return f'mount("{e.source}", "{e.target}", "{e.type}", {mount_flags(e.flags)}, "{e.data}") = {result}'


TOOL = Rows(mounts, (mounted,), (
    Column("COMM", "<16"), Column("PID", "<7"), Column("TID", "<7"), Column("MNT_NS", "<11", "namespace"),
    Column("CALL", "", shown)))
