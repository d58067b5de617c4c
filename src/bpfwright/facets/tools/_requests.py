"""Block requests from their begin to their end: who asked, for how much, since when."""
from bpfwright.types import L, Struct, char, ptr, u32, u64
from bpfwright.facets.tools._who import pid, wanted
from bpfwright.helpers import address_of, current, now_ns
from bpfwright.hooks import fentry, raw_tracepoint
from bpfwright.maps import LruHash
from bpfwright.vmlinux import request

__all__ = ["Asked", "asked", "sources"]


class Asked(Struct):
    """What is known when a request begins; at its end it has no size any more."""

    at: u64
    pid: u32
    bytes: u32
    sector: u64
    comm: char[L[16]]


asked = LruHash[u64, Asked](max_entries=65_536)


def begin(rq: request) -> None:
    """Remember who asks."""
    if wanted():
        asked[address_of(rq)] = Asked(now_ns(), pid(), rq.__data_len, rq.__sector, current.comm)


@raw_tracepoint.program("block_io_start")
def started(ctx: raw_tracepoint.Context, rq: ptr[request]) -> None:
    begin(rq)


@fentry.program("blk_account_io_start")
def accounted(ctx: fentry.Context, rq: ptr[request]) -> None:
    begin(rq)


@raw_tracepoint.program("block_rq_insert")
def inserted(ctx: raw_tracepoint.Context, rq: ptr[request]) -> None:
    begin(rq)


@raw_tracepoint.program("block_rq_issue")
def issued(ctx: raw_tracepoint.Context, rq: ptr[request]) -> None:
    if address_of(rq) not in asked:
        begin(rq)


def sources(completed: object) -> list[tuple[object, ...]]:
    """A tool's programs: an event of Linux 6.5; the function that older kernels call there; where that is inlined, who
    brings the request to the scheduler's queue, or past it to the disk."""
    return [(started, completed), (accounted, completed), (inserted, issued, completed)]
