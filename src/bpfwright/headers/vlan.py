"""VLAN tags (IEEE 802.1Q), also stacked (802.1ad)."""
from __future__ import annotations

from bpfwright.headers.ethernet import Ethernet
from bpfwright.spec.header import Header, Link
from bpfwright.types import L, be16, bits

__all__ = ["Vlan"]

_TAGS = (0x8100, 0x88A8)


class Vlan(Header):
    """A tag; `vid` is the VLAN, `protocol` the EtherType of what follows."""

    follows = (Link(Ethernet, "protocol", _TAGS), Link(None, "protocol", _TAGS))
    most = 2
    priority: bits[be16, L[3]] = 0
    drop_eligible: bits[be16, L[1]] = 0
    vid: bits[be16, L[12]] = 0
    protocol: be16 = 0
