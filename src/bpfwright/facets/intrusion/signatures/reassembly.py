"""Fragments put together to datagrams, and segments to streams. What came first stays where others lie over it.

Everything is bounded: bytes of a stream that are kept, bytes that wait for a gap, streams and datagrams at once, bytes
in all. What has to go is the oldest, and is counted.
"""
from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict

from bpfwright.facets.intrusion.signatures.packets import Packet, Piece

__all__ = ["Filled", "Fragments", "Stream"]

_MOST_DATAGRAM = 65_535
_FRAGMENTS_NS = 30 * 10**9


class Filled:
    """Bytes at places, without holes being told: what was there first stays."""

    __slots__ = ("parts", "places", "size")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.parts: list[bytes] = []
        self.size = 0

    def put(self, place: int, data: bytes) -> bool:
        """Fill what is still open of these bytes; whether anything lay there before."""
        end = place + len(data)
        lay = False
        at = bisect_right(self.places, place) - 1
        cursor = place
        if at >= 0:
            before = self.places[at] + len(self.parts[at])
            lay = before > place
            cursor = max(cursor, before)
        at += 1
        while cursor < end:
            stop = min(end, self.places[at]) if at < len(self.places) else end
            if stop > cursor:
                self.places.insert(at, cursor)
                self.parts.insert(at, data[cursor - place:stop - place])
                self.size += stop - cursor
                at += 1
            if stop == end:
                break
            lay = True
            cursor = self.places[at] + len(self.parts[at])
            at += 1
        return lay

    def taken(self, place: int) -> bytes:
        """Take out what follows without a hole from a place on, which is the first or before it."""
        found = []
        count = 0
        for start, data in zip(self.places, self.parts):
            if start > place:
                break
            if start + len(data) > place:
                found.append(data[place - start:])
                place = start + len(data)
            count += 1
        self.size -= sum(map(len, self.parts[:count]))
        del self.places[:count], self.parts[:count]
        return b"".join(found)


class Stream:
    """What one side sends, from `base` on (counted from the stream's first byte, 0). `text` has no holes.

    `told` and `armed` are for whoever looks: rules that matched, and those whose pattern was seen.
    """

    __slots__ = ("armed", "base", "gaps", "known", "kept", "overlaps", "start", "text", "told", "waiting")

    def __init__(self, start: int, kept: int) -> None:
        self.start = start
        self.kept = kept
        self.base = 0
        self.known = False
        self.text = b""
        self.waiting = Filled()
        self.told: set[int] = set()
        self.armed: set[int] = set()
        self.gaps = self.overlaps = 0

    @property
    def end(self) -> int:
        """Where the next byte is missing."""
        return self.base + len(self.text)

    @property
    def size(self) -> int:
        """Bytes that it holds."""
        return len(self.text) + self.waiting.size

    def place(self, sequence: int) -> int:
        """A sequence number as a place, the one of all that it may mean that is nearest to the end."""
        ahead = (sequence - self.start - self.end) & 0xFFFFFFFF
        return self.end + (ahead - (1 << 32) if ahead >= 1 << 31 else ahead)

    def _restart(self, place: int, tail: bytes) -> None:
        self.text = tail[-place:] if tail and place > 0 else b""
        self.base = place - len(self.text)

    def add(self, sequence: int, data: bytes, *, expected: int | None = None, tail: bytes = b"") -> int:
        """A segment. `expected`: whoever copies has seen all before that number, `tail` being the last of it. How many
        bytes are new in `text`."""
        if expected is not None and (not self.known or self.place(expected) > self.end):
            self._restart(self.place(expected) if self.known else (expected - self.start) & 0xFFFFFFFF, tail)
        self.known = True
        place = self.place(sequence)
        before = self.end
        if place < before:
            self.overlaps += 1
        data, place = data[max(0, before - place):], max(place, before)
        if data and self.waiting.put(place, data):
            self.overlaps += 1
        new = self.waiting.taken(self.end)
        if not new and self.waiting.size > self.kept:
            self.gaps += 1
            self._restart(self.waiting.places[0], b"")
            new = self.waiting.taken(self.end)
        self.text += new
        grown = len(new)
        if len(self.text) > self.kept:
            cut = len(self.text) - self.kept
            self.text, self.base = self.text[cut:], self.base + cut
        return grown


class _Datagram:
    __slots__ = ("filled", "size", "time_ns")

    def __init__(self, time_ns: int) -> None:
        self.filled = Filled()
        self.size = -1
        self.time_ns = time_ns


class Fragments:
    """Datagrams that wait for pieces."""

    def __init__(self, most: int = 1024) -> None:
        self.most = most
        self._waiting: OrderedDict[tuple[int, int, int, int], _Datagram] = OrderedDict()
        self.evicted = self.overlaps = self.put_together = 0

    def add(self, packet: Packet, piece: Piece, time_ns: int) -> bytes | None:
        """A fragment; the datagram's bytes behind its IP headers when it was the last that was missing."""
        self._expire(time_ns)
        known = self._waiting.get(piece.key)
        if known is None:
            known = self._waiting[piece.key] = _Datagram(time_ns)
            if len(self._waiting) > self.most:
                self._waiting.popitem(last=False)
                self.evicted += 1
        end = piece.offset + len(piece.data)
        if end > _MOST_DATAGRAM:
            return None
        if piece.last and known.size < 0:
            known.size = end
        if known.filled.put(piece.offset, piece.data):
            self.overlaps += 1
        parts = known.filled
        if known.size < 0 or parts.places[:1] != [0] or parts.size < known.size:
            return None
        whole = parts.taken(0)
        if len(whole) < known.size:
            known.filled.put(0, whole)
            return None
        del self._waiting[piece.key]
        self.put_together += 1
        return whole[:known.size]

    def _expire(self, time_ns: int) -> None:
        while self._waiting:
            key, oldest = next(iter(self._waiting.items()))
            if time_ns - oldest.time_ns < _FRAGMENTS_NS:
                return
            del self._waiting[key]
            self.evicted += 1
