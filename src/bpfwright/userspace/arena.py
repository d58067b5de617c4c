"""The machine's memory: one mapping; a program's pointers are offsets in it, below 2**32.

So 32-bit context fields (`xdp_md.data`) hold whole pointers, a pointer can be told from a number by its range alone,
and the same run gives the same addresses. Behind it lies a shadow of two bits a byte, may be read and may be written:
what checked runs ask before each access, and what maps and helpers change as they hand memory out.

    0x0000  nothing: null and what is near it faults
    0x1000  the machine's page: CPU number, clock, random state, current task (spec/page.py)
    0x2000  stacks, one a CPU
    then    what is allocated
"""
from __future__ import annotations

import mmap
import sys

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.spec import memory as dialect
from bpfwright.spec.page import CPUS, READABLE, WRITABLE

__all__ = ["FRAME", "STACK_SIZE", "Arena"]

STACKS, STACK_SIZE, FRAME = 0x2000, 1 << 16, 512
_NORESERVE = 0x4000


class Arena:
    """`memory` is what `struct` reads and writes; `readable` and `writable` are the shadow, a bit a byte."""

    __slots__ = ("_free", "_next", "_sizes", "bits", "cpus", "memory", "readable", "size", "stacks", "writable")

    def __init__(self, cpus: int, size_bytes: int) -> None:
        self.bits = size_bytes.bit_length() - 1
        if size_bytes != 1 << self.bits or not 20 <= self.bits <= 32:
            raise UsageError("the memory of a userspace machine is a power of two from 1 MiB to 4 GiB")
        self.size = size_bytes
        self.cpus = cpus
        part = size_bytes // 8 + 64  # a checked access of 8 bytes looks one byte behind the last
        self.memory = _mapping(size_bytes + 2 * part)
        whole = memoryview(self.memory)
        self.readable, self.writable = whole[size_bytes:size_bytes + part], whole[size_bytes + part:]
        self._next = STACKS
        self._free: dict[int, list[int]] = {}
        self._sizes: dict[int, int] = {}
        dialect.bind(self.memory)
        dialect.store32(CPUS, cpus)
        dialect.store64(READABLE, size_bytes)
        dialect.store64(WRITABLE, size_bytes + part)
        self.stacks = [self.allocate(STACK_SIZE, readable=False, writable=False) for _ in range(cpus)]

    def stack_top(self, cpu: int) -> int:
        """The first frame's r10."""
        return self.stacks[cpu] + STACK_SIZE

    def allocate(self, size: int, *, readable: bool = True, writable: bool = True, align: int = 16) -> int:
        """Zeroed bytes; they lie at least 16 bytes away from everything else, so that one behind the end faults."""
        room = -(-size // 16) * 16 + 16
        spare = self._free.get(room)
        if spare and align <= 16:
            address = spare.pop()
            self.memory[address:address + room] = bytes(room)
        else:
            address = -(-self._next // align) * align
            if address + room > self.size:
                raise UsageError(f"the machine's memory of {self.size >> 20} MiB is used up",
                                 why=f"{size} bytes more were asked for",
                                 cure="Make maps smaller, or the memory larger: Userspace(memory_bytes=...).")
            self._next = address + room
        self._sizes[address] = room
        self.allow(address, size, readable=readable, writable=writable)
        return address

    def release(self, address: int) -> None:
        """Give an allocation back."""
        room = self._sizes.pop(address)
        self.allow(address, room, readable=False, writable=False)
        self._free.setdefault(room, []).append(address)

    def allow(self, address: int, size: int, *, readable: bool, writable: bool) -> None:
        """Say what checked programs may do with these bytes."""
        _mark(self.readable, address, size, readable)
        _mark(self.writable, address, size, writable)

    def may(self, address: int, size: int, *, write: bool) -> bool:
        """Whether a checked program may access these bytes."""
        if address < 0 or address + size > self.size:
            return False
        shadow = self.writable if write else self.readable
        first, last = address >> 3, (address + size - 1) >> 3
        bits = int.from_bytes(shadow[first:last + 1], "little") >> (address & 7)
        wanted = (1 << size) - 1
        return bits & wanted == wanted

    def bind(self) -> None:
        """Let the dialect's memory functions work here."""
        dialect.bind(self.memory)

    def close(self) -> None:
        """Give everything back; the addresses mean nothing any more."""
        dialect.release(self.memory)
        self.readable.release()
        self.writable.release()
        try:
            self.memory.close()
        except BufferError:  # someone still looks at it: it goes when they let go
            pass


def _mapping(size: int) -> Any:
    """Zeroed memory that costs nothing until it is touched."""
    if hasattr(mmap, "MAP_ANONYMOUS"):
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        return mmap.mmap(-1, size, flags=flags | (_NORESERVE if sys.platform == "linux" else 0))
    return mmap.mmap(-1, size)


def _mark(shadow: Any, address: int, size: int, allowed: bool) -> None:
    if size <= 0:
        return
    first, last = address >> 3, (address + size - 1) >> 3
    head, tail = address & 7, 7 - (address + size - 1) & 7
    mask = bytearray(b"\xff" * (last - first + 1))
    mask[0] &= 0xFF << head & 0xFF
    mask[-1] &= 0xFF >> tail
    if head == 0 and tail == 0:
        shadow[first:last + 1] = bytes(mask) if allowed else bytes(len(mask))
        return
    old = bytes(shadow[first:last + 1])
    middle = b"\xff" * (last - first - 1) if allowed else bytes(max(0, last - first - 1))
    ends = [old[i] | mask[i] if allowed else old[i] & ~mask[i] & 0xFF for i in (0, -1)]
    shadow[first:last + 1] = bytes([ends[0]]) if first == last else bytes([ends[0]]) + middle + bytes([ends[1]])
