"""Events: what user code holds of a ring. Iterate, `async for`, or take everything as columns."""
from __future__ import annotations

import os
import select

from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Generic, Iterator, Protocol, Self, TypeVar
from bpfwright.events.schema import Schema

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from bpfwright.events.columns import Columns
    from bpfwright.events.ring import Rows

__all__ = ["Events", "Reader"]

S = TypeVar("S")


class Reader(Protocol):
    """RingReader or PerfReader."""

    width: int
    fds: list[int]
    truncated: int
    discarded: int

    @property
    def pending_bytes(self) -> int: ...
    @property
    def lost(self) -> int: ...
    def records(self) -> Iterator[bytes]: ...
    def rows(self) -> Rows: ...
    def close(self) -> None: ...


class Events(Generic[S]):
    """The events of one ring, each consumed once, by whichever way they are asked for first.

    Iteration waits for more until `stop()` or `close()` is called, or the time given to `within` is over; what is in
    the ring then still comes. Everything else gives what is there now. `lost` is exact: what programs found no room for
    (they count it), what the kernel dropped, and nothing else; `truncated` counts records longer than their type.
    """

    def __init__(self, reader: Reader, record: Any, lost: Callable[[], int] | None = None) -> None:
        self.schema = Schema(record)
        self._reader = reader
        self._lost = lost
        self._lost_at_close = 0
        self._deadline_ns: int | None = None
        self._stopped = False
        self._closed = False
        self._epoll: select.epoll | None = None
        self._wake = -1

    @property
    def lost(self) -> int:
        """Events that were produced and never arrived."""
        if self._closed:
            return self._lost_at_close
        return self._reader.lost + (self._lost() if self._lost is not None else 0)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    @property
    def truncated(self) -> int:
        """Events that were longer than their type, and cut."""
        return self._reader.truncated

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait in the ring."""
        return 0 if self._closed else self._reader.pending_bytes

    def _poller(self) -> select.epoll:
        if self._epoll is None:
            self._epoll = select.epoll()
            self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
            for fd in (*self._reader.fds, self._wake):
                self._epoll.register(fd, select.EPOLLIN)
            if self._stopped:
                os.eventfd_write(self._wake, 1)
        return self._epoll

    def wait(self, timeout_s: float | None = None) -> bool:
        """Sleep until events are there (True), the time is over or `stop()` was called (False)."""
        if self._closed:
            return False
        found = self._poller().poll(timeout_s)
        return any(fd != self._wake for fd, _ in found)

    def within(self, seconds: float) -> Self:
        """Let iteration end after this time, counted from now."""
        self._deadline_ns = now_ns() + int(seconds * 1e9)
        return self

    def _left_s(self) -> float | None:
        return None if self._deadline_ns is None else max(0.0, (self._deadline_ns - now_ns()) / 1e9)

    def stop(self) -> None:
        """End every iteration once what is there has been given; safe from another thread and from signal handlers."""
        self._stopped = True
        if self._wake >= 0 and not self._closed:
            os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        """Let go of the ring."""
        if self._closed:
            return
        self._lost_at_close = self.lost
        self.stop()
        self._closed = True
        if self._epoll is not None:
            self._epoll.close()
            os.close(self._wake)
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[S]:
        decode = self.schema.decode
        while not self._closed:
            last = self._stopped or self._left_s() == 0.0
            for data in self._reader.records():
                yield decode(data)
                if self.closed:
                    return
                if not last and self._deadline_ns is not None and self._left_s() == 0.0:
                    break
            if last:
                return
            self.wait(self._left_s())

    async def __aiter__(self) -> AsyncIterator[S]:
        import asyncio
        decode = self.schema.decode
        loop = asyncio.get_running_loop()
        while not self._closed:
            last = self._stopped or self._left_s() == 0.0
            for number, data in enumerate(self._reader.records()):
                yield decode(data)
                if self.closed:
                    return
                if number % 256 == 255:
                    await asyncio.sleep(0)  # a full ring must not starve the loop
            if last:
                return
            ready = asyncio.Event()
            poller = self._poller().fileno()
            loop.add_reader(poller, ready.set)
            try:
                async with asyncio.timeout(self._left_s()):
                    await ready.wait()
            except TimeoutError:
                pass
            finally:
                loop.remove_reader(poller)

    def columns(self) -> Columns:
        """What is there now, as NumPy arrays by name."""
        from bpfwright.events.columns import Columns
        from bpfwright.events.ring import Rows
        if self._closed:
            import numpy
            return Columns(self.schema, Rows(numpy.empty(0, numpy.uint8), 0, self.schema.size, 0))
        return Columns(self.schema, self._reader.rows())

    def batches(self, interval_s: float = 0.1) -> Iterator[Columns]:
        """Columns as they come: each batch is what gathered within `interval_s` of the first event."""
        while not self._closed:
            last = self._stopped or self._left_s() == 0.0
            if not last and self.wait(self._left_s()):
                self._pause(interval_s)
            batch = self.columns()
            if batch.count:
                yield batch
            if last:
                return

    def _pause(self, seconds: float) -> None:
        """Wait for more to gather, unless it is time to stop."""
        left = self._left_s()
        select.select([self._wake], [], [], seconds if left is None else min(seconds, left))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """What is there now, over the Arrow C stream interface: pyarrow.table(events), polars.DataFrame(events)."""
        return self.columns().__arrow_c_stream__(requested_schema)

    def to_arrow(self) -> pyarrow.Table:
        """What is there now as a pyarrow Table."""
        return self.columns().to_arrow()

    def to_pandas(self) -> pandas.DataFrame:
        """What is there now as a pandas DataFrame."""
        return self.columns().to_pandas()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self.pending_bytes} bytes pending"
        return f"<Events of {self.schema.ctype.name}: {state}, {self.lost} lost>"
