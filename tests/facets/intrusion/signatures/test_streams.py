"""Streams and datagrams put together: however they are cut, mixed and laid over one another, the same is told."""
from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bpfwright.facets.intrusion.signatures.engine import Bounds
from bpfwright.facets.intrusion.signatures.kernel import Limits
from bpfwright.facets.intrusion.signatures.packets import Packet, Piece, dissected
from bpfwright.facets.intrusion.signatures.reassembly import Filled, Fragments, Stream
from bpfwright.headers import UDP, Ethernet, IPv4

from .bed import A, B, Bed, Talk, rules_of

Beds = Callable[..., Bed]
Pieces = list[tuple[int, int]]


@st.composite
def pieces(draw: st.DrawFn, size: int) -> Pieces:
    """Pieces (from, to) of so many bytes in any order: all of them, some twice, some over others."""
    cuts = sorted({0, size, *draw(st.lists(st.integers(1, size - 1), max_size=8))})
    found = list(itertools.pairwise(cuts))
    more = draw(st.lists(st.tuples(st.integers(0, size - 1), st.integers(1, 40)), max_size=5))
    found += [(low, min(size, low + length)) for low, length in more]
    return list(draw(st.permutations(found)))


@given(pieces(120), st.integers(0, 0xFFFFFFFF))
def test_a_stream_is_what_was_sent(cut: Pieces, start: int) -> None:
    data = bytes(range(120))
    stream = Stream(start, 1000)
    grown = sum(stream.add(start + low & 0xFFFFFFFF, data[low:high]) for low, high in cut)
    assert stream.text == data and stream.base == 0 and grown == 120 and stream.waiting.size == 0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), max_size=12))
def test_what_came_first_stays(parts: list[tuple[int, int]]) -> None:
    wanted: dict[int, int] = {}
    filled = Filled()
    for number, (place, size) in enumerate(parts):
        lay = any(at in wanted for at in range(place, place + size))
        assert filled.put(place, bytes([number]) * size) == lay
        for at in range(place, place + size):
            wanted.setdefault(at, number)
    assert filled.size == len(wanted)
    assert {place + at: byte for place, data in zip(filled.places, filled.parts, strict=True)
            for at, byte in enumerate(data)} == wanted
    run = 0
    while run in wanted:
        run += 1
    assert filled.taken(0) == bytes(wanted[at] for at in range(run)) and filled.size == len(wanted) - run


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 30), st.booleans()), max_size=15))
def test_overlaps_in_a_stream(parts: list[tuple[int, int, bool]]) -> None:
    stream = Stream(0xFFFFFFF0, 1000)
    wanted: dict[int, int] = {}
    for number, (place, size, _) in enumerate(parts):
        stream.add(0xFFFFFFF0 + place & 0xFFFFFFFF, bytes([number]) * size)
        for at in range(place, place + size):
            wanted.setdefault(at, number)
    run = 0
    while run in wanted:
        run += 1
    assert stream.text == bytes(wanted[at] for at in range(run))


def test_bounds_of_a_stream() -> None:
    stream = Stream(0, 100)
    assert stream.add(0, b"a" * 80) == 80 and stream.add(80, b"b" * 80) == 80
    assert (stream.base, len(stream.text)) == (60, 100)
    assert stream.add(200, b"c" * 90) == 0 and stream.gaps == 0
    assert stream.add(300, b"d" * 20) == 90 and stream.gaps == 1  # what waits is more than is kept
    assert stream.text == b"c" * 90 and stream.base == 200 and stream.waiting.size == 20
    assert stream.add(500, b"e" * 9, expected=500, tail=b"0123456789abcdef") == 9  # the kernel saw all before
    assert stream.text == b"0123456789abcdef" + b"e" * 9 and stream.base == 484


@given(pieces(96), st.integers(1, 3))
def test_datagrams_in_fragments(cut: Pieces, unit: int) -> None:
    data = bytes(random.Random(unit).randrange(256) for _ in range(96 * 8))
    fragments = Fragments()
    found = []
    for low, high in cut:
        if (low, high) == (0, 96):
            continue  # that is no fragment
        ip = IPv4(source=A, destination=B, protocol=17, identification=7, fragment_offset=low,
                  more_fragments=int(high < 96))
        packet = dissected(bytes(Ethernet() / ip / data[low * 8:high * 8]), 14)
        assert packet is not None and packet.piece is not None
        whole = fragments.add(packet, packet.piece, 0)
        found += [whole] if whole is not None else []
    whole_again = [low for low, _ in cut if (low, _) != (0, 96)]
    assert set(found) <= {data} and fragments.put_together == len(found)
    assert found or (0, 96) in cut or not whole_again


def test_fragments_are_bounded() -> None:
    fragments = Fragments(most=4)
    def piece(number: int) -> tuple[Packet, Piece]:
        ip = IPv4(source=A, destination=B, identification=number, more_fragments=1, protocol=17)
        packet = dissected(bytes(Ethernet() / ip / bytes(8)), 14)
        assert packet is not None and packet.piece is not None
        return packet, packet.piece

    for number in range(9):
        assert fragments.add(*piece(number), number) is None
    assert fragments.evicted == 5
    assert fragments.add(*piece(9), 40 * 10**9) is None and fragments.evicted == 9


# the whole way: the kernel copies, the process puts together


DATA = b"GET /a/long/way/to/some/place?and=what HTTP/1.0\r\nX-Evil-Header: the pattern that is looked for\r\n\r\n"


PORTS = itertools.count(1000)


@pytest.fixture(scope="module")
def streams() -> Any:
    from bpfwright.kernel import Kernel
    rules = rules_of('flow:established,to_server; content:"pattern that is looked for";',
                     'flow:established,to_server; content:"/SOME/"; nocase;',
                     'flow:established,to_server; content:"GET /"; depth:5; content:"X-Evil"; distance:20;',
                     'flow:established,to_server; content:"never there";',
                     'flow:established,to_server; pcre:"/Evil.{1,20}the/"; content:"what";')
    with Kernel() as kernel:
        bed = Bed(kernel, rules, Limits(first=4096, ring_bytes=1 << 22), egress=True)
        yield bed
        bed.close()


@pytest.mark.kernel
@settings(max_examples=60, deadline=None)
@given(pieces(len(DATA)), st.integers(0, 0xFFFFFFFF))
def test_the_same_is_told_however_a_stream_is_cut(streams: Bed, cut: Pieces, start: int) -> None:
    talk = Talk(streams, sport=next(PORTS), start=start)
    told = talk.send(*((low, DATA[low:high]) for low, high in cut))
    assert {1, 2, 3, 5} == set(told), (cut, told)
    assert told.count(3) <= len(cut)


@pytest.mark.kernel
def test_patterns_that_are_cut_in_two(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('flow:established,to_server; content:"a pattern of thirty-two letters..";',
                                 'flow:established,to_server; content:"short6";'), egress=True)
    for number, (word, sid) in enumerate(((b"a pattern of thirty-two letters..", 1), (b"short6", 2))):
        for cut in range(1, len(word)):
            talk = Talk(watched, sport=1000 * (number + 1) + cut)
            before = b"." * 40 + word[:cut]
            assert talk.send((0, b"-" * 50), (50, before), (50 + len(before), word[cut:] + b"." * 30)) == [sid], cut
            assert len(watched.copies) <= 3


@pytest.mark.kernel
def test_streams_of_rules_that_ask_for_no_state(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('flow:stateless; content:"cut in two"; content:"behind it"; distance:0;'), egress=True)
    talk = Talk(watched)
    text = b"." * 30 + b"this is cut in two, and what is behind it too" + b"." * 30
    assert talk.send((0, text[:55]), (55, text[55:])) == [1]


@pytest.mark.kernel
def test_tiny_segments_and_lost_ones(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('flow:established,to_server; content:"spelled out";'), egress=True)
    talk = Talk(watched)
    text = b"it is spelled out byte by byte"
    assert talk.send(*((place, text[place:place + 1]) for place in range(len(text)))) == [1]
    again = Talk(watched, sport=2, start=0xFFFFFFFA)
    assert again.send((0, b"it is spe"), (12, b"d out, out of order, and then"), (6, b"spell"), (9, b"lle")
                      ) == [1]
    clean = Talk(watched, sport=3)
    assert clean.send(*((place * 100, b"x" * 100) for place in range(30))) == [] and not watched.copies


@pytest.mark.kernel
def test_what_is_followed_has_an_end(in_kernel: Beds) -> None:
    rules = rules_of('flow:established,to_server; content:"pattern one"; fast_pattern; content:"and the rest";')
    watched = in_kernel(rules, Limits(follow=1000, most=4000, ring_bytes=1 << 20), egress=True)
    talk = Talk(watched)
    assert talk.send((0, b"here is pattern one" + b"." * 181), (200, b"." * 600), (800, b"a" * 100 + b"and the rest")
                     ) == [1]
    other = Talk(watched, sport=2)
    other.send((0, b"here is pattern one" + b"." * 181), *((200 + 500 * n, b"." * 500) for n in range(4)))
    assert len(watched.copies) == 3  # a thousand bytes behind the one that was found
    talk = Talk(watched, sport=3)
    talk.send(*((n * 10, b"0123456789") for n in range(600)))
    assert watched.count("not followed") > 150 and len(watched.copies) <= 402


@pytest.mark.kernel
def test_memory_is_bounded(in_kernel: Beds) -> None:
    watched = in_kernel(rules_of('flow:established,to_server; content:"some pattern";'),
                        bounds=Bounds(stream_bytes=512, flows=8, bytes=2048), egress=True)
    for number in range(40):
        talk = Talk(watched, sport=number + 1)
        assert talk.send((0, b"some pattern" + b"." * 400)) == [1]
        memory = watched.engine.memory
        assert len(memory.flows) <= 9 and memory.bytes <= 4096
        assert memory.bytes == sum(stream.size for flow in memory.flows.values() for stream in flow.streams if stream)
    assert memory.evicted > 20


@pytest.mark.kernel
def test_fragments_are_put_together_and_judged(in_kernel: Beds) -> None:
    watched = in_kernel('alert udp any any -> any 53 (content:"over two fragments"; sid:1;)\n'
                        'alert ip any any -> any any (fragbits:M; sid:2;)\n')
    body = bytes(UDP(sport=9, dport=53, length=8 + 48)) [:8] + b"something over two fragments".ljust(48, b".")

    def fragment(low: int, high: int, data: bytes = body) -> Any:
        return Ethernet() / IPv4(source=A, destination=B, protocol=17, identification=3, fragment_offset=low // 8,
                                 more_fragments=int(high < 56)) / data[low:high]

    assert 1 not in watched.say(fragment(0, 24)) and 1 in watched.say(fragment(24, 56))
    other = body.replace(b"over two", b"0VER TWO")
    assert 1 not in watched.say(fragment(0, 40, other), fragment(16, 56))  # what came first stays
    assert watched.engine.figures()["fragments put together"] == 2
    assert watched.engine.figures()["fragments that overlap"] == 1
