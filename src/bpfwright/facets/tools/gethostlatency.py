"""How long name look-ups take: getaddrinfo, gethostbyname and gethostbyname2 of the C library.

examples:
  bpfwright tool gethostlatency              every look-up
  bpfwright tool gethostlatency -p 181       of process 181
  bpfwright tool gethostlatency --top 5      the five slowest, at Ctrl-C
"""
from bpfwright.types import L, Struct, char, u32, u64
from bpfwright.facets.tools._tool import Column, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import uprobe
from bpfwright.maps import LruHash, RingBuf
from bpfwright.types import UserStr


class Asked(Struct):
    at: u64
    host: char[L[80]]


class Found(Struct):
    took: u64
    pid: u32
    comm: char[L[16]]
    host: char[L[80]]


asked = LruHash[u32, Asked](max_entries=10_240)
found = RingBuf[Found](size_bytes=1 << 18)
FUNCTIONS = ("getaddrinfo", "gethostbyname", "gethostbyname2")


@uprobe.program("libc.so.6:getaddrinfo")
def enters(ctx: uprobe.Context, host: UserStr) -> None:
    if wanted():
        asked[current.tid] = Asked(now_ns(), host.read(80) or "")


@uprobe.exit("libc.so.6:getaddrinfo")
def leaves(ctx: uprobe.Context) -> None:
    start = asked.pop(current.tid, None)
    if start is not None:
        found.emit(Found(now_ns() - start.at, pid(), current.comm, start.host))


TOOL = Rows(found, tuple(program.on(uprobe.Symbol("libc.so.6", name)) for name in FUNCTIONS
                         for program in (enters, leaves)), (
    Column("TIME", "<8", "@clock"), Column("PID", "<7"), Column("COMM", "<16"),
    Column("LATms", ">7.2f", lambda e: e.took / 1e6), Column("HOST")), rank="latms")
