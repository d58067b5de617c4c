"""The search in the kernel: words of a payload, hashed into a table of bytes, and the entries behind what is set there.

A pattern of seven bytes or more has a whole aligned word in it wherever it stands, so every fourth byte is looked at;
shorter ones are looked for at every byte, in packets that a rule with one of them is about.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.facets.intrusion.signatures.records import CARRIED, STEP, struct_of
from bpfwright.helpers import judged_alone
from bpfwright.types import CUnion, u32, u64

__all__ = ["FOLD", "MOST_CHAINED", "MULTIPLIER", "searcher_of", "text_of"]

FOLD = 0x2020_2020
MULTIPLIER = 0x9E37_79B1
MOST_CHAINED = 24
"""Entries that are compared for one word."""
_WORDS = CARRIED // 4
_NO_STREAM = 0xFFFF_FFFF
_Search = Callable[..., Any]


def text_of(depth: int) -> type[Any]:
    """The text that is searched: a word of nothing, the last bytes of the segment before, the payload, and room that is
    read too."""
    # Verifiers know of a number of rounds how many bits it has, and no more.
    rounds = 1 << (_rounds(depth) - 1).bit_length()
    behind = max(depth // 4 + 2 * STEP, (rounds + 1) * STEP - _WORDS)
    inside = {"head": f"array[u32, L[{1 + _WORDS}]]", "payload": f"array[u32, L[{depth // 4}]]",
              "rest": f"array[u32, L[{behind - depth // 4}]]"}
    parts = struct_of("Parts", inside)
    return struct_of("Text", {"words": f"array[u32, L[{1 + _WORDS + behind}]]", "parts": parts}, CUnion)


def _rounds(depth: int) -> int:
    return (_WORDS + depth // 4 + STEP - 1) // STEP


def searcher_of(layout: Any, depth: int, maps: Any) -> _Search:
    """`search(ctx, seen)`: 0, 1: a pattern is there, or twice the sid of a rule that drops; of the payload's first
    `depth` bytes."""
    if not any(layout.bits.values()) and not layout.signs:
        return _nothing
    scratch = maps.scratch
    whole = _whole(layout, depth, maps)

    def search(ctx: Any, seen: Any) -> Any:
        text = scratch.local(0)
        if seen.carried == 0:
            text.words[1] = 0
            text.words[2] = 0
            text.words[3] = 0
            text.words[4] = 0
        size = min(seen.size, depth)
        if not ctx.fetch(seen.start, text.parts.payload, size=size):
            return 0
        return whole(seen.content, size, u32(seen.sequence - seen.first) if seen.flow != 0 else _NO_STREAM)

    return search


def _whole(layout: Any, depth: int, maps: Any) -> _Search:
    """All passes, one after the other until something is found."""
    compare = _compare(maps, depth)
    passes: list[Any] = [_apart(made(layout, depth, compare), maps, depth) for name, made in (
        ("aligned", _aligned), ("dense", _dense), ("pairs", _pairs)) if layout.bits[name]]
    if layout.signs:
        passes.append(_apart(_signs(depth), maps, depth))
    chain = passes[-1]
    for one in reversed(passes[:-1]):
        chain = _first_of(one, chain)
    return chain  # type: ignore[no-any-return]


def _apart(search: _Search, maps: Any, depth: int) -> _Search:
    """A pass as a function that verifiers judge once, with a stack of its own: it takes numbers, and finds the rest in
    maps."""
    tables, scratch = maps.tables, maps.scratch

    @judged_alone
    def search_payload(content: u64, size: u32, stream: u32) -> u32:
        t = tables.get(0)
        if t is None or size > depth:
            return 0
        return u32(search(t, scratch.local(0), content, size, stream))

    return search_payload


def _nothing(ctx: Any, seen: Any) -> int:
    return 0


def _first_of(one: _Search, other: _Search) -> _Search:
    def either(content: Any, size: Any, stream: Any) -> Any:
        found = one(content, size, stream)
        return found if found != 0 else other(content, size, stream)

    return either


def _hash(word: Any, shift: int) -> Any:
    return u32((word | FOLD) * MULTIPLIER) >> shift


def _compare(maps: Any, depth: int) -> _Search:
    entries, scratch = maps.entries, maps.scratch
    most = CARRIED + depth

    @judged_alone
    def compare_entries(content: u64, at: u32, size: u32, head: u32, stream: u32) -> u32:
        """The entries of a word, those that drop first: what is in them must be in the text, where it may be."""
        text = scratch.local(0)
        i = at >> 2
        if at >= most or i >= most // 4:
            return 0
        shift = (at & 3) * 8
        number = head
        for _ in range(MOST_CHAINED):
            if number == 0:
                break
            entry = entries.get(number)
            if entry is None:
                break
            # Read again for each entry: what is kept meanwhile takes stack, of which a chain of calls has little.
            before = text.words[i] if shift == 0 else 0
            wrong = (before ^ entry.words[0]) & entry.masks[0]
            both = u64(text.words[i + 1]) | u64(text.words[i + 2]) << 32
            wrong |= (u32(both >> shift) ^ entry.words[1]) & entry.masks[1]
            both = u64(text.words[i + 2]) | u64(text.words[i + 3]) << 32
            wrong |= (u32(both >> shift) ^ entry.words[2]) & entry.masks[2]
            both = u64(text.words[i + 3]) | u64(text.words[i + 4]) << 32
            wrong |= (u32(both >> shift) ^ entry.words[3]) & entry.masks[3]
            both = u64(text.words[i + 4]) | u64(text.words[i + 5]) << 32
            wrong |= (u32(both >> shift) ^ entry.words[4]) & entry.masks[4]
            if wrong == 0 and entry.buckets & content != 0:
                begin = u32(at - entry.back)     # from the text's start: the payload begins at CARRIED
                place = u32(begin - CARRIED)
                there = u32(stream + place)
                fits = begin < CARRIED or (entry.first <= place and place <= entry.last)
                if stream != _NO_STREAM and entry.first <= there and there <= entry.last:
                    fits = True
                if fits and begin + entry.size <= size + CARRIED:
                    return u32(entry.drop << 1) if entry.drop != 0 else 1
            number = u32(entry.next)
        return 0

    return compare_entries


def _coarse(mask: Any) -> Any:
    """64 buckets on eight bits, as the bytes of the table have them."""
    half = u32(mask | mask >> 32)
    quarter = u32(half | half >> 16)
    return u32(quarter | quarter >> 8) & 0xFF


def _aligned(layout: Any, depth: int, compare: _Search) -> _Search:
    shift = 32 - layout.bits["aligned"]
    rounds = _rounds(depth)

    def aligned(t: Any, text: Any, content: Any, size: Any, stream: Any) -> Any:
        wanted = _coarse(content & t.floating)
        if wanted == 0:
            return 0
        words = u32(size + CARRIED) >> 2
        found = 0
        for turn in range(rounds):
            base = turn * STEP
            if base >= words:
                break
            hit = (t.aligned[_hash(text.words[base + 1], shift)] | t.aligned[_hash(text.words[base + 2], shift)]
                   | t.aligned[_hash(text.words[base + 3], shift)] | t.aligned[_hash(text.words[base + 4], shift)]
                   | t.aligned[_hash(text.words[base + 5], shift)] | t.aligned[_hash(text.words[base + 6], shift)]
                   | t.aligned[_hash(text.words[base + 7], shift)] | t.aligned[_hash(text.words[base + 8], shift)])
            if hit & wanted:
                for one in range(STEP):
                    place = _hash(text.words[base + one + 1], shift)
                    if t.aligned[place] & wanted:
                        new = compare(content, u32((base + one) * 4), u32(size), u32(t.aligned_heads[place]), stream)
                        if new > 1:
                            return new
                        found |= new
        return found

    return aligned


def _dense(layout: Any, depth: int, compare: _Search) -> _Search:
    shift = 32 - layout.bits["dense"]
    rounds = _WORDS + depth // 4

    def dense(t: Any, text: Any, content: Any, size: Any, stream: Any) -> Any:
        wanted = _coarse(content & t.short)
        if wanted == 0:
            return 0
        words = u32(size + CARRIED + 3) >> 2
        found = 0
        for i in range(rounds):
            if i >= words:
                break
            both = u64(text.words[i + 1]) | u64(text.words[i + 2]) << 32
            hit = (t.dense[_hash(u32(both), shift)] | t.dense[_hash(u32(both >> 8), shift)]
                   | t.dense[_hash(u32(both >> 16), shift)] | t.dense[_hash(u32(both >> 24), shift)])
            if hit & wanted:
                for one in range(4):
                    again = u64(text.words[i + 1]) | u64(text.words[i + 2]) << 32
                    place = _hash(u32(again >> one * 8), shift)
                    if t.dense[place] & wanted:
                        new = compare(content, u32(i * 4 + one), u32(size), u32(t.dense_heads[place]), stream)
                        if new > 1:
                            return new
                        found |= new
        return found

    return dense


def _pairs(layout: Any, depth: int, compare: _Search) -> _Search:
    rounds = _WORDS + depth // 4

    def pairs(t: Any, text: Any, content: Any, size: Any, stream: Any) -> Any:
        wanted = _coarse(content & t.shortest)
        if wanted == 0:
            return 0
        words = u32(size + CARRIED + 3) >> 2
        found = 0
        for i in range(rounds):
            if i >= words:
                break
            for one in range(4):
                both = u64(text.words[i + 1]) | u64(text.words[i + 2]) << 32
                place = (u32(both >> one * 8) | FOLD) & 0xFFFF
                if t.pairs[place] & wanted:
                    new = compare(content, u32(i * 4 + one), u32(size), u32(t.pair_heads[place]), stream)
                    if new > 1:
                        return new
                    found |= new
        return found

    return pairs


def _signs(depth: int) -> _Search:
    """%XX and %uXXXX, for rules about what is decoded; lines of headers that go on, for those about headers."""
    rounds = _rounds(depth)

    def signs(t: Any, text: Any, content: Any, size: Any, stream: Any) -> Any:
        asked = u32((1 if content & t.escapes != 0 else 0) | (2 if content & t.folds != 0 else 0))
        if asked == 0:
            return 0
        words = u32(size + CARRIED + 3) >> 2
        for turn in range(rounds):
            base = turn * STEP
            if base >= words:
                break
            hit = (_has_sign(text.words[base + 1]) | _has_sign(text.words[base + 2]) | _has_sign(text.words[base + 3])
                   | _has_sign(text.words[base + 4]) | _has_sign(text.words[base + 5]) | _has_sign(text.words[base + 6])
                   | _has_sign(text.words[base + 7]) | _has_sign(text.words[base + 8]))
            if hit:
                for one in range(STEP):
                    low = text.words[base + one + 1]
                    if base + one < words and _has_sign(low) and sign_in(
                            low, text.words[base + one + 2], asked, u32(size + CARRIED - (base + one) * 4)) != 0:
                        return 1
        return 0

    return signs


def _has_sign(word: Any) -> Any:
    """Not 0 where a byte is % or a line feed; by the borrow of a zero byte, which may set bits above it for nothing."""
    percent = u32(word ^ 0x25252525)
    feed = u32(word ^ 0x0A0A0A0A)
    return (u32(percent - 0x01010101) & ~percent | u32(feed - 0x01010101) & ~feed) & 0x80808080


# Judged alone: it has many ways through it.
@judged_alone
def sign_in(low: u32, high: u32, asked: u32, left: u32) -> u32:
    """Whether a sign that is asked for begins in the first of two words; behind `left` bytes is what was there
    before."""
    both = u64(low) | u64(high) << 32
    for at in range(4):
        if at >= left:
            break
        byte = u32(both >> at * 8) & 255
        after = u32(both >> at * 8 + 8) & 255
        if asked & 1 and byte == 0x25 and (after | 0x20 == 0x75 or (
                _hexadecimal(after) and _hexadecimal(u32(both >> at * 8 + 16) & 255))):
            return 1
        if asked & 2 and byte == 0x0A and (after == 0x20 or after == 0x09):
            return 1
    return 0


def _hexadecimal(byte: Any) -> Any:
    return u32(byte - 0x30) < 10 or u32((byte | 0x20) - 0x61) < 6
