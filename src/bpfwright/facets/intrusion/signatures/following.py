"""Streams in the kernel: what comes next, the last bytes of the segment before, and what is copied to be put together.

A segment that comes in its order is searched behind the last bytes of the one before, so a pattern that is cut in two
is found. What is out of order, overlaps or is tiny is copied, and so is what follows.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.facets.intrusion.signatures.protocols.http import METHODS
from bpfwright.facets.intrusion.signatures.records import CARRIED
from bpfwright.facets.intrusion.signatures.searching import FOLD
from bpfwright.helpers import judged_alone
from bpfwright.types import u32

__all__ = ["ALL", "OPENS", "REQUESTS", "Follower", "follower_of",
           "is_method"]

REQUESTS, ALL, OPENS = 1, 2, 4
"""What rules ask for: requests that are not whole in a segment, all requests, streams from their first byte on."""
_PATTERN, _ORDER, _TINY, _FOLLOWED, _FIRST, _REQUEST = 1, 4, 5, 6, 7, 8
_NOT_FOLLOWED = 4  # of the counts
_HALF = 1 << 31
_NUMBERS, _TAIL, _HOLE, _HTTP = 1, 2, 4, 8
_END = 0x0A0D_0A0D  # CR LF CR LF, as a number
_METHODS = tuple({int.from_bytes((each + end).encode()[:4], "little") | FOLD for each in METHODS for end in " \t"})


# Judged alone: each comparison is a way of its own through what follows.
@judged_alone
def is_method(word: u32) -> u32:
    """Whether a request's method begins with these four bytes."""
    return 1 if (word | FOLD) in _METHODS else 0


def _begins(word: Any) -> Any:
    """Whether a request may begin so: with three letters, each of which has bit 6, or an empty line."""
    return word & 0x40_40_40 == 0x40_40_40 or word & 255 == 0x0D or word & 255 == 0x0A


def _spoken(limits: Any) -> Callable[..., Any]:
    depth = limits.depth

    def spoken(seen: Any, known: Any, side: Any, asks: Any) -> Any:
        """Why a segment in its order is copied for rules about protocols: a request that is not whole in it, or more
        than is searched, or the first one of a stream."""
        if asks & OPENS and seen.sequence == seen.first:
            return _FIRST
        if asks & REQUESTS and side == 0 and known & _HTTP and seen.sequence == seen.expected and _begins(seen.word):
            whole = seen.has_tail != 0 and seen.tail[3] == _END and seen.size <= depth
            if asks & ALL or not whole:
                return _REQUEST
        return 0

    return spoken


def _nothing_spoken(seen: Any, known: Any, side: Any, asks: Any) -> int:
    return 0


class Follower(NamedTuple):
    """`before(session, seen, side, asks)`: why the segment is to be copied whatever is in it, 0: it is not.
    `behind(session, seen, side)` notes what comes next."""

    before: Callable[..., Any]
    behind: Callable[..., Any]


def follower_of(limits: Any, maps: Any, *, speaks: bool) -> Follower:
    """The two functions, with limits; `speaks`: some rule is about a protocol."""
    counts, scratch = maps.counts, maps.scratch
    first, most, window, opening = limits.first, limits.most, limits.follow, limits.opening
    spoken = _spoken(limits) if speaks else _nothing_spoken

    def before(session: Any, seen: Any, side: Any, asks: Any) -> Any:
        known = session.known[side]
        if known & _NUMBERS == 0:
            session.expected[side] = seen.sequence
            session.first[side] = seen.sequence
            known = _NUMBERS
        if session.follow[side] == 0:
            known &= _NUMBERS | _TAIL | _HTTP  # whatever is missing is waited for no more
        expected = session.expected[side]
        seen.expected = expected
        seen.complete = session.complete[side] if known & _HOLE else expected
        seen.first = session.first[side]
        reason = 0
        if seen.sequence == expected:
            if seen.size < CARRIED:
                reason = _TINY
            if known & _TAIL:
                seen.carried = 1
                text = scratch.local(0)
                at = side * 4
                text.words[1] = session.tail[at]
                text.words[2] = session.tail[at + 1]
                text.words[3] = session.tail[at + 2]
                text.words[4] = session.tail[at + 3]
        elif u32(expected - seen.sequence - seen.size) >= _HALF:
            reason = _ORDER  # not what was there already: that is looked at alone
            if u32(seen.sequence - expected) < _HALF and known & _HOLE == 0:
                session.complete[side] = expected
                known |= _HOLE
        if asks & REQUESTS and side == 0 and known & _HTTP == 0 and seen.method != 0:
            known |= _HTTP
        session.known[side] = known
        if reason == 0 and session.follow[side] == 0:
            reason = spoken(seen, known, side, asks)
        if reason == _FIRST:
            session.follow[side] = opening
        elif reason != 0:
            session.follow[side] = window
        elif session.follow[side] != 0:
            reason = _FOLLOWED
        elif first != 0 and u32(seen.sequence - seen.first) < first:
            reason = _FIRST
        if reason != 0:
            if session.copied[side] > most:
                counts.increment(_NOT_FOLLOWED)
                return 0
            session.copied[side] += seen.size
        return reason

    def behind(session: Any, seen: Any, side: Any) -> None:
        left = session.follow[side]
        session.follow[side] = left - seen.size if left > seen.size else 0
        end = u32(seen.sequence + seen.size)
        if u32(end - seen.expected) == 0 or u32(end - seen.expected) >= _HALF:
            return
        session.expected[side] = end
        if seen.has_tail == 0:
            session.known[side] &= _NUMBERS | _HOLE | _HTTP
            return
        at = side * 4
        session.tail[at] = seen.tail[0]
        session.tail[at + 1] = seen.tail[1]
        session.tail[at + 2] = seen.tail[2]
        session.tail[at + 3] = seen.tail[3]
        session.known[side] |= _TAIL

    return Follower(before, behind)
