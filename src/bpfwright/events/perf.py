"""Perf event arrays: one buffer per CPU, whose records are samples and counts of what was lost."""
from __future__ import annotations

import struct

from bpfwright._native import memory_at
from bpfwright._typing import Iterator, Protocol, Sequence
from bpfwright.events.ring import Rows, fence

__all__ = ["PerfBuffer", "PerfReader"]

_LOST, _SAMPLE = 2, 9
_HEAD, _TAIL = 1024, 1032  # data_head and data_tail in struct perf_event_mmap_page
_HEADER = struct.Struct("=IHH")


class PerfBuffer(Protocol):
    """One CPU's mapped buffer: the control page stands at `address`, the data of `size_bytes` at `data_address`."""

    @property
    def fd(self) -> int: ...
    @property
    def cpu(self) -> int: ...
    @property
    def address(self) -> int: ...
    @property
    def data_address(self) -> int: ...
    @property
    def size_bytes(self) -> int: ...
    def close(self) -> None: ...


class _Cpu:
    """The consumer of one buffer."""

    __slots__ = ("buffer", "data", "head", "lost", "tail")

    def __init__(self, buffer: PerfBuffer) -> None:
        self.buffer = buffer
        self.head = memory_at(buffer.address + _HEAD, 8).cast("Q")
        self.tail = memory_at(buffer.address + _TAIL, 8).cast("Q")
        self.data = memory_at(buffer.data_address, buffer.size_bytes)
        self.lost = 0

    def _read(self, at: int, size: int) -> bytes:
        place = at % self.buffer.size_bytes
        part = bytes(self.data[place:place + size])
        return part if len(part) == size else part + bytes(self.data[:size - len(part)])

    def samples(self) -> Iterator[bytes]:
        """What programs sent, oldest first; each is consumed as it is given."""
        head = self.head[0]
        fence()
        while (at := self.tail[0]) < head:
            kind, _, size = _HEADER.unpack(self._read(at, 8))
            body = self._read(at + 8, size - 8)
            fence()
            self.tail[0] = at + size
            if kind == _LOST:
                self.lost += int(struct.unpack_from("=Q", body, 8)[0])
            elif kind == _SAMPLE:
                yield body[4:4 + int.from_bytes(body[:4], "little")]

    def close(self) -> None:
        for view in (self.head, self.tail, self.data):
            view.release()
        self.buffer.close()


class PerfReader:
    """The consumer of all CPUs' buffers. Order holds within a CPU only. `lost` is exact: the kernel counts for us."""

    def __init__(self, buffers: Sequence[PerfBuffer], width: int) -> None:
        self.width = width
        self.fds = [buffer.fd for buffer in buffers]
        self.truncated = 0
        self.discarded = 0
        self._cpus = [_Cpu(buffer) for buffer in buffers]
        self._lost_before = 0

    @property
    def pending_bytes(self) -> int:
        """Bytes between the positions of all CPUs."""
        return sum(cpu.head[0] - cpu.tail[0] for cpu in self._cpus)

    @property
    def lost(self) -> int:
        """Records that found their buffer full, as far as the kernel has reported them: it does so with the next
        record that fits."""
        return self._lost_before + sum(cpu.lost for cpu in self._cpus)

    def lost_by_cpu(self) -> dict[int, int]:
        """The same, for each CPU."""
        return {cpu.buffer.cpu: cpu.lost for cpu in self._cpus}

    def records(self) -> Iterator[bytes]:
        """The samples that are there now."""
        for cpu in self._cpus:
            yield from cpu.samples()

    def rows(self) -> Rows:
        """The samples that are there now, as rows of `width` bytes."""
        import numpy
        width = self.width
        chunks = [data[:width].ljust(width, b"\0") for data in self.records()]
        return Rows(numpy.frombuffer(bytearray(b"".join(chunks)), numpy.uint8), len(chunks), width, 0)

    def close(self) -> None:
        """Unmap all buffers."""
        self._lost_before = self.lost
        while self._cpus:
            self._cpus.pop().close()
