"""Packets at the driver: their ends moved, bytes read and written (net/core/filter.c)."""
from __future__ import annotations

from bpfwright.helpers.bodies.packets import BUFFER, BUFFER_END
from bpfwright.spec.memory import copy, fill, load8, load32, store32
from bpfwright.spec.shadow import grant, revoke
from bpfwright.types import i64, u64

__all__ = ["adjust_head", "adjust_meta", "adjust_tail", "buff_len", "load_bytes", "store_bytes"]

_DATA, _DATA_END, _DATA_META = 0, 4, 8  # struct xdp_md
_ETH_HLEN, _FRAME_STRUCT, _LONGEST_META = 14, 40, 255
_EACCES, _EFAULT, _EINVAL = -13, -14, -22
_HALF = 0xFFFFFFFF


def _bounds(ctx: u64, meta: u64, data: u64, end: u64) -> None:
    before = load32(ctx + _DATA_META)
    revoke(before, load32(ctx + _DATA_END) - before)
    grant(meta, end - meta)
    store32(ctx + _DATA_META, meta)
    store32(ctx + _DATA, data)
    store32(ctx + _DATA_END, end)


def adjust_head(ctx: u64, delta: u64) -> i64:
    """Move the start by a signed number of bytes; metadata in front of it is moved along."""
    data, meta, end = load32(ctx + _DATA), load32(ctx + _DATA_META), load32(ctx + _DATA_END)
    moved = (data + delta) & _HALF
    size = data - meta
    if moved < load32(ctx + BUFFER) + _FRAME_STRUCT + size or moved + _ETH_HLEN > end:
        return _EINVAL
    if moved < data:
        for index in range(size):
            fill(moved - size + index, load8(meta + index), 1)
    else:
        for index in range(size):
            fill(moved - 1 - index, load8(data - 1 - index), 1)
    _bounds(ctx, moved - size, moved, end)
    return 0


def adjust_tail(ctx: u64, delta: u64) -> i64:
    """Move the end by a signed number of bytes; new ones are zero."""
    end = load32(ctx + _DATA_END)
    moved = (end + delta) & _HALF
    if moved > load32(ctx + BUFFER_END) or moved < load32(ctx + _DATA) + _ETH_HLEN:
        return _EINVAL
    if moved > end:
        fill(end, 0, moved - end)
    _bounds(ctx, load32(ctx + _DATA_META), load32(ctx + _DATA), moved)
    return 0


def adjust_meta(ctx: u64, delta: u64) -> i64:
    """Make or take room for metadata in front of the packet, in words of 4 bytes."""
    data = load32(ctx + _DATA)
    moved = (load32(ctx + _DATA_META) + delta) & _HALF
    if moved < load32(ctx + BUFFER) + _FRAME_STRUCT or moved > data:
        return _EINVAL
    if (data - moved) & 3 != 0 or data - moved > _LONGEST_META:
        return _EACCES
    _bounds(ctx, moved, data, load32(ctx + _DATA_END))
    return 0


def buff_len(ctx: u64) -> u64:
    return load32(ctx + _DATA_END) - load32(ctx + _DATA)


def _place(ctx: u64, offset: u64, size: u64) -> i64:
    """Where bytes of the packet stand, or a negative errno."""
    if offset > 0xFFFF or size > 0xFFFF:
        return _EFAULT
    if offset + size > buff_len(ctx):
        return _EINVAL
    return load32(ctx + _DATA) + offset


def load_bytes(ctx: u64, offset: u64, to: u64, size: u64) -> i64:
    at = _place(ctx, offset & _HALF, size & _HALF)
    if at < 0:
        return at
    copy(to, at, size & _HALF)
    return 0


def store_bytes(ctx: u64, offset: u64, source: u64, size: u64) -> i64:
    at = _place(ctx, offset & _HALF, size & _HALF)
    if at < 0:
        return at
    copy(at, source, size & _HALF)
    return 0
