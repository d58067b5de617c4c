"""Packets one after another through one laid-out context, in the dialect: the loop over a capture is compiled code.

A stage's context has, behind what programs see, the buffer's first byte and the one behind its last (`BUFFER`).
"""
from __future__ import annotations

from bpfwright.spec.memory import copy, fill, load32, load64, store32, store64
from bpfwright.spec.page import CHECKED
from bpfwright.spec.shadow import grant, revoke
from bpfwright.types import u64

__all__ = ["BUFFER", "HEADROOM", "KINDS", "LONGEST", "capture_walk", "flow_collect", "flow_lay_out", "skb_collect",
           "skb_lay_out", "xdp_collect", "xdp_lay_out"]

BUFFER, HEADROOM = 192, 256
LONGEST = 65535  # bytes of a packet that is run
_SKIPPED = 208  # bytes in front of what the program sees: the Ethernet header, for sockets and cgroups
_SHORTEST = 14  # bytes of a packet that is run
_DATA, _DATA_END, _DATA_META = 0, 4, 8  # struct xdp_md
_LEN, _PROTOCOL, _SKB_DATA, _SKB_END, _SKB_META = 0, 16, 76, 80, 140  # struct __sk_buff
_FLOW_KEYS, _FLOW_KEYS_SIZE, _FLOW_PROTOCOL, _ETHERNET = 144, 56, 10, 14  # struct bpf_flow_keys
KINDS = {6: "xdp", 1: "skb", 3: "skb", 4: "skb", 8: "skb", 22: "flow"}
"""Programs (bpf_prog_type) that packets are driven through, and whose functions lay them out."""


def xdp_lay_out(ctx: u64, source: u64, size: u64) -> None:
    start = load32(ctx + BUFFER) + HEADROOM
    if load32(CHECKED) != 0:
        meta = load32(ctx + _DATA_META)
        revoke(meta, load32(ctx + _DATA_END) - meta)
        grant(start, size)
    copy(start, source, size)
    store32(ctx + _DATA, start)
    store32(ctx + _DATA_END, start + size)
    store32(ctx + _DATA_META, start)


def xdp_collect(ctx: u64, out: u64) -> u64:
    """Copy the packet as it is now behind its length; where the next one goes."""
    data = load32(ctx + _DATA)
    size = load32(ctx + _DATA_END) - data
    store32(out, size)
    copy(out + 4, data, size)
    return out + 4 + size


def skb_lay_out(ctx: u64, source: u64, size: u64) -> None:
    start = load32(ctx + BUFFER) + HEADROOM
    if load32(CHECKED) != 0:
        data = load32(ctx + _SKB_DATA)
        revoke(data, load32(ctx + _SKB_END) - data)
        grant(start + load32(ctx + _SKIPPED), size - load32(ctx + _SKIPPED))
    copy(start, source, size)
    skipped = load32(ctx + _SKIPPED)
    store32(ctx + _LEN, size - skipped)
    store32(ctx + _PROTOCOL, load32(start + 12) & 0xFFFF)
    store32(ctx + _SKB_DATA, start + skipped)
    store32(ctx + _SKB_END, start + size)
    store32(ctx + _SKB_META, start + skipped)


def skb_collect(ctx: u64, out: u64) -> u64:
    data = load32(ctx + _SKB_DATA) - load32(ctx + _SKIPPED)
    size = load32(ctx + _SKB_END) - data
    store32(out, size)
    copy(out + 4, data, size)
    return out + 4 + size


def flow_lay_out(ctx: u64, source: u64, size: u64) -> None:
    start = load32(ctx + BUFFER)
    if load32(CHECKED) != 0:
        revoke(start, load32(ctx + _SKB_END) - start)
        grant(start, size)
    copy(start, source, size)
    protocol = load32(start + 12) & 0xFFFF
    keys = load64(ctx + _FLOW_KEYS)
    fill(keys, 0, _FLOW_KEYS_SIZE)
    store32(keys, _ETHERNET << 16 | _ETHERNET)  # where the network and the transport header begin
    store32(keys + _FLOW_PROTOCOL, protocol)
    store32(ctx + _PROTOCOL, protocol)
    store32(ctx + _SKB_DATA, start)
    store32(ctx + _SKB_END, start + size)


def flow_collect(ctx: u64, out: u64) -> u64:
    """Flow dissectors leave packets as they are."""
    data = load32(ctx + _SKB_DATA)
    size = load32(ctx + _SKB_END) - data
    store32(out, size)
    copy(out + 4, data, size)
    return out + 4 + size


def _word(at: u64, swapped: u64) -> u64:
    value = load32(at)
    if swapped != 0:
        value = (value >> 24) | ((value >> 8) & 0xFF00) | ((value & 0xFF00) << 8) | ((value & 0xFF) << 24)
    return value & 0xFFFFFFFF


def capture_walk(state: u64, table: u64, most: u64) -> u64:
    """Find the next packets of a capture: (address, bytes) of each into `table`; how many, 0 at the end.

    `state`: where to go on (8 bytes), the end (8 bytes), whether bytes are swapped and whether it is pcapng (4 each).
    What is damaged, or longer than LONGEST, sets the place to 0.
    """
    at: u64 = load64(state)
    end = load64(state + 8)
    swapped = load32(state + 16)
    blocks = load32(state + 20)
    count: u64 = 0
    while count < most and at + 12 <= end:
        if blocks == 0:
            kept = _word(at + 8, swapped)
            if at + 16 + kept > end or kept > LONGEST:
                store64(state, 0)
                return count
            store32(table + 8 * count, at + 16)
            store32(table + 8 * count + 4, kept if kept >= _SHORTEST else 0)
            count = count + 1
            at = at + 16 + kept
        else:
            kind = _word(at, swapped)
            size = _word(at + 4, swapped)
            if size < 12 or size & 3 != 0 or at + size > end:
                store64(state, 0)
                return count
            if kind == 6 or kind == 2:
                kept = _word(at + 20, swapped)
                if 28 + kept + 4 > size or kept > LONGEST:
                    store64(state, 0)
                    return count
                store32(table + 8 * count, at + 28)
                store32(table + 8 * count + 4, kept if kept >= _SHORTEST else 0)
                count = count + 1
            elif kind == 3:
                whole = _word(at + 8, swapped)
                kept = size - 16 if whole > size - 16 else whole
                if kept > LONGEST:
                    store64(state, 0)
                    return count
                store32(table + 8 * count, at + 12)
                store32(table + 8 * count + 4, kept if kept >= _SHORTEST else 0)
                count = count + 1
            at = at + size
    store64(state, at)
    return count
