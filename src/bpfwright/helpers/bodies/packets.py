"""Packets: their bytes read out, their ends moved (net/core/filter.c).

Behind a packet program's context stand words of the machine's own: where the buffer begins and ends.
"""
from __future__ import annotations

from bpfwright.spec.memory import copy, fill, load8, load32, store32
from bpfwright.spec.shadow import grant, revoke
from bpfwright.types import i64, u64

__all__ = ["BUFFER", "BUFFER_END", "packet_load", "skb_load_bytes", "xdp_adjust_head", "xdp_adjust_tail"]

_DATA, _DATA_END, _DATA_META = 0, 4, 8  # struct xdp_md
_SKB_DATA, _SKB_DATA_END = 76, 80  # struct __sk_buff
BUFFER, BUFFER_END = 192, 196
_ETH_HLEN = 14
_EFAULT, _EINVAL = -14, -22


def xdp_adjust_head(ctx: u64, delta: u64) -> i64:
    """Move the start by a signed number of bytes; metadata in front of it is moved along."""
    data = load32(ctx + _DATA)
    meta = load32(ctx + _DATA_META)
    moved = (data + delta) & 0xFFFFFFFF
    length = data - meta
    if moved < load32(ctx + BUFFER) + 40 + length or moved + _ETH_HLEN > load32(ctx + _DATA_END):
        return _EINVAL
    end = load32(ctx + _DATA_END)
    revoke(meta, end - meta)
    grant(moved, end - moved)
    store32(ctx + _DATA, moved)
    store32(ctx + _DATA_META, moved)
    return 0


def xdp_adjust_tail(ctx: u64, delta: u64) -> i64:
    """Move the end by a signed number of bytes; new ones are zero."""
    end = load32(ctx + _DATA_END)
    moved = (end + delta) & 0xFFFFFFFF
    if moved > load32(ctx + BUFFER_END) or moved < load32(ctx + _DATA) + _ETH_HLEN:
        return _EINVAL
    if moved > end:
        fill(end, 0, moved - end)
    else:
        revoke(moved, end - moved)
    meta = load32(ctx + _DATA_META)
    grant(meta, moved - meta)
    store32(ctx + _DATA_END, moved)
    return 0


def packet_load(ctx: u64, offset: u64, size: u64) -> i64:
    """Up to four bytes of the packet as a number in network order, for classic BPF's loads; -1 behind its end."""
    data = load32(ctx + _SKB_DATA)
    at = (data + offset) & 0xFFFFFFFF
    if at < data or at + size > load32(ctx + _SKB_DATA_END):
        return -1
    value: u64 = 0
    for index in range(size):
        value = value << 8 | load8(at + index)
    return value & 0xFFFFFFFF


def skb_load_bytes(ctx: u64, offset: u64, to: u64, size: u64) -> i64:
    at = offset & 0xFFFFFFFF
    count = size & 0xFFFFFFFF
    data = load32(ctx + _SKB_DATA)
    if at + count > load32(ctx + _SKB_DATA_END) - data:
        fill(to, 0, count)
        return _EFAULT
    copy(to, data + at, count)
    return 0
