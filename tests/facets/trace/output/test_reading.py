"""The ring of messages: in order, in bounded steps, past what is discarded, up to what is not committed."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpfwright.facets.trace.output.reading import MessageReader
from bpfwright.facets.trace.plan import Message
from bpfwright.facets.trace.types import Text
from tests.events.fakes import BUSY, DISCARD, FakeRing
from tests.events.producer import Producer
from tests.facets.trace.output.worlds import I64, U64, Seen, record

LINE = Message("printf", (I64,), ("%d\n",))
EXIT = Message("exit", (U64,))
Bed = Callable[..., tuple[FakeRing, Seen, MessageReader]]


def made(*messages: Message, start: int = 0) -> tuple[FakeRing, Seen, MessageReader]:
    ring, seen = FakeRing(4096, start), Seen(*(messages or (LINE, EXIT)))
    return ring, seen, MessageReader(ring, seen.printer)


@pytest.fixture
def bed() -> Iterator[Bed]:
    with ExitStack() as stack:
        def make(*messages: Message) -> tuple[FakeRing, Seen, MessageReader]:
            found = made(*messages)
            stack.enter_context(found[2])
            return found
        yield make


def line(number: int) -> bytes:
    return record(0, (I64,), number)


def test_in_order_and_bounded(bed: Bed) -> None:
    ring, seen, reader = bed()
    for number in range(10):
        ring.put(line(number))
    assert [reader.drain(4), reader.drain(4), reader.drain(4), reader.drain(4)] == [4, 4, 2, 0]
    assert seen.text == "".join(f"{number}\n" for number in range(10))
    assert ring.consumer == ring.producer
    assert reader.taken == 10


def test_discarded_and_busy(bed: Bed) -> None:
    ring, seen, reader = bed()
    ring.put(line(1))
    ring.put(b"", DISCARD)
    ring.put(line(9), DISCARD)
    ring.put(line(2))
    busy = ring.put(line(3), BUSY)
    ring.put(line(4))
    assert reader.drain() == 2
    assert ring.consumer == busy
    assert reader.drain() == 0
    ring.commit(busy)
    assert reader.drain() == 2
    assert seen.text == "1\n2\n3\n4\n"
    assert reader.discarded == 2


def test_exit_leaves_the_rest(bed: Bed) -> None:
    ring, seen, reader = bed()
    ring.put(line(1))
    ring.put(record(1, (U64,), 3))
    ring.put(line(2))
    ring.put(line(9), DISCARD)
    assert reader.drain() == 2
    assert seen.printer.exiting and seen.printer.exit_code == 3
    assert reader.drain() == 0
    assert reader.skip() == 2
    seen.printer.resume()
    ring.put(line(4))
    assert reader.drain() == 1
    assert seen.text == "1\n4\n"


def test_skipping_stops_at_what_is_not_committed(bed: Bed) -> None:
    ring, _, reader = bed()
    ring.put(line(1))
    busy = ring.put(line(2), BUSY)
    assert reader.skip() == 1
    assert ring.consumer == busy


def test_a_failing_handler_is_not_asked_again(bed: Bed) -> None:
    ring, seen, reader = bed(LINE, Message("nonsense"))
    ring.put(line(1))
    ring.put(record(1))
    ring.put(line(2))
    with pytest.raises(KeyError):
        reader.drain()
    assert reader.drain() == 1
    assert seen.text == "1\n2\n"
    assert reader.taken == 3


def test_texts_that_end_early(bed: Bed) -> None:
    ring, seen, reader = bed(Message("printf", (I64, Text(64)), ("%d %s|\n",)))
    for text in (b"", b"a", b"abcdefgh", b"x\0\0"):
        ring.put(record(0, (I64,), len(text)) + text)
    reader.drain()
    assert seen.text == "0 |\n1 a|\n8 abcdefgh|\n3 x|\n"


def test_written_at_once_when_wanted(bed: Bed) -> None:
    ring, seen, reader = bed()
    seen.printer.at_once = True
    ring.put(line(1))
    reader.drain()
    assert seen.out.getvalue() == b"1\n" and not seen.printer.pending


def test_closed(bed: Bed) -> None:
    ring, _, reader = bed()
    ring.put(line(1))
    with reader:
        pass
    assert ring.closed
    assert reader.drain() == reader.skip() == 0
    reader.close()


@given(st.integers(0, 1 << 40).map(lambda start: start * 8), st.lists(st.lists(st.tuples(
    st.integers(0, 60), st.sampled_from([0, 0, 0, DISCARD])), max_size=12), max_size=12))
def test_any_sizes_around_the_end(start: int, batches: list[list[tuple[int, int]]]) -> None:
    ring, seen, reader = made(Message("printf", (I64, Text(64)), ("%d %s\n",)), start=start)
    expected, number = "", 0
    for batch in batches:
        for length, flags in batch:
            number += 1
            if ring.room() < length + 40:
                break
            ring.put(record(0, (I64,), number) + b"x" * length, flags)
            expected += "" if flags else f"{number} {'x' * length}\n"
        while reader.drain(5):
            pass
        assert ring.consumer == ring.producer
    assert seen.text == expected
    reader.close()


@pytest.mark.kernel
@pytest.mark.parametrize("mixed", [False, True])
def test_a_ring_of_the_kernel(mixed: bool) -> None:
    """Records of 24 bytes begin with their number: it is taken for the message's index, and handlers note it."""
    producer = Producer(1 << 20, mixed)
    numbers: list[int] = []
    try:
        with MessageReader(producer.ring(), Seen().printer) as reader:
            def note(record: bytes) -> None:
                numbers.append(int.from_bytes(record[:8], "little"))

            class Noting(list):  # type: ignore[type-arg]
                def __getitem__(self, index: int) -> object:  # type: ignore[override]
                    return note

            reader.printer.handlers = Noting()
            for _ in range(3):
                producer.run(20_000)
                while reader.drain(1000):
                    pass
            wanted = [number for number in range(60_000) if not mixed or number % 5]
            assert numbers == wanted
            assert (reader.taken, reader.discarded) == (len(wanted), 60_000 - len(wanted))
        assert producer.lost == 0
    finally:
        producer.close()
