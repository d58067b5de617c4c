"""One parse of a packet for all stages of a hook: what is looked at is what some stage needs."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.headers import ICMP, TCP, UDP, Ethernet, ICMPv6, IPv4, IPv6, Vlan
from bpfwright.headers.ipv6_extensions import Fragment
from bpfwright.helpers import now_coarse_ns
from bpfwright.types import Struct, u8, u16, u64

__all__ = ["ETHERTYPE_IPV4", "ETHERTYPE_IPV6", "FIRST_FRAGMENT", "LATER_FRAGMENT", "NEEDS", "NO_VLAN", "Parsed",
           "V4_MAPPED", "address_text", "clock", "empty", "parser_of", "since"]

NEEDS = ("ethernet", "vlan", "network", "transport")
"""What a stage may ask for: MAC addresses; VLAN id; addresses, protocol, fragments, lengths; ports, flags, types."""
NO_VLAN = 0xFFFF
FIRST_FRAGMENT, LATER_FRAGMENT = 1, 2
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
V4_MAPPED = 0xFFFF << 32
_TRANSPORTS = (6, 17, 1, 58)  # what is looked into
_EXTENSIONS = (0, 43, 44, 51, 60)


class Parsed(Struct):
    """What the headers say, all numbers in host order. It lives in registers: what no stage reads costs nothing.

    An address is two numbers of 64 bits; IPv4 addresses stand as ::ffff:a.b.c.d, so that `u32(source_low)` is the
    address and one table can hold both families. Numbers of a header that is not there are 0, `vlan` is NO_VLAN.
    """

    source_mac: u64
    destination_mac: u64
    ethertype: u16          # behind VLAN tags; of what is not IP, behind the first
    vlan: u16               # the outer tag's id
    family: u8              # 4, 6, or 0: not IP
    protocol: u8            # the transport's, behind extension headers where it is one that is known
    fragment: u8            # 0, FIRST_FRAGMENT, LATER_FRAGMENT
    dscp: u8
    ecn: u8
    ttl: u8                 # or hop limit
    malformed: u8           # 1: a header that was announced is cut off, or extension headers lead to nothing known
    tcp_flags: u8           # FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128
    type: u8                # ICMP and ICMPv6
    code: u8
    source_high: u64
    source_low: u64
    destination_high: u64
    destination_low: u64
    length: u16             # of the IP packet, as its header says
    source_port: u16        # TCP and UDP; the identifier of an echo
    destination_port: u16
    network_offset: u16     # bytes from the frame's start
    transport_offset: u16
    now_ns: u64             # 0 until a stage asks `clock` for it


def address_text(high: int, low: int) -> str:
    """The address of two numbers, as people write it."""
    import ipaddress
    if high == 0 and low >> 32 == 0xFFFF:
        return str(ipaddress.IPv4Address(low & 0xFFFF_FFFF))
    return str(ipaddress.IPv6Address(high << 64 | low))


def empty() -> Parsed:
    """What is known of a packet before it is looked at."""
    return Parsed(0, 0, 0, NO_VLAN, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def clock(packet: Any) -> Any:
    """When the packet came, as all stages of a hook see it: `now_coarse_ns()`, read once, by the first who asks."""
    if packet.now_ns == 0:
        packet.now_ns = now_coarse_ns()
    return packet.now_ns


def since(now: Any, then: Any) -> Any:
    """Nanoseconds from then to now; 0 where `then` is later. Another CPU may have written a time that this one's look
    at the clock came before, and the kernel's fast clock may step back by some nanoseconds.
    """
    return now - then if now > then else 0


def parser_of(needs: frozenset[str]) -> Callable[[Any, Parsed], None]:
    """The function that fills what is needed, for a program to call; UsageError for a need that does not exist."""
    from bpfwright.errors import UsageError
    if unknown := needs - set(NEEDS):
        raise UsageError(f"no parse gives {', '.join(sorted(unknown))}", cure=f"A stage may need {', '.join(NEEDS)}.")
    steps = [_ethernet] if "ethernet" in needs else []
    steps += [_vlan] if "vlan" in needs else []
    transport = needs & {"transport"}
    steps += [_network(_transport if transport else _nothing)] if transport or "network" in needs else []
    whole = _nothing
    for step in reversed(steps):
        whole = _then(step, whole)
    return whole


def _nothing(ctx: Any, packet: Any) -> None:
    return None


def _then(first: Any, second: Any) -> Any:
    if second is _nothing:
        return first

    def both(ctx: Any, packet: Any) -> None:
        first(ctx, packet)
        second(ctx, packet)

    return both


def _ethernet(ctx: Any, packet: Any) -> None:
    frame = ctx.find(Ethernet)
    if frame is not None:
        packet.source_mac = int(frame.source)
        packet.destination_mac = int(frame.destination)


def _vlan(ctx: Any, packet: Any) -> None:
    tag = ctx.find(Vlan)
    if tag is not None:
        packet.vlan = tag.vid


def _network(transport: Any) -> Any:
    def network(ctx: Any, packet: Any) -> None:
        ip = ctx.find(IPv4)
        if ip is not None:
            packet.family = 4
            packet.ethertype = ETHERTYPE_IPV4
            packet.source_low = V4_MAPPED | int(ip.source)
            packet.destination_low = V4_MAPPED | int(ip.destination)
            packet.protocol = ip.protocol
            packet.dscp = ip.dscp
            packet.ecn = ip.ecn
            packet.ttl = ip.ttl
            packet.length = ip.total_length
            packet.fragment = LATER_FRAGMENT if ip.fragment_offset != 0 else ip.more_fragments
            packet.network_offset = ctx.offset_of(ip)
            transport(ctx, packet)
            return
        ip6 = ctx.find(IPv6)
        if ip6 is not None:
            packet.family = 6
            packet.ethertype = ETHERTYPE_IPV6
            packet.source_high = ip6.source.high
            packet.source_low = ip6.source.low
            packet.destination_high = ip6.destination.high
            packet.destination_low = ip6.destination.low
            packet.protocol = ip6.next_header
            packet.dscp = ip6.traffic_class >> 2
            packet.ecn = ip6.traffic_class & 3
            packet.ttl = ip6.hop_limit
            packet.length = ip6.payload_length + 40
            packet.network_offset = ctx.offset_of(ip6)
            if ip6.next_header not in _TRANSPORTS:
                fragment = ctx.find(Fragment)
                if fragment is not None:
                    packet.fragment = LATER_FRAGMENT if fragment.fragment_offset != 0 else FIRST_FRAGMENT
                    packet.protocol = fragment.next_header
            transport(ctx, packet)
            return
        _other(ctx, packet)

    return network


def _other(ctx: Any, packet: Any) -> None:
    """What is no IP packet, or one that is cut off."""
    tag = ctx.find(Vlan)
    if tag is not None:
        packet.ethertype = tag.protocol
    else:
        frame = ctx.find(Ethernet)
        if frame is not None:
            packet.ethertype = frame.protocol
    if packet.ethertype in (ETHERTYPE_IPV4, ETHERTYPE_IPV6):
        packet.malformed = 1


def _transport(ctx: Any, packet: Any) -> None:
    match ctx.find(TCP, UDP, ICMP, ICMPv6):
        case TCP() as tcp:
            packet.protocol = 6
            packet.source_port = tcp.sport
            packet.destination_port = tcp.dport
            packet.tcp_flags = (tcp.fin | tcp.syn << 1 | tcp.rst << 2 | tcp.psh << 3 | tcp.ack << 4 | tcp.urg << 5
                                | tcp.ece << 6 | tcp.cwr << 7)
            packet.transport_offset = ctx.offset_of(tcp)
        case UDP() as udp:
            packet.protocol = 17
            packet.source_port = udp.sport
            packet.destination_port = udp.dport
            packet.transport_offset = ctx.offset_of(udp)
        case ICMP() as icmp:
            packet.type = icmp.type
            packet.code = icmp.code
            packet.source_port = icmp.identifier
            packet.transport_offset = ctx.offset_of(icmp)
        case ICMPv6() as icmp6:
            packet.protocol = 58
            packet.type = icmp6.type
            packet.code = icmp6.code
            packet.source_port = icmp6.identifier
            packet.transport_offset = ctx.offset_of(icmp6)
        case None:
            if packet.fragment != LATER_FRAGMENT and (packet.protocol in _TRANSPORTS or
                                                      (packet.family == 6 and packet.protocol in _EXTENSIONS)):
                packet.malformed = 1
