"""Reads and writes of files by process and file, as top does.

Bytes of read, pread64, readv, write, pwrite64, writev and their kin, by thread (-p: of one process); T is R for a
regular file, S for a socket, O for anything else, which -a shows too.

examples:
  bpfwright tool filetop               each second, 20 rows
  bpfwright tool filetop -C 5          each five seconds, without clearing the screen
  bpfwright tool filetop -r 5          five rows
  bpfwright tool filetop -s wbytes     most written first
  bpfwright tool filetop -a 1 3        pipes and devices too, three times
"""
from bpfwright.types import Config, L, Struct, char, i64, ptr, u32, u64
from bpfwright.facets.tools._calls import READS, WRITES, Registers, argument, call, native
from bpfwright.facets.tools._files import base_name, file_of
from bpfwright.facets.tools._sums import Traffic, carry
from bpfwright.facets.tools._tool import Column, Option, Table
from bpfwright.facets.tools._who import tid, wanted
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash


class Opened(Struct):
    inode: u64
    tid: u32
    kind: u32
    comm: char[L[16]]
    name: char[L[64]]


class Choice(Config):
    all_files: bool = False


choice = Choice()
traffic = Hash[Opened, Traffic](max_entries=10_240)


@raw_tracepoint.program("sys_exit")
def moved(ctx: raw_tracepoint.Context, regs: ptr[Registers], ret: i64) -> None:
    which = call(regs)
    if (which not in READS and which not in WRITES) or ret < 0 or not native() or not wanted():
        return
    file = file_of(argument(regs, 0))
    kind = u32(file.f_inode.i_mode) >> 12
    if kind != 8 and not choice.all_files:
        return
    key = Opened(file.f_inode.i_ino, tid(), kind, current.comm, base_name(file))
    carry(traffic, key, which in WRITES, u64(ret))


TOOL = Table(
    traffic, (moved,), (
        Column("TID", "<7"), Column("COMM", "<16"), Column("READS", "<6"), Column("WRITES", "<6"),
        Column("R_Kb", "<7d", lambda e: e.rbytes >> 10), Column("W_Kb", "<7d", lambda e: e.wbytes >> 10),
        Column("T", "<1", lambda e: {8: "R", 12: "S"}.get(e.kind, "O")), Column("FILE", of="name")),
    options=(Option("-a, --all-files", "pipes, sockets and devices too"),
             Option("-C, --noclear", "do not clear the screen"),
             Option("-r, --maxrows", "rows at most", 20),
             Option("-s, --sort", "largest first of", "rbytes", ("reads", "writes", "rbytes", "wbytes"))),
    sort=lambda o: o.sort, screen=True, each=1.0, config=Choice)
