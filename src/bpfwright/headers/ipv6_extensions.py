"""IPv6 extension headers (RFC 8200, section 4; RFC 4302): each leads to the next by its next_header.

They may come in any order and number (section 4.1), so their links make circles. Hop-by-hop belongs in front; it is
seen elsewhere too, so that nothing hides behind a misplaced one.
"""
from __future__ import annotations

from bpfwright.headers.ipv4 import IPv4
from bpfwright.headers.ipv6 import IPv6
from bpfwright.spec.header import Carry, Header, LengthRule, Link, Option, Options, Tail
from bpfwright.types import L, be16, be32, bits, u8

__all__ = ["Authentication", "DestinationOptions", "Fragment", "HopByHop", "IPv6Option", "Routing", "over_ip",
           "over_ipv6"]


class IPv6Option(Option):
    """An option of a hop-by-hop or destination header; `length` counts the data only."""

    length_rule = LengthRule("length", 1, 2)
    kind: u8 = 0
    length: u8 = 0


class HopByHop(Header):
    """Options that every router looks at."""

    follows = (Link(IPv6, "next_header", (0,)), Link(None, "next_header", (0,)))
    length_rule = LengthRule("length", 8, 8)
    next_header: u8 = 59
    length: u8 = 0
    options: Options[IPv6Option] = Options(IPv6Option, single=(0,))


class Routing(Header):
    """The nodes to visit; the last of them is where the packet goes."""

    follows = (Link(IPv6, "next_header", (43,)), Link(HopByHop, "next_header", (43,)), Link(None, "next_header", (43,)))
    carries = (Carry(HopByHop, "next_header", (0,)),)
    length_rule = LengthRule("length", 8, 8)
    next_header: u8 = 59
    length: u8 = 0
    type: u8 = 0
    segments_left: u8 = 0
    data: Tail = Tail()


class Fragment(Header):
    """A fragment; what follows is there in the first one only."""

    follows = (Link(IPv6, "next_header", (44,)), Link(HopByHop, "next_header", (44,)),
               Link(Routing, "next_header", (44,)), Link(None, "next_header", (44,)))
    carries = (Carry(HopByHop, "next_header", (0,)), Carry(Routing, "next_header", (43,)),)
    payload_requires = (("fragment_offset", 0),)
    next_header: u8 = 59
    reserved: u8 = 0
    fragment_offset: bits[be16, L[13]] = 0
    reserved2: bits[be16, L[2]] = 0
    more_fragments: bits[be16, L[1]] = 0
    identification: be32 = 0


class Authentication(Header):
    """The IP authentication header, over IPv6."""

    follows = (Link(IPv6, "next_header", (51,)), Link(HopByHop, "next_header", (51,)),
               Link(Routing, "next_header", (51,)), Link(Fragment, "next_header", (51,)),
               Link(None, "next_header", (51,)))
    carries = (Carry(HopByHop, "next_header", (0,)), Carry(Routing, "next_header", (43,)),
               Carry(Fragment, "next_header", (44,)))
    length_rule = LengthRule("length", 4, 8)
    next_header: u8 = 59
    length: u8 = 0
    reserved: be16 = 0
    index: be32 = 0
    sequence: be32 = 0
    check: Tail = Tail()


class DestinationOptions(Header):
    """Options for the destination."""

    follows = (Link(IPv6, "next_header", (60,)), Link(HopByHop, "next_header", (60,)),
               Link(Routing, "next_header", (60,)), Link(Fragment, "next_header", (60,)),
               Link(Authentication, "next_header", (60,)), Link(None, "next_header", (60,)))
    carries = (Carry(HopByHop, "next_header", (0,)), Carry(Routing, "next_header", (43,)),
               Carry(Fragment, "next_header", (44,)),
               Carry(Authentication, "next_header", (51,)))
    length_rule = LengthRule("length", 8, 8)
    next_header: u8 = 59
    length: u8 = 0
    options: Options[IPv6Option] = Options(IPv6Option, single=(0,))


def over_ipv6(number: int, tunnel: bool = False) -> tuple[Link, ...]:
    """The links of what has this protocol number over IPv6, with extension headers between or not."""
    return tuple(Link(parent, "next_header", (number,), tunnel)
                 for parent in (IPv6, HopByHop, Routing, Fragment, Authentication, DestinationOptions))


def over_ip(number: int, tunnel: bool = False) -> tuple[Link, ...]:
    """The links of what has this protocol number over IPv4 and IPv6."""
    return (Link(IPv4, "protocol", (number,), tunnel), *over_ipv6(number, tunnel))
