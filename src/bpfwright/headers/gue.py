"""Generic UDP encapsulation (draft-ietf-intarea-gue), variant 0, as Linux's fou module speaks it."""
from __future__ import annotations

from bpfwright.headers.ipv4 import IPv4
from bpfwright.headers.ipv6 import IPv6
from bpfwright.headers.udp import UDP
from bpfwright.spec.header import Carry, Header, LengthRule, Link, Tail
from bpfwright.types import L, be16, bits, u8

__all__ = ["GUE"]


class GUE(Header):
    """The header between UDP and a tunnelled packet; `protocol` is an IP protocol number."""

    follows = (Link(UDP, "dport", (6080,)),)
    carries = (Carry(IPv4, "protocol", (4,), tunnel=True), Carry(IPv6, "protocol", (41,), tunnel=True))
    length_rule = LengthRule("length", 4, 4)
    payload_requires = (("version", 0), ("control", 0))
    version: bits[u8, L[2]] = 0
    control: bits[u8, L[1]] = 0
    length: bits[u8, L[5]] = 0
    protocol: u8 = 0
    flags: be16 = 0
    optional: Tail = Tail()
