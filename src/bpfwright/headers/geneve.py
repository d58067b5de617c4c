"""Geneve (RFC 8926) and its options."""
from __future__ import annotations

from bpfwright.headers.ethernet import Ethernet
from bpfwright.headers.ipv4 import IPv4
from bpfwright.headers.ipv6 import IPv6
from bpfwright.headers.udp import UDP
from bpfwright.spec.header import Carry, Header, LengthRule, Link, Option, Options
from bpfwright.types import L, be16, be32, bits, u8

__all__ = ["Geneve", "GeneveOption"]


class GeneveOption(Option):
    """An option; `length` counts the data only, in four bytes."""

    kind_field = "type"
    length_rule = LengthRule("length", 4, 4)
    option_class: be16 = 0
    type: u8 = 0
    reserved: bits[u8, L[3]] = 0
    length: bits[u8, L[5]] = 0


class Geneve(Header):
    """The header in front of a tunnelled packet; `vni` is the network, `protocol` an EtherType."""

    follows = (Link(UDP, "dport", (6081,)),)
    carries = (Carry(Ethernet, "protocol", (0x6558,), tunnel=True), Carry(IPv4, "protocol", (0x0800,), tunnel=True),
               Carry(IPv6, "protocol", (0x86DD,), tunnel=True))
    length_rule = LengthRule("option_length", 4, 8)
    payload_requires = (("version", 0),)
    version: bits[u8, L[2]] = 0
    option_length: bits[u8, L[6]] = 0
    control: bits[u8, L[1]] = 0
    critical: bits[u8, L[1]] = 0
    reserved: bits[u8, L[6]] = 0
    protocol: be16 = 0
    vni: bits[be32, L[24]] = 0
    reserved2: bits[be32, L[8]] = 0
    options: Options[GeneveOption] = Options(GeneveOption)
