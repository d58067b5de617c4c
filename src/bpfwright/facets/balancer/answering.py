"""What the balancer answers itself: echo requests, and frames that are too big to be sent on."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import ETHERNET, IPV4, IPV6, TAGGED, folded, frame, halves, raw16
from bpfwright.datapath.stage import REPLY
from bpfwright.facets.balancer import work as w
from bpfwright.facets.balancer.tables import Shape
from bpfwright.helpers import subprogram
from bpfwright.hooks import xdp
from bpfwright.types import L, array, u16, u32

__all__ = ["echo_answer", "too_big_answer"]

_TTL = 64
_QUOTED_WORDS = {4: 21, 6: 62}  # of the frame that was too big, behind its Ethernet header: 84 and 248 bytes
_ICMP_BYTES, _KEPT = 8, {4: 98, 6: 262}
_ICMPV6 = 58


def echo_answer(shape: Shape, family: int, layouts: Any) -> Any:
    """`answer(ctx) -> verdict`: an echo request becomes its reply in place."""
    Icmp, short = layouts.icmp, w.reason("short ICMP")
    turn = _turn4 if family == 4 else _turn6
    adjust = (_add8 if family == 4 else _take1) if shape.katran else (_carried8 if family == 4 else _carried1)

    def answer(ctx: Any) -> Any:
        found = ctx.find(Icmp)
        if found is None:
            return short
        message = found.raw
        _swap_mac(message)
        turn(message)
        adjust(message)
        return REPLY

    return answer


def _swap_mac(message: Any) -> None:
    first, second = message.first, message.second
    message.first = first >> 48 | second << 16 | first << 48
    message.second = u32(first >> 16)


def _turn4(message: Any) -> None:
    source = message.source
    message.source = message.destination
    message.destination = source
    message.ttl = _TTL
    message.about = message.about & 0xFF00  # an echo reply's type is 0
    total = message.version + (message.tos << 8) + message.length + message.word + _TTL + (message.protocol << 8)
    message.check = u16(~folded(total + message.source + source))


def _turn6(message: Any) -> None:
    a, b = message.source_a, message.source_b
    message.source_a = message.destination_a
    message.source_b = message.destination_b
    message.destination_a = a
    message.destination_b = b
    message.hops = _TTL
    message.about = (message.about & 0xFF00) | 129


def _add8(message: Any) -> None:
    message.sum = u16(message.sum + 8)  # Katran's: raw, and no carry


def _take1(message: Any) -> None:
    message.sum = u16(message.sum - 1)


def _carried8(message: Any) -> None:
    message.sum = u16(folded(message.sum + 8))


def _carried1(message: Any) -> None:
    message.sum = u16(folded(message.sum + 0xFFFE))


def too_big_answer(shape: Shape, family: int, tags: int) -> Any:
    """`answer(ctx) -> verdict`: the sender is told how large packets may be, with the start of the one that was not."""
    ip = IPV4 if family == 4 else IPV6
    words = _QUOTED_WORDS[family]
    header = 20 if family == 4 else 40
    icmp = (("about", u16), ("sum", u16), ("rest", u32))
    Old = frame(f"too_big_old{family}{tags}", TAGGED if tags else ETHERNET, ip)
    New = frame(f"too_big{family}{tags}", TAGGED if tags else ETHERNET, ip, icmp,
                (("quoted", array[u32, L[words]]),))  # type: ignore[valid-type]
    room = header + _ICMP_BYTES
    kept = _KEPT[family] + 4 * tags
    mtu_raw = raw16(shape.largest - 14) << 16
    length = words * 4 + _ICMP_BYTES + (header if family == 4 else 0)
    fill = _too_big4 if family == 4 else _too_big6
    failed = w.reason("no room for headers")
    tagged = tags == 1

    @subprogram
    def answer(ctx: xdp.Context) -> u32:
        if not ctx.adjust_tail(kept - ctx.length):
            return failed
        before = ctx.find(Old)
        if before is None:
            return failed
        first, second, kind = before.raw.first, before.raw.second, before.raw.kind
        tag = 0
        if tagged:
            tag = before.raw.tag
        if not ctx.adjust_head(-room):
            return failed
        found = ctx.find(New)
        if found is None:
            return failed
        new = found.raw
        new.first = first >> 48 | second << 16 | first << 48
        new.second = u32(first >> 16)
        new.kind = kind
        if tagged:
            new.tag = tag
        new.sum = 0
        new.rest = mtu_raw
        fill(new, length)
        total = new.about + mtu_raw
        for i in range(words):
            total += new.quoted[i]
        new.sum = u16(~folded(total + _pseudo(new)))
        return REPLY

    def _pseudo4(new: Any) -> Any:
        return 0

    def _pseudo6(new: Any) -> Any:
        addresses = (halves(new.source_a) + halves(new.source_b) + halves(new.destination_a)
                     + halves(new.destination_b))
        return addresses + raw16(length) + (_ICMPV6 << 8)

    _pseudo: Any = _pseudo4 if family == 4 else _pseudo6
    return answer


def _too_big4(new: Any, length: Any) -> None:
    new.about = 3 | 4 << 8  # unreachable: fragmentation needed
    new.version = 0x45
    new.tos = 0
    raw_length = (length >> 8 & 0xFF) | (length & 0xFF) << 8
    new.length = raw_length
    new.word = 0
    new.ttl = _TTL
    new.protocol = 1
    source, destination = new.quoted[4], new.quoted[3]  # to the one whom the packet was from
    new.source = source
    new.destination = destination
    new.check = u16(~folded(0x45 + raw_length + (_TTL | 1 << 8) + source + destination))


def _too_big6(new: Any, length: Any) -> None:
    new.about = 2
    new.version = 0x60
    new.length = (length >> 8 & 0xFF) | (length & 0xFF) << 8
    new.protocol = _ICMPV6
    new.hops = _TTL
    new.source_a = new.quoted[6] | new.quoted[7] << 32
    new.source_b = new.quoted[8] | new.quoted[9] << 32
    new.destination_a = new.quoted[2] | new.quoted[3] << 32
    new.destination_b = new.quoted[4] | new.quoted[5] << 32
