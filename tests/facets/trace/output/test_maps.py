"""Maps: merged over processors, in bpftrace's order, cut and divided, cleared and zeroed."""
from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.facets.trace.output.maps import MapPrinter, clear, zero
from bpfwright.facets.trace.output.merging import Spread, entries, merge
from bpfwright.facets.trace.output.series import merge_series
from bpfwright.facets.trace.output.world import World
from bpfwright.facets.trace.plan import Map
from bpfwright.facets.trace.types import (
    Average, Boolean, Buffer, Count, Enumeration, Extreme, Histogram, Integer, LinearHistogram, Series, Statistics, Sum,
    Text, Tuple, Type)
from tests.facets.trace.output.worlds import I32, I64, U8, U64, Kept, packed, words

STR = Text(8)
WORLD = World()
WORLD.boot_to_wall_ns = 0


def of(keys: tuple[Type, ...], value: Type, per_cpu: bool = False) -> Map:
    return Map("@", "map", keys, value, per_cpu, 100)


def shown(map: Map, items: dict[bytes, bytes], top: int = 0, divisor: int = 0) -> str:
    return MapPrinter(map, Kept(items), WORLD).text(top, divisor).decode()


MERGED: list[tuple[Type, list[bytes], Any]] = [
    (Count(), [words(1), words(2), words(0)], 3), (Count(), [words(-1), words(2)], 1),
    (Sum(True), [words(-5), words(2)], -3), (Sum(False), [words(-5), words(2)], (1 << 64) - 3),
    (Sum(True), [words((1 << 63) - 1), words(1)], -(1 << 63)),
    (Extreme("min", True), [words(5, 1), words(-7, 1), words(-100, 0)], -7),
    (Extreme("max", True), [words(-5, 1), words(0, 0)], -5),
    (Extreme("max", False), [words(-1, 1), words(5, 1)], (1 << 64) - 1),
    (Extreme("min", False), [words(-1, 1), words(5, 1)], 5), (Extreme("max", True), [words(0, 0), words(0, 0)], 0),
    (Average(True), [words(-11, 2), words(0, 0)], -5), (Average(True), [words(7, 2), words(4, 1)], 3),
    (Average(False), [words(-2, 2)], (1 << 63) - 1), (Average(True), [words(0, 0)], 0),
    (Statistics(True), [words(10, 2), words(-1, 1)], Spread(3, 3, 9)),
    (Statistics(True), [words(0, 0)], Spread(0, 0, 0)),
    (LinearHistogram(0, 2, 1), [words(1, 2, 3, 4), words(1, 0, 0, 1)], [2, 2, 3, 5]),
    (I64, [words(3), words(4)], 7), (I32, [b"\xff\xff\xff\xff", b"\1\0\0\0"], 0), (U8, [b"\xff", b"\x02"], 1),
    (I32, [b"\xfe\xff\xff\xff"], -2), (STR, [bytes(8), b"b".ljust(8, b"\0")], b"b".ljust(8, b"\0")),
    (STR, [bytes(8), bytes(8)], bytes(8)), (Boolean(), [b"\0", b"\1"], b"\1"),
]


@pytest.mark.parametrize("type,slots,expected", MERGED)
def test_merge(type: Type, slots: list[bytes], expected: Any) -> None:
    assert merge(type, slots) == expected


@pytest.mark.parametrize("value,items,expected", [
    (I64, {words(1): words(5), words(2): words(-5), words(3): words(0)}, ["2", "3", "1"]),
    (U64, {words(1): words(5), words(2): words(-5), words(3): words(0)}, ["3", "1", "2"]),
    (Count(), {words(1): words(1, 5), words(2): words(2, 2), words(3): words(5, 0)}, ["2", "3", "1"]),
    (Sum(True), {words(1): words(1), words(2): words(-1)}, ["2", "1"]),
    (Extreme("max", True), {words(1): words(1, 1), words(2): words(-1, 1)}, ["2", "1"]),
    (Average(True), {words(1): words(10, 1), words(2): words(18, 2)}, ["2", "1"]),
    (Statistics(True), {words(1): words(10, 1), words(2): words(18, 2)}, ["2", "1"]),
    (STR, {words(2): b"a".ljust(8, b"\0"), words(-1): b"b".ljust(8, b"\0")}, ["-1", "2"]),
    (Tuple((I64,), ()), {words(2): words(1), words(1): words(2)}, ["1", "2"]),
    (Boolean(), {words(2): b"\0", words(1): b"\1"}, ["1", "2"]),
    (I64, {words(key): words(7) for key in (3, 1, 2)}, ["1", "2", "3"]),
])
def test_order(value: Type, items: dict[bytes, bytes], expected: list[str]) -> None:
    lines = shown(of((I64,), value), items).splitlines()
    assert [line[2:line.index("]")] for line in lines] == expected


def test_keys_are_ordered_one_after_the_other() -> None:
    keys = (STR, I64)
    items = {packed(keys, key): b"v".ljust(8, b"\0") for key in ((b"b", 1), (b"a", 2), (b"a", -3), (b"ab", 0))}
    assert [line.partition(":")[0] for line in shown(of(keys, STR), items).splitlines()] == [
        "@[a, -3]", "@[a, 2]", "@[ab, 0]", "@[b, 1]"]
    whole = of((Tuple(keys, ()),), STR)
    assert shown(whole, items) == shown(of(keys, STR), items)


def test_top_and_divisor() -> None:
    """bpftrace 0.17: print(@b, 2), print(@b, 2, 10), print(@b, 0, 10)."""
    items = {words(key): words(10 * key) for key in (3, 1, 2)}
    map = of((I64,), I64)
    assert shown(map, items, 2) == "@[2]: 20\n@[3]: 30\n"
    assert shown(map, items, 2, 10) == "@[2]: 2\n@[3]: 3\n"
    assert shown(map, items, 0, 10) == "@[1]: 1\n@[2]: 2\n@[3]: 3\n"
    assert shown(map, items, 9) == "@[1]: 10\n@[2]: 20\n@[3]: 30\n"
    assert shown(map, {words(1): words(-15)}, 0, 10) == "@[1]: -1\n"


def test_averages_with_top_and_divisor() -> None:
    """The reference's runtime test print_avg_map_args."""
    items = {packed((STR,), (name,)): words(10 * place, 1) for place, name in enumerate((b"a", b"b", b"c", b"d"), 1)}
    map = of((STR,), Average(True))
    assert shown(map, items, 2, 10) == "@[c]: 3\n@[d]: 4\n"
    told = json.loads(MapPrinter(map, Kept(items), WORLD).json(2, 10))
    assert told == {"type": "stats", "data": {"@": {"c": 3, "d": 4}}}


def test_histograms_with_top() -> None:
    """The reference's runtime test print_hist_with_top_arg: of three equal ones the last two."""
    type = Histogram(0)
    items = {words(key): words(*[index == place for index in range(type.counters)])
             for key, place in ((1, 5), (2, 6), (3, 6))}
    told = json.loads(MapPrinter(of((I64,), type), Kept(items), WORLD).json(2))
    assert told == {"type": "hist", "data": {"@": {"2": [{"min": 16, "max": 31, "count": 1}],
                                                   "3": [{"min": 16, "max": 31, "count": 1}]}}}


@pytest.mark.parametrize("value,set_,emptied", [
    (I64, words(5), "@: 0\n"), (Count(), words(5), "@: 0\n"),
    (Statistics(True), words(4, 1), "@: count 0, average 0, total 0\n"),
    (Extreme("min", True), words(4, 1), "@: 0\n"), (Average(True), words(4, 1), "@: 0\n"),
    (Histogram(0), words(*range(66)), "@:\n\n"),
    (Series(10 ** 9, 2, "", True), words(1, 1, 5, 0, 0, 0), "@:\n<no data>\n\n")])
def test_zero_and_clear_without_keys(value: Type, set_: bytes, emptied: str) -> None:
    map, kept = of((), value), Kept({bytes(4): words(1) + set_})
    assert shown(map, kept.kept)
    zero(map, kept)
    assert MapPrinter(map, kept, WORLD).text().decode() == emptied
    clear(map, kept)
    assert MapPrinter(map, kept, WORLD).text() == MapPrinter(map, kept, WORLD).json() == b""
    zero(map, kept)
    assert MapPrinter(map, kept, WORLD).text() == b""


def test_zero_and_clear_with_keys() -> None:
    map, kept = of((I64,), Count()), Kept({words(1): words(5, 6), words(2): words(0, 1)})
    zero(map, kept)
    assert kept.kept == {words(1): bytes(16), words(2): bytes(16)}
    clear(map, kept)
    assert not kept.kept


def test_values_of_processors_stand_apart() -> None:
    """Values of five bytes stand eight apart."""
    map = of((I64,), Text(5), per_cpu=True)
    assert shown(map, {words(1): bytes(8) + b"ab".ljust(8, b"\0")}) == "@[1]: ab\n"
    alone = of((), Integer(4, True), per_cpu=True)
    slot = words(1) + (3).to_bytes(8, "little")
    assert shown(alone, {bytes(4): slot + words(0) + bytes(8) + slot}) == "@: 6\n"
    assert entries(alone, Kept({bytes(4): bytes(48)})) == []


def test_enums_and_buffers_in_maps() -> None:
    colour = Enumeration("colour", 4, False, ((1, "RED"),))
    items = {words(1): (1).to_bytes(4, "little"), words(2): (9).to_bytes(4, "little")}
    assert shown(of((I64,), colour), items) == "@[1]: RED\n@[2]: 9\n"
    assert json.loads(MapPrinter(of((I64,), colour), Kept(items), WORLD).json())["data"] == {"@": {"1": 1, "2": 9}}
    buffers = {(2).to_bytes(4, "little") + b"a\xff\0\0": words(1)}
    assert shown(of((Buffer(4),), I64), buffers) == "@[a\\xff]: 1\n"


# -------------------------------------------------------------------------------------------------------- time series


def place(*triples: tuple[int, int, int]) -> bytes:
    return words(*[number for triple in triples for number in triple])


@pytest.mark.parametrize("how,expected", [("", 9), ("avg", 4), ("sum", 12), ("min", 3), ("max", 9)])
def test_series_merge(how: str, expected: int) -> None:
    assert merge_series(Series(1, 3, how, True), [(3, 1, 7), (9, 2, 7), (5, 0, 0)]) == {7: expected}


def test_the_first_epoch_of_a_machine_is_one_like_others() -> None:
    assert merge_series(Series(1, 3, "", True), [(3, 1, 0), (0, 0, 0)]) == {0: 3}


def test_series_averages_round_towards_zero() -> None:
    assert merge_series(Series(1, 3, "avg", True), [(-7, 2, 7)]) == {7: -3}


ZIGZAG = [-5, -4, 0, 1, 5]
"""Of the reference's runtime test tseries_zigzag, the lines of these values."""
GRAPH = """@:
             -5                                                  5
hh:mm:ss.ms  |___________________________________________________|
00:00:00.100 *                         .                         | -5
00:00:00.200 |    *                    .                         | -4
00:00:00.300 |                         *                         | 0
00:00:00.400 |                         .    *                    | 1
00:00:00.500 |                         .                         * 5
             v___________________________________________________v
             -5                                                  5

"""
GAPS = """@[one]:
             0                                                  10
hh:mm:ss.ms  |___________________________________________________|
00:00:00.100 *                                                   | 0
00:00:00.200 |                         *                         | 5
00:00:00.300 |                                                   | -
00:00:00.400 |                                                   * 10
00:00:00.500 |                                                   | -

@[two]:
"""


def test_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    utc(monkeypatch)
    type = Series(100_000_000, 5, "", True)
    value = place(*[(number, 1, epoch) for epoch, number in enumerate(ZIGZAG, 1)])
    assert shown(of((), type), {bytes(4): words(1) + value}) == GRAPH


def test_graphs_end_together(monkeypatch: pytest.MonkeyPatch) -> None:
    utc(monkeypatch)
    type = Series(100_000_000, 5, "", True)
    one = place((0, 1, 1), (5, 1, 2), (10, 1, 4), (0, 0, 0), (0, 0, 0))
    two = place(*[(4, 1, epoch) for epoch in range(1, 6)])
    text = shown(of((STR,), type), {packed((STR,), (b"two",)): two, packed((STR,), (b"one",)): one})
    graph = text.replace("             v___________________________________________________v\n"
                         "             0                                                  10\n", "", 1)
    assert graph.startswith(GAPS)
    assert text.count("| 4\n") == 5
    assert "             3                                                   5\n" in text  # some room on both sides


def test_series_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    utc(monkeypatch)
    map = of((), Series(1_000_000_000, 3, "", True))
    value = place((9, 1, 3), (7, 1, 1), (0, 0, 0))
    assert json.loads(MapPrinter(map, Kept({bytes(4): words(1) + value}), WORLD).json()) == {
        "type": "tseries", "data": {"@": [{"interval_start": "1970-01-01T00:00:01.000000000", "value": 7},
                                          {"interval_start": "1970-01-01T00:00:02.000000000", "value": None},
                                          {"interval_start": "1970-01-01T00:00:03.000000000", "value": 9}]}}


def test_epochs_that_fell_out_of_the_window_are_not_shown() -> None:
    map = of((), Series(1_000_000_000, 2, "", True))
    text = shown(map, {bytes(4): words(1) + place((1, 1, 10), (2, 1, 99))})
    assert "| 2\n" in text and "| 1\n" not in text


@pytest.mark.parametrize("interval,head", [(100, "hh:mm:ss.ns        |"), (2_000, "hh:mm:ss.μs     |"),
                                           (5_000_000, "hh:mm:ss.ms  |"), (2_000_000_000, "hh:mm:ss |")])
def test_units(interval: int, head: str) -> None:
    text = shown(of((), Series(interval, 1, "", True)), {bytes(4): words(1) + place((1, 1, 5))})
    lines = text.splitlines()
    assert lines[2].startswith(head)
    assert len({line.index("|") if "|" in line else line.index("v") for line in (lines[2], lines[4])}) == 1


@given(st.lists(st.integers(-(1 << 63), (1 << 63) - 1), min_size=1, max_size=8))
def test_graphs_hold_any_values(values: list[int]) -> None:
    type = Series(1_000_000_000, 8, "", True)
    text = shown(of((), type), {bytes(4): words(1) + place(*[(v, 1, i) for i, v in enumerate(values, 1)])})
    rows = text.splitlines()[3:3 + len(values)]
    assert [int(row.rsplit(" ", 1)[1]) for row in rows] == values
    assert all(len(row[9:62]) == 53 and row[9:62].count("*") == 1 for row in rows)


def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time
    monkeypatch.setattr("time.localtime", time.gmtime)
