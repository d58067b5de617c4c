"""Ring buffers read in place: records one by one in plain Python, or all that is there copied into rows at once.

The kernel's side of the protocol is kernel/bpf/ringbuf.c: it stores the producer position with release semantics after
writing a header, and clears the header's busy bit when the record is committed.
"""
from __future__ import annotations

from _thread import allocate_lock

from bpfwright._host import processor
from bpfwright._native import memory_at
from bpfwright._typing import Any, Iterator, Protocol
from bpfwright.errors import SessionError

__all__ = ["BUSY", "DISCARD", "HEADER", "ORDERED", "Ring", "RingReader", "Rows", "fence"]

BUSY, DISCARD = 1 << 31, 1 << 30
HEADER = 8
_LENGTH = DISCARD - 1
ORDERED = processor() in ("x86_64", "i686", "s390x")
_ENOUGH_FOR_NATIVE = 8192
_STEP_BYTES = 256 << 10


class Ring(Protocol):
    """A mapped BPF ring buffer. Addresses are in this process; the data stands there twice in a row, so that no record
    is torn; `size_bytes` is the size of one copy."""

    @property
    def fd(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    @property
    def consumer_address(self) -> int: ...
    @property
    def producer_address(self) -> int: ...
    @property
    def data_address(self) -> int: ...
    def close(self) -> None: ...


class Rows:
    """Records copied out of a ring: `data` is a NumPy array of bytes, `count` rows that are `stride` bytes apart.

    A row's record starts `offset` bytes into it.
    """

    __slots__ = ("count", "data", "offset", "stride")

    def __init__(self, data: Any, count: int, stride: int, offset: int) -> None:
        self.data = data
        self.count = count
        self.stride = stride
        self.offset = offset


_fence_lock = allocate_lock()


def fence() -> None:
    """Order the accesses before and after it.

    x86 never reorders loads with loads or stores with stores, so plain aligned 8-byte accesses do. Elsewhere two
    lock-and-unlock pairs stand in for the barrier that Python does not have: the first unlock is a release, the second
    lock an acquire, and these are ordered.
    """
    if not ORDERED:
        with _fence_lock:
            pass
        with _fence_lock:
            pass


class RingReader:
    """The consumer of one ring. Exactly one reader may use a ring at a time.

    `width` is the expected size of a record: longer ones are cut (and counted in `truncated`), shorter ones are filled
    with zeros. `discarded` counts records that programs gave up.
    """

    def __init__(self, ring: Ring, width: int) -> None:
        self.ring = ring
        self.width = width
        self.discarded = 0
        self.truncated = 0
        self.fds = [ring.fd]
        self._mask = ring.size_bytes - 1
        self._consumer = memory_at(ring.consumer_address, 8).cast("Q")
        self._producer = memory_at(ring.producer_address, 8).cast("Q")
        self._data = memory_at(ring.data_address, 2 * ring.size_bytes)
        self._headers = self._data.cast("I")
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the ring was let go."""
        return self._closed

    @property
    def pending_bytes(self) -> int:
        """Bytes between the two positions, uncommitted records included."""
        return 0 if self._closed else self._producer[0] - self._consumer[0]

    @property
    def lost(self) -> int:
        """Records that this side lost; a full ring is counted by the program that could not write."""
        return 0

    def records(self) -> Iterator[bytes]:
        """The committed records that are there now, oldest first; each is consumed as it is given."""
        if self._closed:
            return
        consumer, headers, data, mask, ordered = self._consumer, self._headers, self._data, self._mask, ORDERED
        end = self._producer[0]
        at = consumer[0]
        while at < end:
            if not ordered:
                fence()
            place = at & mask
            header = headers[place >> 2]
            if header & BUSY:
                return
            if not ordered:
                fence()
            length = header & _LENGTH
            record = data[place + HEADER:place + HEADER + length].tobytes() if not header & DISCARD else None
            if not ordered:
                fence()  # the copy comes before the kernel may reuse the space
            at += length + HEADER + 7 & ~7
            consumer[0] = at
            if record is None:
                self.discarded += 1
                continue
            if length > self.width:
                self.truncated += 1
            yield record
            if self.closed:
                return
            at = consumer[0]  # another way of reading may have gone on meanwhile

    def rows(self) -> Rows:
        """All committed records at once. Needs NumPy; records of one size are one copy, others take native code."""
        import numpy
        start, end = (0, 0) if self._closed else (self._consumer[0], self._producer[0])
        fence()
        if start >= end:
            return Rows(numpy.empty(0, numpy.uint8), 0, self._stride, HEADER)
        uniform = self._uniform(numpy, start, end)
        if uniform is not None:
            return uniform
        return self._mixed(numpy, start, end)

    @property
    def _stride(self) -> int:
        return self.width + HEADER + 7 & ~7

    def _uniform(self, numpy: Any, start: int, end: int) -> Rows | None:
        """One copy of it all, when every record is committed and of the expected size."""
        stride = self._stride
        count, odd = divmod(end - start, stride)
        place = start & self._mask
        if odd or self._headers[place >> 2] != self.width:
            return None
        window = numpy.frombuffer(self._data[place:place + count * stride], numpy.uint8)
        headers = numpy.ndarray((count,), "<u4", window, 0, (stride,))
        data = numpy.empty(count * stride, numpy.uint8)
        # In steps that stay in the processor's cache. Look first, copy then: the busy bit must be seen clear before the
        # bytes are read.
        step = max(1, _STEP_BYTES // stride)
        for first in range(0, count, step):
            last = min(first + step, count)
            if not (headers[first:last] == self.width).all():
                return None
            fence()
            data[first * stride:last * stride] = window[first * stride:last * stride]
        fence()
        self._consumer[0] = end
        return Rows(data, count, stride, HEADER)

    def _mixed(self, numpy: Any, start: int, end: int) -> Rows:
        from bpfwright.events import drain
        native = drain.native(compile_it=(end - start) // self._stride > _ENOUGH_FOR_NATIVE)
        if native is None:
            return self._one_by_one(numpy, end)
        width = self.width + 7 & ~7
        parts = []
        total = 0
        while start < end:
            capacity = (end - start) // (width + HEADER) + 1
            out = numpy.empty(capacity * width, numpy.uint8)
            taken = native(self.ring.data_address, self._mask, start, end, self.width, out.ctypes.data, width, capacity)
            if taken.position == start:
                break
            start = taken.position
            self.discarded += taken.discarded
            self.truncated += taken.truncated
            total += taken.rows
            parts.append(out[:taken.rows * width])
            self._consumer[0] = start
            if taken.busy:
                break
        data = parts[0] if len(parts) == 1 else numpy.concatenate(parts or [numpy.empty(0, numpy.uint8)])
        return Rows(data, total, width, 0)

    def _one_by_one(self, numpy: Any, end: int) -> Rows:
        width = self.width
        chunks = []
        for data in self.records():
            chunks.append(data[:width] if len(data) >= width else data.ljust(width, b"\0"))
            if self._consumer[0] >= end:
                break
        return Rows(numpy.frombuffer(bytearray(b"".join(chunks)), numpy.uint8), len(chunks), width, 0)

    def close(self) -> None:
        """Unmap the ring; reading on gives nothing."""
        if self._closed:
            return
        self._closed = True
        for view in (self._headers, self._data, self._consumer, self._producer):
            view.release()
        self.ring.close()

    def check_open(self) -> None:
        if self._closed:
            raise SessionError("these events belong to a session that is closed")
