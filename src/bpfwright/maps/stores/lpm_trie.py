"""Longest prefix match: a binary trie whose nodes skip what all below them share (kernel/bpf/lpm_trie.c).

Behind the header stand nodes, then entries. A node is the prefix as words, each with the mask of its bits, as they lie
in the key; then its length, its two children, and the entry's address or 0. An entry is the address of its node (0: it
is free, and the next free one follows), the key as it was given, and the value at a multiple of 8 bytes.
"""
from __future__ import annotations

from bpfwright.maps.stores._header import (BODY, COUNT, EEXIST, EINVAL, ENOENT, ENOSPC, KEY_SIZE, MAX_ENTRIES, OWN,
                                           STRIDE, VALUE_SIZE)
from bpfwright.spec.memory import copy, fill, load8, load32, load64, store32, store64
from bpfwright.spec.shadow import grant
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "each", "key_of", "lookup", "next_key", "room", "update", "value_of"]

KINDS = (11,)
PRIVATE = True
_NOEXIST, _EXIST = 1, 2
_ROOT, _LONGEST, _WORDS, _NODE, _FREE_NODE, _FREE, _FRESH = (OWN, OWN + 4, OWN + 8, OWN + 12, OWN + 16, OWN + 20,
                                                             OWN + 24)
_FRESH_NODE = OWN + 28
_LENGTH, _LEFT, _RIGHT, _ENTRY = 0, 4, 8, 12  # behind a node's words
_KEY = 8  # of an entry
_ALL = 0xFFFFFFFFFFFFFFFF


def _node_size(key_size: u64) -> u64:
    return (((key_size - 4 + 7) >> 3) << 4) + 16


def _entry_size(key_size: u64, value_size: u64) -> u64:
    return _KEY + ((key_size + 7) & 0xFFFFFFF8) + ((value_size + 7) & 0xFFFFFFF8)


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return max_entries * (2 * _node_size(key_size) + _entry_size(key_size, value_size))


def create(m: u64) -> None:
    size = load32(m + KEY_SIZE)
    most: u64 = load32(m + MAX_ENTRIES)
    node = _node_size(size)
    store32(m + _LONGEST, (size - 4) * 8)
    store32(m + _WORDS, (size - 4 + 7) >> 3)
    store32(m + _NODE, node)
    store32(m + STRIDE, _entry_size(size, load32(m + VALUE_SIZE)))
    store32(m + _FRESH_NODE, m + BODY)
    store32(m + _FRESH, m + BODY + 2 * most * node)


def _first_entry(m: u64) -> u64:
    most: u64 = load32(m + MAX_ENTRIES)
    return m + BODY + 2 * most * load32(m + _NODE)


def _bit(key: u64, index: u64) -> u64:
    """A bit of the key's address, the most significant of its first byte first."""
    return (load8(key + 4 + (index >> 3)) >> (7 - (index & 7))) & 1


def _value_at(m: u64) -> u64:
    return _KEY + ((load32(m + KEY_SIZE) + 7) & 0xFFFFFFF8)


def lookup(m: u64, key: u64) -> u64:
    length: u64 = load32(key)
    if length > load32(m + _LONGEST):
        return 0
    node: u64 = load32(m + _ROOT)
    found: u64 = 0
    if load32(m + _WORDS) == 1:
        word = load64(key + 4)
        while node != 0:
            if (word ^ load64(node)) & load64(node + 8) != 0:
                break
            here: u64 = load32(node + 16 + _LENGTH)
            if here > length:
                break
            entry: u64 = load32(node + 16 + _ENTRY)
            if entry != 0:
                found = entry
            if here == length:
                break
            node = load32(node + 16 + _LEFT + 4 * _bit(key, here))
    else:
        tail: u64 = 16 * load32(m + _WORDS)
        while node != 0:
            at: u64 = 0
            while at < tail and (load64(key + 4 + (at >> 1)) ^ load64(node + at)) & load64(node + at + 8) == 0:
                at = at + 16
            if at < tail:
                break
            reach: u64 = load32(node + tail + _LENGTH)
            if reach > length:
                break
            held: u64 = load32(node + tail + _ENTRY)
            if held != 0:
                found = held
            if reach == length:
                break
            node = load32(node + tail + _LEFT + 4 * _bit(key, reach))
    if found == 0:
        return 0
    return found + _value_at(m)


def _shared(m: u64, key: u64, node: u64, tail: u64, limit: u64) -> u64:
    """How many bits of the key, up to a limit, are the node's."""
    count: u64 = 0
    while count < limit:
        word = count >> 6
        differs = load64(key + 4 + 8 * word) ^ load64(node + 16 * word)
        if differs == 0:
            count = (word + 1) << 6
        else:
            byte: u64 = 0
            while (differs >> (8 * byte)) & 255 == 0:
                byte = byte + 1
            bits = (differs >> (8 * byte)) & 255
            count = (word << 6) + 8 * byte
            while bits < 128:
                bits = bits << 1
                count = count + 1
            if count > limit:
                return limit
            return count
    return limit


def _new_node(m: u64, key: u64, length: u64) -> u64:
    """A node of the key's first bits. There is always one: nodes are at most twice the entries."""
    size: u64 = load32(m + _NODE)
    node: u64 = load32(m + _FREE_NODE)
    if node != 0:
        store32(m + _FREE_NODE, load32(node))
    else:
        node = load32(m + _FRESH_NODE)
        store32(m + _FRESH_NODE, node + size)
    fill(node, 0, size)
    words: u64 = load32(m + _WORDS)
    bytes: u64 = load32(m + KEY_SIZE) - 4
    for index in range(words):
        left: u64 = 0
        if length > 64 * index:
            left = length - 64 * index
        if left > 64:
            left = 64
        mask: u64 = 0
        for byte in range(8):
            if left >= 8:
                mask = mask | (255 << (8 * byte))
                left = left - 8
            elif left > 0:
                mask = mask | (((255 << (8 - left)) & 255) << (8 * byte))
                left = 0
        store64(node + 16 * index + 8, mask)
    for at in range(bytes):
        place = node + 16 * (at >> 3)
        store64(place, load64(place) | (load8(key + 4 + at) << (8 * (at & 7))))
    for index in range(words):
        place = node + 16 * index
        store64(place, load64(place) & load64(place + 8))
    store32(node + 16 * words + _LENGTH, length)
    return node


def _new_entry(m: u64, node: u64, tail: u64) -> u64:
    entry: u64 = load32(m + _FREE)
    if entry != 0:
        store32(m + _FREE, load32(entry + 4))
    else:
        entry = load32(m + _FRESH)
        store32(m + _FRESH, entry + load32(m + STRIDE))
        grant(entry + _KEY, load32(m + KEY_SIZE))
        grant(entry + _value_at(m), load32(m + VALUE_SIZE))
    store32(entry, node)
    store32(node + tail + _ENTRY, entry)
    store32(m + COUNT, load32(m + COUNT) + 1)
    return entry


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    length: u64 = load32(key)
    if flags > _EXIST or length > load32(m + _LONGEST):
        return EINVAL
    tail: u64 = 16 * load32(m + _WORDS)
    link: u64 = m + _ROOT
    node: u64 = load32(link)
    reach: u64 = 0
    same: u64 = 0
    while node != 0:
        reach = load32(node + tail + _LENGTH)
        same = reach
        if same > length:
            same = length
        same = _shared(m, key, node, tail, same)
        if same < reach or reach == length:
            break
        link = node + tail + _LEFT + 4 * _bit(key, reach)
        node = load32(link)
    entry: u64 = 0
    if node != 0 and same == reach:  # the very prefix
        entry = load32(node + tail + _ENTRY)
    if entry != 0:
        if flags == _NOEXIST:
            return EEXIST
    else:
        if flags == _EXIST:
            return ENOENT
        if load32(m + COUNT) == load32(m + MAX_ENTRIES):
            return ENOSPC
        if node == 0 or same < reach:
            fresh = _new_node(m, key, length)
            if node != 0:
                over: u64 = fresh
                if same < length:
                    over = _new_node(m, key, same)
                    store32(over + tail + _LEFT + 4 * _bit(key, same), fresh)
                    store32(over + tail + _LEFT + 4 * (1 - _bit(key, same)), node)
                else:
                    byte = load8(node + 16 * (same >> 6) + ((same >> 3) & 7))
                    store32(over + tail + _LEFT + 4 * ((byte >> (7 - (same & 7))) & 1), node)
                store32(link, over)
            else:
                store32(link, fresh)
            node = fresh
        entry = _new_entry(m, node, tail)
    copy(entry + _KEY, key, load32(m + KEY_SIZE))
    copy(entry + _value_at(m), value, load32(m + VALUE_SIZE))
    return 0


def _exact(m: u64, key: u64) -> u64:
    """The entry of the very prefix, or 0."""
    length: u64 = load32(key)
    tail: u64 = 16 * load32(m + _WORDS)
    node: u64 = load32(m + _ROOT)
    while node != 0:
        reach: u64 = load32(node + tail + _LENGTH)
        if reach > length or _shared(m, key, node, tail, reach) < reach:
            return 0
        if reach == length:
            return load32(node + tail + _ENTRY)
        node = load32(node + tail + _LEFT + 4 * _bit(key, reach))
    return 0


def _give_back(m: u64, node: u64) -> None:
    store32(node, load32(m + _FREE_NODE))
    store32(m + _FREE_NODE, node)


def delete(m: u64, key: u64) -> i64:
    length: u64 = load32(key)
    if length > load32(m + _LONGEST):
        return EINVAL
    entry = _exact(m, key)
    if entry == 0:
        return ENOENT
    tail: u64 = 16 * load32(m + _WORDS)
    node: u64 = load32(entry)
    above: u64 = 0  # the link to the node's parent
    link: u64 = m + _ROOT
    parent: u64 = 0
    while load32(link) != node:
        above = link
        parent = load32(link)
        link = parent + tail + _LEFT + 4 * _bit(key, load32(parent + tail + _LENGTH))
    store32(node + tail + _ENTRY, 0)
    store32(entry, 0)
    store32(entry + 4, load32(m + _FREE))
    store32(m + _FREE, entry)
    store32(m + COUNT, load32(m + COUNT) - 1)
    left: u64 = load32(node + tail + _LEFT)
    right: u64 = load32(node + tail + _RIGHT)
    if left != 0 and right != 0:
        return 0
    store32(link, left | right)
    _give_back(m, node)
    if left == 0 and right == 0 and parent != 0 and load32(parent + tail + _ENTRY) == 0:
        store32(above, load32(parent + tail + _LEFT) | load32(parent + tail + _RIGHT))
        _give_back(m, parent)
    return 0


def _after(m: u64, entry: u64) -> u64:
    stride: u64 = load32(m + STRIDE)
    end: u64 = load32(m + _FRESH)
    at: u64 = _first_entry(m)
    if entry != 0:
        at = entry + stride
    while at < end:
        if load32(at) != 0:
            return at
        at = at + stride
    return 0


def next_key(m: u64, key: u64, out: u64) -> i64:
    entry: u64 = 0
    if key != 0 and load32(key) <= load32(m + _LONGEST):
        entry = _exact(m, key)
    entry = _after(m, entry)
    if entry == 0:
        return ENOENT
    copy(out, entry + _KEY, load32(m + KEY_SIZE))
    return 0


def each(m: u64, cursor: u64) -> u64:
    return _after(m, cursor)


def key_of(m: u64, cursor: u64) -> u64:
    return cursor + _KEY


def value_of(m: u64, cursor: u64) -> u64:
    return cursor + _value_at(m)
