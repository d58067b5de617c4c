"""The programs that stay at the hooks: each reads which generation is live and goes on in that generation's program.

One number says it for all hooks of all interfaces, so a change is one store. A store that is to be confirmed has a
deadline that the programs themselves look at: when it has passed they go by the fallback, whether or not anybody who
could have rolled back is still alive.
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.handing import MAGIC, Handed
from bpfwright.helpers import now_ns
from bpfwright.hooks import tc, xdp
from bpfwright.maps import ProgArray
from bpfwright.types import Struct, shared, u32, u64
from bpfwright.types.config import Config

__all__ = ["PLACES", "SLOTS", "Pointer", "Seat", "pointer", "root_egress", "root_ingress", "root_xdp", "tc_stages",
           "xdp_stages"]

SLOTS = 3  # the generation that is live, the one before it, and the next
PLACES = 256  # hooks of interfaces at most


class Pointer(Struct):
    """Which slot is live: `slot`, or `fallback` once the monotonic clock has passed a `deadline_ns` that is not 0.

    Each member is stored by itself; a change writes `fallback`, `deadline_ns`, `slot` in this order.
    """

    slot: u32
    fallback: u32
    deadline_ns: u64


class Seat(Config):
    """Where in a slot the program of this hook stands."""

    number: u32 = 0


pointer = shared(Pointer(0, 0, 0))
seat = Seat()
xdp_stages = ProgArray[xdp.Context](max_entries=SLOTS * PLACES)
tc_stages = ProgArray[tc.Context](max_entries=SLOTS * PLACES)


def _live() -> u32:
    deadline = pointer.deadline_ns
    if deadline != 0 and now_ns() > deadline:
        return pointer.fallback
    return pointer.slot


@xdp.program
def root_xdp(ctx: xdp.Context) -> xdp.Action:
    """Frames that come in: the live generation's program, or the stack where it has none for this interface."""
    xdp_stages.tail_call(ctx, _live() * PLACES + seat.number)
    return xdp.PASS


@tc.program
def root_ingress(ctx: tc.Context) -> tc.Action:
    """Packets that come in, in the stack: on by the slot that judged them at XDP, whatever is live since."""
    handed = ctx.metadata(Handed)
    if handed is not None and handed.magic == MAGIC and handed.slot < SLOTS:
        tc_stages.tail_call(ctx, handed.slot * PLACES + seat.number)
    tc_stages.tail_call(ctx, _live() * PLACES + seat.number)
    return tc.NEXT


@tc.program
def root_egress(ctx: tc.Context) -> tc.Action:
    """Packets that go out."""
    tc_stages.tail_call(ctx, _live() * PLACES + seat.number)
    return tc.NEXT


ROOTS: dict[str, Any] = {"xdp": root_xdp, "ingress": root_ingress, "egress": root_egress}
"""By hook."""
