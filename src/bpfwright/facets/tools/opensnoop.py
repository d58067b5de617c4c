"""Files that processes open, and what came of it.

A row for each open, openat, openat2 and creat when it returns: the descriptor, or -1 and the error. The path is as the
process gave it, read when the call returns.

examples:
  bpfwright tool opensnoop                all opens, as they happen
  bpfwright tool opensnoop -T             with seconds since the first
  bpfwright tool opensnoop -x             only those that failed
  bpfwright tool opensnoop -p 181         of process 181
  bpfwright tool opensnoop -d 10          for ten seconds
  bpfwright tool opensnoop -n main        of threads with main in their name
  bpfwright tool opensnoop -F             whole paths, where they were given from a folder
  bpfwright tool opensnoop -e --cgroup /system.slice/nginx.service
"""
from bpfwright.types import Config, L, Struct, char, i32, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import Registers, argument, call, native, number
from bpfwright.facets.tools._files import HERE, keep_folder, whole_path
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid, tid, wanted
from bpfwright.helpers import current, now_ns, user_text, user_word
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import RingBuf


class Open(Struct):
    at: u64
    pid: u32
    tid: u32
    uid: u32
    flags: u32
    ret: i32
    comm: char[L[16]]
    path: char[L[256]]


class Choice(Config):
    failed: bool = False
    full_path: bool = False


choice = Choice()
opens = RingBuf[Open](size_bytes=1 << 22)
SLASH = 0x2F
OPENS, AT = tuple(map(number, ("open", "creat", "openat", "openat2"))), (number("openat"), number("openat2"))


@raw_tracepoint.program("sys_exit")
def returned(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    if call(regs) not in OPENS:
        return
    if (choice.failed and ret >= 0) or not native() or not wanted():
        return
    path, flags, folder, now = argument(regs, 0), u32(argument(regs, 1)), u32(HERE), now_ns()
    if call(regs) in AT:
        path, flags, folder = argument(regs, 1), u32(argument(regs, 2)), u32(argument(regs, 0))
    if choice.full_path and user_word(path) & 0xFF != SLASH:
        keep_folder(now, folder)
    opens.emit(Open(now, pid(), tid(), current.uid, flags, i32(ret), current.comm, user_text(path, 256)))


TOOL = Rows(opens, (returned,), (
    Column("TIME(s)", "<13.9f", "@elapsed", "timestamp"), Column("UID", "<6", when="print_uid"), Column("PID", "<7"),
    Column("COMM", "<16"), Column("FD", ">4d", lambda o: max(o.ret, -1)),
    Column("ERR", ">3d", lambda o: max(-o.ret, 0)),
    Column("FLAGS", "<8", lambda o: f"{o.flags:08o}", "extended_fields"),
    Column("PATH", when="!full_path"), Column("PATH", "", "@path", "full_path")),
    options=(Option("-T, --timestamp", "show seconds since the first"), Option("-U, --print-uid", "show who it was"),
             Option("-x, --failed", "only opens that failed"), Option("-n, --name", "part of the thread's name", ""),
             Option("-e, --extended-fields", "show the flags"), Option("-F, --full-path", "whole paths"),
             Option("-b, --buffer-pages", "pages of the ring, a power of two", 1024)),
    cells={"@path": whole_path},
    config=Choice, filters="pid tid uid comm cgroup", keep=lambda o, options: options.name in o.comm)
