"""Settings into tables: numbers that stay, rings of which only changed places are written, what has gone taken out.

Numbers of VIPs (from 0) and backends (from 1) are given in order; those that become free are used again last. Both are
kept in tables, so that they survive this process.
"""
from __future__ import annotations

from functools import lru_cache

from bpfwright._typing import TYPE_CHECKING, Any, Mapping, NamedTuple
from bpfwright.errors import MapFull, SessionError, UsageError
from bpfwright.facets.balancer.hashes import address_hash
from bpfwright.facets.balancer.ring import SIZE, Endpoint, ring
from bpfwright.facets.balancer.model import Backend
from bpfwright.facets.balancer.sets import VIP4, VIP6, get, put
from bpfwright.facets.balancer.standing import PROBED, TOLD, WORDS, goes_elsewhere, key_of, serves
from bpfwright.facets.balancer.tables import (MOST_REALS, MOST_VIPS, REAL_IPV6, REAL_LOCAL, REAL_SET, VIP_SETS, Known,
                                              Number4, Number6, Real, Shape, Tables, Words, prefix_key, raw_address,
                                              raw_port, vip_key, vip_value)
from bpfwright.types.address import Network

if TYPE_CHECKING:
    import numpy

    from bpfwright.facets.balancer.model import Settings, Vip

__all__ = ["Book", "Filled", "fill", "numbers_in", "numbers_of", "real_name", "refreshed", "ring_of", "ring_steps",
           "shape_of", "told", "used", "vip_name", "words_of", "write_ring"]

_RING_STEPS = (4, 16, 64, MOST_VIPS)


class Filled(NamedTuple):
    """What filling came to: numbers, and how many places of rings changed."""

    vips: dict[str, int]
    reals: dict[bytes, int]
    written: int


def ring_steps(vips: int) -> int:
    """For how many VIPs the rings have room: in steps, so that they are not made anew with every VIP."""
    return next(step for step in _RING_STEPS if step >= vips)


def shape_of(settings: Settings) -> Shape:
    """What the program is made for. It does not depend on which backends there are, within a family."""
    flags = 0
    for vip in settings.vips:
        flags |= vip.flags
    inner = sorted({4 if len(vip.address) == 4 else 6 for vip in settings.vips})
    # Both families of backends are always there: a first one of the other family is no new program.
    largest = 1514 if settings.katran else settings.mtu + 14 - _overhead(settings)
    return Shape(settings.katran, settings.encapsulation, flags, tuple(inner), (4, 6),
                 not all(vip.whole for vip in settings.vips), any(each.id for each in settings.backends), settings.tpr,
                 settings.vlans, settings.checksum, settings.gue_port, largest, settings.too_big, settings.flood_rate,
                 int(settings.udp_timeout_s * 1e9), settings.mss, settings.nat_timeouts, settings.nat_ports,
                 settings.established == "move", next((vip.by for vip in settings.vips if vip.by is not None), None))


def _overhead(settings: Settings) -> int:
    """What encapsulation adds at most, so that what comes out fits the MTU."""
    from bpfwright.datapath.encapsulation import overhead
    families = {len(use.backend.address) for vip in settings.vips if not vip.translates for use in vip.uses
                if not use.backend.local} | {len(source.backend.address) for source in settings.sources} or {4}
    return overhead(settings.encapsulation, 6 if 16 in families else 4)


# numbers

def numbers_of(known: dict[Any, int], freed: dict[int, int], wanted: list[Any], first: int, most: int,
               ) -> dict[Any, int]:
    """A number for each of `wanted`: what it has, else one that was never used, else what is free for longest.

    `freed`: numbers that once were used, with when they became free. UsageError: there are none left.
    """
    given = {key: known[key] for key in wanted if key in known}
    taken = set(given.values())
    never = (number for number in range(first, most) if number not in freed and number not in known.values())
    again = iter(sorted((number for number in freed if number not in taken), key=lambda number: freed[number]))
    for key in wanted:
        if key not in given:
            number = next(never, None)
            number = next(again, None) if number is None else number
            if number is None:
                raise UsageError(f"there are no more than {most - first} numbers")
            given[key] = number
    return given


class Book:
    """The numbers of one kind, as their table has them."""

    def __init__(self, table: Any, first: int, most: int) -> None:
        self.table = table
        self.first = first
        self.most = most
        self.known: dict[bytes, int] = {}
        self.freed: dict[int, int] = {}
        self.names: dict[int, bytes] = {}
        with words_of(table) as words:
            states = words.reshape(table.max_entries, -1)
            for number in states[:most, _STATE_WORD].nonzero()[0].tolist():
                self._learn(number, states[number, :_NAME_WORDS].tobytes(), int(states[number, _STATE_WORD]),
                            int(states[number, _STATE_WORD + 1]))
        self.clock = max(self.freed.values(), default=0)

    def _learn(self, number: int, name: bytes, state: int, since: int) -> None:
        self.names[number] = name
        if state == _IN_USE:
            self.known[name] = number
        else:
            self.freed[number] = since

    def give(self, wanted: list[bytes]) -> dict[bytes, int]:
        """Numbers for these; the numbers of all others become free."""
        given = numbers_of(self.known, self.freed, wanted, self.first, self.most)
        for name, number in given.items():
            if self.known.get(name) != number:
                self.table[number] = Known(list(name), _IN_USE, 0, 0)
                self.freed.pop(number, None)
        for name, number in self.known.items():
            if name not in given:
                self.clock += 1
                self.freed[number] = self.clock
                self.table[number] = Known(list(name), _FREE, self.clock, 0)
        self.known = given
        return given


_IN_USE, _FREE = 1, 2
_NAME_WORDS, _STATE_WORD = 6, 6


def vip_name(vip: Vip) -> bytes:
    """What a VIP is known by: address, port, protocol, prefix length."""
    return (vip.address.ljust(16, b"\0") + vip.port.to_bytes(2, "big")
            + bytes([vip.protocol, vip.length, len(vip.address)])).ljust(24, b"\0")


def real_name(backend: Backend) -> bytes:
    """What a backend is known by: its address."""
    return (backend.address.ljust(16, b"\0") + bytes([len(backend.address)])).ljust(24, b"\0")


# filling

def used(maps: Any, declared: Any) -> Any:
    """A table of a generation; None when none of its programs uses it."""
    try:
        return maps(declared)
    except SessionError:
        return None


def fill(settings: Settings, tables: Tables, maps: Any) -> Filled:
    """Write all tables of a generation: one that begins, or a live one in place. Only what differs is written."""
    reals_book = Book(maps(tables.real_names), 1, MOST_REALS)
    vips_book = Book(maps(tables.vip_names), 0, min(MOST_VIPS, tables.ring.max_entries // SIZE))
    reals = reals_book.give([real_name(each) for each in settings.backends])
    vips = vips_book.give([vip_name(each) for each in settings.vips])
    _write_reals(settings, maps(tables.reals), reals, reals_book)
    _write_outer(settings, used(maps, tables.gateway))
    with words_of(maps(tables.ring)) as places:
        written = _write_rings(settings, tables, maps, vips, reals, places)
        _write_vips(settings, tables, maps, vips)
        for number in vips_book.freed:
            written += write_ring(places, number, 0)
    _write_naming(settings, tables, maps, reals)
    _write_nat(settings, tables, maps, vips, reals)
    _forget_gone(settings, tables, maps, vips, reals)
    return Filled({vip.text: vips[vip_name(vip)] for vip in settings.vips},
                  {each.address: reals[real_name(each)] for each in settings.backends}, written)


def _write_rings(settings: Settings, tables: Tables, maps: Any, vips: dict[bytes, int], reals: dict[bytes, int],
                 places: numpy.ndarray) -> int:
    """Rings as backends stand now. Who changes how one stands does this, too: so it is done until nothing changed
    meanwhile, and the last one to write has seen what all have said."""
    table, written = maps(tables.down), 0
    while True:
        down = dict(table.items())
        for vip in settings.vips:
            number = vips[vip_name(vip)]
            written += write_ring(places, number, ring_of(vip, reals, number, down, settings.all_down))
            for use in vip.uses:
                key = key_of(number, reals[real_name(use.backend)])
                if goes_elsewhere(down, key):
                    table[key] = 1
                elif key in down:
                    table.discard(key)
        if {key: value for key, value in table.items() if key >= TOLD} == {
                key: value for key, value in down.items() if key >= TOLD}:
            return written


def _write_nat(settings: Settings, tables: Tables, maps: Any, vips: dict[bytes, int], reals: dict[bytes, int]) -> None:
    table = None if tables.nat is None else used(maps, tables.nat.ports)
    if table is not None:
        _exchange(table, {key_of(vips[vip_name(vip)], reals[real_name(use.backend)]): raw_port(use.port)
                          for vip in settings.vips for use in vip.uses if use.port})


def _forget_gone(settings: Settings, tables: Tables, maps: Any, vips: dict[bytes, int], reals: dict[bytes, int],
                 ) -> None:
    """How backends stood that are gone, or are not checked any more."""
    there = {key_of(vips[vip_name(vip)], reals[real_name(use.backend)]): vip.check is not None
             for vip in settings.vips for use in vip.uses}
    table, standing = maps(tables.down), used(maps, tables.standing)
    for key in list(table):
        pair = key & TOLD - 1
        if pair not in there or (key & PROBED and not there[pair]):
            table.discard(key)
    for key in list(standing or ()):
        if not there.get(key):
            standing.discard(key)


def _write_reals(settings: Settings, table: Any, numbers: dict[bytes, int], book: Book) -> None:
    import numpy as np
    wanted = np.zeros((MOST_REALS, _REAL_WORDS), np.uint32)
    for backend in settings.backends:
        wanted[numbers[real_name(backend)]] = np.frombuffer(bytes(real_of(backend, settings)), np.uint32)
    if settings.katran:  # it goes on sending connections to a backend that was removed; else they are hashed anew
        for number in book.freed:
            gone = Backend("", book.names[number][:book.names[number][16]])
            wanted[number] = np.frombuffer(bytes(real_of(gone, settings)), np.uint32)
    with words_of(table) as words:
        _write_changed(words, wanted.reshape(-1))


def _write_changed(words: numpy.ndarray, wanted: numpy.ndarray) -> None:
    import numpy as np
    changed = np.flatnonzero(words != wanted)
    words[changed] = wanted[changed]


_REAL_WORDS = 8


def real_of(backend: Backend, settings: Settings) -> Real:
    """A backend as the table has it."""
    a, b = raw_address(backend.address)
    mac = backend.mac or settings.gateway or bytes(6)
    flags = REAL_SET | (REAL_IPV6 if len(backend.address) == 16 else 0) | (REAL_LOCAL if backend.local else 0)
    return Real(a, b, int.from_bytes(mac, "little"), flags, 0)


def _write_outer(settings: Settings, table: Any) -> None:
    if table is None:
        return
    for index, address in enumerate(settings.outer, 1):
        a, b = raw_address(address or b"")
        table[index] = Real(a, b, 0, 0, 0)


def ring_of(vip: Vip, reals: dict[bytes, int], number: int, down: Mapping[int, int], all_down: str = "keep",
            ) -> numpy.ndarray | int:
    """The ring of a VIP: of its backends that have a weight and serve. When none serves: of all that nobody has taken
    out (`keep`), so that what is wrong with the checks alone does no harm; or of none, 0 (`drop`)."""
    import numpy as np
    uses = [(use, reals[real_name(use.backend)]) for use in vip.uses]
    alive = [(use, real) for use, real in uses if serves(down, key_of(number, real))]
    if not any(use.weight for use, _ in alive):
        if any(use.weight for use, _ in uses) and all_down == "drop":
            return 0
        alive = [(use, real) for use, real in uses if key_of(number, real) | TOLD not in down]
        if not alive:
            return 0
    places = _ring(tuple((use.backend.address, use.weight) for use, _ in alive), vip.weights)
    numbers: numpy.ndarray = np.array([0, *(real for _, real in alive)], np.uint32)[places]
    return numbers


@lru_cache(maxsize=64)
def _ring(uses: tuple[tuple[bytes, int], ...], weights: Any) -> numpy.ndarray:
    """A ring of backends by their place in a list, from 1; kept: those that come and go bring the same ones again."""
    return ring([Endpoint(number, address_hash(address), weight) for number, (address, weight) in enumerate(uses, 1)],
                weights=weights)


def write_ring(places: numpy.ndarray, number: int, made: numpy.ndarray | int) -> int:
    """Write the places of a VIP that changed, each in one store; how many."""
    import numpy as np
    mine = places[number * SIZE:(number + 1) * SIZE]
    wanted = np.broadcast_to(np.asarray(made, np.uint32), mine.shape)
    changed = np.flatnonzero(mine != wanted)
    mine[changed] = wanted[changed]
    return len(changed)


class words_of:
    """A mapped table's memory as numbers of 32 bits, in a `with` block; values of 4 bytes stand alone."""

    def __init__(self, table: Any) -> None:
        self._values = table.handle.map_values()
        self._bytes = table.value.size
        self._count = table.max_entries

    def __enter__(self) -> numpy.ndarray:
        import numpy as np
        stride = self._values.stride
        words = np.frombuffer(self._values.view, np.uint32)[:self._count * stride // 4]
        self._words: Any = words[::2] if self._bytes == 4 else words
        return self._words

    def __exit__(self, *exc: object) -> None:
        del self._words
        import gc
        try:
            self._values.close()
        except BufferError:  # a view of it is held by frames of what was raised
            gc.collect()
            self._values.close()


def _write_vips(settings: Settings, tables: Tables, maps: Any, numbers: dict[bytes, int]) -> None:
    import numpy as np
    for size, table, layout in ((4, tables.vips4, VIP4), (16, tables.vips6, VIP6)):
        sets: dict[int, list[int]] = {}
        for vip in settings.vips:
            if vip.whole and len(vip.address) == size:
                value = vip_value(vip.flags, numbers[vip_name(vip)])
                if not put(sets, layout, vip_key(vip.address, vip.port, vip.protocol), value, VIP_SETS):
                    raise MapFull(f"{vip.text} finds no place among the VIPs", cure="Give it another port.")
        wanted = np.zeros((VIP_SETS, layout.record.__layout__().fields["words"].type.length), np.uint64)
        for place, content in sets.items():
            wanted[place] = content
        if used(maps, table) is not None:
            with words_of(maps(table)) as words:
                _write_changed(words, wanted.reshape(-1).view(np.uint32))
    _write_prefixes(settings, tables, maps, numbers)
    _write_addresses(settings, tables, maps)


def _write_prefixes(settings: Settings, tables: Tables, maps: Any, numbers: dict[bytes, int]) -> None:
    for size, table in ((4, used(maps, tables.prefixes4)), (16, used(maps, tables.prefixes6))):
        wanted = {prefix_key(vip.address, vip.length, vip.port, vip.protocol): vip_value(vip.flags,
                                                                                         numbers[vip_name(vip)])
                  for vip in settings.vips if not vip.whole and len(vip.address) == size}
        _exchange(table, wanted)


def _exchange(table: Any, wanted: dict[Any, Any]) -> None:
    """Make a small table hold just this; None: no program looks into it."""
    if table is None:
        return
    for key in [key for key in table if key not in wanted]:
        del table[key]
    for key, value in wanted.items():
        table[key] = value


def _write_addresses(settings: Settings, tables: Tables, maps: Any) -> None:
    whole = {vip.address for vip in settings.vips if vip.whole}
    _exchange(used(maps, tables.addresses4), {raw_address(each)[0]: 1 for each in whole if len(each) == 4})
    six = used(maps, tables.addresses6)
    if six is None:
        return
    wanted = {raw_address(each) for each in whole if len(each) == 16}
    for key in [key for key in six if (key.a, key.b) not in wanted]:
        six.discard(key)
    for a, b in wanted:
        six[Words(a, b)] = 1


def _write_naming(settings: Settings, tables: Tables, maps: Any, numbers: dict[bytes, int]) -> None:
    ids = {each.id: numbers[real_name(each)] for each in settings.backends if each.id}
    _exchange(used(maps, tables.server_ids), ids)
    for size, table, kind in ((4, used(maps, tables.sources4), Number4), (16, used(maps, tables.sources6), Number6)):
        _exchange(table, {Network(kind.from_bytes(source.address), source.length): numbers[real_name(source.backend)]
                          for source in settings.sources if len(source.address) == size})


def refreshed(settings: Settings, tables: Tables, maps: Any) -> int:
    """Write what follows from how backends stand into a live generation, whose numbers stay; how many places changed.

    Not fill(): another process may have a newer generation live by now, whose numbers are not these settings'.
    """
    vips, reals = numbers_in(settings, tables, maps)
    with words_of(maps(tables.ring)) as places:
        return _write_rings(settings, tables, maps, {vip_name(vip): vips[vip.text] for vip in settings.vips},
                            {real_name(each): reals[each.address] for each in settings.backends}, places)


def told(settings: Settings, tables: Tables, maps: Any, name: str, word: str, vip: str = "") -> int:
    """Note what a person says of a backend, at one VIP or at all: up, down, drain, or auto: what checks say. Of how
    many VIPs that is another word than before. UsageError where there is no such backend."""
    vips, reals = numbers_in(settings, tables, maps)
    table, changed, known = maps(tables.down), 0, False
    for each in settings.vips:
        for use in each.uses:
            if use.backend.name != name or vip not in ("", each.text):
                continue
            known = True
            key = key_of(vips[each.text], reals[use.backend.address]) | TOLD
            changed += table.get(key, 0) != WORDS.get(word, 0)
            if word in WORDS:
                table[key] = WORDS[word]
            else:
                table.discard(key)
    if not known:
        names = sorted({use.backend.name for each in settings.vips for use in each.uses if vip in ("", each.text)})
        raise UsageError(f"no backend {name}" + (f" at {vip}" if vip else ""), cure=f"There is {', '.join(names)}."
                         if names else f"There is {', '.join(each.text for each in settings.vips)}.")
    refreshed(settings, tables, maps)
    return changed


# reading

def numbers_in(settings: Settings, tables: Tables, maps: Any) -> tuple[dict[str, int], dict[bytes, int]]:
    """The numbers of VIPs, by text, and of backends, by address, as a generation's own tables have them."""
    import numpy as np
    found: dict[str, int] = {}
    for size, table, layout in ((4, tables.vips4, VIP4), (16, tables.vips6, VIP6)):
        if used(maps, table) is None:
            continue
        with words_of(maps(table)) as words:
            sets = np.array(words).view(np.uint64).reshape(VIP_SETS, -1)
        for vip in settings.vips:
            if vip.whole and len(vip.address) == size:
                value = get(sets, layout, vip_key(vip.address, vip.port, vip.protocol), VIP_SETS)
                found[vip.text] = value >> 16 & 0xFFFF
    for vip in settings.vips:
        if not vip.whole:
            table = maps(tables.prefixes4 if len(vip.address) == 4 else tables.prefixes6)
            found[vip.text] = table[prefix_key(vip.address, vip.length, vip.port, vip.protocol)] >> 16 & 0xFFFF
    with words_of(maps(tables.reals)) as words:
        entries = np.array(words).reshape(MOST_REALS, _REAL_WORDS)
    reals = {}
    for number in np.flatnonzero(entries[:, 6]):
        size = 16 if entries[number, 6] & REAL_IPV6 else 4
        reals[entries[number, :4].tobytes()[:size]] = int(number)
    return found, reals
