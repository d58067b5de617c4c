"""Rings made in memory, byte for byte as the kernel makes them."""
from __future__ import annotations

import ctypes
import mmap
import os
import struct
from typing import Any

BUSY, DISCARD = 1 << 31, 1 << 30


def address_of(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class FakeRing:
    """A ring whose producer is the test. `fd` is an eventfd that becomes readable with the first record."""

    def __init__(self, size_bytes: int, start: int = 0) -> None:
        self.size_bytes = size_bytes
        self.memory = mmap.mmap(-1, 8192 + 2 * size_bytes)
        base = address_of(self.memory)
        self.consumer_address, self.producer_address, self.data_address = base, base + 4096, base + 8192
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.closed = False
        struct.pack_into("<Q", self.memory, 0, start)
        struct.pack_into("<Q", self.memory, 4096, start)

    @property
    def consumer(self) -> int:
        return int(struct.unpack_from("<Q", self.memory, 0)[0])

    @property
    def producer(self) -> int:
        return int(struct.unpack_from("<Q", self.memory, 4096)[0])

    def room(self) -> int:
        return self.size_bytes - (self.producer - self.consumer)

    def _store(self, position: int, data: bytes) -> None:
        for offset, byte in enumerate(data):
            place = (position + offset) % self.size_bytes
            self.memory[8192 + place] = byte
            self.memory[8192 + self.size_bytes + place] = byte

    def put(self, data: bytes, flags: int = 0) -> int:
        """Append a record; its position."""
        position = self.producer
        padded = (len(data) + 15) & ~7
        assert self.room() >= padded
        # What was in the padding stays there, as in the kernel.
        self._store(position, struct.pack("<II", len(data) | flags, 7) + data + b"\xee" * (padded - 8 - len(data)))
        struct.pack_into("<Q", self.memory, 4096, position + padded)
        os.eventfd_write(self.fd, 1)
        return position

    def commit(self, position: int) -> None:
        header = struct.unpack_from("<I", self.memory, 8192 + position % self.size_bytes)[0]
        self._store(position, struct.pack("<I", header & ~BUSY))

    def close(self) -> None:
        assert not self.closed
        self.closed = True
        os.close(self.fd)
        self.memory.close()


class FakePerf:
    """One CPU's perf buffer."""

    def __init__(self, size_bytes: int, cpu: int = 0) -> None:
        self.size_bytes, self.cpu = size_bytes, cpu
        self.memory = mmap.mmap(-1, 4096 + size_bytes)
        self.address = address_of(self.memory)
        self.data_address = self.address + 4096
        self.fd = os.eventfd(1, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def _put(self, kind: int, body: bytes) -> None:
        head = struct.unpack_from("<Q", self.memory, 1024)[0]
        record = struct.pack("<IHH", kind, 0, len(body) + 8) + body
        for offset, byte in enumerate(record):
            self.memory[4096 + (head + offset) % self.size_bytes] = byte
        struct.pack_into("<Q", self.memory, 1024, head + len(record))

    def sample(self, data: bytes) -> None:
        padded = -(-(len(data) + 4) // 8) * 8 - 4
        self._put(9, struct.pack("<I", padded) + data.ljust(padded, b"\xee"))

    def lose(self, count: int) -> None:
        self._put(2, struct.pack("<QQ", 0, count))

    def close(self) -> None:
        os.close(self.fd)
        self.memory.close()


def as_reader(ring: Any, width: int) -> Any:
    from bpfwright.events import RingReader
    return RingReader(ring, width)
