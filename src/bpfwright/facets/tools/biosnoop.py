"""Block I/O, each request when it is done: who, which disk, where, how much, how long.

examples:
  bpfwright tool biosnoop                every request
  bpfwright tool biosnoop -Q             with the time in the queue
  bpfwright tool biosnoop -P             whether each goes on where its disk's last one ended
  bpfwright tool biosnoop --disk sda     of one disk
  bpfwright tool biosnoop --top 10       the ten slowest, at Ctrl-C
"""
from bpfwright.types import Config, L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._block import device, disk, number_of, operation
from bpfwright.facets.tools._tool import Column, Option, Rows
from bpfwright.facets.tools._requests import asked, sources
from bpfwright.helpers import address_of, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import LruHash, RingBuf
from bpfwright.vmlinux import request


class Done(Struct):
    at: u64
    queued: u64
    took: u64
    sector: u64
    disk: u32
    random: u32
    flags: u32
    pid: u32
    bytes: u32
    comm: char[L[16]]


class Choice(Config):
    disk: u32 = 0
    pattern: bool = False


choice = Choice()
ends = LruHash[u32, u64](max_entries=1024)
done = RingBuf[Done](size_bytes=1 << 22)


@raw_tracepoint.program("block_rq_complete")
def completed(ctx: raw_tracepoint.Context, rq: ptr[request]) -> None:
    start = asked.pop(address_of(rq), None)
    if start is None or (choice.disk != 0 and device(rq) != choice.disk):
        return
    issued = max(rq.io_start_time_ns, start.at)  # a flush has none
    random: u32 = 0
    if choice.pattern:
        random = u32(start.sector != (ends.get(device(rq)) or 0))
        ends[device(rq)] = start.sector + (start.bytes >> 9)
    done.emit(Done(now_ns(), issued - start.at, now_ns() - issued, start.sector, device(rq), random, rq.cmd_flags,
                   start.pid, start.bytes, start.comm))


TOOL = Rows(done, sources(completed), (
    Column("TIME(s)", "<11.6f", "@elapsed"), Column("COMM", "<16"), Column("PID", "<7"),
    Column("DISK", "<9", lambda e: disk(e.disk)), Column("T", "<1", lambda e: operation(e.flags)),
    Column("SECTOR", "<10"), Column("BYTES", "<7"), Column("QUE(ms)", ">7.2f", lambda e: e.queued / 1e6, "queue"),
    Column("P", "<1", lambda e: "R" if e.random else "S", "pattern"),
    Column("LAT(ms)", ">7.2f", lambda e: e.took / 1e6)),
    options=(Option("-Q, --queue", "the time in the queue"), Option("--disk", "of this disk only", ""),
             Option("-P, --pattern", "S: sequential to the disk's last one, R: random")),
    config=lambda o: Choice(disk=number_of(o.disk), pattern=o.pattern), rank="lat_ms")
