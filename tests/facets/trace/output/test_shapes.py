"""The shapes that scripts' readers rely on: as bpftrace 0.17 prints them, run on a real kernel."""
from __future__ import annotations

import json

import pytest

from bpfwright.facets.trace.plan import Map, Message
from bpfwright.facets.trace.types import (
    Average, Count, Extreme, Histogram, LinearHistogram, Statistics, Sum, Text, Tuple, Type)
from tests.facets.trace.output.worlds import I64, U64, Kept, Seen, packed, words

STR = Text(8)
PAIR = (STR, I64)
NESTED = Tuple((I64, STR, Tuple((I64, I64), ())), ())


def keyless(name: str, type: Type, *slots: bytes) -> dict[str, tuple[Map, Kept]]:
    return {name: (Map(name, name[1:], (), type, False, 1), Kept({bytes(4): b"".join(words(1) + s for s in slots)}))}


def keyed(name: str, keys: tuple[Type, ...], type: Type, *items: tuple[bytes, bytes]) -> dict[str, tuple[Map, Kept]]:
    return {name: (Map(name, name[1:], keys, type, False, 9), Kept(dict(items)))}


def text(content: str) -> bytes:
    return content.encode().ljust(8, b"\0")


def counters(type: Histogram | LinearHistogram, *used: int) -> bytes:
    return words(*[used.count(index) for index in range(type.counters)])


HIST, LHIST = Histogram(0), LinearHistogram(0, 10, 2)
BAR = "@" * 52
MAPS: list[tuple[dict[str, tuple[Map, Kept]], str, str]] = [
    (keyless("@a", I64, words(5)), "@a: 5\n", '{"type": "map", "data": {"@a": 5}}\n'),
    (keyed("@b", (I64,), I64, (words(1), words(2)), (words(2), words(1))), "@b[2]: 1\n@b[1]: 2\n",
     '{"type": "map", "data": {"@b": {"2": 1, "1": 2}}}\n'),
    (keyed("@c", PAIR, I64, (packed(PAIR, (b"x", 1)), words(3))), "@c[x, 1]: 3\n",
     '{"type": "map", "data": {"@c": {"x,1": 3}}}\n'),
    (keyless("@h", HIST, counters(HIST, 4)), f"@h:\n[4, 8)                 1 |{BAR}|\n\n",
     '{"type": "hist", "data": {"@h": [{"min": 4, "max": 7, "count": 1}]}}\n'),
    (keyless("@l", LHIST, counters(LHIST, 3)), f"@l:\n[4, 6)                 1 |{BAR}|\n\n",
     '{"type": "hist", "data": {"@l": [{"min": 4, "max": 5, "count": 1}]}}\n'),
    (keyless("@s", Statistics(True), words(4, 1)), "@s: count 1, average 4, total 4\n",
     '{"type": "stats", "data": {"@s": {"count": 1, "average": 4, "total": 4}}}\n'),
    (keyless("@s", Statistics(True), words(-5, 1), words(-6, 1)), "@s: count 2, average -5, total -11\n",
     '{"type": "stats", "data": {"@s": {"count": 2, "average": -5, "total": -11}}}\n'),
    (keyed("@hk", (I64,), HIST, (words(1), counters(HIST, 3))), f"@hk[1]:\n[2, 4)                 1 |{BAR}|\n\n",
     '{"type": "hist", "data": {"@hk": {"1": [{"min": 2, "max": 3, "count": 1}]}}}\n'),
    (keyed("@sk", (STR,), Statistics(True), (packed((STR,), (b"a",)), words(3, 1))),
     "@sk[a]: count 1, average 3, total 3\n",
     '{"type": "stats", "data": {"@sk": {"a": {"count": 1, "average": 3, "total": 3}}}}\n'),
    (keyless("@av", Average(True), words(5, 1)), "@av: 5\n", '{"type": "stats", "data": {"@av": 5}}\n'),
    (keyless("@mi", Extreme("min", True), words(5, 1), words(0, 0)), "@mi: 5\n",
     '{"type": "map", "data": {"@mi": 5}}\n'),
    (keyless("@mi", Extreme("max", True), words(-3, 1), words(0, 0)), "@mi: -3\n",
     '{"type": "map", "data": {"@mi": -3}}\n'),
    (keyless("@su", Sum(True), words(-4), words(0)), "@su: -4\n", '{"type": "map", "data": {"@su": -4}}\n'),
    (keyless("@co", Count(), words(1), words(2)), "@co: 3\n", '{"type": "map", "data": {"@co": 3}}\n'),
    (keyed("@co", (I64, I64), Count(), (words(1, 2), words(1) + words(0))), "@co[1, 2]: 1\n",
     '{"type": "map", "data": {"@co": {"1,2": 1}}}\n'),
    (keyless("@st", STR, b"s".ljust(8, b"\0")), "@st: s\n", '{"type": "map", "data": {"@st": "s"}}\n'),
    (keyless("@t", Tuple((I64, I64), ()), words(1, 2)), "@t: (1, 2)\n", '{"type": "map", "data": {"@t": [1,2]}}\n'),
    (keyed("@z", (STR,), STR, (text("b"), text("x")), (text("a"), text("y"))),
     "@z[a]: y\n@z[b]: x\n", '{"type": "map", "data": {"@z": {"a": "y", "b": "x"}}}\n'),
    (keyless("@u", U64, words(-1)), "@u: 18446744073709551615\n",
     '{"type": "map", "data": {"@u": 18446744073709551615}}\n'),
    (keyed("@e", (I64,), I64), "", ""),
    ({"@n": (Map("@n", "n", (), Count(), False, 1), Kept({bytes(4): words(0, 0, 0, 0)}))}, "", ""),
]


@pytest.mark.parametrize("maps,text,line", MAPS)
def test_maps(maps: dict[str, tuple[Map, Kept]], text: str, line: str) -> None:
    seen = Seen(maps=maps)
    seen.printer.finish()
    assert seen.text == "\n\n" + text
    seen = Seen(maps=maps, json=True)
    seen.printer.finish()
    assert seen.text == line
    if line:
        json.loads(line)


def test_messages_as_text() -> None:
    seen = Seen(Message("printf", (I64, STR), ("x %d %s\n",)), Message("print", (NESTED,), ("1",)))
    seen.printer.attached(1)
    seen.send(0, (I64, STR), 1, b"ab")
    seen.send(1, (I64, STR, I64, I64), 1, b"x", 2, 3)
    assert seen.text == "Attached 1 probe\nx 1 ab\n(1, x, (2, 3))\n"


def test_messages_as_json() -> None:
    seen = Seen(Message("printf", (I64,), ("x %d\n",)), Message("print", (NESTED,), ("1",)),
                Message("print", (I64,), ("1",)), json=True)
    seen.printer.attached(1)
    seen.send(0, (I64,), 1)
    seen.send(1, (I64, STR, I64, I64), 1, b"x", 2, 3)
    seen.send(2, (I64,), -1)
    assert seen.text == ('{"type": "attached_probes", "data": {"probes": 1}}\n{"type": "printf", "data": "x 1\\n"}\n'
                         '{"type": "value", "data": [1,"x",[2,3]]}\n{"type": "value", "data": -1}\n')
