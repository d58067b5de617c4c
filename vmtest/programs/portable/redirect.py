"""cgroup programs: a connection redirected, packets counted."""
from __future__ import annotations

from bpfwright import u32, u64
from bpfwright.headers import IPv4
from bpfwright.hooks import cgroup
from bpfwright.maps import Hash, PerCpuArray

sizes = PerCpuArray[u64](max_entries=16)
homes = Hash[IPv4.Address, u32](max_entries=16)


@cgroup.connect4
def to_proxy(ctx: cgroup.Connect4) -> cgroup.Action:
    port = homes.get(ctx.address)
    if port is not None and ctx.port == 80:
        ctx.address = IPv4.Address("127.0.0.1")
        ctx.port = port & 0xFFFF
    return cgroup.ALLOW


@cgroup.egress
def leaves(ctx: cgroup.Skb) -> cgroup.Action:
    sizes.increment(min(ctx.length.bit_length(), 15))
    return cgroup.ALLOW
