"""How large block I/O is, in kilobytes: a histogram for each process name.

examples:
  bpfwright tool bitesize             until Ctrl-C
  bpfwright tool bitesize 1 5         each second, five times
  bpfwright tool bitesize --comm dd   of dd only
"""
from bpfwright.types import L, Struct, char, ptr, u64
from bpfwright.facets.tools._tool import STAMP, Column, Histogram, bucket
from bpfwright.facets.tools._who import wanted
from bpfwright.helpers import current
from bpfwright.hooks import raw_tracepoint
from bpfwright.maps import Hash
from bpfwright.vmlinux import request


class Slot(Struct):
    comm: char[L[16]]
    slot: u64


counts = Hash[Slot, u64](max_entries=10_240)


@raw_tracepoint.program("block_rq_issue")
def issued(ctx: raw_tracepoint.Context, rq: ptr[request]) -> None:
    if wanted():
        counts.increment(Slot(current.comm, bucket(rq.__data_len // 1024)))


TOOL = Histogram(counts, (issued,), unit="Kbytes", columns=(Column("Process Name", of="comm"),), options=(STAMP,))
