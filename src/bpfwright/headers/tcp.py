"""TCP (RFC 9293) and its options."""
from __future__ import annotations

from bpfwright.headers.ipv6_extensions import over_ip
from bpfwright.spec.header import Checksum, Header, LengthRule, Option, Options
from bpfwright.types import L, be16, be32, bits, u8

__all__ = ["MaximumSegment", "Sack", "SackPermitted", "TCP", "TcpOption", "Timestamps", "WindowScale"]


class TcpOption(Option):
    """Any option; `length` counts kind and length too. Kinds 0 (end) and 1 (no operation) are one byte."""

    length_rule = LengthRule("length", 1)
    kind: u8 = 0
    length: u8 = 0


class MaximumSegment(TcpOption, kind=2):
    """The largest segment its sender takes (RFC 9293, 3.2)."""

    size: be16 = 1460


class WindowScale(TcpOption, kind=3):
    """How far the window is shifted (RFC 7323)."""

    shift: u8 = 0


class SackPermitted(TcpOption, kind=4):
    """Selective acknowledgements are understood (RFC 2018)."""


class Sack(TcpOption, kind=5):
    """Blocks received: `data` holds pairs of 32-bit edges (RFC 2018)."""


class Timestamps(TcpOption, kind=8):
    """The sender's clock, and the last one it saw (RFC 7323)."""

    value: be32 = 0
    echo: be32 = 0


class TCP(Header):
    """A TCP segment's header."""

    follows = over_ip(6)
    length_rule = LengthRule("data_offset", 4)
    checksum_rule = Checksum("checksum", pseudo=True)
    sport: be16 = 0
    dport: be16 = 0
    sequence: be32 = 0
    acknowledgement: be32 = 0
    data_offset: bits[be16, L[4]] = 5
    reserved: bits[be16, L[4]] = 0
    cwr: bits[be16, L[1]] = 0
    ece: bits[be16, L[1]] = 0
    urg: bits[be16, L[1]] = 0
    ack: bits[be16, L[1]] = 0
    psh: bits[be16, L[1]] = 0
    rst: bits[be16, L[1]] = 0
    syn: bits[be16, L[1]] = 0
    fin: bits[be16, L[1]] = 0
    window: be16 = 8192
    checksum: be16 = 0
    urgent: be16 = 0
    options: Options[TcpOption] = Options(TcpOption, MaximumSegment, WindowScale, SackPermitted, Sack, Timestamps,
                                          single=(0, 1), end=0)
