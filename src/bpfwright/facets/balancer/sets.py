"""Tables of sets: a cache line or two that hold a few entries, looked through without a call.

An entry may stand in either of two sets that its key's hash names. Among connections the oldest of both sets makes
room; VIPs, which only the control writes, all have a place. Two CPUs may write into one set at once: an entry is
invalid while it changes, and what a reader could still meet torn costs one packet of a new flow its place in the table.
"""
from __future__ import annotations

from bpfwright._typing import Any, Iterator, NamedTuple
from bpfwright.helpers import now_coarse_ns, subprogram
from bpfwright.types import L, Struct, array, u32, u64

__all__ = ["LAYOUT4", "LAYOUT6", "SEEN_SHIFT", "VIP4", "VIP6", "Connections", "Layout", "Set4", "Set6", "entries_of",
           "get", "looker", "places", "power_of_two", "put", "stamp_of"]

_FIRST, _SECOND, _MASK = 0x9E37_79B9_7F4A_7C15, 0xBF58_476D_1CE4_E5B9, (1 << 64) - 1
_HIGH = 40              # where the hash's second place begins
_UP = 32                # a connection's last word: ports, backend (12 bits), 1: UDP, when it was seen (19 bits)
_UDP_UP, _SEEN_UP = _UP + 12, _UP + 13
_REAL_MASK, _SEEN_MASK = 0xFFF, (1 << 19) - 1
_MATCH = 0xFFFF_FFFF | 1 << _UDP_UP
_KEEP = (1 << _SEEN_UP) - 1
SEEN_SHIFT = 28
"""Connections are dated in units of 2**28 ns, a quarter of a second."""
_UDP = 17


class Set4(Struct):
    """One cache line."""

    words: array[u64, L[8]]


class Set6(Struct):
    """Two."""

    words: array[u64, L[16]]


class Keyed(Struct):
    """The addresses of a connection's key."""

    source_a: u64
    source_b: u64
    destination_a: u64
    destination_b: u64
    protocol: u32


class Layout(NamedTuple):
    """How entries stand in a set: words of each, how many, and whose record they are."""

    words: int
    ways: int
    record: Any


LAYOUT4, LAYOUT6 = Layout(2, 4, Set4), Layout(5, 3, Set6)
"""Connections: their key's words, the last with the backend."""
VIP4, VIP6 = Layout(2, 4, Set4), Layout(4, 4, Set6)
"""VIPs: their key's words, and what is known of them."""


def power_of_two(least: int) -> int:
    """The first power of two that is as large."""
    return 1 << max(1, least - 1).bit_length()


# hashes, in programs and here

def _mix(first: u64, second: u64) -> u64:
    x: u64 = u64((first ^ first >> 31) * _FIRST)
    x = u64((x ^ x >> 29) + second)
    x = u64(x * _SECOND)
    return x ^ x >> 32


def _mixed(first: int, second: int) -> int:
    x = (first ^ first >> 31) * _FIRST & _MASK
    x = (x ^ x >> 29) + second & _MASK
    x = x * _SECOND & _MASK
    return x ^ x >> 32


def places(key: tuple[int, ...], sets: int) -> tuple[int, int]:
    """The two sets where a key of two, three or five words may stand, as programs find them."""
    if len(key) == 2:
        hashed = _mixed(*key)
    elif len(key) == 3:
        hashed = _mixed(_mixed(key[0], key[1]), key[2])
    else:
        hashed = _mixed(_mixed(key[0], key[1]), _mixed(key[2], key[3]) ^ key[4])
    return hashed & sets - 1, hashed >> _HIGH & sets - 1


# VIPs

def looker(table: Any, sets: int, family: int) -> Any:
    """`look(work, port) -> int`: what is known of the VIP that a packet is for, 0: it is for none."""
    mask = sets - 1

    def four(work: Any, port: Any) -> Any:
        key = u32(work.destination_a) | port << 32 | work.protocol << 48
        hashed = _mix(key, 0)
        found = in4(hashed & mask, key)
        if found == 0:
            found = in4(hashed >> _HIGH & mask, key)
        return found

    def in4(place: Any, key: Any) -> Any:
        entries = table.get(u32(place))
        if entries is None:
            return 0
        for way in range(4):
            if entries.words[2 * way] == key:
                return entries.words[2 * way + 1]
        return 0

    def six(work: Any, port: Any) -> Any:
        a, b = work.destination_a, work.destination_b
        key = port | work.protocol << 16 | 1 << 32
        hashed = _mix(_mix(a, b), key)
        found = in6(hashed & mask, a, b, key)
        if found == 0:
            found = in6(hashed >> _HIGH & mask, a, b, key)
        return found

    def in6(place: Any, a: Any, b: Any, key: Any) -> Any:
        entries = table.get(u32(place))
        if entries is None:
            return 0
        for way in range(4):
            if entries.words[4 * way + 2] == key and entries.words[4 * way] == a and entries.words[4 * way + 1] == b:
                return entries.words[4 * way + 3]
        return 0

    return four if family == 4 else six


def put(sets: dict[int, list[int]], layout: Layout, key: tuple[int, ...], value: int, count: int) -> bool:
    """Place a VIP's entry in one of the sets of its key, by number; False: both are full. `key`: as programs hash."""
    words = key if layout is VIP6 else key[:1]
    for place in places(key, count):
        content = sets.setdefault(place, [0] * layout.record.__layout__().fields["words"].type.length)
        for way in range(layout.ways):
            start = way * layout.words
            if content[start + layout.words - 1] == 0:
                content[start:start + layout.words] = [*words, value]
                return True
    return False


def get(sets: Any, layout: Layout, key: tuple[int, ...], count: int) -> int:
    """What the sets, rows of words, say of a VIP; 0: nothing."""
    words = key if layout is VIP6 else key[:1]
    for place in places(key, count):
        for way in range(layout.ways):
            start = way * layout.words
            if [int(word) for word in sets[place][start:start + len(words)]] == list(words):
                return int(sets[place][start + layout.words - 1])
    return 0


# connections

def stamp_of(now_ns: int) -> int:
    """A time as connections have it."""
    return now_ns >> SEEN_SHIFT & _SEEN_MASK


def _key4(work: Any) -> Any:
    return u64(u32(work.source_a) | u32(work.destination_a) << 32)


def _last(work: Any) -> Any:
    return u64(work.ports | (1 << _UDP_UP if work.protocol == _UDP else 0))


def _way4(entries: Any, key: Any, last: Any) -> Any:
    """The word of the entry with this key that names the backend; 0: there is none."""
    for way in range(4):
        if entries.words[2 * way] == key and entries.words[2 * way + 1] & _MATCH == last:
            return 2 * way + 1
    return 0


def _way6(entries: Any, work: Any, last: Any) -> Any:
    for way in range(3):
        if (entries.words[5 * way + 4] & _MATCH == last and entries.words[5 * way] == work.source_a
                and entries.words[5 * way + 1] == work.source_b and entries.words[5 * way + 2] == work.destination_a
                and entries.words[5 * way + 3] == work.destination_b):
            return 5 * way + 4
    return 0


def _hash6(work: Any, last: Any) -> Any:
    return _mix(_mix(work.source_a, work.source_b), _mix(work.destination_a, work.destination_b) ^ last)


class Connections:
    """The operations of one family's connections, as functions of the dialect.

    `front` is a small table before the large one: what was seen in this quarter of a second, so that the connections
    that are busy need one cache line each, of few pages of memory, however large the table is. Addresses of IPv6 stand
    in it as 64 bits of hash, beside the ports themselves.
    """

    def __init__(self, front: Any, table: Any, family: int, udp_timeout_ns: int) -> None:
        four = family == 4
        layout = LAYOUT4 if four else LAYOUT6
        mask, front_mask, bound = table.max_entries - 1, front.max_entries - 1, 7 if four else 15
        ways, size = layout.ways, layout.words
        timeout = -(-udp_timeout_ns >> SEEN_SHIFT)

        def key_of(work: Any) -> Any:
            return _key4(work) if four else u64(0)

        def hash_of(work: Any, key: Any, last: Any) -> Any:
            return _mix(key, last) if four else _hash6(work, last)

        def find(entries: Any, work: Any, key: Any, last: Any) -> Any:
            if four:
                return _way4(entries, key, last)
            return _way6(entries, work, last)

        def oldest(entries: Any, now: Any) -> Any:
            """The entry that is free, or was not seen for longest: its age and, in the lowest byte, its last word."""
            best = u64(0)
            for way in range(ways):
                word = entries.words[size * way + size - 1]
                age = u64((now - (word >> _SEEN_UP)) & _SEEN_MASK)
                if word >> _UP & _REAL_MASK == 0:
                    age = 1 << 20
                age = u64(age << 8 | size * way + size - 1)
                if age >= best:
                    best = age
            return best

        def write(entries: Any, at: Any, work: Any, key: Any, word: Any) -> None:
            entries.words[at] &= 0  # not valid while the rest changes: atomic, so that it stays in this order
            if four:
                entries.words[(at - 1) & bound] = key
            else:
                entries.words[(at - 4) & bound] = work.source_a
                entries.words[(at - 3) & bound] = work.source_b
                entries.words[(at - 2) & bound] = work.destination_a
                entries.words[(at - 1) & bound] = work.destination_b
            entries.words[at] |= word

        def put_in_front(entries: Any, at: Any, short: Any, word: Any, now: Any) -> None:
            where = at
            if where == 0:
                where = front_oldest(entries, now)
            entries.words[where & 7] &= 0
            entries.words[(where - 1) & 7] = short
            entries.words[where & 7] |= word

        def front_oldest(entries: Any, now: Any) -> Any:
            best, at = u64(0), u64(1)
            for way in range(4):
                age = u64((now - (entries.words[2 * way + 1] >> _SEEN_UP)) & _SEEN_MASK)
                if age >= best:
                    best, at = age, u64(2 * way + 1)
            return at

        def in_table(place: Any, work: Any, key: Any, last: Any, now: Any) -> Any:
            entries = table.get(u32(place))
            if entries is None:
                return 0
            at = find(entries, work, key, last)
            if at == 0:
                return 0
            at &= bound
            word = entries.words[at]
            seen = word >> _SEEN_UP
            if now != seen:
                if work.protocol == _UDP and (now - seen) & _SEEN_MASK > timeout:
                    return 0
                entries.words[at] = word & _KEEP | now << _SEEN_UP
            return word >> _UP & _REAL_MASK

        def look(work: Any, key: Any, last: Any) -> Any:
            hashed = hash_of(work, key, last)
            short = key if four else hashed
            now = now_coarse_ns() >> SEEN_SHIFT & _SEEN_MASK
            entries = front.get(u32(hashed & front_mask))
            if entries is None:
                return 0
            at = _way4(entries, short, last)
            if at != 0:
                word = entries.words[at & 7]
                if word >> _SEEN_UP == now:
                    return word >> _UP & _REAL_MASK
            real = in_table(hashed & mask, work, key, last, now)
            if real == 0:
                real = in_table(hashed >> _HIGH & mask, work, key, last, now)
            if real != 0:
                put_in_front(entries, at, short, last | real << _UP | now << _SEEN_UP, now)
            return real

        def known(work: Any) -> Any:
            return look(work, key_of(work), _last(work))

        @subprogram
        def recalled(source_a: u64, source_b: u64, destination_a: u64, destination_b: u64, last: u64) -> u64:
            given = Keyed(source_a, source_b, destination_a, destination_b, 6 if last >> _UDP_UP == 0 else _UDP)
            real: u64 = look(given, _key4(given) if four else u64(0), last)
            return real

        def recall(work: Any) -> Any:
            return recalled(work.source_a, work.source_b, work.destination_a, work.destination_b, _last(work))

        @subprogram
        def kept(source_a: u64, source_b: u64, destination_a: u64, destination_b: u64, word: u64) -> u64:
            given = Keyed(source_a, source_b, destination_a, destination_b, 0)
            last = word & _MATCH
            key = _key4(given) if four else u64(0)
            hashed = _mix(key, last) if four else _hash6(given, last)
            now = now_coarse_ns() >> SEEN_SHIFT & _SEEN_MASK
            word = word & _KEEP | now << _SEEN_UP
            entries = front.get(u32(hashed & front_mask))
            first, second = table.get(u32(hashed & mask)), table.get(u32(hashed >> _HIGH & mask))
            if entries is None or first is None or second is None:
                return 0
            short = key if four else hashed
            put_in_front(entries, _way4(entries, short, last), short, word, now)
            at = find(first, given, key, last)
            if at != 0:
                first.words[at & bound] = word
                return 1
            at = find(second, given, key, last)
            if at != 0:
                second.words[at & bound] = word
                return 1
            one, other = oldest(first, now), oldest(second, now)
            if one >> 8 >= other >> 8:
                write(first, one & bound, given, key, word)
            else:
                write(second, other & bound, given, key, word)
            return 1

        def keep(work: Any) -> None:
            kept(work.source_a, work.source_b, work.destination_a, work.destination_b,
                 _last(work) | work.real << _UP)

        self.known: Any = known
        """`known(work) -> int`: the backend of a connection that is in the table, now seen again; 0: it is not."""
        self.recall: Any = recall
        """The same, as a function of its own: slower, for where it is rare."""
        self.keep: Any = keep
        """`keep(work)`: the table has the connection with the work's backend."""


def entries_of(memory: Any, layout: Layout) -> Iterator[Any]:
    """The entries of a table's memory as columns: an array of (entries, words), those that hold a connection."""
    import numpy as np
    length = layout.record.__layout__().fields["words"].type.length
    rows = np.frombuffer(memory, np.uint64).reshape(-1, length)[:, :layout.words * layout.ways]
    entries = rows.reshape(-1, layout.words)
    held: Any = entries[(entries[:, -1] >> np.uint64(_UP)) & np.uint64(_REAL_MASK) != 0]
    return held  # type: ignore[no-any-return]
