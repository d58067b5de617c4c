"""ICMP (RFC 792)."""
from __future__ import annotations

from bpfwright.headers.ipv4 import IPv4
from bpfwright.spec.header import Carry, Checksum, Header, Link
from bpfwright.types import be16, u8

__all__ = ["ICMP"]


class ICMP(Header):
    """A message's first eight bytes; errors carry the header of the packet they are about.

    The last four bytes are `identifier` and `sequence` in echo messages and mean other things in others.
    """

    follows = (Link(IPv4, "protocol", (1,)),)
    carries = (Carry(IPv4, "type", (3, 4, 5, 11, 12), tunnel=True),)
    checksum_rule = Checksum("checksum")
    type: u8 = 8
    code: u8 = 0
    checksum: be16 = 0
    identifier: be16 = 0
    sequence: be16 = 0
