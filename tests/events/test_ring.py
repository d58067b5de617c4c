"""Rings of any mixture of sizes, discards and busy records give the same events whichever way they are read."""
from __future__ import annotations

from collections.abc import Iterator

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.events import RingReader, drain
from bpfwright.events.ring import Rows
from tests.events.fakes import BUSY, DISCARD, FakeRing

SIZE = 4096


def contents(rows: Rows, width: int) -> list[bytes]:
    return [rows.data[i * rows.stride + rows.offset:][:width].tobytes() for i in range(rows.count)]


@pytest.fixture(params=["native", "python"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "native":
        assert drain.native(compile_it=True) is not None
    else:
        monkeypatch.setattr(drain, "_failed", True)
        monkeypatch.setattr(drain, "_ready", None)
    yield request.param


RECORDS = st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0, 0, 0, DISCARD, BUSY])), max_size=30)


def fill(ring: FakeRing, records: list[tuple[int, int]]) -> tuple[list[bytes], int]:
    """Put them in; what must come out until the first busy one, and how many discards are among those."""
    out: list[bytes] = []
    discarded = 0
    busy = False
    for number, (length, flags) in enumerate(records):
        data = bytes([number + 1]) * length
        ring.put(data, flags)
        busy = busy or flags == BUSY
        if not busy and flags == DISCARD:
            discarded += 1
        elif not busy:
            out.append(data)
    return out, discarded


@given(RECORDS, st.integers(1, 40), st.integers(0, SIZE // 8).map(lambda n: n * 8))
def test_both_ways_agree(records: list[tuple[int, int]], width: int, start: int) -> None:
    native = drain.native(compile_it=True)
    assert native is not None
    for use in (native, None):
        ring = FakeRing(SIZE, start)
        reader = RingReader(ring, width)
        expected, discarded = fill(ring, records)
        before = drain._ready, drain._failed
        drain._ready, drain._failed = use, use is None
        try:
            rows = reader.rows()
        finally:
            drain._ready, drain._failed = before
        assert contents(rows, width) == [data[:width].ljust(width, b"\0") for data in expected]
        assert reader.discarded == discarded
        assert reader.truncated == sum(len(data) > width for data in expected)
        reader.close()
        assert ring.closed


@given(RECORDS, st.integers(0, SIZE // 8).map(lambda n: n * 8))
def test_record_by_record(records: list[tuple[int, int]], start: int) -> None:
    ring = FakeRing(SIZE, start)
    reader = RingReader(ring, 8)
    expected, discarded = fill(ring, records)
    assert list(reader.records()) == expected and reader.discarded == discarded
    assert list(reader.records()) == []
    reader.close()


def test_busy_records_come_when_they_are_committed(way: str) -> None:
    ring = FakeRing(SIZE)
    reader = RingReader(ring, 8)
    ring.put(b"a" * 8)
    waiting = ring.put(b"b" * 8, BUSY)
    ring.put(b"c" * 8)
    assert contents(reader.rows(), 8) == [b"a" * 8]
    assert reader.rows().count == 0 and list(reader.records()) == []
    ring.commit(waiting)
    assert contents(reader.rows(), 8) == [b"b" * 8, b"c" * 8]
    reader.close()


def test_round_and_round(way: str, no_leaks: None) -> None:
    ring = FakeRing(SIZE)
    reader = RingReader(ring, 16)
    number = 0
    for turn in range(50):
        sent = []
        while ring.room() >= 64:
            data = number.to_bytes(8, "little") * (1 + (number * 7) % 3 if turn % 2 else 2)
            ring.put(data)
            sent.append(data[:16].ljust(16, b"\0"))
            number += 1
        assert contents(reader.rows(), 16) == sent
        assert ring.consumer == ring.producer
    reader.close()
    reader.close()


def test_uniform_rings_are_one_copy_that_outlives_the_ring() -> None:
    ring = FakeRing(SIZE)
    reader = RingReader(ring, 24)
    for i in range(100):
        ring.put(bytes([i]) * 24)
    rows = reader.rows()
    assert rows.offset == 8 and rows.stride == 32
    reader.close()
    assert contents(rows, 24) == [bytes([i]) * 24 for i in range(100)]
    assert rows.data.flags.writeable and isinstance(rows.data, numpy.ndarray)


def test_after_close_there_is_nothing() -> None:
    ring = FakeRing(SIZE)
    reader = RingReader(ring, 8)
    ring.put(b"x" * 8)
    records = reader.records()
    assert next(records) == b"x" * 8
    reader.close()
    assert list(records) == [] and list(reader.records()) == [] and reader.rows().count == 0
    assert reader.pending_bytes == 0
