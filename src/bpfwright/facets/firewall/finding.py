"""What finds a field's class: a number's own vector, tables of numbers, prefixes, hashes; and bytes looked at."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.datapath.parsed import NO_VLAN
from bpfwright.datapath.prefixes import PrefixTable
from bpfwright.facets.firewall.classes import ADDRESSES, ENDPOINTS, MACS, Dimension
from bpfwright.facets.firewall.model import Look
from bpfwright.maps import Array, Hash
from bpfwright.types import L, Struct, array, be16, be32, be64, u8, u16, u32, u64

__all__ = ["MOST_LOOKS", "Endpoint", "Finder", "Function", "finder_of", "looker_of", "vector_of"]

MOST_LOOKS = 16
"""Places in packets that rules look at."""
_NOWHERE = 0xFFFF
_PER_LINE = 32
_MORE_CLASSES = 16  # for elements that come while a table is live
_SMALL = 768  # numbers that have a vector each
Function = Callable[..., Any]


class Endpoint(Struct):
    """An address and a port, as a key."""

    high: u64
    low: u64
    port: u64


class Classes(Struct):
    """The classes of 32 numbers in a row: a cache line."""

    of: array[u16, L[32]]


class Finder(NamedTuple):
    """A field in a program: `find(packet, state)` gives a vector's place. `needs` are of `parsed.NEEDS`."""

    dimension: Dimension
    needs: str
    find: Function
    vectors: Any
    table: Any


def vector_of(words: int) -> type[Any]:
    """The struct of a vector: which words are not 0, and the words."""
    return type("Vector", (Struct,), {"__annotations__": {"summary": "u64", "words": f"array[u64, L[{words}]]"},
                                      "__module__": __name__})


# what finds a class


def _family(family: u8) -> u32:
    if family == 0:
        return 0
    return 256 if family == 4 else 512


def _has_ports(packet: Any) -> bool:
    return packet.transport_offset != 0 and packet.protocol in (6, 17)


def _protocol(packet: Any, state: Any) -> Any:
    return packet.protocol + _family(packet.family)


def _source_port(packet: Any, state: Any) -> Any:
    return packet.source_port + 1 if _has_ports(packet) else 0


def _destination_port(packet: Any, state: Any) -> Any:
    return packet.destination_port + 1 if _has_ports(packet) else 0


def _icmp(packet: Any, state: Any) -> Any:
    return packet.type << 8 | packet.code


def _tcp_flags(packet: Any, state: Any) -> Any:
    return packet.tcp_flags


def _dscp(packet: Any, state: Any) -> Any:
    return packet.dscp


def _length(packet: Any, state: Any) -> Any:
    return packet.length


def _ttl(packet: Any, state: Any) -> Any:
    return packet.ttl


def _fragment(packet: Any, state: Any) -> Any:
    return packet.fragment + packet.malformed * 3


def _vlan(packet: Any, state: Any) -> Any:
    return 4096 if packet.vlan == NO_VLAN else packet.vlan


def _ethertype(packet: Any, state: Any) -> Any:
    return packet.ethertype


def _state(packet: Any, state: Any) -> Any:
    return state


_NUMBERS: dict[str, tuple[str, Function]] = {
    "protocol": ("transport", _protocol), "source-port": ("transport", _source_port),
    "destination-port": ("transport", _destination_port), "icmp": ("transport", _icmp),
    "tcp-flags": ("transport", _tcp_flags), "dscp": ("network", _dscp), "length": ("network", _length),
    "ttl": ("network", _ttl), "fragment": ("transport", _fragment), "vlan": ("vlan", _vlan),
    "ethertype": ("network", _ethertype), "state": ("transport", _state),
}


def finder_of(dimension: Dimension, vector: type[Any], room: int = 0, slot: int = 0) -> Finder:
    """The maps of a field and the function that looks into them; what is a constant of the hook has no function.
    `room`: how many values may come while it is live. `slot`: which of the places in packets it is, if it is one."""
    direct = dimension.direct
    small = direct is not None and len(direct) <= _SMALL
    more = min(room, _MORE_CLASSES)
    count = len(direct) if direct is not None and small else _rounded(len(dimension.allowed) + more)
    vectors: Any = Array[vector](max_entries=count)  # type: ignore[valid-type]
    field = dimension.field
    if direct is not None:
        needs, number = _NUMBERS[field]
        if small:
            return Finder(dimension, needs, number, vectors, None)
        table: Any = Array[Classes](max_entries=-(-len(direct) // _PER_LINE))
        return Finder(dimension, needs, _in_table(table, number), vectors, table)
    if dimension.prefixes is not None:
        table = _prefix_table(dimension, room)
        find = _source(table.find) if field == ADDRESSES[0] else _destination(table.find)
        return Finder(dimension, "network", find, vectors, table)
    if field in MACS:
        table = Hash[u64, u32](max_entries=_rounded(len(dimension.exact or ()) + room))
        return Finder(dimension, "ethernet", _mac(table, field == MACS[0]), vectors, table)
    if dimension.look is not None:
        table = Hash[u64, u32](max_entries=_rounded(len(dimension.exact or ())))
        return Finder(dimension, _LOOK_NEEDS[dimension.look.base], _looked(table, slot), vectors, table)
    if field in ENDPOINTS:
        table = Hash[Endpoint, u32](max_entries=_rounded(len(dimension.exact or ()) + room))
        return Finder(dimension, "transport", _endpoint(table, field == ENDPOINTS[0]), vectors, table)
    return Finder(dimension, "network", _state, vectors, None)


def _rounded(count: int) -> int:
    """A power of two, so that programs for tables of about the same size are found compiled."""
    return 1 << max(count - 1, 1).bit_length()


def _prefix_table(dimension: Dimension, room: int) -> PrefixTable:
    """Sizes are rounded, so that programs for tables of about the same size are found compiled."""
    prefixes = dimension.prefixes
    assert prefixes is not None
    four = int(((prefixes.high == 0) & (prefixes.low >> 32 == 0xFFFF) & (prefixes.length >= 96)).sum())
    six = len(prefixes.high) - four
    hosts = int((prefixes.length > 64).sum()) - four
    sizes = [_rounded(count + room) if count + room else 0 for count in (four, six, hosts)]
    return PrefixTable(four=sizes[0], six=sizes[1] or (0 if four else 1), hosts=sizes[2],
                       highest=_rounded(len(dimension.allowed) + min(room, _MORE_CLASSES)))


def _in_table(table: Any, number: Function) -> Function:
    def find(packet: Any, state: Any) -> Any:
        value = u32(number(packet, state))
        line = table.get(value // _PER_LINE)
        return 0 if line is None else line.of[value % _PER_LINE]

    return find


def _source(find: Function) -> Function:
    def of_source(packet: Any, state: Any) -> Any:
        return find(packet.source_high, packet.source_low)

    return of_source


def _destination(find: Function) -> Function:
    def of_destination(packet: Any, state: Any) -> Any:
        return find(packet.destination_high, packet.destination_low)

    return of_destination


def _mac(table: Any, source: bool) -> Function:
    def of_mac(packet: Any, state: Any) -> Any:
        found = table.get(packet.source_mac if source else packet.destination_mac)
        return 0 if found is None else found

    return of_mac


def _endpoint(table: Any, source: bool) -> Function:
    def of_endpoint(packet: Any, state: Any) -> Any:
        if source:
            key = Endpoint(packet.source_high, packet.source_low, packet.source_port)
        else:
            key = Endpoint(packet.destination_high, packet.destination_low, packet.destination_port)
        found = table.get(key)
        return 0 if found is None else found

    return of_endpoint


# bytes at a place

_LOOK_NEEDS = {"payload": "transport", "transport": "transport", "network": "network", "frame": "ethernet",
               "mark": "network", "own": "network"}
_PIECES: tuple[tuple[int, Any], ...] = ((8, be64), (4, be32), (2, be16), (1, u8))


def _looked(table: Any, slot: int) -> Function:
    def find(packet: Any, state: Any) -> Any:
        if packet.looked >> slot & 1 == 0:
            return 0
        found = table.get(packet.looks[slot])
        return 0 if found is None else found

    return find


def looker_of(looks: list[Look], has_mark: bool) -> Function:
    """`look(ctx, seen)`: reads all places into `seen.looks`, and notes in `seen.looked` which are there. `has_mark`:
    the hook's packets have marks."""
    look = _look_at_nothing
    for slot, each in reversed(list(enumerate(looks))):
        if each.base == "mark":
            look = _look_at_mark(slot, each.mask, look) if has_mark else look
            continue
        if each.own is not None:
            look = _look_at_own(slot, each.own.read, look)
            continue
        look = _look_at(_STARTS[each.base], each.offset, _reader(each.size, _kept_look(slot, each.mask)), look)
    return look


def _look_at_nothing(ctx: Any, seen: Any) -> None:
    return None


def _look_at(start: Function, offset: int, read: Function, behind: Function) -> Function:
    def look(ctx: Any, seen: Any) -> None:
        at = start(ctx, seen)
        if at != _NOWHERE:
            read(ctx, seen, at + offset, 0)
        behind(ctx, seen)

    return look


def _look_at_mark(slot: int, mask: int, behind: Function) -> Function:
    def look(ctx: Any, seen: Any) -> None:
        seen.looks[slot] = ctx.mark & mask
        seen.looked |= 1 << slot
        behind(ctx, seen)

    return look


def _look_at_own(slot: int, read: Function, behind: Function) -> Function:
    absent = (1 << 64) - 1

    def look(ctx: Any, seen: Any) -> None:
        found = read(ctx, absent)
        if found != absent:
            seen.looks[slot] = found
            seen.looked |= 1 << slot
        behind(ctx, seen)

    return look


def _reader(size: int, keep: Function) -> Function:
    """Reads so many bytes, in pieces, the first ones first."""
    pieces = []
    while size:
        piece = next(each for each in _PIECES if each[0] <= size)
        pieces.append(piece)
        size -= piece[0]
    read = keep
    for bytes_, kind in reversed(pieces):
        read = _piece(bytes_, kind, read)
    return read


def _piece(size: int, kind: Any, behind: Function) -> Function:
    def read(ctx: Any, seen: Any, at: Any, total: Any) -> None:
        found = ctx.read(at, kind)
        if found is not None:
            behind(ctx, seen, at + size, found if size == 8 else u64(total << 8 * size) | found)

    return read


def _kept_look(slot: int, mask: int) -> Function:
    def keep(ctx: Any, seen: Any, at: Any, total: Any) -> None:
        seen.looks[slot] = u64(total) & mask
        seen.looked |= 1 << slot

    return keep


def _payload(ctx: Any, seen: Any) -> Any:
    if seen.transport_offset == 0:
        return _NOWHERE
    if seen.protocol == 6:
        first = ctx.read(seen.transport_offset + 12, u8)
        return _NOWHERE if first is None else seen.transport_offset + (first >> 4 << 2)
    return seen.transport_offset + 8


def _transport(ctx: Any, seen: Any) -> Any:
    return _NOWHERE if seen.transport_offset == 0 else seen.transport_offset


def _network(ctx: Any, seen: Any) -> Any:
    return _NOWHERE if seen.family == 0 else seen.network_offset


def _frame(ctx: Any, seen: Any) -> Any:
    return 0


_STARTS = {"payload": _payload, "transport": _transport, "network": _network, "frame": _frame}
