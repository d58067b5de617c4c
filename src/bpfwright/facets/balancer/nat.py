"""Connections that are translated: their tables, when they end, how one is begun.

A connection has three shapes, all with the client first: as the client sees it (to the VIP), as this host's stack sees
it (to the backend), and, where the source is translated too, as the backend sees it (from this host). Destinations are
rewritten at XDP, before the stack routes, and sources at tc egress, behind it: so routes, reverse-path filters and the
stack's own ICMP errors all deal in addresses that are where they seem to be.
"""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.parsed import since
from bpfwright.facets.balancer import nat_rare
from bpfwright.helpers import now_ns, random_u32
from bpfwright.maps import Hash, PerCpuArray, Timer
from bpfwright.types import Struct, u32, u64

__all__ = ["NAT", "SNAT", "Ends", "Timeouts", "Translated", "Translations", "connecting", "state_of", "translations"]

NAT, SNAT = 1 << 10, 1 << 11
"""Flags of VIPs, beside those that have names."""
REPLIED, CLIENT_ENDED, BACKEND_ENDED, RESET = 1, 2, 4, 8
"""What is known of a connection."""
_TCP = 6
_TRIES = 32
FIN_RAW, SYN_RAW, RST_RAW = 0x0100, 0x0200, 0x0400
BEGUN, FULL, NO_PORT, BUSY = range(4)


class Ends(Struct):
    """A connection in one of its shapes, raw. `ports`: the first end's below; `protocol`: and the family above."""

    source_a: u64
    source_b: u64
    destination_a: u64
    destination_b: u64
    ports: u32
    protocol: u32


class Translated(Struct):
    """What a connection to a VIP becomes: the backend, the ports behind it, the source that the backend sees (0: the
    client's)."""

    to_a: u64
    to_b: u64
    from_a: u64
    from_b: u64
    last_ns: u64
    ports: u32
    real: u32
    state: u32
    spare: u32
    timer: Timer[Ends, Translated] = Timer()


class Asked(Struct):
    """What is known of the packet at hand: as memory of the CPU, since stacks are short."""

    key: Ends
    shape: Ends
    source: Ends
    number: u32
    flags: u32
    octets: u32
    marks: u32
    real: u32
    ports: u32              # those that the choice goes by
    rare: u32               # 1: its headers do not stand where most do


class Timeouts(NamedTuple):
    """Seconds after which an idle connection is forgotten, by what is known of it (RFC 5382, RFC 4787)."""

    tcp_new: float = 60.0
    tcp: float = 7440.0
    tcp_closing: float = 30.0
    udp_new: float = 30.0
    udp: float = 180.0


class Translations(NamedTuple):
    """The tables: by the client's shape; by the stack's and by the backend's, which lead to the client's."""

    known: Any
    inner: Any
    seen: Any
    ports: Any              # by VIP's number << 16 | backend's: the port there, raw
    asked: Any
    rare: Any               # where things are in a rare packet
    fragments: Any


def translations(most: int, checks: int) -> Translations:
    """Fresh tables for so many connections, and so many backends of VIPs."""
    return Translations(Hash[Ends, Translated](max_entries=most), Hash[Ends, Ends](max_entries=most),
                        Hash[Ends, Ends](max_entries=most), Hash[u32, u32](max_entries=checks),
                        PerCpuArray[Asked](max_entries=1), nat_rare.memory(), nat_rare.fragments())


def state_of(timeouts: Timeouts) -> Any:
    """`limit(protocol, state) -> int`: how long it may be idle, in ns."""
    tcp_new, tcp, closing, udp_new, udp = (int(seconds * 1e9) for seconds in timeouts)

    def limit(protocol: Any, state: Any) -> Any:
        if protocol & 0xFF == _TCP:
            if state & RESET != 0 or state & (CLIENT_ENDED | BACKEND_ENDED) == CLIENT_ENDED | BACKEND_ENDED:
                return closing
            return tcp if state & REPLIED != 0 else tcp_new
        return udp if state & REPLIED != 0 else udp_new

    return limit


class Connecting(NamedTuple):
    """What paths do with connections: functions of the dialect."""

    begin: Any
    """`begin(asked, to_a, to_b, from_a, from_b, port) -> BEGUN, FULL, NO_PORT or BUSY`."""
    forget: Any
    """`forget(key, entry)`."""
    noted: Any
    """`noted(entry, protocol, flags, ended, also)`: a packet of it, with raw TCP flags."""


def connecting(tables: Translations, totals: Any, timeouts: Timeouts, low: int, high: int) -> Connecting:
    """The functions, for tables; sources are translated to ports from `low` to `high`."""
    known, inner, seen = tables.known, tables.inner, tables.seen
    limit, span = state_of(timeouts), high - low + 1
    closing = int(timeouts.tcp_closing * 1e9)

    def forget(key: Any, entry: Any) -> None:
        if entry.from_a != 0:
            seen.discard(Ends(entry.from_a, entry.from_b, entry.to_a, entry.to_b, entry.ports, key.protocol))
        inner.discard(Ends(key.source_a, key.source_b, entry.to_a, entry.to_b, entry.ports, key.protocol))
        known.discard(key)
        totals.local(0).nat_ended += 1

    def expire(key: Any, entry: Any) -> None:
        idle = since(now_ns(), entry.last_ns)
        most = limit(key.protocol, entry.state)
        if idle < most:
            entry.timer.again(after_ns=most - idle)
        else:
            forget(key, entry)

    def noted(entry: Any, protocol: Any, flags: Any, ended: Any, also: Any) -> None:
        state = entry.state
        now_known = state | also
        if protocol & 0xFF == _TCP:
            if flags & FIN_RAW != 0:
                now_known |= ended
            if flags & RST_RAW != 0:
                now_known |= RESET
        entry.last_ns = now_ns()
        if now_known != state:
            entry.state |= now_known
            if now_known & (RESET | CLIENT_ENDED | BACKEND_ENDED) != state & (RESET | CLIENT_ENDED | BACKEND_ENDED):
                entry.timer.again(after_ns=closing)

    def placed(key: Any, shape: Any, source: Any, translates: Any) -> Any:
        """Both shapes have their places, or neither."""
        if not inner.insert(shape, key, only_new=True):
            return NO_PORT if shape in inner else FULL
        if not translates:
            return BEGUN
        source.ports = shape.ports
        if seen.insert(source, key, only_new=True):
            return BEGUN
        how = NO_PORT if source in seen else FULL
        inner.discard(shape)
        return how

    def begin(asked: Any, to_a: Any, to_b: Any, from_a: Any, from_b: Any, port: Any) -> Any:
        translates = from_a != 0
        key, shape, source = asked.key, asked.shape, asked.source
        shape.source_a, shape.source_b = key.source_a, key.source_b
        source.source_a, source.source_b = from_a, from_b
        shape.destination_a, shape.destination_b = to_a, to_b
        source.destination_a, source.destination_b = to_a, to_b
        shape.protocol, source.protocol = key.protocol, key.protocol
        how, first = u32(NO_PORT), random_u32()
        for number in range(_TRIES):
            own = key.ports & 0xFFFF
            if translates or number > 0:
                chosen = low + u32(first + number * 7919) % span
                own = chosen >> 8 | (chosen & 0xFF) << 8
            shape.ports = u32(own | port << 16)
            how = u32(placed(key, shape, source, translates))
            if how != NO_PORT:
                break
        if how != BEGUN:
            return how
        made = Translated(to_a, to_b, from_a, from_b, now_ns(), shape.ports, asked.real, 0, 0)
        if not known.insert(key, made, only_new=True):
            inner.discard(shape)
            if translates:
                seen.discard(source)
            return BUSY if key in known else FULL
        entry = known.get(key)
        if entry is None:
            return BUSY
        entry.timer.start(known, expire, after_ns=limit(key.protocol, 0))
        totals.local(0).nat_new += 1
        return BEGUN

    return Connecting(begin, forget, noted)
