"""ICMPv6 (RFC 4443)."""
from __future__ import annotations

from bpfwright.headers.ipv6 import IPv6
from bpfwright.headers.ipv6_extensions import over_ipv6
from bpfwright.spec.header import Carry, Checksum, Header
from bpfwright.types import be16, u8

__all__ = ["ICMPv6"]


class ICMPv6(Header):
    """A message's first eight bytes; errors (types 1 to 4) carry the packet they are about.

    The last four bytes are `identifier` and `sequence` in echo messages and mean other things in others.
    """

    follows = over_ipv6(58)
    carries = (Carry(IPv6, "type", (1, 2, 3, 4), tunnel=True),)
    checksum_rule = Checksum("checksum", pseudo=True)
    type: u8 = 128
    code: u8 = 0
    checksum: be16 = 0
    identifier: be16 = 0
    sequence: be16 = 0
