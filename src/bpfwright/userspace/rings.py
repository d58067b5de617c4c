"""Ring buffers of the machine as the events package reads the kernel's: by addresses in this process."""
from __future__ import annotations

from bpfwright._native import address_of
from bpfwright.errors import UsageError
from bpfwright.maps.stores import perf_event_array, ringbuf
from bpfwright.maps.stores._header import BODY
from bpfwright.spec.memory import store64
from bpfwright.userspace.map import UserMap

__all__ = ["UserPerfBuffer", "UserRing", "open_perf_buffers"]


class UserRing:
    """See events.Ring."""

    __slots__ = ("consumer_address", "data_address", "fd", "producer_address", "size_bytes")

    def __init__(self, ring: UserMap) -> None:
        if ring.spec.type != 27:
            raise UsageError(f"map {ring.spec.name!r} is no ring buffer")
        base = address_of(ring.arena.memory) + ring.address
        self.fd = -1
        self.size_bytes = ring.spec.max_entries
        self.consumer_address = base + ringbuf.CONSUMER
        self.producer_address = base + ringbuf.PRODUCER
        self.data_address = base + BODY

    def close(self) -> None:
        """Nothing is mapped for it."""


class UserPerfBuffer:
    """One CPU's buffer of a perf event array; see events.PerfBuffer."""

    __slots__ = ("_map", "_place", "address", "cpu", "data_address", "fd", "size_bytes")

    def __init__(self, events: UserMap, cpu: int, size_bytes: int) -> None:
        self._map = events
        self.fd = -1
        self.cpu = cpu
        self.size_bytes = size_bytes
        self._place = events.arena.allocate(perf_event_array.CONTROL + size_bytes, align=4096, owned=False)
        self.address = address_of(events.arena.memory) + self._place
        self.data_address = self.address + perf_event_array.CONTROL
        events.arena.bind()
        store64(self._place + perf_event_array.SIZE, size_bytes)
        events.update(cpu.to_bytes(4, "little"), self._place.to_bytes(4, "little"))

    def close(self) -> None:
        """Take it out of the map, and give its memory back."""
        if self._place:
            if not self._map.closed:
                self._map.delete(self.cpu.to_bytes(4, "little"))
            self._map.arena.release(self._place)
            self._place = 0


def open_perf_buffers(events: UserMap, pages: int) -> list[UserPerfBuffer]:
    """A buffer for every CPU of the machine, entered into a perf event array. `pages` is a power of two."""
    if events.spec.type != 4:
        raise UsageError(f"map {events.spec.name!r} is no perf event array")
    if pages < 1 or pages & pages - 1:
        raise UsageError(f"a perf buffer of {pages} pages", why="the number of pages must be a power of two")
    return [UserPerfBuffer(events, cpu, pages * 4096) for cpu in range(min(events.arena.cpus, events.spec.max_entries))]
