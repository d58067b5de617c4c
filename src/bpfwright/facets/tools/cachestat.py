"""The page cache: how often pages were there, how often not.

Accesses are the pages that reads asked for (on kernels without that tracepoint: pages marked as used), misses the pages
that were put into the cache and not by writing, each page of a large folio; the sizes are those of /proc/meminfo.

examples:
  bpfwright tool cachestat            each second, until Ctrl-C
  bpfwright tool cachestat 5 12       each five seconds, for a minute
  bpfwright tool cachestat -T         with the time of day
"""
from bpfwright.types import ptr, u64
from bpfwright.facets.tools._names import meminfo_kb
from bpfwright.facets.tools._pages import Period, asked_for, layout, pages_of
from bpfwright.facets.tools._running import clock
from bpfwright.facets.tools._tool import STAMP, Column, Table
from bpfwright.hooks import fentry, raw_tracepoint
from bpfwright.maps import PerCpuArray
from bpfwright.vmlinux import address_space

ACCESS, BUFFER, ADDED, DIRTIED = 0, 1, 2, 3
counts = PerCpuArray[u64](max_entries=4)


@raw_tracepoint.program("mm_filemap_get_pages")
def asked(ctx: raw_tracepoint.Context, mapping: ptr[address_space], index: u64, last_index: u64) -> None:
    pages = asked_for(mapping, index, last_index)
    if pages != 0:
        counts.increment(ACCESS, pages)


@fentry.program("folio_mark_accessed")
def used(ctx: fentry.Context) -> None:
    counts.increment(ACCESS)


@raw_tracepoint.program("block_dirty_buffer")
def buffer(ctx: raw_tracepoint.Context) -> None:
    counts.increment(BUFFER)


@raw_tracepoint.program("mm_filemap_add_to_page_cache")
def added(ctx: raw_tracepoint.Context, folio: u64) -> None:
    counts.increment(ADDED, pages_of(folio))


@raw_tracepoint.program("writeback_dirty_folio")
def dirtied(ctx: raw_tracepoint.Context, folio: u64) -> None:
    counts.increment(DIRTIED, pages_of(folio))


TOOL = Table(counts, [(asked, added, dirtied), (used, buffer, added, dirtied)], (
    Column("TIME", "<8", lambda e: clock(), "timestamp"), Column("HITS", ">8"), Column("MISSES", ">8"),
    Column("DIRTIES", ">8"),
    Column("HITRATIO", ">9.2f", lambda e: 100.0 * e.hits / ((e.hits + e.misses) or 1)),
    Column("BUFFERS_MB", ">11d", lambda e: meminfo_kb("Buffers") >> 10),
    Column("CACHED_MB", ">10d", lambda e: meminfo_kb("Cached") >> 10)),
    entries=lambda running: [Period(*running.differences(counts))], options=(STAMP,), config=layout, filters="",
    each=1.0)
