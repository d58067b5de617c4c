"""Plain text on its way into a cipher, or out of it: as much of it as is shown."""
from __future__ import annotations

from bpfwright.facets.tools._who import pid
from bpfwright.helpers import current, now_ns, user_bytes
from bpfwright.maps import RingBuf
from bpfwright.types import L, Struct, array, char, u8, u32, u64

__all__ = ["Buffer", "plains", "send"]


class Buffer(Struct):
    """Where a call puts what it reads; `length`, or where it puts that."""

    address: u64
    length: u64


class Plain(Struct):
    """What one call wrote or read."""

    at: u64
    pid: u32
    write: u32
    length: u64
    comm: char[L[16]]
    bytes: array[u8, L[1024]]


plains = RingBuf[Plain](size_bytes=1 << 22)


def send(write: u32, address: u64, length: u64) -> None:
    """A record of the current thread."""
    with plains.reserve() as e:
        if e is None:
            return
        e.at, e.pid, e.write, e.length, e.comm = now_ns(), pid(), write, length, current.comm
        e.bytes = user_bytes(address, length, 1024)
