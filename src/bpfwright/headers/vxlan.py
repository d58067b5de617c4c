"""VXLAN (RFC 7348)."""
from __future__ import annotations

from bpfwright.headers.ethernet import Ethernet
from bpfwright.headers.udp import UDP
from bpfwright.spec.header import Carry, Header, Link
from bpfwright.types import L, be32, bits

__all__ = ["VXLAN"]


class VXLAN(Header):
    """The header in front of a tunnelled Ethernet frame; `vni` is the network."""

    follows = (Link(UDP, "dport", (4789,)),)
    carries = (Carry(Ethernet, "", (), tunnel=True),)
    flags: bits[be32, L[8]] = 8
    reserved: bits[be32, L[24]] = 0
    vni: bits[be32, L[24]] = 0
    reserved2: bits[be32, L[8]] = 0
