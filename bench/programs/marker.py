"""Mark packets to a range of TCP ports."""
from __future__ import annotations

from bpfwright.headers import TCP
from bpfwright.hooks import tc


@tc.program
def marker(ctx: tc.Context) -> tc.Action:
    tcp = ctx.find(TCP)
    if tcp is not None and 8000 <= tcp.dport < 9000:
        ctx.mark = 7
    return tc.OK
