"""GRE (RFC 2784, RFC 2890)."""
from __future__ import annotations

from bpfwright.headers.ethernet import Ethernet
from bpfwright.headers.ipv4 import IPv4
from bpfwright.headers.ipv6 import IPv6
from bpfwright.headers.ipv6_extensions import over_ip
from bpfwright.spec.header import Carry, Header, LengthRule, Tail
from bpfwright.types import L, be16, bits

__all__ = ["GRE"]


class GRE(Header):
    """The header of a GRE tunnel; `optional` holds checksum, key and sequence as far as their flags are set."""

    follows = over_ip(47)
    carries = (Carry(IPv4, "protocol", (0x0800,), tunnel=True), Carry(IPv6, "protocol", (0x86DD,), tunnel=True),
               Carry(Ethernet, "protocol", (0x6558,), tunnel=True))
    length_rule = LengthRule("checksum_present", 4, 4, (("key_present", 4), ("sequence_present", 4)))
    payload_requires = (("version", 0),)
    checksum_present: bits[be16, L[1]] = 0
    routing_present: bits[be16, L[1]] = 0
    key_present: bits[be16, L[1]] = 0
    sequence_present: bits[be16, L[1]] = 0
    reserved: bits[be16, L[9]] = 0
    version: bits[be16, L[3]] = 0
    protocol: be16 = 0
    optional: Tail = Tail()

    @property
    def key(self) -> int | None:
        """The key, when there is one."""
        start = 4 * self.checksum_present
        return int.from_bytes(self.rest[start:start + 4], "big") if self.key_present else None

    @property
    def sequence(self) -> int | None:
        """The sequence number, when there is one."""
        start = 4 * (self.checksum_present + self.key_present)
        return int.from_bytes(self.rest[start:start + 4], "big") if self.sequence_present else None
