"""UDP (RFC 768)."""
from __future__ import annotations

from bpfwright.headers.ipv6_extensions import over_ip
from bpfwright.spec.header import Checksum, Header, Size
from bpfwright.types import be16

__all__ = ["UDP"]


class UDP(Header):
    """A datagram's header; `length` counts it and the data."""

    follows = over_ip(17)
    size_rule = Size("length", True)
    checksum_rule = Checksum("checksum", pseudo=True, zero=0xFFFF)
    sport: be16 = 0
    dport: be16 = 0
    length: be16 = 0
    checksum: be16 = 0
