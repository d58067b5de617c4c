"""The flow table: one entry for both directions of a flow, made by whoever lets its first packet pass.

XDP never sees what a host sends, so a stage at tc egress remembers that. Times are lazy: a flow that was idle for
longer than its state allows counts as none, and its entry is used again. A full table drops what was used least
recently (LRU); both ends of that are counted by who remembers: `remember` says whether it made an entry.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.datapath.parsed import LATER_FRAGMENT, V4_MAPPED, Parsed, clock, empty, since
from bpfwright.headers import IPv4, IPv6
from bpfwright.maps import LruHash
from bpfwright.types import Struct, be16, u8, u16, u32, u64

__all__ = ["BEGUN", "CLOSING", "ESTABLISHED", "FIRST_IS_ORIGIN", "Flow", "FlowKey", "Flows", "INVALID", "NEW",
           "RELATED", "Timeouts", "UNTRACKED", "sent_by_second"]

UNTRACKED, NEW, ESTABLISHED, RELATED, INVALID, BEGUN = range(6)
"""What `state` says: no flow can be told (not IP, a later fragment); it would begin one; both directions have been
seen; an ICMP error about a known flow; what cannot begin a flow, as a TCP segment without SYN; one that is remembered,
and only its first direction has been seen."""

FIRST_IS_ORIGIN, REPLIED, CLOSING = 1, 2, 4
"""Flags of a flow: its key's first end began it; both directions have been seen; TCP's end has begun."""
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_QUOTED = 8  # bytes of an ICMP error before the packet that it is about


class FlowKey(Struct):
    """Both ends of a flow, the smaller one first; ICMP echoes have their identifier for both ports."""

    first_high: u64
    first_low: u64
    second_high: u64
    second_low: u64
    first_port: u16
    second_port: u16
    protocol: u8
    padding: u8
    more_padding: u16


class Flow(Struct):
    """A flow: packets and bytes that its originator sent and got; `last_ns` is bpf_ktime_get_ns of the last packet."""

    last_ns: u64
    sent_packets: u64
    sent_bytes: u64
    got_packets: u64
    got_bytes: u64
    flags: u32
    padding: u32


class _Ports(Struct):
    source: be16
    destination: be16


class Timeouts(NamedTuple):
    """Seconds after which an idle flow is forgotten."""

    tcp_new: float = 60.0
    tcp: float = 7440.0  # two hours and four minutes (RFC 5382, 5)
    tcp_closing: float = 30.0
    udp_new: float = 30.0
    udp: float = 180.0
    other: float = 60.0


class Flows(NamedTuple):
    """A table and its functions of the dialect, each of `packet` (a Parsed with network and transport).

    `state(ctx, packet)`: UNTRACKED, NEW, ESTABLISHED, RELATED, INVALID or BEGUN; it keeps a known flow alive, and
    counts.
    `remember(packet)`: make an entry for a NEW one, the packet's sender being the originator; whether there was room.
    """

    table: Any
    state: Callable[[Any, Any], Any]
    remember: Callable[[Any], Any]

    @classmethod
    def of(cls, *, max_entries: int = 262_144, timeouts: Timeouts | None = None) -> Flows:
        """A new table; keep it (`Part.kept`), so that flows outlive changes."""
        table = LruHash[FlowKey, Flow](max_entries=max_entries)
        return cls(table, _state(table, timeouts or Timeouts()), _remember(table))


def sent_by_second(packet: Parsed) -> bool:
    """Whether the packet's sender is the key's second end."""
    if packet.source_high != packet.destination_high:
        return packet.source_high > packet.destination_high
    if packet.source_low != packet.destination_low:
        return packet.source_low > packet.destination_low
    return packet.source_port > packet.destination_port


def _key(packet: Any, swapped: bool) -> FlowKey:
    # One record for both orders: each record that a program makes has its own place on the stack.
    echo = packet.protocol in (_ICMP, _ICMPV6)
    port = packet.source_port if echo else packet.destination_port
    return FlowKey(packet.destination_high if swapped else packet.source_high,
                   packet.destination_low if swapped else packet.source_low,
                   packet.source_high if swapped else packet.destination_high,
                   packet.source_low if swapped else packet.destination_low,
                   port if swapped else packet.source_port, packet.source_port if swapped else port,
                   packet.protocol, 0, 0)


def _remember(table: Any) -> Any:
    def remember(packet: Any) -> Any:
        swapped = sent_by_second(packet)
        return table.insert(_key(packet, swapped), Flow(clock(packet), 1, packet.length, 0, 0,
                                                        0 if swapped else FIRST_IS_ORIGIN, 0))

    return remember


def _state(table: Any, timeouts: Timeouts) -> Any:
    tcp_new, tcp, tcp_closing, udp_new, udp, other = (int(seconds * 1e9) for seconds in timeouts)
    related = _related(table)

    def idle_limit(protocol: int, flags: int) -> int:
        if protocol == _TCP:
            if flags & CLOSING:
                return tcp_closing
            return tcp if flags & REPLIED else tcp_new
        if protocol == _UDP:
            return udp if flags & REPLIED else udp_new
        return other

    def state(ctx: Any, packet: Any) -> Any:
        if packet.family == 0 or packet.fragment == LATER_FRAGMENT or packet.malformed or _is_of_the_link(packet):
            return UNTRACKED
        if _is_error(packet):
            return related(ctx, packet)
        swapped = sent_by_second(packet)
        flow = table.get(_key(packet, swapped))
        if flow is None:
            return _unknown(packet)
        now = clock(packet)
        flags = flow.flags
        if since(now, flow.last_ns) > idle_limit(packet.protocol, flags):
            return _unknown(packet)
        if packet.protocol == _TCP:
            if flags & CLOSING and packet.tcp_flags & (_SYN | _ACK | _RST) == _SYN:
                return NEW  # the ports are used again
            if packet.tcp_flags & (_FIN | _RST):
                flags |= CLOSING
        from_origin = (flags & FIRST_IS_ORIGIN != 0) != swapped
        if from_origin:
            flow.sent_packets += 1
            flow.sent_bytes += packet.length
        else:
            flow.got_packets += 1
            flow.got_bytes += packet.length
            flags |= REPLIED
        if flags != flow.flags:
            flow.flags |= flags
        flow.last_ns = now
        return ESTABLISHED if flags & REPLIED else BEGUN

    return state


def _unknown(packet: Any) -> int:
    """What may begin a flow is new; anything else belongs to one that is not known."""
    if packet.protocol == _TCP:
        return NEW if packet.tcp_flags & (_SYN | _ACK | _RST | _FIN) == _SYN else INVALID
    if packet.protocol == _ICMP:  # requests: echo, timestamp, information, address mask
        return NEW if packet.type == 8 or packet.type == 13 or packet.type == 15 or packet.type == 17 else INVALID
    if packet.protocol == _ICMPV6:  # echo, and a node's information
        return NEW if packet.type == 128 or packet.type == 139 else INVALID
    return NEW


def _is_of_the_link(packet: Any) -> Any:
    """MLD, neighbour discovery and multicast routers: they belong to no flow, and are not invalid either
    (nf_conntrack_proto_icmpv6.c, noct_valid_new)."""
    return packet.protocol == _ICMPV6 and (130 <= packet.type <= 136 or packet.type == 143 or packet.type == 151)


def _is_error(packet: Any) -> Any:
    """ICMP messages about another packet: unreachable, too big, time exceeded, parameter problem."""
    if packet.protocol == _ICMP:
        return packet.type in (3, 11, 12)
    return packet.protocol == _ICMPV6 and 1 <= packet.type <= 4


def _related(table: Any) -> Any:
    def related(ctx: Any, packet: Any) -> Any:
        """The flow of the quoted packet, as its sender sent it."""
        at = packet.transport_offset + _QUOTED
        inner = empty()
        if packet.protocol == _ICMP:
            quoted = ctx.read(at, IPv4)
            if quoted is None or quoted.fragment_offset != 0:
                return INVALID
            inner.source_low = V4_MAPPED | int(quoted.source)
            inner.destination_low = V4_MAPPED | int(quoted.destination)
            inner.protocol = quoted.protocol
            behind = at + quoted.ihl * 4
        else:
            quoted6 = ctx.read(at, IPv6)
            if quoted6 is None:
                return INVALID
            inner.source_high = quoted6.source.high
            inner.source_low = quoted6.source.low
            inner.destination_high = quoted6.destination.high
            inner.destination_low = quoted6.destination.low
            inner.protocol = quoted6.next_header
            behind = at + 40
        if inner.protocol in (_ICMP, _ICMPV6):
            identifier = ctx.read(behind + 4, be16)
            if identifier is None:
                return INVALID
            inner.source_port = identifier
        else:
            ports = ctx.read(behind, _Ports)
            if ports is None:
                return INVALID
            inner.source_port = ports.source
            inner.destination_port = ports.destination
        return INVALID if table.get(_key(inner, sent_by_second(inner))) is None else RELATED

    return related
