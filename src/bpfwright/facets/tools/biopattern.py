"""Whether disks are read and written in sequence or at random, in percent of requests.

examples:
  bpfwright tool biopattern            until Ctrl-C
  bpfwright tool biopattern 1 10       each second, ten times
  bpfwright tool biopattern -d sdb     of one disk
"""
from bpfwright.types import Config, Struct, u32, u64
from bpfwright.facets.tools._block import disk, number_of
from bpfwright.facets.tools._running import clock
from bpfwright.facets.tools._tool import Column, Option, Table
from bpfwright.hooks import tracepoint
from bpfwright.maps import Hash


class block_rq_complete(tracepoint.Fields, event="block:block_rq_complete"):
    dev: u32
    sector: u64
    nr_sector: u32


class Pattern(Struct):
    next: u64
    bytes: u64
    sequential: u64
    random: u64


class Choice(Config):
    disk: u32 = 0


choice = Choice()
patterns = Hash[u32, Pattern](max_entries=1024)


@tracepoint.program
def completed(ctx: block_rq_complete) -> None:
    if choice.disk != 0 and ctx.dev != choice.disk:
        return
    after = ctx.sector + ctx.nr_sector
    entry = patterns.get(ctx.dev)
    if entry is None:
        patterns[ctx.dev] = Pattern(after, u64(ctx.nr_sector) * 512, 0, 0)
        return
    if entry.next == ctx.sector:
        entry.sequential += 1
    else:
        entry.random += 1
    entry.bytes += u64(ctx.nr_sector) * 512
    entry.next = after


TOOL = Table(patterns, (completed,), (
    Column("TIME", "<8", lambda e: clock()), Column("DISK", "<8", lambda e: disk(e.key)),
    Column("%RND", ">5d", lambda e: 100 * e.random // ((e.random + e.sequential) or 1)),
    Column("%SEQ", ">5d", lambda e: 100 * e.sequential // ((e.random + e.sequential) or 1)),
    Column("COUNT", ">8d", lambda e: e.random + e.sequential), Column("KBYTES", ">10d", lambda e: e.bytes >> 10)),
    options=(Option("-d, --disk", "of this disk only", ""),), config=lambda o: Choice(disk=number_of(o.disk)),
    filters="")
