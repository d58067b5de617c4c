"""A tail call into the next of several programs."""
from __future__ import annotations

from bpfwright import Struct, shared, u64
from bpfwright.hooks import xdp
from bpfwright.maps import ProgArray


class Ran(Struct):
    last: u64


ran = shared(Ran(0))
stages = ProgArray[xdp.Context](max_entries=8)


@xdp.program
def last(ctx: xdp.Context) -> xdp.Action:
    ran.last += 1
    return xdp.TX


@xdp.program
def entry(ctx: xdp.Context) -> xdp.Action:
    stages.tail_call(ctx, 1)
    return xdp.ABORTED
