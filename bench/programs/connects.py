"""Send connections for one address and port to another."""
from __future__ import annotations

from bpfwright.headers import IPv4
from bpfwright.hooks import cgroup


@cgroup.connect4
def redirect(ctx: cgroup.Connect4) -> cgroup.Action:
    if ctx.port == 4444 and ctx.address == "127.0.0.9":
        ctx.address = IPv4.Address("127.0.0.1")
        ctx.port = 4445
    if ctx.port == 4446:
        return cgroup.DENY
    return cgroup.ALLOW
