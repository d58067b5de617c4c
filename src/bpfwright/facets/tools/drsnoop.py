"""Direct reclaims: processes that had to wait because the kernel was freeing memory for them.

examples:
  bpfwright tool drsnoop              every reclaim
  bpfwright tool drsnoop -l           those of cgroups at their limit, too
  bpfwright tool drsnoop -T           with seconds since the first
  bpfwright tool drsnoop -p 181       of process 181
  bpfwright tool drsnoop -U           with the user
"""
from bpfwright.types import L, Struct, char, u32, u64
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import current, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash, RingBuf


class Reclaimed(Struct):
    at: u64
    took: u64
    pages: u64
    pid: u32
    uid: u32
    comm: char[L[16]]


begun = LruHash[u32, u64](max_entries=10_240)
reclaims = RingBuf[Reclaimed](size_bytes=1 << 18)


def begin() -> None:
    if wanted():
        begun[current.tid] = now_ns()


def end(pages: u64) -> None:
    start = begun.pop(current.tid, None)
    if start is not None:
        reclaims.emit(Reclaimed(now_ns(), now_ns() - start, pages, pid(), current.uid, current.comm))


@raw_tracepoint.program("mm_vmscan_direct_reclaim_begin")
def begins(ctx: raw_tracepoint.Context) -> None:
    begin()


@raw_tracepoint.program("mm_vmscan_direct_reclaim_end")
def ends(ctx: raw_tracepoint.Context, nr_reclaimed: u64) -> None:
    end(nr_reclaimed)


@raw_tracepoint.program("mm_vmscan_memcg_reclaim_begin")
def limit_begins(ctx: raw_tracepoint.Context) -> None:
    begin()


@raw_tracepoint.program("mm_vmscan_memcg_reclaim_end")
def limit_ends(ctx: raw_tracepoint.Context, nr_reclaimed: u64) -> None:
    end(nr_reclaimed)


TOOL = Rows(reclaims, lambda o: [(begins, ends, limit_begins, limit_ends) if o.limits else (begins, ends)], (
    Column("TIME(s)", "<14.9f", "@elapsed", "timestamp"), Column("UID", "<6", when="print_uid"),
    Column("COMM", "<16"), Column("PID", "<7"), Column("LAT(ms)", ">8.2f", lambda e: e.took / 1e6),
    Column("PAGES", ">6")),
    options=(Option("-T, --timestamp", "show seconds since the first"), Option("-U, --print-uid", "show the user"),
             Option("-l, --limits", "of cgroups at their limit, too")),
    filters="pid tid uid comm cgroup", rank="lat_ms")
