"""Maps ring buffers and perf event arrays into memory; the events package reads them by these addresses."""
from __future__ import annotations

import fcntl
import os
from struct import pack

from bpfwright._abi import bpf as B
from bpfwright._abi import perf as P
from bpfwright._typing import Self
from bpfwright.errors import KernelError, UsageError
from bpfwright.kernel import sys
from bpfwright.kernel.cpus import online_cpus
from bpfwright.kernel.map import KernelMap
from bpfwright.kernel.perf import open_event

__all__ = ["MappedPerfBuffer", "MappedRing", "open_perf_buffers"]


class MappedRing:
    """A ring buffer's three parts in memory.

    `consumer_address` is the page of the consumer's position (writable), `producer_address` that of the producer's,
    `data_address` the records, `size_bytes` of them mapped twice in a row so that none is torn. `fd` is the map's: it
    polls readable when records are there.
    """

    __slots__ = ("_consumer", "_producer", "consumer_address", "data_address", "fd", "producer_address", "size_bytes")

    def __init__(self, ring: KernelMap) -> None:
        if ring.spec.type != B.BPF_MAP_TYPE_RINGBUF:
            raise UsageError(f"map {ring.spec.name!r} is no ring buffer")
        page = os.sysconf("SC_PAGE_SIZE")
        self.size_bytes = ring.spec.max_entries
        self.fd = fcntl.fcntl(ring.fd, fcntl.F_DUPFD_CLOEXEC, 0)
        self._consumer = self._producer = (0, 0)
        try:
            self.consumer_address, _ = sys.map_memory(self.fd, page)
            self._consumer = self.consumer_address, page
            length = page + 2 * self.size_bytes
            self.producer_address, _ = sys.map_memory(self.fd, length, page, writable=False)
            self._producer = self.producer_address, length
        except BaseException:
            self.close()
            raise
        self.data_address = self.producer_address + page

    def close(self) -> None:
        """Undo the mappings; nobody may look at the addresses any more."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            for where, length in (self._consumer, self._producer):
                if where:
                    sys.unmap_memory(where, length)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class MappedPerfBuffer:
    """One CPU's buffer of a perf event array: the control page at `address`, then `size_bytes` of records."""

    __slots__ = ("_length", "address", "cpu", "data_address", "fd", "size_bytes")

    def __init__(self, cpu: int, pages: int, *, wakeup_events: int = 1) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        self.cpu = cpu
        self.size_bytes = pages * page
        self._length = self.size_bytes + page
        self.fd = open_event(P.PERF_TYPE_SOFTWARE, P.PERF_COUNT_SW_BPF_OUTPUT, sample_type=P.PERF_SAMPLE_RAW, cpu=cpu,
                             wakeup=wakeup_events)
        try:
            self.address, _ = sys.map_memory(self.fd, self._length)
        except BaseException:
            os.close(self.fd)
            raise
        self.data_address = self.address + page

    def close(self) -> None:
        """Undo the mapping and close the event."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            sys.unmap_memory(self.address, self._length)
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def open_perf_buffers(events: KernelMap, pages: int = 64, *, wakeup_events: int = 1) -> list[MappedPerfBuffer]:
    """A buffer for every CPU that runs, entered into a perf event array. `pages` is a power of two."""
    if events.spec.type != B.BPF_MAP_TYPE_PERF_EVENT_ARRAY:
        raise UsageError(f"map {events.spec.name!r} is no perf event array")
    if pages < 1 or pages & pages - 1:
        raise UsageError(f"a perf buffer of {pages} pages", why="the number of pages must be a power of two")
    buffers: list[MappedPerfBuffer] = []
    try:
        for cpu in online_cpus():
            if cpu >= events.spec.max_entries > 0:
                break
            buffers.append(MappedPerfBuffer(cpu, pages, wakeup_events=wakeup_events))
            events.update(pack("=I", cpu), pack("=i", buffers[-1].fd))
            fcntl.ioctl(buffers[-1].fd, P.PERF_EVENT_IOC_ENABLE, 0)
    except BaseException as error:
        for buffer in buffers:
            buffer.close()
        if isinstance(error, OSError) and not isinstance(error, KernelError):
            raise KernelError("opening perf buffers", error.errno or 22) from None
        raise
    return buffers
