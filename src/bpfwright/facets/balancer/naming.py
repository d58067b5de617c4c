"""Packets that name their backend: QUIC connection ids, the header of stable UDP, an option of TCP."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.datapath.encapsulation import ETHERNET, TAGGED, frame
from bpfwright.facets.balancer import work as w
from bpfwright.facets.balancer.choosing import backend_there, flood_check
from bpfwright.facets.balancer.tables import FLAGS, Shape, Tables
from bpfwright.helpers import now_ns, subprogram
from bpfwright.hooks import xdp
from bpfwright.types import L, array, u8, u32, u64

__all__ = ["quic", "stable_udp", "tcp_option"]

_UDP, _TCP = 17, 6
_LONG, _TYPE, _HANDSHAKE = 0x80, 0x30, 0x20
_LEAST_ID, _LONG_BYTES, _SHORT_BYTES = 8, 14, 9
_STABLE, _STABLE_BYTES = 0x52, 8
_INITIAL = 1 << 40
_AGREED, _CHANGED, _NEW = range(3)
_TPR_KIND, _TPR_BYTES, _MOST_OPTIONS = 0xB7, 6, 15


def _payload(layouts: Any, family: int, tags: int, size: int) -> Any:
    """The frame with so many bytes behind its UDP header."""
    rest: Any = (("network", _bytes(20 if family == 4 else 40)), ("datagram", _bytes(8)), ("data", _bytes(size)))
    return frame(f"payload{size}", TAGGED if tags else ETHERNET, rest)


def _bytes(size: int) -> Any:
    return array[u8, L[size]]  # type: ignore[valid-type]


def quic(shape: Shape, tables: Tables, family: int, layouts: Any, tags: int) -> Any:
    """`route(ctx, work, flags) -> GO or a verdict`: by the id that a server put into the connection id."""
    if not shape.flags & FLAGS["quic"]:
        return _nobody
    wanted, gone = FLAGS["quic"], w.reason("backend of an id is gone")
    First = _payload(layouts, family, tags, 1)
    Long, Short = (_payload(layouts, family, tags, size) for size in (_LONG_BYTES, _SHORT_BYTES))
    server_ids, counted = tables.server_ids, tables.totals
    remember = _rememberer(shape, tables, family)
    there = backend_there(tables)

    @subprogram
    def named(ctx: xdp.Context) -> u64:
        """The id, and its version above; or that there is none because the connection is new."""
        first = ctx.find(First)
        if first is None:
            return 0
        kind = first.raw.data[0]
        if kind & _LONG == 0:
            short = ctx.find(Short)
            if short is None:
                return 0
            rest = short.raw.data
            number: u64 = _server_id(rest[1], rest[2], rest[3], rest[4], rest[5])
            return number
        long = ctx.find(Long)
        if long is None:
            return 0
        if kind & _TYPE < _HANDSHAKE:
            return _INITIAL
        data = long.raw.data
        if data[5] < _LEAST_ID:
            return 0
        other: u64 = _server_id(data[6], data[7], data[8], data[9], data[10])
        return other

    def route(ctx: Any, work: Any, flags: Any) -> Any:
        if flags & wanted == 0 or work.protocol != _UDP:
            return w.GO
        totals = counted.local(0)
        if work.marks & w.ICMP != 0:
            totals.quic_icmp += 1
            return w.GO
        found = named(ctx)
        if found == _INITIAL:
            totals.quic_initial += 1
            return w.GO
        number, version = u32(found), found >> 32
        if number == 0:
            totals.quic_by_ring += 1
            return w.GO
        if version == 1:
            totals.quic_version_1 += 1
        elif version == 2:
            totals.quic_version_2 += 1
        else:
            totals.quic_version_3 += 1
        real = server_ids.get(number)
        if real is None or real == 0:
            totals.quic_unknown_id += 1
            totals.quic_by_ring += 1
            return w.GO
        if not there(real):
            totals.quic_no_backend += 1
            return gone
        work.real = real
        how = remember(work, totals)
        if how == _AGREED:
            totals.quic_table_agreed += 1
        elif how == _CHANGED:
            totals.quic_table_changed += 1
        else:
            totals.quic_table_new += 1
        totals.quic_by_id += 1
        return w.GO

    return route


def _nobody(ctx: Any, work: Any, flags: Any) -> Any:
    return w.GO


def _server_id(c0: Any, c1: Any, c2: Any, c3: Any, c4: Any) -> Any:
    """The id in a connection id, below its version: 16 bits of version 1, 24 of version 2, 32 of version 3; 0: none."""
    version = c0 >> 6
    number = u64(0)
    if version == 1:
        number = u64((c0 & 0x3F) << 10 | c1 << 2 | c2 >> 6)
    elif version == 2:
        number = u64(c1 << 16 | c2 << 8 | c3)
    elif version == 3:
        number = u64(c1 << 24 | c2 << 16 | c3 << 8 | c4)
    return u64(version << 32 | number)


def _rememberer(shape: Shape, tables: Tables, family: int) -> Any:
    """`remember(work, totals)`: the connection table says what the packet said. How it was before."""
    connections = tables.connections(family, shape.udp_timeout_ns)
    known, keep = connections.recall, connections.keep
    flooded = flood_check(shape)

    def remember(work: Any, totals: Any) -> Any:
        before = known(work)
        if before == work.real:
            return _AGREED
        if before == 0 and flooded(totals, now_ns()):
            return _NEW
        keep(work)
        return _NEW if before == 0 else _CHANGED

    return remember


def stable_udp(shape: Shape, tables: Tables, family: int, layouts: Any, tags: int) -> Any:
    """`route(ctx, work, flags)`: by the id behind the first byte of a datagram's data."""
    if not shape.flags & FLAGS["stable-udp"]:
        return _nobody
    wanted = FLAGS["stable-udp"]
    First, Whole = (_payload(layouts, family, tags, size) for size in (1, _STABLE_BYTES))
    server_ids, counted = tables.server_ids, tables.totals
    there = backend_there(tables)

    def route(ctx: Any, work: Any, flags: Any) -> Any:
        if flags & wanted == 0 or work.protocol != _UDP or work.marks & w.ICMP != 0:
            return w.GO
        totals = counted.local(0)
        first = ctx.find(First)
        if first is None or first.raw.data[0] != _STABLE:
            totals.stable_other_type += 1
            totals.stable_by_ring += 1
            return w.GO
        whole = ctx.find(Whole)
        number = 0
        if whole is None:
            totals.stable_other_type += 1
        else:
            data = whole.raw.data
            number = data[1] << 16 | data[2] << 8 | data[3]
        if number == 0:
            totals.stable_by_ring += 1
            return w.GO
        real = server_ids.get(u32(number))
        if real is None or real == 0:
            totals.stable_unknown_id += 1
            totals.stable_by_ring += 1
            return w.GO
        if not there(real):
            totals.stable_no_backend += 1
            return w.GO
        work.real = real
        totals.stable_by_id += 1
        return w.GO

    return route


def tcp_option(shape: Shape, tables: Tables, family: int, layouts: Any, tags: int) -> Any:
    """`route(ctx, work, flags)`: by the id in an option of TCP segments that open no connection."""
    if not shape.tpr:
        return _nobody
    no_connections = FLAGS["no-connections"]
    Tcp = layouts.tcp
    server_ids, counted = tables.server_ids, tables.totals
    remember = _rememberer(shape, tables, family)
    there = backend_there(tables)
    start = layouts.transport + 20

    @subprogram
    def number_of(ctx: xdp.Context) -> u32:
        found = ctx.find(Tcp)
        if found is None:
            return 0
        left = ((found.raw.flags & 0xF0) >> 4) * 4 - 20
        if left < _TPR_BYTES:
            return 0
        at = start
        for _ in range(_MOST_OPTIONS):
            if left <= 0:
                return 0
            kind = ctx.read(at, u8)
            if kind is None or kind == 0:
                return 0
            if kind == 1:
                left -= 1
                at += 1
                continue
            size = ctx.read(at + 1, u8)
            if size is None or left < 2 or size > left:
                return 0
            if kind == _TPR_KIND:
                if size != _TPR_BYTES:
                    return 0
                number = ctx.read(at + 2, u32)
                return 0 if number is None else number
            left -= size
            at += size
        return 0

    def route(ctx: Any, work: Any, flags: Any) -> Any:
        if work.protocol != _TCP or work.marks & w.ICMP != 0:
            return w.GO
        totals = counted.local(0)
        if work.marks & w.SYN != 0:
            totals.tpr_syn += 1
            return w.GO
        number = number_of(ctx)
        real = server_ids.get(u32(number)) if number != 0 else None
        if real is None or real == 0 or not there(real):
            totals.tpr_by_ring += 1
            return w.GO
        work.real = real
        if flags & no_connections == 0 and remember(work, totals) == _CHANGED:
            totals.tpr_table_changed += 1
        totals.tpr_by_id += 1
        return w.GO

    return route
