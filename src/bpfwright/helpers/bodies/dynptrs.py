"""Dynptrs (kernel/bpf/helpers.c): 16 bytes that say where data is, of what kind, how much and from where on.

A word each: the address (of a packet: its context), the kind with a bit for what is only read, the size, the offset.
"""
from __future__ import annotations

from bpfwright.helpers.bodies.packets import DATA, DATA_END
from bpfwright.spec.memory import copy, load32, store32, store64
from bpfwright.types import i64, u64

__all__ = ["adjust", "clone", "data", "from_mem", "from_skb", "from_xdp", "is_null", "is_rdonly", "read", "size",
           "slice", "slice_rdwr", "write"]

_AT, _KIND, _SIZE, _OFFSET = 0, 4, 8, 12
_LOCAL, _SKB, _XDP, _READ_ONLY = 1, 3, 4, 0x100
_E2BIG, _EINVAL, _ERANGE = -7, -22, -34
_MOST = 0xFFFFFF
_HALF = 0xFFFFFFFF


def _set(d: u64, at: u64, kind: u64, size: u64) -> None:
    store32(d + _AT, at)
    store32(d + _KIND, kind)
    store32(d + _SIZE, size)
    store32(d + _OFFSET, 0)


def _null(d: u64) -> None:
    store64(d, 0)
    store64(d + 8, 0)


def from_mem(at: u64, count: u64, flags: u64, d: u64) -> i64:
    if count & _HALF > _MOST or flags != 0:
        _null(d)
        if flags != 0:
            return _EINVAL
        return _E2BIG
    _set(d, at, _LOCAL, count)
    return 0


def from_skb(skb: u64, flags: u64, d: u64) -> i64:
    if flags != 0:
        _null(d)
        return _EINVAL
    _set(d, skb, _SKB, load32(skb + DATA_END) - load32(skb + DATA))
    return 0


def from_xdp(xdp: u64, flags: u64, d: u64) -> i64:
    if flags != 0:
        _null(d)
        return _EINVAL
    _set(d, xdp, _XDP, load32(xdp + 4) - load32(xdp))
    return 0


def _start(d: u64) -> u64:
    """Where its bytes begin now: a packet may have moved."""
    at, kind = load32(d + _AT), load32(d + _KIND) & 255
    offset = load32(d + _OFFSET)
    if kind == _SKB:
        return load32(at + DATA) + offset
    if kind == _XDP:
        return load32(at) + offset
    return at + offset


def _fits(d: u64, offset: u64, count: u64) -> bool:
    return offset + count <= load32(d + _SIZE)


def read(to: u64, count: u64, d: u64, offset: u64, flags: u64) -> i64:
    wanted, at = count & _HALF, offset & _HALF
    if load32(d + _AT) == 0 or flags != 0:
        return _EINVAL
    if not _fits(d, at, wanted):
        return _E2BIG
    copy(to, _start(d) + at, wanted)
    return 0


def write(d: u64, offset: u64, source: u64, count: u64, flags: u64) -> i64:
    wanted, at = count & _HALF, offset & _HALF
    kind = load32(d + _KIND)
    if load32(d + _AT) == 0 or kind >= _READ_ONLY or (flags != 0 and kind != _SKB) or flags > 3:
        return _EINVAL
    if not _fits(d, at, wanted):
        return _E2BIG
    copy(_start(d) + at, source, wanted)
    return 0


def data(d: u64, offset: u64, count: u64) -> u64:
    """A pointer into memory or a record; packets have none."""
    kind = load32(d + _KIND)
    if load32(d + _AT) == 0 or kind >= _SKB or not _fits(d, offset & _HALF, count & _HALF):
        return 0
    return _start(d) + (offset & _HALF)


def slice(d: u64, offset: u64, buffer: u64, count: u64) -> u64:
    """A pointer to its bytes. All packets are linear here, so that the buffer is not needed."""
    if load32(d + _AT) == 0 or not _fits(d, offset & _HALF, count & _HALF):
        return 0
    return _start(d) + (offset & _HALF)


def slice_rdwr(d: u64, offset: u64, buffer: u64, count: u64) -> u64:
    if load32(d + _KIND) >= _READ_ONLY:
        return 0
    return slice(d, offset, buffer, count)


def size(d: u64) -> i64:
    if load32(d + _AT) == 0:
        return _EINVAL
    return load32(d + _SIZE)


def is_null(d: u64) -> u64:
    if load32(d + _AT) == 0:
        return 1
    return 0


def is_rdonly(d: u64) -> u64:
    if load32(d + _AT) != 0 and load32(d + _KIND) >= _READ_ONLY:
        return 1
    return 0


def adjust(d: u64, start: u64, end: u64) -> i64:
    """Look at a part only."""
    first, last = start & _HALF, end & _HALF
    if load32(d + _AT) == 0 or first > last:
        return _EINVAL
    if last > load32(d + _SIZE):
        return _ERANGE
    store32(d + _OFFSET, load32(d + _OFFSET) + first)
    store32(d + _SIZE, last - first)
    return 0


def clone(d: u64, other: u64) -> i64:
    if load32(d + _AT) == 0:
        _null(other)
        return _EINVAL
    copy(other, d, 16)
    return 0
