"""What rules do to packets: marks, and redirects to other interfaces."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.handing import mark_handed
from bpfwright.datapath.stage import SENT, drop
from bpfwright.facets.firewall.finding import Function
from bpfwright.facets.firewall.kernel import NOWHERE
from bpfwright.hooks import tc, xdp

__all__ = ["marker", "sender"]

_XDP_REDIRECT, _TC_REDIRECT = 4, 7


def marker(outward: bool) -> Function:
    """`mark(ctx, action)`: gives the packet the action's mark, in the bits of its mask; a frame when it comes to tc."""
    def mark_packet(ctx: Any, action: Any) -> None:
        if action.mask != 0:
            ctx.mark = ctx.mark & ~action.mask | action.mark

    def mark_frame(ctx: Any, action: Any) -> None:
        if action.mask != 0:
            mark_handed(action.mark, action.mask)

    return mark_packet if outward else mark_frame


def sender(outward: bool, devices: Any) -> Function:
    """`send(ctx, device)`: the verdict of a packet that goes out of the interface with that number."""
    def send_frame(ctx: Any, device: Any) -> Any:
        return SENT if xdp.redirect(devices, device) == _XDP_REDIRECT else drop(NOWHERE)

    def send_packet(ctx: Any, device: Any) -> Any:
        return SENT if tc.redirect(device) == _TC_REDIRECT else drop(NOWHERE)

    return send_packet if outward else send_frame
