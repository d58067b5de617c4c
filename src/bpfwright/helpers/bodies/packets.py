"""Packets of socket buffers: bytes read and written, room made and taken (net/core/filter.c, net/core/skbuff.c).

Behind a packet program's context stand words of the machine's own: where the buffer begins and ends, and the packet's
MAC and network headers.
"""
from __future__ import annotations

from bpfwright.spec.hashing import hash_of
from bpfwright.spec.memory import copy, fill, load8, load16, load32, store16, store32
from bpfwright.spec.page import PROGRAM
from bpfwright.spec.shadow import grant, revoke
from bpfwright.types import i64, u64

__all__ = ["BUFFER", "BUFFER_END", "DATA", "DATA_END", "MAC", "NETWORK", "adjust_room", "change_head", "change_proto",
           "change_tail", "change_type", "csum_level", "csum_update", "hash_recalc", "load_bytes",
           "load_bytes_relative", "packet_load", "pull_data", "set_hash", "set_hash_invalid", "store_bytes", "vlan_pop",
           "vlan_push"]

DATA, DATA_END = 76, 80  # struct __sk_buff
_LEN, _PKT_TYPE, _PROTOCOL, _VLAN_PRESENT, _VLAN_TCI, _VLAN_PROTO, _HASH, _META = 0, 4, 16, 20, 24, 28, 68, 140
BUFFER, BUFFER_END, MAC, NETWORK = 192, 196, 200, 204
_EACCES, _EFAULT, _ENOMEM, _EINVAL, _ENOTSUPP = -13, -14, -12, -22, -524
_IP, _IPV6, _VLAN, _STACKED = 0x0008, 0xDD86, 0x0081, 0xA888  # EtherTypes, in network order
_IP_SIZE, _IPV6_SIZE, _LONGEST = 20, 40, 65550
_HALF = 0xFFFFFFFF
_FLOW_DISSECTOR = 22  # bpf_prog_type
_FROM_NETWORK, _FROM_MAC = 0xFFF00000, 0xFFE00000  # 32-bit words of negative offsets


def packet_load(ctx: u64, offset: u64, size: u64) -> i64:
    """Up to four bytes of the packet as a number in network order, for classic BPF's loads; -1 where there are none.

    Offsets below zero count from the network or the MAC header (SKF_NET_OFF, SKF_LL_OFF of linux/filter.h).
    """
    distance: u64 = offset & _HALF
    at: u64 = load32(ctx + DATA) + distance
    if distance >= _FROM_NETWORK:
        at = load32(ctx + NETWORK) + distance - _FROM_NETWORK
    elif distance >= _FROM_MAC:
        at = load32(ctx + MAC) + distance - _FROM_MAC
    if at < load32(ctx + BUFFER) or at + size > load32(ctx + DATA_END):
        return -1
    value: u64 = 0
    for index in range(size):
        value = value << 8 | load8(at + index)
    return value & _HALF


def load_bytes(ctx: u64, offset: u64, to: u64, size: u64) -> i64:
    at, count = offset & _HALF, size & _HALF
    data = load32(ctx + DATA)
    # A flow dissector that is run on bytes has no socket buffer (bpf_flow_dissector_load_bytes()).
    if at + count > load32(ctx + DATA_END) - data or load32(PROGRAM) == _FLOW_DISSECTOR:
        fill(to, 0, count)
        return _EFAULT
    copy(to, data + at, count)
    return 0


def load_bytes_relative(ctx: u64, offset: u64, to: u64, size: u64, header: u64) -> i64:
    """From the MAC header (0) or the network header (1) on."""
    at, count = offset & _HALF, size & _HALF
    start: u64 = load32(ctx + MAC)
    if header & _HALF == 1:
        start = load32(ctx + NETWORK)
    end = load32(ctx + DATA_END)
    if at > 0xFFFF or header & _HALF > 1 or start == 0 or start + at + count > end:
        fill(to, 0, count)
        return _EFAULT
    copy(to, start + at, count)
    return 0


def store_bytes(ctx: u64, offset: u64, source: u64, size: u64, flags: u64) -> i64:
    at, count = offset & _HALF, size & _HALF
    if flags > 3:
        return _EINVAL
    data = load32(ctx + DATA)
    if at > 0x7FFFFFFF or at + count > load32(ctx + DATA_END) - data:
        return _EFAULT
    copy(data + at, source, count)
    if flags & 2 != 0:
        store32(ctx + _HASH, 0)
    return 0


def pull_data(ctx: u64, size: u64) -> i64:
    """All of it is linear already."""
    if size & _HALF > load32(ctx + DATA_END) - load32(ctx + DATA):
        return _ENOMEM
    return 0


def _bounds(ctx: u64, start: u64, end: u64) -> None:
    """The packet lies from here to there now."""
    data = load32(ctx + DATA)
    revoke(data, load32(ctx + DATA_END) - data)
    grant(start, end - start)
    store32(ctx + DATA, start)
    store32(ctx + _META, start)
    store32(ctx + DATA_END, end)
    store32(ctx + _LEN, end - start)


def _down(to: u64, source: u64, size: u64) -> None:
    """Move bytes to a lower address, over themselves."""
    for index in range(size):
        fill(to + index, load8(source + index), 1)


def _up(to: u64, source: u64, size: u64) -> None:
    """Move bytes to a higher address, over themselves."""
    for index in range(size):
        fill(to + size - 1 - index, load8(source + size - 1 - index), 1)


def _insert(ctx: u64, offset: u64, size: u64) -> i64:
    """bpf_skb_generic_push(): zeros behind the first bytes, which move to the front."""
    data = load32(ctx + DATA)
    start = data - size
    if start < load32(ctx + BUFFER):
        return _ENOMEM
    _down(start, data, offset)
    fill(start + offset, 0, size)
    _bounds(ctx, start, load32(ctx + DATA_END))
    return 0


def _cut(ctx: u64, offset: u64, size: u64) -> i64:
    """bpf_skb_generic_pop(): the bytes behind the first ones go."""
    data = load32(ctx + DATA)
    if data + offset + size > load32(ctx + DATA_END):
        return _ENOMEM
    _up(data + size, data, offset)
    _bounds(ctx, data + size, load32(ctx + DATA_END))
    return 0


def change_tail(ctx: u64, size: u64, flags: u64) -> i64:
    length = size & _HALF
    data, end = load32(ctx + DATA), load32(ctx + DATA_END)
    if flags != 0 or length > _LONGEST or data + length < load32(ctx + NETWORK):
        return _EINVAL
    if data + length > load32(ctx + BUFFER_END):
        return _ENOMEM
    if data + length > end:
        fill(end, 0, data + length - end)
    _bounds(ctx, data, data + length)
    return 0


def change_head(ctx: u64, size: u64, flags: u64) -> i64:
    """Zeros in front, which are the MAC header then."""
    room = size & _HALF
    data, end = load32(ctx + DATA), load32(ctx + DATA_END)
    if flags != 0 or room > _LONGEST - (end - data):
        return _EINVAL
    code = _insert(ctx, 0, room)
    if code == 0:
        store32(ctx + MAC, load32(ctx + DATA))
    return code


def change_type(ctx: u64, kind: u64) -> i64:
    if kind & _HALF > 3 or load32(ctx + _PKT_TYPE) > 3:
        return _EINVAL
    store32(ctx + _PKT_TYPE, kind)
    return 0


def _mac_size(ctx: u64) -> u64:
    data, network = load32(ctx + DATA), load32(ctx + NETWORK)
    if network < data:
        return 0
    return network - data


def change_proto(ctx: u64, protocol: u64, flags: u64) -> i64:
    """IPv4's header becomes as long as IPv6's, or the other way round; what is in it is the program's affair."""
    wanted, known = protocol & 0xFFFF, load32(ctx + _PROTOCOL)
    front = _mac_size(ctx)
    if flags != 0:
        return _EINVAL
    code: i64 = _ENOTSUPP
    if known == _IP and wanted == _IPV6:
        code = _insert(ctx, front, _IPV6_SIZE - _IP_SIZE)
    elif known == _IPV6 and wanted == _IP:
        code = _cut(ctx, front, _IPV6_SIZE - _IP_SIZE)
    if code == 0:
        store32(ctx + _PROTOCOL, wanted)
        store32(ctx + NETWORK, load32(ctx + DATA) + front)
        store32(ctx + MAC, load32(ctx + DATA))
    return code


def adjust_room(ctx: u64, delta: u64, mode: u64, flags: u64) -> i64:
    """Room behind the MAC header (mode 1) or behind the network header (mode 0), made or taken."""
    change = delta & _HALF
    shrinks = change > 0x7FFFFFFF
    size: u64 = change
    if shrinks:
        size = 0x100000000 - change
    known = load32(ctx + _PROTOCOL)
    if flags & 0xFFFFFFFFFFFF0000 != 0 or flags & 0xFE00 != 0:
        return _EINVAL
    if size > 0xFFF:
        return _EFAULT
    if mode & _HALF > 1 or (known != _IP and known != _IPV6):
        return _ENOTSUPP
    front = _mac_size(ctx)
    network: u64 = _IP_SIZE
    if known == _IPV6:
        network = _IPV6_SIZE
    offset = front
    if mode & _HALF == 0:
        offset = front + network
    held = load32(ctx + DATA_END) - load32(ctx + DATA) - front
    code: i64 = 0
    if shrinks:
        if size >= held or held - size < network:
            return _ENOTSUPP
        code = _cut(ctx, offset, size)
    else:
        if held + front + size > _LONGEST:
            return _ENOTSUPP
        code = _insert(ctx, offset, size)
    if code == 0:
        store32(ctx + MAC, load32(ctx + DATA))
        store32(ctx + NETWORK, load32(ctx + DATA) + front)
    return code


def vlan_push(ctx: u64, protocol: u64, tag: u64) -> i64:
    """The tag stands beside the packet; one that stood there before goes into it."""
    kind: u64 = protocol & 0xFFFF
    if kind != _VLAN and kind != _STACKED:
        kind = _VLAN
    if load32(ctx + _VLAN_PRESENT) != 0:
        code = _insert(ctx, 12, 4)
        if code != 0:
            return code
        data = load32(ctx + DATA)
        before = load32(ctx + _VLAN_TCI)
        store16(data + 12, load32(ctx + _VLAN_PROTO))
        store16(data + 14, (before >> 8 & 255) | (before & 255) << 8)
        store32(ctx + _PROTOCOL, load32(ctx + _VLAN_PROTO))
        store32(ctx + MAC, data)
    store32(ctx + _VLAN_PRESENT, 1)
    store32(ctx + _VLAN_TCI, tag & 0xFFFF)
    store32(ctx + _VLAN_PROTO, kind)
    return 0


def _take_tag(ctx: u64) -> u64:
    """A tag out of the packet's bytes."""
    data = load32(ctx + DATA)
    tag = load8(data + 14) << 8 | load8(data + 15)
    _cut(ctx, 12, 4)
    store32(ctx + MAC, load32(ctx + DATA))
    store32(ctx + _PROTOCOL, load16(load32(ctx + DATA) + 12))
    return tag


def vlan_pop(ctx: u64) -> i64:
    """Take the tag off; the next one in the packet's bytes then stands beside it."""
    known: u64 = load32(ctx + _PROTOCOL)
    if load32(ctx + _VLAN_PRESENT) != 0:
        store32(ctx + _VLAN_PRESENT, 0)
        store32(ctx + _VLAN_TCI, 0)
        store32(ctx + _VLAN_PROTO, 0)
    else:
        if known != _VLAN and known != _STACKED:
            return 0
        if load32(ctx + DATA_END) - load32(ctx + DATA) < 18:
            return _ENOMEM
        _take_tag(ctx)
    known = load32(ctx + _PROTOCOL)
    if known in (_VLAN, _STACKED):
        if load32(ctx + DATA_END) - load32(ctx + DATA) < 18:
            return _ENOMEM
        tag = _take_tag(ctx)
        store32(ctx + _VLAN_PRESENT, 1)
        store32(ctx + _VLAN_TCI, tag)
        store32(ctx + _VLAN_PROTO, known)
    return 0


def set_hash(ctx: u64, value: u64) -> i64:
    store32(ctx + _HASH, value)
    return 0


def set_hash_invalid(ctx: u64) -> i64:
    store32(ctx + _HASH, 0)
    return 0


def hash_recalc(ctx: u64) -> u64:
    """A hash of the packet's first bytes where none is known. The kernel's has a secret key: only equality means
    something."""
    if load32(ctx + _HASH) == 0:
        data, end = load32(ctx + DATA), load32(ctx + DATA_END)
        store32(ctx + _HASH, hash_of(data, min(end - data, 64) & _HALF))
    return load32(ctx + _HASH)


def csum_level(ctx: u64, level: u64) -> i64:
    """Nothing has checked the packet's sum here."""
    if level > 3:
        return _EINVAL
    if level == 0:
        return _EACCES
    return 0


def csum_update(ctx: u64, value: u64) -> i64:
    return _ENOTSUPP
