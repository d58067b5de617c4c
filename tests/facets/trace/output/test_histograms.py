"""Histograms: every value lies in the interval whose counter counts it, and boxes look as bpftrace 0.17's."""
from __future__ import annotations

import json
import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.facets.trace.output.histograms import bucket, buckets, histogram_json, histogram_text, index_of
from bpfwright.facets.trace.types import Histogram, LinearHistogram

UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
LABEL = re.compile(r"(?:\[(-?\d+)([KMGTPE]?)(?:, (?:(-?\d+)([KMGTPE]?)|\.\.\.))?[\])])|\(\.\.\., (-?\d+)([KMGTPE]?)\)")


def reads_as(label: str) -> tuple[int | None, int | None]:
    """The interval that a label tells: from, and up to but without."""
    match = LABEL.fullmatch(label)
    assert match, label
    low, low_unit, high, high_unit, end, end_unit = match.groups()
    if end is not None:
        return None, int(end) << UNITS[end_unit]
    first = int(low) << UNITS[low_unit]
    if high is not None:
        return first, int(high) << UNITS[high_unit]
    return first, None if "..." in label else first + 1


def kernel_index(bits: int, value: int) -> int:
    """The counter as types.Histogram states it."""
    if value < 0:
        return 0
    if value < 1 << bits:
        return 1 + value
    exponent = value.bit_length() - 1
    below = value >> exponent - bits & (1 << bits) - 1
    return 1 + (exponent - bits + 1) * (1 << bits) + below


NUMBERS = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(0, 63).map(lambda e: 1 << e) | st.integers(-5, 5000)


@given(st.integers(0, 5), NUMBERS)
def test_values_lie_in_their_interval(bits: int, value: int) -> None:
    type = Histogram(bits)
    index = kernel_index(bits, value)
    assert index == index_of(type, value)
    assert 0 <= index < type.counters
    low, high, label = bucket(type, index)
    assert (low is None or low <= value) and (high is None or value < high)
    assert reads_as(label) == (low, high)


@pytest.mark.parametrize("bits", range(6))
def test_intervals_lie_without_gaps(bits: int) -> None:
    type = Histogram(bits)
    found = [bucket(type, index) for index in range(type.counters)]
    assert found[0][:2] == (None, 0)
    assert all(one.high == other.low for one, other in pairwise(found))
    assert found[-1].high == 1 << 64


@given(st.integers(-1000, 1000), st.integers(1, 200), st.integers(1, 50), st.integers(-3000, 3000))
def test_linear_intervals(low: int, span: int, step: int, value: int) -> None:
    type = LinearHistogram(low, low + span, step)
    index = index_of(type, value)
    assert 0 <= index < type.counters
    begin, end, label = bucket(type, index)
    assert (begin is None or begin <= value) and (end is None or value < end)
    assert reads_as(label) == (begin, end)
    assert begin is None or end is None or end - begin <= step


def counted(type: Histogram | LinearHistogram, *values: int) -> list[int]:
    counters = [0] * type.counters
    for value in values:
        counters[index_of(type, value)] += 1
    return counters


def labels(type: Histogram | LinearHistogram, *values: int) -> list[str]:
    return [found.label for found, _ in buckets(type, counted(type, *values))]


def test_a_box() -> None:
    """bpftrace 0.17: hist of -1, 2, 3, 4, 16."""
    type = Histogram(0)
    full, half, none = "@" * 52, "@" * 26 + " " * 26, " " * 52
    assert histogram_text(type, counted(type, -1, 2, 3, 4, 16)).decode() == (
        f"(..., 0)               1 |{half}|\n[0]                    0 |{none}|\n[1]                    0 |{none}|\n"
        f"[2, 4)                 2 |{full}|\n[4, 8)                 1 |{half}|\n[8, 16)                0 |{none}|\n"
        f"[16, 32)               1 |{half}|\n")


@pytest.mark.parametrize("values,expected", [
    ((0, 1, 2), ["[0]", "[1]", "[2, 4)"]), ((1000, 1024), ["[512, 1K)", "[1K, 2K)"]), ((3_000_000,), ["[2M, 4M)"]),
    ((1 << 20, (1 << 20) - 1), ["[512K, 1M)", "[1M, 2M)"]), ((10 << 30,), ["[8G, 16G)"]),
    (((1 << 63) - 1,), ["[4E, 8E)"]), ((1 << 40,), ["[1T, 2T)"]), ((1 << 50,), ["[1P, 2P)"]), ((-7,), ["(..., 0)"]),
])
def test_labels(values: tuple[int, ...], expected: list[str]) -> None:
    assert labels(Histogram(0), *values) == expected


@pytest.mark.parametrize("bits,value,label", [
    (1, 2, "[2]"), (1, 3, "[3]"), (1, 4, "[4, 6)"), (1, 7, "[6, 8)"), (2, 5, "[5]"), (2, 9, "[8, 10)"),
    (2, 1024, "[1024, 1280)"), (3, 1_000_000, "[960K, 1024K)"),
    (5, 63, "[63]"), (5, 64, "[64, 66)")])
def test_fine_labels(bits: int, value: int, label: str) -> None:
    """The unit follows the width of the interval, so that neighbours read alike."""
    assert labels(Histogram(bits), value) == [label]


@pytest.mark.parametrize("type,values,expected", [
    (LinearHistogram(0, 10, 2), (-5, 50, 9),
     ["(..., 0)", "[0, 2)", "[2, 4)", "[4, 6)", "[6, 8)", "[8, 10)", "[10, ...)"]),
    (LinearHistogram(0, 10240, 1024), (1, 5000), ["[0, 1K)", "[1K, 2K)", "[2K, 3K)", "[3K, 4K)", "[4K, 5K)"]),
    (LinearHistogram(0, 10240, 1024), (15000,), ["[10K, ...)"]), (LinearHistogram(0, 10, 1), (5,), ["[5, 6)"]),
    (LinearHistogram(0, 2 << 20, 1 << 20), (1 << 20,), ["[1M, 2M)"]),
    (LinearHistogram(-10, 10, 5), (-7,), ["[-10, -5)"]),
    (LinearHistogram(0, 10, 3), (7, 9), ["[6, 9)", "[9, 10)"]),
])
def test_linear_labels(type: LinearHistogram, values: tuple[int, ...], expected: list[str]) -> None:
    assert labels(type, *values) == expected


def test_json_has_inclusive_ends() -> None:
    """bpftrace 0.17: hist of -1, 0, 2 and lhist of -5, 50."""
    type, linear = Histogram(0), LinearHistogram(0, 4, 2)
    assert json.loads(histogram_json(type, counted(type, -1, 0, 2))) == [
        {"max": -1, "count": 1}, {"min": 0, "max": 0, "count": 1}, {"min": 1, "max": 1, "count": 0},
        {"min": 2, "max": 3, "count": 1}]
    assert json.loads(histogram_json(linear, counted(linear, -5, 50))) == [
        {"max": -1, "count": 1}, {"min": 0, "max": 1, "count": 0}, {"min": 2, "max": 3, "count": 0},
        {"min": 4, "count": 1}]


def test_nothing_counted() -> None:
    assert histogram_text(Histogram(0), [0] * 66) == b""
    assert histogram_json(Histogram(0), [0] * 66) == b"[]"


@given(st.lists(st.integers(-3, 1 << 40), min_size=1, max_size=50), st.integers(1, 5))
def test_rows(values: list[int], divisor: int) -> None:
    type = Histogram(0)
    rows = histogram_text(type, counted(type, *values), divisor).decode().splitlines()
    assert all(len(row) >= 79 and row.endswith("|") and row[-54] == "|" for row in rows)
    if divisor == 1:
        assert sum(int(row[16:24]) for row in rows) == len(values)
        assert max(row.count("@") for row in rows) == 52
