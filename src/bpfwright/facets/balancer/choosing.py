"""Which backend a packet goes to: the VIP's entry, what the packet itself names, the connection table, the ring."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.parsed import since
from bpfwright.facets.balancer import work as w
from bpfwright.facets.balancer.flow_hash import flow_hash4, flow_hash6
from bpfwright.facets.balancer.ring import SIZE
from bpfwright.facets.balancer.sets import looker
from bpfwright.facets.balancer.tables import (BY_OWN, FLAGS, VIP_SETS, Flow4, Flow6, Parts4, Parts6, Prefixed4,
                                              Prefixed6, Shape, Source4, Source6, Tables, Words)
from bpfwright.helpers import now_coarse_ns, now_ns, subprogram
from bpfwright.types import u8, u16, u32, u64

__all__ = ["backend_there", "by_own", "chooser", "flood_check", "vip_finder"]

_TCP, _UDP = 6, 17
_SECOND_NS = 10**9
_NO_CONNECTIONS = FLAGS["no-connections"]


def vip_finder(shape: Shape, tables: Tables, family: int) -> Any:
    """`find(work) -> int`: what is known of the VIP, 0: it is none. A VIP of all ports clears the flow's, unless it
    says otherwise."""
    exact = looker(tables.vips4 if family == 4 else tables.vips6, VIP_SETS, family)
    prefix = _prefix4(tables) if family == 4 else _prefix6(tables)
    keeps_port = FLAGS["destination-port-only"] | FLAGS["both-ports"]
    prefixes = shape.prefixes

    def any_port(work: Any) -> Any:
        found = exact(work, 0)
        if prefixes:  # noqa: SIM102  (a constant alone leaves the rest uncompiled)
            if found == 0:
                found = prefix(work, 0)
        if found & keeps_port == 0:
            work.ports &= 0xFFFF
        return found

    def find(work: Any) -> Any:
        port = work.ports >> 16
        found = exact(work, port)
        if prefixes:  # noqa: SIM102
            if found == 0:
                found = prefix(work, port)
        if found == 0:
            found = any_port(work)
        return found

    return find


def _prefix4(tables: Tables) -> Any:
    prefixes = tables.prefixes4

    @subprogram
    def matched(address: u32, port: u32, protocol: u32) -> u64:
        key = Prefixed4()
        key.parts = Parts4(u16(port), u8(protocol), 0, address)
        found = prefixes.get(key.key)
        return 0 if found is None else found

    def look(work: Any, port: Any) -> Any:
        return matched(u32(work.destination_a), u32(port), work.protocol)

    return look


def _prefix6(tables: Tables) -> Any:
    prefixes = tables.prefixes6

    @subprogram
    def matched(address_a: u64, address_b: u64, port: u32, protocol: u32) -> u64:
        key = Prefixed6()
        key.parts = Parts6(u16(port), u8(protocol), 0, address_a, address_b)
        found = prefixes.get(key.key)
        return 0 if found is None else found

    def look(work: Any, port: Any) -> Any:
        return matched(work.destination_a, work.destination_b, u32(port), work.protocol)

    return look


def flood_check(shape: Shape) -> Any:
    """`flooded(totals, now) -> bool`: one more new connection; more of them in this second than are remembered?"""
    most = shape.flood_rate

    def flooded(totals: Any, now: Any) -> Any:
        if since(now, totals.second_began) > _SECOND_NS:
            totals.new_in_second = 1
            totals.second_began = now
            return False
        totals.new_in_second += 1
        if totals.new_in_second > most:
            totals.flooded += 1
            return True
        return False

    return flooded


def backend_there(tables: Tables) -> Any:
    """`there(real) -> bool`: whether a backend has this number."""
    reals = tables.reals

    def there(real: Any) -> Any:
        found = reals.get(real)
        return found is not None and found.flags != 0

    return there


def chooser(shape: Shape, tables: Tables, family: int) -> Any:
    """`choose(work, flags, number) -> bool`: the backend's number into the work, where the packet named none.

    False: there is no backend. The ring's choice is remembered, unless the VIP or a flood forbids it.
    """
    connections = tables.connections(family, shape.udp_timeout_ns)
    known, keep = connections.known, connections.keep
    flooded = flood_check(shape)
    shared = _shared(tables, family) if shape.flags & FLAGS["shared-connections"] else _nothing
    migrate = _migrate(shape, tables, flooded)
    by_source = _by_source(tables, family) if shape.flags & FLAGS["source-routing"] else _nothing
    by_ring = _by_ring(shape, tables, family)
    there = backend_there(tables)
    vip_names, real_names, counted = tables.vip_names, tables.real_names, tables.totals

    def dated(number: Any, real: Any) -> None:
        now = now_coarse_ns()
        vip, backend = vip_names.get(number), real_names.get(real)
        if vip is not None:
            vip.last_new = now
        if backend is not None:
            backend.last_new = now

    def choose(work: Any, flags: Any, number: Any) -> Any:
        if work.marks & w.SYN == 0:
            if flags & _NO_CONNECTIONS == 0:
                work.real = known(work)
                if work.real != 0 and not there(work.real):
                    work.real = 0
            shared(work, flags)
        migrate(work, flags, number)
        if work.real != 0:
            return True
        totals = counted.local(0)
        if work.protocol == _TCP:
            if work.marks & w.SYN != 0:
                totals.tcp_miss_syn += 1
            else:
                totals.tcp_miss_other += 1
        under_flood = flooded(totals, now_ns())
        if not under_flood:
            by_source(work, flags, totals)
        if work.real == 0:
            by_ring(work, flags, number)
        if work.real == 0:
            totals.ring_drop += 1
            return False
        dated(number, work.real)
        if flags & _NO_CONNECTIONS == 0 and work.marks & w.RST == 0 and not under_flood:
            keep(work)
        totals.misses += 1
        return True

    return choose


def _nothing(work: Any, flags: Any, more: Any = None) -> None:
    return None


def _shared(tables: Tables, family: int) -> Any:
    """Connections that another node made known."""
    shared4, shared6, wanted = tables.shared4, tables.shared6, FLAGS["shared-connections"]
    counted = tables.totals

    @subprogram
    def four(source: u32, destination: u32, ports: u32, protocol: u32) -> u32:
        found = shared4.get(Flow4(source, destination, ports, protocol))
        return 0 if found is None else found

    @subprogram
    def six(source_a: u64, source_b: u64, destination_a: u64, destination_b: u64, rest: u64) -> u32:
        found = shared6.get(Flow6(source_a, source_b, destination_a, destination_b, u32(rest), u32(rest >> 32)))
        return 0 if found is None else found

    of_four = family == 4

    def shared(work: Any, flags: Any) -> None:
        if work.real == 0 and flags & wanted != 0:
            if of_four:
                work.real = four(u32(work.source_a), u32(work.destination_a), work.ports, work.protocol)
            else:
                work.real = six(work.source_a, work.source_b, work.destination_a, work.destination_b,
                                work.ports | work.protocol << 32)
            if work.real != 0:
                counted.local(0).shared_hit += 1

    return shared


def _migrate(shape: Shape, tables: Tables, flooded: Any) -> Any:
    """Connections of a backend that is down are hashed anew, where that is asked for; of datagrams, as Katran does."""
    down, wanted, counted = tables.down, FLAGS["udp-migration"], tables.totals
    moves = shape.move

    def move(work: Any, number: Any) -> None:
        if work.real != 0 and u32(number << 16 | work.real) in down:
            work.real = 0
            counted.local(0).moved += 1

    def migrate(work: Any, flags: Any, number: Any) -> None:
        if moves:
            move(work, number)
        if work.real == 0 or work.protocol != _UDP or flags & wanted == 0:
            return
        totals = counted.local(0)
        if flooded(totals, now_ns()):
            return
        if u32(number << 16 | work.real) in down:
            work.real = 0
            totals.migrated += 1

    return migrate


def _by_source(tables: Tables, family: int) -> Any:
    sources4, sources6, wanted = tables.sources4, tables.sources6, FLAGS["source-routing"]

    @subprogram
    def four(source: u32) -> u32:
        key = Source4()
        key.word = source
        found = sources4.get(key.key)
        return 0 if found is None else found

    @subprogram
    def six(source_a: u64, source_b: u64) -> u32:
        key = Source6()
        key.words = Words(source_a, source_b)
        found = sources6.get(key.key)
        return 0 if found is None else found

    of_four = family == 4

    def by_source(work: Any, flags: Any, totals: Any) -> None:
        if flags & wanted == 0:
            return
        if of_four:
            work.real = four(u32(work.source_a))
        else:
            work.real = six(work.source_a, work.source_b)
        if work.real != 0:
            totals.source_hit += 1
        else:
            totals.source_miss += 1

    return by_source


def by_own(shape: Shape, tables: Tables) -> Any:
    """`choose(ctx, work, flags, number)`: by a field of a protocol of one's own, where the VIP asks for it and the
    packet has it. The same number has the same backend whatever its flow, as long as the ring is the same."""
    if shape.by is None:
        return _by_nothing
    read, ring, absent = shape.by.read, tables.ring, (1 << 64) - 1

    def choose(ctx: Any, work: Any, flags: Any, number: Any) -> None:
        if flags & BY_OWN == 0:
            return
        found = read(ctx, absent)
        if found == absent:
            return
        place = flow_hash4(u32(found), u32(found >> 32)) % SIZE
        real = ring.get(u32(number * SIZE + place))
        if real is not None:
            work.real = real

    return choose


def _by_nothing(ctx: Any, work: Any, flags: Any, number: Any) -> None:
    return None


def _by_ring(shape: Shape, tables: Tables, family: int) -> Any:
    ring = tables.ring
    port_only = FLAGS["destination-port-only"] if shape.flags & FLAGS["destination-port-only"] else 0
    four = family == 4

    def by_ring(work: Any, flags: Any, number: Any) -> None:
        if flags & port_only != 0:
            work.ports = work.ports >> 16 | (work.ports & 0xFFFF_0000)
            work.source_a = 0
            work.source_b = 0
        if four:
            hashed = flow_hash4(u32(work.source_a), work.ports)
        else:
            hashed = flow_hash6(work.source_a, work.source_b, work.ports)
        found = ring.get(u32(number * SIZE + hashed % SIZE))
        if found is not None:
            work.real = found

    return by_ring
