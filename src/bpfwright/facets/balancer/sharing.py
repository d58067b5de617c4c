"""Connections told to other nodes, as lines of JSON: so that packets that come elsewhere find their backend.

On one node all CPUs have one table. Between nodes it is asked behind that table, for VIPs with the flag
`shared-connections`, and before the ring; numbers of backends differ between nodes, so that addresses are told.
"""
from __future__ import annotations

import json

from bpfwright._typing import TYPE_CHECKING, Any, Iterable, Iterator, NamedTuple
from bpfwright.errors import UsageError
from bpfwright.facets.balancer.control import numbers_in, used, words_of
from bpfwright.facets.balancer.sets import LAYOUT4, LAYOUT6, entries_of
from bpfwright.facets.balancer.tables import FLAGS, Flow4, Flow6, raw_address

if TYPE_CHECKING:
    from bpfwright.facets.balancer.model import Settings
    from bpfwright.facets.balancer.tables import Tables

__all__ = ["Connection", "line_of", "known", "learn", "of_line"]

_PROTOCOLS = {"tcp": 6, "udp": 17}
_U32, _REAL_MASK, _REAL_UP, _UDP_UP = 0xFFFF_FFFF, 0xFFF, 32, 44


class Connection(NamedTuple):
    """Both ends, packed, with raw ports as the VIP's flags left them; its backend's address."""

    source: bytes
    destination: bytes
    ports: int
    protocol: int
    backend: bytes


def known(settings: Settings, tables: Tables, maps: Any) -> Iterator[Connection]:
    """The connections of VIPs that share them, as this node's table has them."""
    backends = {number: address for address, number in numbers_in(settings, tables, maps)[1].items()}
    shared = {vip.address for vip in settings.vips if vip.flags & FLAGS["shared-connections"]}
    for layout, table, size in ((LAYOUT4, tables.connections4, 4), (LAYOUT6, tables.connections6, 16)):
        if used(maps, table) is None:
            continue
        with words_of(maps(table)) as words:
            entries: Any = entries_of(words, layout)
            rows = entries.tolist()
        for row in rows:
            address = b"".join(word.to_bytes(8, "little") for word in row[:-1])
            source, destination, last = address[:size], address[size:2 * size], row[-1]
            backend = backends.get(last >> _REAL_UP & _REAL_MASK)
            if backend is not None and destination in shared:
                yield Connection(source, destination, last & _U32, 17 if last >> _UDP_UP & 1 else 6, backend)


def learn(settings: Settings, tables: Tables, maps: Any, told: Iterable[Connection]) -> tuple[int, int]:
    """Take another node's connections in; how many, and how many have a backend that is not here."""
    reals = numbers_in(settings, tables, maps)[1]
    four, six = used(maps, tables.shared4), used(maps, tables.shared6)
    learned = strange = 0
    for each in told:
        real, table = reals.get(each.backend), four if len(each.source) == 4 else six
        if real is None or table is None:
            strange += 1
            continue
        (source_a, source_b), (to_a, to_b) = raw_address(each.source), raw_address(each.destination)
        key: Any = Flow4(source_a, to_a, each.ports, each.protocol) if table is four else \
            Flow6(source_a, source_b, to_a, to_b, each.ports, each.protocol)
        table[key] = real
        learned += 1
    return learned, strange


def line_of(each: Connection) -> str:
    """A connection as a line."""
    from ipaddress import ip_address
    ports = each.ports.to_bytes(4, "little")
    return json.dumps({"from": str(ip_address(each.source)), "sport": int.from_bytes(ports[:2], "big"),
                       "to": str(ip_address(each.destination)), "dport": int.from_bytes(ports[2:], "big"),
                       "protocol": "udp" if each.protocol == 17 else "tcp",
                       "backend": str(ip_address(each.backend))})


def of_line(text: str) -> Connection:
    """The connection that a line tells; UsageError for what is none."""
    from ipaddress import ip_address
    try:
        told = json.loads(text)
        source, destination, backend = (ip_address(told[name]).packed for name in ("from", "to", "backend"))
        ports = told["sport"].to_bytes(2, "big") + told["dport"].to_bytes(2, "big")
        protocol = _PROTOCOLS[told["protocol"]]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise UsageError(f"{text.strip()[:80]!r} tells of no connection",
                         cure="Write what `bpfwright balancer connections` prints.") from None
    if len(source) != len(destination):
        raise UsageError(f"{text.strip()[:80]!r} has ends of two families")
    return Connection(source, destination, int.from_bytes(ports, "little"), protocol, backend)
