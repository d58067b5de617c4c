"""A real kernel's ring: every record that fitted comes out once, in order, and the rest is counted."""
from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import numpy
import pytest

from bpfwright import _llvm
from bpfwright.events import Events, PerfReader, RingReader, drain
from bpfwright.types import Struct, u64
from tests.events.producer import PerfProducer, Producer

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True, scope="module")
def worker() -> None:
    """The compile worker outlives the tests; it must not count as a leak of one."""
    _llvm.start()


class Tick(Struct):
    number: u64
    seven: u64
    following: u64


def expected(count: int, mixed: bool) -> list[tuple[int, int, int]]:
    made = []
    for n in range(count):
        if mixed and n % 5 == 0:
            continue
        made.append((n, 0, 0) if mixed and n % 4 == 0 else (n, 7, n + 1))
    return made


def open_events(producer: Producer) -> Events[Tick]:
    return Events(RingReader(producer.ring(), 24), Tick, lost=lambda: producer.lost)


@pytest.mark.parametrize("mixed", [False, True])
def test_one_by_one_and_in_bulk(mixed: bool, no_leaks: None) -> None:
    producer = Producer(1 << 16, mixed)
    stream = open_events(producer)
    producer.run(500)
    stream.stop()
    assert [(e.number, e.seven, e.following) for e in stream] == expected(500, mixed)
    for _ in range(4):
        producer.run(500)
    columns = stream.columns()
    rows = list(zip(*(columns[name].tolist() for name in columns)))
    assert rows == expected(2500, mixed)[-len(rows):] and len(rows) == len(expected(2500, mixed)) - len(
        expected(500, mixed))
    assert stream.lost == 0
    stream.close()
    producer.close()


@pytest.mark.parametrize("mixed", [False, True])
def test_a_full_ring_is_counted_exactly(mixed: bool) -> None:
    assert drain.native(compile_it=True) is not None
    producer = Producer(4096, mixed)
    stream = open_events(producer)
    discards = 0
    got = 0
    for _ in range(20):
        producer.run(300)
        got += stream.columns().count
    discards = stream._reader.discarded
    assert producer.lost > 0 and got + discards + stream.lost == 20 * 300
    assert (discards > 0) is mixed
    stream.close()
    assert got + discards + stream.lost == 20 * 300
    producer.close()


def test_live_with_a_producer_in_another_thread() -> None:
    producer = Producer(1 << 20, True)
    stream = open_events(producer)
    total = 50_000

    def produce() -> None:
        for _ in range(total // 1000):
            producer.run(1000)
        stream.stop()

    thread = threading.Thread(target=produce)
    thread.start()
    numbers = []
    for batch in stream.batches(0.005):
        numbers.append(batch["number"].copy())
    thread.join()
    found = numpy.concatenate(numbers)
    assert (numpy.diff(found.astype(numpy.int64)) > 0).all()
    assert len(found) + stream._reader.discarded + stream.lost == total
    stream.close()
    producer.close()


def test_epoll_wakes_the_waiting(no_leaks: None) -> None:
    producer = Producer(1 << 16, False)
    stream = open_events(producer)
    threading.Timer(0.1, producer.run, (3,)).start()
    got: list[int] = []
    while len(got) < 3:
        assert stream.wait(5)
        got += stream.columns()["number"].tolist()
    assert got == [0, 1, 2]

    async def main() -> list[int]:
        asyncio.get_running_loop().call_later(0.05, producer.run, 2)
        got = []
        async for each in stream:
            got.append(each.number)
            if len(got) == 2:
                stream.stop()
        return got

    assert asyncio.run(main()) == [3, 4]
    stream.close()
    producer.close()


@pytest.fixture
def one_cpu() -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_perf_buffers_count_their_losses_exactly(one_cpu: None, no_leaks: None) -> None:
    producer = PerfProducer(pages=2)
    stream: Events[Tick] = Events(PerfReader(producer.buffers, 24), Tick)
    producer.run(50)
    columns = stream.columns()
    assert sorted(columns["number"].tolist()) == list(range(50)) and set(columns["seven"].tolist()) == {7}
    assert stream.lost == 0
    producer.run(2000)
    got = stream.columns().count
    assert got < 2000
    producer.run(1)  # the kernel tells of losses with the next record on the same CPU
    assert got + stream.columns().count + stream.lost == 2001
    stream.close()
    producer.close()
