"""MPLS label stacks (RFC 3032)."""
from __future__ import annotations

from bpfwright.headers.ethernet import Ethernet
from bpfwright.headers.vlan import Vlan
from bpfwright.spec.header import Header, Link
from bpfwright.types import L, be32, bits

__all__ = ["MPLS"]

_TYPES = (0x8847, 0x8848)


class MPLS(Header):
    """One label; `bottom` is 1 on the last. What the last one carries, the label says and the packet does not."""

    follows = (Link(Ethernet, "protocol", _TYPES), Link(Vlan, "protocol", _TYPES), Link(None, "bottom", (0,)))
    label: bits[be32, L[20]] = 0
    traffic_class: bits[be32, L[3]] = 0
    bottom: bits[be32, L[1]] = 1
    ttl: bits[be32, L[8]] = 64
