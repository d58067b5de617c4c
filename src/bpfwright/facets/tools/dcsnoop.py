"""Names that are looked up in the directory cache: misses (M), and with -a all references (R).

It needs fentry (Linux 5.5): no tracepoint tells.

examples:
  bpfwright tool dcsnoop              names that were not cached
  bpfwright tool dcsnoop -a           all names
  bpfwright tool dcsnoop -p 181       of process 181
"""
from bpfwright.types import Config, L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, kernel_text, now_ns
from bpfwright.hooks import fentry
from bpfwright.maps import RingBuf
from bpfwright.vmlinux import nameidata


class Looked(Struct):
    at: u64
    pid: u32
    missed: u32
    comm: char[L[16]]
    file: char[L[64]]


class Choice(Config):
    references: bool = False


choice = Choice()
looks = RingBuf[Looked](size_bytes=1 << 22)


@fentry.exit("lookup_fast")
def looked(ctx: fentry.Context, nd: ptr[nameidata], ret: u64) -> None:
    if (ret == 0 or choice.references) and wanted():
        looks.emit(Looked(now_ns(), pid(), u32(ret == 0), current.comm, kernel_text(nd.last.name, 64)))


TOOL = Rows(looks, [(looked,)], (
    Column("TIME(s)", "<11.6f", "@elapsed"), Column("PID", "<7"), Column("COMM", "<16"),
    Column("T", "<1", lambda e: "M" if e.missed else "R"), Column("FILE")),
    options=(Option("-a, --references", "all references, not only misses"),), config=Choice)
