"""Events as users hold them: iteration, async, batches, columns and the doors to other libraries."""
from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from enum import IntEnum
from typing import Any

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.events import Events, PerfReader, RingReader, Schema, arrow
from bpfwright.events.columns import Columns
from bpfwright.events.ring import Rows
from bpfwright.headers import IPv4
from bpfwright.types import CUnion, L, SpinLock, Struct, array, be16, bits, char, i16, i32, u8, u16, u32, u64
from tests.events.fakes import DISCARD, FakePerf, FakeRing


class Kind(IntEnum):
    OPEN = 1
    CLOSE = 2


class Place(Struct):
    line: u32
    column: u16


class Either(CUnion):
    v4: u32
    v6: array[u8, L[16]]


class Event(Struct):
    pid: u32
    port: be16
    ok: bool
    kind: Kind
    comm: char[L[16]]
    where: Place
    address: IPv4.Address
    counts: array[u16, L[3]]
    raw: array[u8, L[5]]
    either: Either
    low: bits[u16, L[3]]
    high: bits[i16, L[5]]
    latency: u64
    places: array[Place, L[2]]
    lock: SpinLock = SpinLock()


class Small(Struct):
    a: u32
    b: i32


def event(number: int) -> Event:
    either = Either()
    either.v4 = number
    return Event(number, 1000 + number, number % 2 == 1, Kind.CLOSE if number % 2 else Kind.OPEN, f"task{number}",
                 Place(number * 2, 3), IPv4.Address(f"10.0.0.{number % 256}"), [number % 9, 1, 2], list(b"abcde"),
                 either, number % 8, number % 32 - 16, number << 40, [Place(1, 2), Place(3, number % 100)])


def events_of(count: int, mixed: bool = False) -> tuple[FakeRing, Events[Event]]:
    ring = FakeRing(1 << 16)
    stream: Events[Event] = Events(RingReader(ring, Schema(Event).size), Event)
    for number in range(count):
        if mixed and number % 3 == 0:
            ring.put(b"gone", DISCARD)
        ring.put(bytes(event(number)))
    return ring, stream


def put_and_stop(ring: FakeRing, stream: Events[Event], number: int) -> None:
    ring.put(bytes(event(number)))
    stream.stop()


@pytest.mark.parametrize("mixed", [False, True])
def test_columns(mixed: bool, no_leaks: None) -> None:
    _, stream = events_of(100, mixed)
    columns = stream.columns()
    assert columns.count == 100 and stream.columns().count == 0
    assert "lock" not in columns and list(columns)[:6] == ["pid", "port", "ok", "kind", "comm", "where.line"]
    expected = [event(number) for number in range(100)]
    assert columns["pid"].tolist() == list(range(100)) and columns["pid"].dtype == numpy.uint32
    assert columns["port"].tolist() == [e.port for e in expected] and columns["port"].dtype == numpy.uint16
    assert columns["ok"].tolist() == [e.ok for e in expected] and columns["ok"].dtype == numpy.bool_
    assert columns["kind"].tolist() == [int(e.kind) for e in expected]
    assert columns["comm"].tolist() == [e.comm.encode() for e in expected]
    assert columns.text("comm") == [e.comm for e in expected]
    assert columns["where.line"].tolist() == [e.where.line for e in expected]
    assert [v.tobytes() for v in columns["address"]] == [bytes(e.address) for e in expected]
    assert columns["counts"].tolist() == [list(e.counts) for e in expected]
    assert columns["low"].tolist() == [e.low for e in expected]
    assert columns["high"].tolist() == [e.high for e in expected] and columns["high"].min() < 0
    assert columns["latency"].tolist() == [e.latency for e in expected]
    assert columns["places.1.column"].tolist() == [e.places[1].column for e in expected]
    assert list(columns.records()) == expected
    stream.close()


def test_iteration_until_stopped(no_leaks: None) -> None:
    ring, stream = events_of(5, mixed=True)
    got = []
    for each in stream:
        got.append(each)
        if len(got) == 5:
            threading.Timer(0.05, put_and_stop, (ring, stream, 5)).start()
    assert got == [event(number) for number in range(6)]
    with pytest.raises(TypeError):
        got[0].pid = 3
    stream.close()


def test_within_ends_iteration() -> None:
    _, stream = events_of(3)
    started = time.monotonic()
    assert len(list(stream.within(0.1))) == 3
    assert time.monotonic() - started > 0.09
    assert list(stream) == []
    stream.close()


def test_close_ends_another_threads_iteration() -> None:
    _, stream = events_of(0)
    got: list[object] = []
    thread = threading.Thread(target=lambda: got.extend(stream))
    thread.start()
    time.sleep(0.05)
    stream.stop()
    thread.join(30)
    assert not thread.is_alive()
    stream.close()
    stream.close()
    assert list(stream) == [] and stream.columns().count == 0 and not stream.wait(0)


def test_wait() -> None:
    ring, stream = events_of(0)
    assert not stream.wait(0.01)
    ring.put(bytes(event(1)))
    assert stream.wait(1)
    stream.close()


def test_async_iteration(no_leaks: None) -> None:
    async def main() -> list[Event]:
        ring, stream = events_of(2)

        async def produce() -> None:
            for number in range(2, 6):
                await asyncio.sleep(0.01)
                ring.put(bytes(event(number)))
            stream.stop()

        task = asyncio.create_task(produce())
        got = [each async for each in stream]
        await task
        stream.close()
        return got

    assert asyncio.run(main()) == [event(number) for number in range(6)]


def test_batches(no_leaks: None) -> None:
    ring, stream = events_of(10)
    threading.Timer(0.1, put_and_stop, (ring, stream, 10)).start()
    assert [batch.count for batch in stream.batches(0.01)] == [10, 1]
    stream.close()


def test_text_ends_at_the_first_nul() -> None:
    ring = FakeRing(4096)
    stream: Events[Any] = Events(RingReader(ring, 16), char[L[16]])
    for text in (b"abc\0garbage\0here", b"whole sixteen by", b"\0x", b"\xff\xfe\0\0\0y"):
        ring.put(text.ljust(16, b"\0"))
    columns = stream.columns()
    assert columns["value"].tolist() == [b"abc", b"whole sixteen by", b"", b"\xff\xfe"]
    assert columns.text("value")[3] == "\udcff\udcfe"
    import pyarrow
    assert pyarrow.table(columns)["value"].to_pylist() == ["abc", "whole sixteen by", "", "\ufffd\ufffd"]
    stream.close()


def test_loss_is_what_both_sides_lost() -> None:
    buffers = [FakePerf(1024, cpu) for cpu in (0, 3)]
    reader = PerfReader(buffers, 8)
    stream: Events[Small] = Events(reader, Small, lost=lambda: 5)
    for turn in range(40):
        for buffer in buffers:
            buffer.sample(bytes(Small(turn, -turn)))
            if turn % 10 == buffer.cpu:
                buffer.lose(turn)
        columns = stream.columns()
        assert columns["a"].tolist() == [turn, turn] and columns["b"].tolist() == [-turn, -turn]
    assert stream.lost == 5 + 60 + 72 and reader.lost_by_cpu() == {0: 60, 3: 72}
    buffers[0].sample(bytes(Small(1, 2)))
    stream.stop()
    assert list(stream) == [Small(1, 2)]
    stream.close()
    assert stream.lost == 137


def test_arrow_stream(no_leaks: None) -> None:
    import pyarrow
    _, stream = events_of(50, mixed=True)
    columns = stream.columns()
    table = pyarrow.table(columns)
    table.validate(full=True)
    assert table.num_rows == 50 and table.column_names == list(columns)
    expected = [event(number) for number in range(50)]
    assert table["comm"].to_pylist() == [e.comm for e in expected]
    assert table["ok"].to_pylist() == [e.ok for e in expected]
    assert table["counts"].to_pylist() == [list(e.counts) for e in expected]
    assert table["raw"].to_pylist() == [b"abcde"] * 50
    assert table["address"].to_pylist() == [bytes(e.address) for e in expected]
    assert table["high"].to_pylist() == [e.high for e in expected]
    assert table["port"].type == pyarrow.uint16() and table["latency"].to_pylist() == [e.latency for e in expected]
    assert pyarrow.schema(columns) == table.schema
    stream.close()


def test_arrow_releases_everything() -> None:
    import pyarrow
    gc.collect()
    before = len(arrow._held), len(arrow._capsules)
    _, stream = events_of(20)
    columns = stream.columns()
    table = pyarrow.table(columns)
    kept = table["pid"]
    unread = columns.__arrow_c_stream__()
    del table, unread
    gc.collect()
    assert len(arrow._held) > before[0] and kept.to_pylist() == list(range(20))
    del kept
    gc.collect()
    assert (len(arrow._held), len(arrow._capsules)) == before
    stream.close()


def test_duckdb_and_pandas_read_them() -> None:
    import duckdb
    _, stream = events_of(30)
    columns = stream.columns()
    connection = duckdb.connect()
    connection.register("events", columns.to_arrow())
    assert connection.sql("select count(*), sum(pid), max(comm) from events").fetchall() == [(30, 435, "task9")]
    connection.close()
    frame = columns.to_pandas()
    assert frame["pid"].sum() == 435 and frame["comm"].iloc[7] == "task7" and len(frame) == 30
    stream.close()


def test_empty_columns_have_types() -> None:
    import pyarrow
    _, stream = events_of(0)
    columns = stream.columns()
    assert isinstance(columns, Columns) and columns["pid"].dtype == numpy.uint32 and columns["pid"].shape == (0,)
    assert columns["counts"].shape == (0, 3) and pyarrow.table(columns).num_rows == 0
    stream.close()


def test_plain_iteration_needs_no_numpy() -> None:
    script = ("import sys; from bpfwright.events import Events, RingReader; from bpfwright.types import u32\n"
              "sys.path.insert(0, '.')\nfrom tests.events.fakes import FakeRing\n"
              "ring = FakeRing(4096); ring.put(b'\\1\\0\\0\\0'); events = Events(RingReader(ring, 4), u32)\n"
              "events.stop(); assert list(events) == [1]; events.close()\n"
              "sys.exit('numpy' in sys.modules or 'llvmlite' in sys.modules or 'asyncio' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@given(st.lists(st.binary(min_size=6, max_size=6) | st.text("ab\0", min_size=6, max_size=6).map(str.encode)))
def test_any_text_is_cut_at_its_first_nul(cells: list[bytes]) -> None:
    data = numpy.frombuffer(bytearray(b"".join(cells)), numpy.uint8)
    columns = Columns(Schema(char[L[6]]), Rows(data, len(cells), 6, 0))
    assert columns["value"].tolist() == [cell.partition(b"\0")[0] for cell in cells]
    assert bytes(data) == b"".join(cells)
    import pyarrow
    expected = [cell.partition(b"\0")[0].decode("utf-8", "replace") for cell in cells]
    assert pyarrow.table(columns)["value"].to_pylist() == expected
