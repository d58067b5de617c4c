"""SYN cookies at the driver: a SYN is answered where it comes in, before the stack spends anything on it.

The cookie is the listening socket's own (bpf_tcp_gen_syncookie), so the stack takes the acknowledgement that comes back
as it does when it sends cookies itself, and nothing is remembered here. Who sends SYNs and never answers costs one
look-up and one frame. Only a SYN for a socket of this host that listens is answered, others go on to the stack.
"""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.stage import ABORT, CONTINUE, REPLY
from bpfwright.helpers import listener_cookie
from bpfwright.maps import PerCpuArray
from bpfwright.types import L, Struct, array, be16, be32, be64, u8, u16, u32

__all__ = ["answerer"]

_SHORTEST = 60  # bytes of a frame without its check sequence
_FLAGS = 0x6012  # a header of six words, SYN and ACK
_WINDOW = 65535
_DONT_FRAGMENT = 0x4000
_MOST_OPTIONS = 10


class Headers(Struct):
    """A SYN's ends as a struct bpf_sock_tuple, and its headers, as they came."""

    ends: array[u32, L[9]]
    ip: array[u32, L[10]]
    tcp: array[u32, L[20]]  # five more than the longest: listener_cookie says why


class Addresses(Struct):
    """The MAC addresses of a frame."""

    destination: array[u16, L[3]]
    source: array[u16, L[3]]


class Five(Struct):
    """Five words as they came."""

    a: u32
    b: u32
    c: u32
    d: u32
    e: u32


class Segment(Struct):
    """A TCP header with the option of the largest segment."""

    sport: be16
    dport: be16
    sequence: be32
    acknowledgement: be32
    flags: be16
    window: be16
    checksum: be16
    urgent: be16
    option: be32


class Header4(Struct):
    """An IPv4 header."""

    version: u8
    tos: u8
    length: be16
    identification: be16
    fragment: be16
    ttl: u8
    protocol: u8
    checksum: be16
    source: be32
    destination: be32


class Header6(Struct):
    """An IPv6 header."""

    version: be32
    length: be16
    protocol: u8
    hops: u8
    source_high: be64
    source_low: be64
    destination_high: be64
    destination_low: be64


def answerer(mtu: int) -> Any:
    """`answer(ctx, seen)`: REPLY when a SYN was answered, CONTINUE when the stack is to see it."""
    headers = PerCpuArray[Headers](max_entries=1)
    mss4, mss6 = min(mtu - 40, 1460), min(mtu - 60, 1440)

    def answer(ctx: Any, seen: Any) -> Any:
        held = headers.local(0)
        at, end = u32(seen.network_offset), u32(seen.transport_offset)
        base = ctx.read(end, Five)
        size = u32(seen.header_length)
        if base is None or size < 20 or size > 60:
            return CONTINUE
        held.tcp[0] = base.a
        held.tcp[1] = base.b
        held.tcp[2] = base.c
        held.tcp[3] = base.d
        held.tcp[4] = base.e
        for place in range(_MOST_OPTIONS):
            if place * 4 + 20 >= size:
                break
            word = ctx.read(end + 20 + place * 4, u32)
            if word is None:
                return CONTINUE
            held.tcp[place + 5] = word
        cookie = 0
        if seen.family == 4 and end == at + 20:
            ip = ctx.read(at, Five)
            if ip is None:
                return CONTINUE
            held.ip[0] = ip.a
            held.ip[1] = ip.b
            held.ip[2] = ip.c
            held.ip[3] = ip.d
            held.ip[4] = ip.e
            held.ends[0] = ip.d
            held.ends[1] = ip.e
            held.ends[2] = base.a
            cookie = listener_cookie(ctx, held.ends, held.ip, held.tcp, 12, 20, size)
        if seen.family == 6 and end == at + 40:
            for place in range(10):
                word = ctx.read(at + place * 4, u32)
                if word is None:
                    return CONTINUE
                held.ip[place] = word
                if place >= 2:
                    held.ends[place - 2] = word
            held.ends[8] = base.a
            cookie = listener_cookie(ctx, held.ends, held.ip, held.tcp, 36, 40, size)
        if cookie == 0:
            return CONTINUE
        return _reply(ctx, seen, at, end, u32(cookie), mss4 if seen.family == 4 else mss6)

    return answer


def _reply(ctx: Any, seen: Any, at: u32, end: u32, cookie: u32, mss: u16) -> Any:
    sequence = ctx.read(end + 4, be32)
    frame = ctx.read(0, Addresses)
    if sequence is None or frame is None:
        return CONTINUE
    if not ctx.adjust_tail(max(end + 24, _SHORTEST) - ctx.length):
        return CONTINUE
    acknowledgement = u32(sequence + 1)
    option = 0x0204_0000 | mss
    total = _halves(cookie) + _halves(acknowledgement) + _halves(option) + seen.source_port + seen.destination_port
    total += _FLAGS + _WINDOW + 6 + 24 + _words(seen.source_low) + _words(seen.destination_low)
    if seen.family == 4:
        total -= 2 * 0xFFFF  # of ::ffff:0:0/96
        source, destination = u32(seen.source_low), u32(seen.destination_low)
        check = 0x4500 + 44 + _DONT_FRAGMENT + 0x4006 + _halves(source) + _halves(destination)
        written = ctx.write(at, Header4(0x45, 0, 44, 0, _DONT_FRAGMENT, 64, 6, _folded(check), destination, source))
    else:
        total += _words(seen.source_high) + _words(seen.destination_high)
        written = ctx.write(at, Header6(0x6000_0000, 24, 6, 64, seen.destination_high, seen.destination_low,
                                        seen.source_high, seen.source_low))
    written = written and ctx.write(end, Segment(seen.destination_port, seen.source_port, cookie, acknowledgement,
                                                 _FLAGS, _WINDOW, _folded(total), 0, option))
    back = Addresses(frame.source, frame.destination)
    return REPLY if written and ctx.write(0, back) else ABORT


def _halves(word: u32) -> u32:
    return (word >> 16) + (word & 0xFFFF)


def _words(word: Any) -> Any:
    return (word >> 48) + (word >> 32 & 0xFFFF) + (word >> 16 & 0xFFFF) + (word & 0xFFFF)


def _folded(total: Any) -> Any:
    """The checksum of a sum of words (RFC 1071)."""
    once = (total & 0xFFFF) + (total >> 16)
    return ~((once & 0xFFFF) + (once >> 16)) & 0xFFFF
