"""Internet checksums, whole and by difference (net/core/filter.c, include/net/checksum.h): sums with the carry added
at the low end."""
from __future__ import annotations

from bpfwright.helpers.bodies.packets import DATA, DATA_END
from bpfwright.spec.memory import load8, load16, load32, store16
from bpfwright.types import i64, u64

__all__ = ["diff", "replace_in_network_header", "replace_in_transport_header"]

_EFAULT, _EINVAL = -14, -22
_MASK, _SIZE, _KEEP_ZERO, _ENFORCE, _KNOWN = 0xFFFFFFFF, 0xF, 0x20, 0x40, 0xFF


def _add(a: u64, b: u64) -> u64:
    """csum_add(): of 32 bits."""
    total = (a & _MASK) + (b & _MASK)
    return (total & _MASK) + (total >> 32)


def _fold(value: u64) -> u64:
    """16 bits of a sum of 32."""
    once = (value & 0xFFFF) + ((value & _MASK) >> 16)
    return (once & 0xFFFF) + (once >> 16)


def _sum(at: u64, size: u64, start: u64) -> u64:
    """csum_partial() over words of 32 bits and what is left."""
    total: u64 = start
    for index in range(size >> 2):
        total = _add(total, load32(at + 4 * index))
    tail: u64 = 0
    for index in range(size & 3):
        tail = tail | load8(at + (size & 0xFFFFFFFC) + index) << (8 * index)
    return _add(total, tail)


def diff(old: u64, old_size: u64, new: u64, new_size: u64, seed: u64) -> i64:
    """What a checksum changes by when bytes are replaced, from a seed on; folded, and of any size, as
    kernels since 6.13 have it."""
    before, after = old_size & _MASK, new_size & _MASK
    total: u64 = seed & _MASK
    if before != 0 and after != 0:
        total = _add(_sum(new, after, total), _sum(old, before, 0) ^ _MASK)
    elif before != 0:
        total = _sum(old, before, total ^ _MASK) ^ _MASK
    elif after != 0:
        total = _sum(new, after, total)
    return _fold(total) & 0xFFFF


def _place(skb: u64, offset: u64) -> u64:
    """Where the checksum stands; 0 where the packet has no such bytes."""
    start, end = load32(skb + DATA), load32(skb + DATA_END)
    if offset > 0xFFFF or offset & 1 != 0 or offset + 2 > end - start:
        return 0
    return start + offset


def _by_difference(at: u64, difference: u64) -> None:
    """csum_replace_by_diff()."""
    store16(at, (_fold(_add(difference, load16(at) ^ _MASK)) ^ 0xFFFF) & 0xFFFF)


def _words(at: u64, old: u64, new: u64) -> None:
    """csum_replace4()."""
    less = _add(load16(at) ^ _MASK, (old & _MASK) ^ _MASK)
    store16(at, (_fold(_add(less, new)) ^ 0xFFFF) & 0xFFFF)


def _carried(a: u64, b: u64) -> u64:
    """csum16_add()."""
    total = (a & 0xFFFF) + (b & 0xFFFF)
    return (total & 0xFFFF) + (total >> 16)


def replace_in_network_header(skb: u64, offset: u64, old: u64, new: u64, flags: u64) -> i64:
    if flags & (0xFFFFFFFFFFFFFFFF ^ _SIZE) != 0:
        return _EINVAL
    at = _place(skb, offset & _MASK)
    if at == 0:
        return _EFAULT
    if flags == 0:
        if old != 0:
            return _EINVAL
        _by_difference(at, new)
    elif flags == 2:
        less = _carried(load16(at) ^ 0xFFFF, (old & 0xFFFF) ^ 0xFFFF)
        store16(at, _carried(less, new & 0xFFFF) ^ 0xFFFF)
    elif flags == 4:
        _words(at, old, new)
    else:
        return _EINVAL
    return 0


def replace_in_transport_header(skb: u64, offset: u64, old: u64, new: u64, flags: u64) -> i64:
    if flags & (0xFFFFFFFFFFFFFFFF ^ _KNOWN) != 0:
        return _EINVAL
    at = _place(skb, offset & _MASK)
    if at == 0:
        return _EFAULT
    if flags & _KEEP_ZERO != 0 and flags & _ENFORCE == 0 and load16(at) == 0:
        return 0
    size = flags & _SIZE
    if size == 0:
        if old != 0:
            return _EINVAL
        _by_difference(at, new)
    elif size == 2:
        _words(at, old & 0xFFFF, new & 0xFFFF)
    elif size == 4:
        _words(at, old, new)
    else:
        return _EINVAL
    if flags & _KEEP_ZERO != 0 and load16(at) == 0:
        store16(at, 0xFFFF)
    return 0
