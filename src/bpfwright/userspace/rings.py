"""Ring buffers of the machine as the events package reads the kernel's: by addresses in this process."""
from __future__ import annotations

from bpfwright._native import address_of
from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.maps.stores import ringbuf
from bpfwright.maps.stores._header import BODY
from bpfwright.userspace.map import UserMap

__all__ = ["UserRing", "open_reader"]


class UserRing:
    """See events.Ring."""

    __slots__ = ("consumer_address", "data_address", "fd", "producer_address", "size_bytes")

    def __init__(self, ring: UserMap) -> None:
        base = address_of(ring.arena.memory) + ring.address
        self.fd = -1
        self.size_bytes = ring.spec.max_entries
        self.consumer_address = base + ringbuf.CONSUMER
        self.producer_address = base + ringbuf.PRODUCER
        self.data_address = base + BODY

    def close(self) -> None:
        """Nothing is mapped for it."""


def open_reader(map_: UserMap, width: int) -> Any:
    """A reader of the map's records."""
    if map_.spec.type != 27:
        raise UsageError(f"map {map_.spec.name!r} is no ring buffer")
    from bpfwright.events import RingReader
    return RingReader(UserRing(map_), width)
