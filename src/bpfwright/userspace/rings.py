"""Ring buffers of the machine as the events package reads the kernel's: by addresses in this process."""
from __future__ import annotations

from bpfwright._native import address_of
from bpfwright.errors import UsageError
from bpfwright.maps.stores import ringbuf
from bpfwright.maps.stores._header import BODY
from bpfwright.userspace.map import UserMap

__all__ = ["UserRing"]


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
