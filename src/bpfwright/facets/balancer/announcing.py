"""VIPs made known: ARP and neighbour discovery answered at XDP, and lines for a speaker of BGP.

No host has a VIP's address on the wire: who asks for its hardware address is answered by the program, with the one of
the interface that the question came in by.
"""
from __future__ import annotations

from bpfwright._typing import Any, Iterable, Iterator
from bpfwright.datapath.encapsulation import ETHERNET, IPV6, folded, frame, halves, raw16
from bpfwright.datapath.stage import CONTINUE, REPLY, Stage
from bpfwright.facets.balancer.tables import Tables, Words
from bpfwright.helpers import subprogram
from bpfwright.hooks import xdp
from bpfwright.types import u16, u32, u64

__all__ = ["ARP_RAW", "Bare", "announcing_stage", "answers", "routes"]

ARP_RAW, _IPV6_RAW = 0x0608, 0xDD86
_REQUEST, _REPLY = 0x0100, 0x0200               # ARP's operations, raw
_ETHERNET_IPV4 = 0x0406_0008_0100               # hardware Ethernet, protocol IPv4, their lengths: raw
_SOLICITATION, _ADVERTISEMENT, _ICMPV6 = 135, 136, 58
_SOLICITED_OVERRIDE = 0x60                      # raw flags of an advertisement
_BYTES = 32                                     # of the message with one option of 8
_NEAR = 255                                     # hops: such messages are never forwarded


def announcing_stage(tables: Tables, mac: bytes) -> Stage:
    """The stage for an interface with this hardware address."""
    mine = int.from_bytes(mac, "little")

    def own(asked: Any) -> Any:
        return mine

    arp_answer, solicited_answer = answers(tables, own, own)

    @subprogram
    def arp(ctx: xdp.Context) -> u32:
        return REPLY if arp_answer(ctx) else CONTINUE

    @subprogram
    def solicited(ctx: xdp.Context) -> u32:
        return REPLY if solicited_answer(ctx) else CONTINUE

    def run(ctx: Any, packet: Any) -> Any:
        found = ctx.find(Bare)
        if found is None:
            return CONTINUE
        if found.raw.kind == ARP_RAW:
            return arp(ctx)
        if found.raw.kind == _IPV6_RAW:
            return solicited(ctx)
        return CONTINUE

    return Stage("announce", run, frozenset())


def answers(tables: Tables, arp_mac: Any, link_mac: Any) -> tuple[Any, Any]:
    """`answer(ctx) -> bool` for questions of ARP and of neighbour discovery about VIPs: the frame becomes its answer.

    The functions given say, raw and of the question, which hardware address is answered.
    """
    Arp = frame("arp", ETHERNET, (("formats", u32), ("lengths", u16), ("operation", u16), ("sender_mac_a", u32),
                                  ("sender_mac_b", u16), ("sender", u32), ("target_mac_a", u32), ("target_mac_b", u16),
                                  ("target", u32)))
    Asked = frame("solicitation", ETHERNET, IPV6, (("about", u16), ("sum", u16), ("flags", u32), ("target_a", u64),
                                                   ("target_b", u64), ("option", u16), ("link_a", u16),
                                                   ("link_b", u32)))
    addresses4, addresses6 = tables.addresses4, tables.addresses6
    length = raw16(_BYTES)

    def arp(ctx: Any) -> Any:
        found = ctx.find(Arp)
        if found is None:
            return False
        asked = found.raw
        if (asked.operation != _REQUEST or asked.formats | asked.lengths << 32 != _ETHERNET_IPV4
                or asked.target not in addresses4):
            return False
        mine = arp_mac(asked)
        sender, mac_a, mac_b = asked.sender, asked.sender_mac_a, asked.sender_mac_b
        asked.first = (mac_a | mac_b << 32) | u64(mine & 0xFFFF) << 48
        asked.second = u32(mine >> 16)
        asked.operation = _REPLY
        asked.sender_mac_a = u32(mine & 0xFFFF_FFFF)
        asked.sender_mac_b = u16(mine >> 32)
        asked.sender = asked.target
        asked.target_mac_a = mac_a
        asked.target_mac_b = mac_b
        asked.target = sender
        return True

    def solicited(ctx: Any) -> Any:
        found = ctx.find(Asked)
        if found is None:
            return False
        asked = found.raw
        if (asked.protocol != _ICMPV6 or asked.about != _SOLICITATION or asked.hops != _NEAR or asked.length != length
                or asked.option != 0x0101 or Words(asked.target_a, asked.target_b) not in addresses6):
            return False
        mine = link_mac(asked)
        asked.first = (asked.link_a | asked.link_b << 16) | u64(mine & 0xFFFF) << 48
        asked.second = u32(mine >> 16)
        asked.destination_a = asked.source_a
        asked.destination_b = asked.source_b
        asked.source_a = asked.target_a
        asked.source_b = asked.target_b
        asked.about = _ADVERTISEMENT
        asked.flags = _SOLICITED_OVERRIDE
        asked.option = 0x0102  # the target's link-layer address
        asked.link_a = u16(mine & 0xFFFF)
        asked.link_b = u32(mine >> 16)
        total = _ADVERTISEMENT + _SOLICITED_OVERRIDE + 0x0102 + (mine & 0xFFFF) + (mine >> 16) + length + (_ICMPV6 << 8)
        total += 2 * (halves(asked.target_a) + halves(asked.target_b))
        total += halves(asked.destination_a) + halves(asked.destination_b)
        asked.sum = u16(~folded(total))
        return True

    return arp, solicited


Bare: Any = frame("bare", ETHERNET)


def routes(serving: Iterable[str], said: set[str]) -> Iterator[str]:
    """What changes for a BGP speaker, in ExaBGP's words: prefixes that are served now, and those it was told before.

    `said` is brought up to date.
    """
    now = set(serving)
    for prefix in sorted(now - said):
        yield f"announce route {prefix} next-hop self"
    for prefix in sorted(said - now):
        yield f"withdraw route {prefix} next-hop self"
    said.clear()
    said.update(now)
