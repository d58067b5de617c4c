"""Block I/O by process and disk, as top does.

examples:
  bpfwright tool biotop               each second, 20 rows
  bpfwright tool biotop -C 5          each five seconds, without clearing the screen
  bpfwright tool biotop -r 5 1 10     five rows, each second, ten times
"""
from bpfwright.types import L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._block import device, disk, is_write
from bpfwright.facets.tools._tool import Column, Option, Table
from bpfwright.facets.tools._requests import asked, sources
from bpfwright.helpers import address_of, now_ns
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import request


class Key(Struct):
    pid: u32
    disk: u32
    write: u64
    comm: char[L[16]]


class Sum(Struct):
    io: u64
    bytes: u64
    ns: u64


sums = Hash[Key, Sum](max_entries=10_240)


@raw_tracepoint.program("block_rq_complete")
def completed(ctx: raw_tracepoint.Context, rq: ptr[request]) -> None:
    start = asked.pop(address_of(rq), None)
    if start is None:
        return
    key = Key(start.pid, device(rq), int(is_write(rq)), start.comm)
    took = now_ns() - max(rq.io_start_time_ns, start.at)
    entry = sums.get(key)
    if entry is None:
        sums[key] = Sum(1, start.bytes, took)
    else:
        entry.io += 1
        entry.bytes += start.bytes
        entry.ns += took


TOOL = Table(sums, sources(completed), (
    Column("PID", "<7"), Column("COMM", "<16"), Column("D", "<1", lambda e: "W" if e.write else "R"),
    Column("MAJ", "<3d", lambda e: e.disk >> 20), Column("MIN", "<3d", lambda e: e.disk & 0xFFFFF),
    Column("DISK", "<8", lambda e: disk(e.disk)), Column("I/O", ">5d", lambda e: e.io),
    Column("Kbytes", ">7d", lambda e: e.bytes >> 10), Column("AVGms", ">8.2f", lambda e: e.ns / e.io / 1e6)),
    options=(Option("-C, --noclear", "do not clear the screen"), Option("-r, --maxrows", "rows at most", 20)),
    sort="bytes", screen=True, each=1.0)
