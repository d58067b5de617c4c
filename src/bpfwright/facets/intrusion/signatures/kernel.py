"""The kernel's part: headers by masks, patterns by hashed words, and copies of packets that may match."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.datapath.stage import CONTINUE, drop
from bpfwright.facets.intrusion.signatures.compiling import SPREAD, Layout, tables_of
from bpfwright.facets.intrusion.signatures.following import ALL, OPENS, REQUESTS, follower_of, is_method
from bpfwright.facets.intrusion.signatures.records import (
    CARRIED,
    EGRESS,
    REASONS,
    SNAP,
    WITH_TAIL,
    Copy,
    Entry,
    Looked,
    Session,
    SessionKey,
)
from bpfwright.facets.intrusion.signatures.searching import searcher_of, text_of
from bpfwright.facets.intrusion.signatures.sessions import CONDEMNED, sessions_of
from bpfwright.helpers import judged_alone, now_ns
from bpfwright.maps import Array, Hash, LruHash, PerCpuArray, RingBuf
from bpfwright.types import L, Struct, array, be16, be32, u8, u16, u32, u64

__all__ = ["COUNTS", "DROPPED_HERE", "FIGURE", "OFF", "OVERRAN", "Limits", "Maps", "maps_of", "stage_of"]

COUNTS = ("packets", "searched", "copied", "cut", "not followed", "dropped", "lost")
"""What is counted: packets that some rule's header fits, payloads that were searched, copies, copies that lack bytes,
segments beyond what is followed, packets that a rule dropped here, copies that found no room in the ring."""
_PACKETS, _SEARCHED, _COPIED, _CUT, _BEYOND, _DROPPED, _LOST = range(len(COUNTS))
_PATTERN, _HEADER, _FRAGMENT = 1, 2, 3
_MOST_TOLD = 65_536
NOTHING, CONDEMN = 0xFF, 0xFE


class TcpHead(Struct):
    ports: be32
    sequence: be32
    acknowledged: be32
    control: be16


class Tail(Struct):
    """The last bytes of a payload."""

    words: array[u32, L[4]]


class Limits(NamedTuple):
    """`depth`: payload bytes that are searched in each packet. `follow`: bytes of a stream that are copied once
    something was found in it; `first`: bytes of each stream that are copied anyway; `opening`: of one that begins as a
    protocol does that a rule is about; `most`: in all, of one side."""

    depth: int = 256
    follow: int = 8192
    first: int = 0
    most: int = 1 << 20
    sessions: int = 65_536
    ring_bytes: int = 1 << 24
    opening: int = 2048


class Maps(NamedTuple):
    """The maps of the kernel's part; `scratch` is for the text that is searched, `told` counts by sid."""

    tables: Any
    entries: Any
    sessions: Any
    copies: Any
    counts: Any
    reasons: Any
    scratch: Any
    told: Any
    looks: Any


DROPPED_HERE, FIGURE, OVERRAN, OFF = (1 << bit for bit in range(32, 36))
"""Keys of `told`: a sid; with DROPPED_HERE, what the kernel dropped by it; with OVERRAN, how often it took more than
its budget; with OFF, that it is switched off; FIGURE and a number, what the process counts."""


def maps_of(layout: Layout, limits: Limits) -> Maps:
    """Maps for tables of a shape."""
    text = text_of(limits.depth)
    tables: Any = Array[tables_of(layout)]  # type: ignore[misc]
    return Maps(tables(max_entries=1), Array[Entry](max_entries=layout.entries),
                LruHash[SessionKey, Session](max_entries=limits.sessions), RingBuf[Copy](size_bytes=limits.ring_bytes),
                PerCpuArray[u64](max_entries=len(COUNTS)), PerCpuArray[u64](max_entries=len(REASONS)),
                PerCpuArray[text](max_entries=1),  # type: ignore[valid-type]
                Hash[u64, u64](max_entries=_MOST_TOLD),
                PerCpuArray[Looked](max_entries=1))


def stage_of(layout: Layout, limits: Limits, maps: Maps, *, egress: bool, nets: Any) -> Any:
    """`run(ctx, packet)` for one hook; `nets(packet, tables, seen)` takes off what addresses do not fit."""
    copy = _copier(maps, EGRESS if egress else 0)
    ports = (_ports_both_ways if layout.tracks else _ports_alone)(layout, nets)
    tables, looks, counts, told = maps.tables, maps.looks, maps.counts, maps.told
    weigh = (_tracked if layout.tracks else _alone)(layout, limits, maps)
    search = searcher_of(layout, limits.depth, maps)
    found_in = _found_in(maps, limits) if layout.tracks else _nowhere
    tails, speaks = layout.streams, layout.speaks

    def run(ctx: Any, packet: Any) -> Any:
        if packet.family == 0:
            return CONTINUE
        t = tables.get(0)
        if t is None:
            return CONTINUE
        look = looks.local(0)
        _clear(look)
        if packet.fragment != 0:
            look.family = packet.family
            look.network_offset = packet.network_offset
            copy(ctx, look, _FRAGMENT, 0)
            return CONTINUE
        if not ports(packet, t, look):
            return CONTINUE
        look.ifindex = ctx.ifindex
        _remember(look, packet)
        if not _place(ctx, look):
            return CONTINUE
        if tails and look.protocol == 6 and look.size >= CARRIED:
            tail = ctx.read(look.start + look.size - CARRIED, Tail)
            if tail is not None:
                look.has_tail = 1
                look.tail[0] = tail.words[0]
                look.tail[1] = tail.words[1]
                look.tail[2] = tail.words[2]
                look.tail[3] = tail.words[3]
        if speaks and look.protocol == 6 and look.size >= 4:
            word = ctx.read(look.start, u32)
            if word is not None:
                look.word = word
                look.method = is_method(word)  # here, where the chain of calls is short: there is one stack for all
        reason = weigh(0)
        if reason == NOTHING:
            return CONTINUE
        if reason == CONDEMN:
            counts.increment(_DROPPED)
            return drop(1)
        found = 0
        if look.content != 0 and look.size != 0:
            counts.increment(_SEARCHED)
            found = search(ctx, look)
        if found != 0:
            found_in(u32(found))
            reason = _PATTERN
        elif look.head != 0:
            reason = _HEADER
        if reason != 0:
            copy(ctx, look, reason, u32(found >> 1))
        if found > 1:
            counts.increment(_DROPPED)
            told.increment(u64(found >> 1) | DROPPED_HERE)
            return drop(1)
        return CONTINUE

    return run


def _nowhere(found: Any) -> int:
    return 0


def _clear(look: Any) -> None:
    look.flow = 0
    look.sequence = 0
    look.state = 0
    look.expected = 0
    look.complete = 0
    look.first = 0
    look.carried = 0
    look.has_tail = 0
    look.word = 0
    look.method = 0


def _remember(look: Any, packet: Any) -> None:
    look.source_high = packet.source_high
    look.source_low = packet.source_low
    look.destination_high = packet.destination_high
    look.destination_low = packet.destination_low
    look.source_port = packet.source_port
    look.destination_port = packet.destination_port
    look.length = packet.length
    look.network_offset = packet.network_offset
    look.transport_offset = packet.transport_offset
    look.family = packet.family
    look.protocol = packet.protocol
    look.tcp_flags = packet.tcp_flags
    look.type = packet.type
    look.code = packet.code
    look.ttl = packet.ttl


def _has_ports(packet: Any) -> Any:
    return packet.transport_offset != 0 and packet.protocol in (6, 17)


def _ports_alone(layout: Layout, nets: Any) -> Callable[..., Any]:
    sources, destinations = layout.classes["source"], layout.classes["destination"]

    def ports(packet: Any, t: Any, seen: Any) -> Any:
        """Note whose protocol and ports fit; whether there are any."""
        has = _has_ports(packet)
        source = t.source_ports[u16(packet.source_port * SPREAD)] % sources if has else 0
        destination = t.destination_ports[u16(packet.destination_port * SPREAD)] % destinations if has else 0
        seen.content = t.protocols[packet.protocol] & t.sources[source] & t.destinations[destination]
        seen.head = t.protocol_heads[packet.protocol] & t.source_heads[source] & t.destination_heads[destination]
        if seen.content == 0 and seen.head == 0:
            return False
        nets(packet, t, seen)
        return seen.content != 0 or seen.head != 0

    return ports


def _ports_both_ways(layout: Layout, nets: Any) -> Callable[..., Any]:
    sources, destinations = layout.classes["source"], layout.classes["destination"]

    def ports(packet: Any, t: Any, seen: Any) -> bool:
        """The same; but what answers such packets is of interest too, since it makes a flow what it is."""
        has = _has_ports(packet)
        source = t.source_ports[u16(packet.source_port * SPREAD)] % sources if has else 0
        destination = t.destination_ports[u16(packet.destination_port * SPREAD)] % destinations if has else 0
        back = t.source_ports[u16(packet.destination_port * SPREAD)] % sources if has else 0
        forth = t.destination_ports[u16(packet.source_port * SPREAD)] % destinations if has else 0
        of_protocol = t.protocols[packet.protocol]
        of_heads = t.protocol_heads[packet.protocol]
        seen.content = of_protocol & t.sources[source] & t.destinations[destination]
        seen.head = of_heads & t.source_heads[source] & t.destination_heads[destination]
        answers = (of_protocol & t.sources[back] & t.destinations[forth]) | (
            of_heads & t.source_heads[back] & t.destination_heads[forth])
        if seen.content == 0 and seen.head == 0 and answers == 0:
            return False
        nets(packet, t, seen)
        return True

    return ports


def _place(ctx: Any, packet: Any) -> bool:
    """Where the payload is; false for what ends before."""
    end = min(u32(packet.network_offset + packet.length), u32(ctx.length))
    start = u32(packet.transport_offset + 8)
    if packet.transport_offset == 0:
        start = u32(packet.network_offset + 40)
        if packet.family == 4:
            first = ctx.read(packet.network_offset, u8)
            if first is None:
                return False
            start = u32(packet.network_offset + (first & 15) * 4)
    elif packet.protocol == 6:
        tcp = ctx.read(packet.transport_offset, TcpHead)
        if tcp is None:
            return False
        start = u32(packet.transport_offset + (tcp.control >> 12) * 4)
        packet.sequence = tcp.sequence
    packet.start = start
    packet.size = end - start if end > start else 0
    return True


def _alone(layout: Layout, limits: Limits, maps: Maps) -> Callable[..., Any]:
    """`weigh(0)`: why the packet is to be copied whatever is in it, 0: it is not, or NOTHING. What it is judged by is
    in memory, so that verifiers judge this once, and not for each way through the parse."""
    masks, tables, looks, counts = _masks(layout), maps.tables, maps.looks, maps.counts

    @judged_alone
    def weigh_packet(unused: u32) -> u32:
        look = looks.local(0)
        t = tables.get(0)
        if t is None:
            return NOTHING
        masks(look, t, look)
        if look.content == 0 and look.head == 0:
            return NOTHING
        counts.increment(_PACKETS)
        return unused

    return weigh_packet


def _tracked(layout: Layout, limits: Limits, maps: Maps) -> Callable[..., Any]:
    """The same with flows: CONDEMN for what belongs to one that a rule has dropped."""
    masks, tables, looks, counts = _masks(layout), maps.tables, maps.looks, maps.counts
    session_of, _ = sessions_of(maps.sessions)
    before, behind = follower_of(limits, maps, speaks=layout.speaks)
    asks = _asks if layout.speaks else _asks_nothing

    @judged_alone
    def weigh_packet(unused: u32) -> u32:
        look = looks.local(0)
        t = tables.get(0)
        if t is None:
            return NOTHING
        session = session_of(look, look)
        if session is not None and session.flags & CONDEMNED:
            return CONDEMN
        masks(look, t, look)
        if look.content == 0 and look.head == 0:
            return NOTHING
        counts.increment(_PACKETS)
        reason = unused
        if session is not None and look.protocol == 6 and look.content & t.streams != 0 and look.size != 0:
            side = 1 if look.state > 2 else 0
            reason = u32(before(session, look, side, asks(look, t)))
            behind(session, look, side)
        return reason

    return weigh_packet


def _asks(look: Any, t: Any) -> Any:
    """What rules about protocols ask for."""
    return u32((REQUESTS if look.content & t.requests != 0 else 0) | (ALL if look.content & t.all_requests != 0 else 0)
               | (OPENS if look.content & t.openers[look.word & 255] != 0 else 0))


def _asks_nothing(look: Any, t: Any) -> int:
    return 0


def _found_in(maps: Maps, limits: Limits) -> Callable[..., Any]:
    """`found_in(found)`: a pattern was found in a packet of a flow: follow it, or drop all that comes."""
    looks, window = maps.looks, limits.follow
    _, again = sessions_of(maps.sessions)

    @judged_alone
    def note_found(found: u32) -> u32:
        look = looks.local(0)
        session = again(look)
        if session is None:
            return 0
        side = 1 if look.state > 2 else 0
        session.follow[side] = window
        if found > 1:
            session.flags |= CONDEMNED
        return 1

    return note_found


def _masks(layout: Layout) -> Callable[..., Any]:
    """Takes off the rules that other numbers of the packet do not fit; only what some rule asks for is looked at."""
    known: dict[str, Any] = _MASKS | {"size": _sizes_of(layout)}
    steps = [known[name] for name in layout.looks]

    def nothing(packet: Any, t: Any, seen: Any) -> None:
        return None

    whole: Any = nothing
    for step in reversed(steps):
        whole = step if whole is nothing else _then(step, whole)
    found: Callable[..., Any] = whole
    return found


def _then(first: Any, second: Any) -> Any:
    def both(packet: Any, t: Any, seen: Any) -> None:
        first(packet, t, seen)
        second(packet, t, seen)

    return both


def _states(packet: Any, t: Any, seen: Any) -> None:
    seen.content &= t.states[seen.state % 8]
    seen.head &= t.state_heads[seen.state % 8]


def _flags(packet: Any, t: Any, seen: Any) -> None:
    seen.content &= t.flags[packet.tcp_flags]
    seen.head &= t.flag_heads[packet.tcp_flags]


def _types(packet: Any, t: Any, seen: Any) -> None:
    seen.content &= t.types[packet.type]
    seen.head &= t.type_heads[packet.type]


def _codes(packet: Any, t: Any, seen: Any) -> None:
    seen.content &= t.codes[packet.code]
    seen.head &= t.code_heads[packet.code]


def _ttls(packet: Any, t: Any, seen: Any) -> None:
    seen.content &= t.ttls[packet.ttl]
    seen.head &= t.ttl_heads[packet.ttl]


def _sizes_of(layout: Layout) -> Any:
    classes = layout.classes["size"]

    def sizes(packet: Any, t: Any, seen: Any) -> None:
        place = t.sizes[min(seen.size, 4095)] % classes
        seen.content &= t.size_masks[place]
        seen.head &= t.size_heads[place]

    return sizes


_MASKS: dict[str, Any] = {"state": _states, "flags": _flags, "type": _types, "code": _codes, "ttl": _ttls}


def _copier(maps: Maps, hook: int) -> Callable[..., None]:
    copies, counts, reasons, scratch = maps.copies, maps.counts, maps.reasons, maps.scratch

    def copy(ctx: Any, seen: Any, reason: int, rule: int) -> None:
        """Send a packet to the process."""
        reasons.increment(reason)
        with copies.reserve() as made:
            if made is None:
                counts.increment(_LOST)
                return
            length = u32(ctx.length)
            made.time_ns = now_ns()
            made.flow = seen.flow
            made.ifindex = ctx.ifindex
            made.length = length
            made.expected = seen.complete
            made.start = seen.first
            made.drop = rule
            made.flags = hook | (WITH_TAIL if seen.carried and seen.complete == seen.sequence else 0)
            made.state = seen.state
            made.reason = reason
            made.family = seen.family
            made.network_offset = seen.network_offset
            text = scratch.local(0)
            made.tail[0] = text.words[1]
            made.tail[1] = text.words[2]
            made.tail[2] = text.words[3]
            made.tail[3] = text.words[4]
            kept = min(length, SNAP)
            made.kept = kept if ctx.fetch(0, made.data, size=kept) else 0
            counts.increment(_COPIED)
            if kept < length:
                counts.increment(_CUT)

    return copy
