"""The machine's memory: one mapping; a program's pointers are offsets in it, below 2**32.

So 32-bit context fields (`xdp_md.data`) hold whole pointers, a pointer can be told from a number by its range alone,
and the same run gives the same addresses. The upper half is for what programs only read. Behind it all lies a shadow, a
byte a byte: how many bytes from here on are a program's own, up to 255. Checked runs ask it before each access, maps
and helpers change it as they hand memory out.

    0x0000  nothing: null and what is near it faults
    0x1000  the machine's page: CPU number, clock, random state, current task (spec/page.py)
    0x2000  stacks, one a CPU
    then    what is allocated; what is only read, from the half on
"""
from __future__ import annotations

import mmap
import os
import sys

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.spec import memory as dialect
from bpfwright.spec.page import CHECKED, CPUS, DESCENT, SECRET, SHADOW

__all__ = ["FRAME", "STACK_SIZE", "Arena"]

STACKS, STACK_SIZE, FRAME = 0x2000, 1 << 16, 512
_NORESERVE = 0x4000

_SECRET = os.urandom(8)  # what maps are known by; it changes nothing that programs see


class Arena:
    """`memory` is what `struct` reads and writes, `size` bytes of it the programs'; the shadow stands behind."""

    __slots__ = ("_borrowed", "_free", "_next", "_sizes", "bits", "cpus", "half", "memory", "size", "stacks")

    def __init__(self, cpus: int, size_bytes: int) -> None:
        self.bits = size_bytes.bit_length() - 1
        if size_bytes != 1 << self.bits or not 20 <= self.bits <= 31:
            raise UsageError("the memory of a userspace machine is a power of two from 1 MiB to 2 GiB")
        self.size = size_bytes
        self.half = size_bytes // 2
        self.cpus = cpus
        self.memory = _mapping(2 * size_bytes)
        self._next = {True: STACKS, False: self.half}
        self._free: dict[tuple[bool, int], list[int]] = {}
        self._sizes: dict[int, int] = {}
        self._borrowed: set[int] = set()
        self.bind()
        dialect.store32(CPUS, cpus)
        dialect.store64(SHADOW, size_bytes)
        self.memory[SECRET:SECRET + 8] = _SECRET
        dialect.store32(CHECKED, 1)
        self.memory[DESCENT:DESCENT + 256] = bytes(range(255, -1, -1))
        self.stacks = [self.allocate(STACK_SIZE, owned=False) for _ in range(cpus)]
        for stack in self.stacks:
            self.allow(stack + STACK_SIZE - FRAME, FRAME)

    def stack_top(self, cpu: int) -> int:
        """The first frame's r10."""
        return self.stacks[cpu] + STACK_SIZE

    def allocate(self, size: int, *, owned: bool = True, writable: bool = True, align: int = 16) -> int:
        """Zeroed bytes, a program's own unless `owned` is False; they lie at least 16 bytes away from everything else,
        so that one behind the end faults."""
        room = -(-size // 16) * 16 + 16
        spare = self._free.get((writable, room), [])
        if spare and spare[-1] % align == 0:
            address = spare.pop()
            self.memory[address:address + room] = bytes(room)
        else:
            address = -(-self._next[writable] // align) * align
            if address + room > (self.half if writable else self.size):
                raise UsageError(f"the machine's memory of {self.size >> 20} MiB is used up",
                                 why=f"{size} bytes more were asked for",
                                 cure="Make maps smaller, or the memory larger: Userspace(memory_bytes=...).")
            self._next[writable] = address + room
        self._sizes[address] = room
        if owned:
            self.allow(address, size)
        return address

    def borrow(self, size: int) -> int:
        """Room for the machine itself, which no program is given and which is not zeroed again when it comes back."""
        address = self.allocate(size, owned=False)
        self._borrowed.add(address)
        return address

    def release(self, address: int) -> None:
        """Give an allocation back."""
        room = self._sizes.pop(address)
        if address in self._borrowed:
            self._borrowed.discard(address)
        else:
            self.forbid(address, room)
        self._free.setdefault((address < self.half, room), []).append(address)

    def allow(self, address: int, size: int) -> None:
        """These bytes, one object, are a program's own from now on."""
        at = self.size + address
        if size > 255:
            self.memory[at:at + size - 255] = b"\xff" * (size - 255)
        if size > 0:
            last = min(size, 255)
            self.memory[at + size - last:at + size] = bytes(range(last, 0, -1))

    def forbid(self, address: int, size: int) -> None:
        """These bytes are no program's."""
        self.memory[self.size + address:self.size + address + size] = bytes(size)

    def may(self, address: int, size: int, *, write: bool) -> bool:
        """Whether a checked program may access these bytes (255 at most)."""
        limit = self.half if write else self.size
        return 0 <= address < limit and bool(self.memory[self.size + address] >= size)

    def save(self) -> list[tuple[int, bytes]]:
        """Everything that may have been written, for `restore`."""
        spans = [(0, self._next[True]), (self.half, self._next[False])]
        return [(start + base, bytes(self.memory[start + base:end + base])) for base in (0, self.size)
                for start, end in spans if end > start]

    def restore(self, saved: list[tuple[int, bytes]]) -> None:
        """Memory as it was."""
        for start, data in saved:
            self.memory[start:start + len(data)] = data

    def bind(self) -> None:
        """Let the dialect's memory functions work here."""
        dialect.bind(self.memory)

    def close(self) -> None:
        """Give everything back; the addresses mean nothing any more."""
        dialect.release(self.memory)
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
