"""What all hash tables share: chains of entries that never move (kernel/bpf/hashtab.c).

Behind the header: a power of two of chain heads (4 bytes each), then entries: next, hash, key, value, each part at a
multiple of 8 bytes. The hash of an entry that is in use has bit 30 set; bit 31 says that it was used lately (LRU).
Entries that were given back are a list; those never used lie behind `FRESH`, and become a program's own at first use.
"""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, COUNT, E2BIG, EEXIST, EINVAL, ENOENT, KEY_SIZE, MAX_ENTRIES, OWN, STRIDE
from bpfwright.spec.hashing import USED, hash_of
from bpfwright.spec.memory import copy, fill, load8, load32, store32
from bpfwright.spec.shadow import grant
from bpfwright.types import i64, u32, u64

__all__ = ["EXIST", "HASH", "KEY", "LOCK", "NOEXIST", "RECENT", "VALUE_AT", "after", "entry_at", "entry_room",
           "evict", "find", "found", "hash_of", "lay_out", "link", "next_of", "place", "take", "unlink"]

NOEXIST, EXIST, LOCK = 1, 2, 4
MASK, FREE, ENTRIES, VALUE_AT, FRESH, HAND = OWN, OWN + 4, OWN + 8, OWN + 12, OWN + 16, OWN + 20
_NEXT, HASH, KEY = 0, 4, 8
RECENT, _CODE = USED << 1, (USED << 1) - 1


def entry_room(key_size: int, value_room: int, max_entries: int) -> int:
    """Bytes behind the header for values of so many bytes."""
    buckets = 1
    while buckets < max_entries:
        buckets *= 2
    return -(-4 * buckets // 8) * 8 + max_entries * (KEY + -(-key_size // 8) * 8 + -(-value_room // 8) * 8)


def lay_out(m: u64, value_room: u64) -> None:
    """Fill the store's words in."""
    buckets: u64 = 1
    while buckets < load32(m + MAX_ENTRIES):
        buckets = buckets * 2
    value_at = KEY + ((load32(m + KEY_SIZE) + 7) & 0xFFFFFFF8)
    entries = m + BODY + ((4 * buckets + 7) & 0xFFFFFFF8)
    store32(m + MASK, buckets - 1)
    store32(m + ENTRIES, entries)
    store32(m + FRESH, entries)
    store32(m + HAND, entries)
    store32(m + VALUE_AT, value_at)
    store32(m + STRIDE, value_at + ((value_room + 7) & 0xFFFFFFF8))


def same(a: u64, b: u64, size: u32) -> bool:
    """Whether two keys are equal: word by word, for most are short and just written (see hash_of)."""
    left: u64 = size
    at: u64 = 0
    while left >= 4:
        if load32(a + at) != load32(b + at):
            return False
        at = at + 4
        left = left - 4
    while left != 0:
        if load8(a + at) != load8(b + at):
            return False
        at = at + 1
        left = left - 1
    return True


def find(m: u64, key: u64, size: u32, code: u32) -> u64:
    """The entry of a key, or 0."""
    entry: u64 = load32(m + BODY + 4 * (code & load32(m + MASK)))
    while entry != 0:
        if (load32(entry + HASH) & _CODE) == code and same(entry + KEY, key, size):
            return entry
        entry = load32(entry + _NEXT)
    return 0


def take(m: u64, value_room: u64) -> u64:
    """A free entry, 0 when there is none."""
    entry: u64 = load32(m + FREE)
    if entry != 0:
        store32(m + FREE, load32(entry + _NEXT))
        return entry
    entry = load32(m + FRESH)
    stride: u64 = load32(m + STRIDE)
    most: u64 = load32(m + MAX_ENTRIES)
    if entry >= load32(m + ENTRIES) + most * stride:
        return 0
    store32(m + FRESH, entry + stride)
    grant(entry + KEY, load32(m + KEY_SIZE))
    grant(entry + load32(m + VALUE_AT), value_room)
    return entry


def link(m: u64, entry: u64, key: u64, size: u32, code: u32) -> None:
    """Put an entry with its key into its chain."""
    copy(entry + KEY, key, size)
    head = m + BODY + 4 * (code & load32(m + MASK))
    store32(entry + HASH, code)
    store32(entry + _NEXT, load32(head))
    store32(head, entry)
    store32(m + COUNT, load32(m + COUNT) + 1)


def place(m: u64, key: u64, flags: u64, value_room: u64, recent: u32, blank: bool) -> i64:
    """The entry for a key's new value: its own, or one that was taken for it; a negative errno where flags or fullness
    forbid it. Tables that evict hand RECENT in, others 0; with `blank` the value of a new entry is zeroed."""
    if flags > EXIST:
        return EINVAL
    size = load32(m + KEY_SIZE)
    code = hash_of(key, size)
    entry: u64 = find(m, key, size, code)
    if entry != 0:
        if flags == NOEXIST:
            return EEXIST
        if recent != 0:
            store32(entry + HASH, code | recent)
        return entry
    if flags == EXIST:
        return ENOENT
    entry = take(m, value_room)
    if entry == 0:
        if recent == 0:
            return E2BIG
        evict(m)
        entry = take(m, value_room)
        if entry == 0:
            return E2BIG
    link(m, entry, key, size, code)
    if blank:
        fill(entry + load32(m + VALUE_AT), 0, value_room)
    return entry


def found(m: u64, key: u64) -> u64:
    """The entry of a key, which was used just now (LRU); 0 when there is none."""
    size = load32(m + KEY_SIZE)
    entry = find(m, key, size, hash_of(key, size))
    if entry != 0:
        code = load32(entry + HASH)
        if code < RECENT:
            store32(entry + HASH, code | RECENT)
    return entry


def unlink(m: u64, entry: u64) -> None:
    """Take an entry out of its chain and give it back."""
    at: u64 = m + BODY + 4 * (load32(entry + HASH) & load32(m + MASK))
    while load32(at) != entry:
        at = load32(at)
    store32(at, load32(entry + _NEXT))
    store32(entry + HASH, 0)
    store32(entry + _NEXT, load32(m + FREE))
    store32(m + FREE, entry)
    store32(m + COUNT, load32(m + COUNT) - 1)


def evict(m: u64) -> None:
    """Where all entries are in use: drop the first from the hand on that was not used since it passed last."""
    stride: u64 = load32(m + STRIDE)
    first: u64 = load32(m + ENTRIES)
    end: u64 = load32(m + FRESH)
    at: u64 = load32(m + HAND)
    while load32(at + HASH) >= RECENT:
        store32(at + HASH, load32(at + HASH) - RECENT)
        at = at + stride
        if at == end:
            at = first
    unlink(m, at)
    at = at + stride
    if at == end:
        at = first
    store32(m + HAND, at)


def after(m: u64, entry: u64) -> u64:
    """The entry in use that follows `entry` (0: the first) where they lie; 0 when there is none."""
    stride: u64 = load32(m + STRIDE)
    end: u64 = load32(m + FRESH)
    at: u64 = load32(m + ENTRIES)
    if entry != 0:
        at = entry + stride
    while at < end:
        if load32(at + HASH) != 0:
            return at
        at = at + stride
    return 0


def entry_at(m: u64, address: u64) -> u64:
    """The entry in use that holds an address; 0 when none does."""
    first: u64 = load32(m + ENTRIES)
    if address < first or address >= load32(m + FRESH):
        return 0
    stride: u64 = max(load32(m + STRIDE), 1)
    entry = first + (address - first) // stride * stride
    if load32(entry + HASH) == 0:
        return 0
    return entry


def next_of(m: u64, key: u64, out: u64) -> i64:
    """The key after `key`, in the order in which entries lie; from the start when it is gone."""
    size = load32(m + KEY_SIZE)
    entry: u64 = 0
    if key != 0:
        entry = find(m, key, size, hash_of(key, size))
    entry = after(m, entry)
    if entry == 0:
        return ENOENT
    copy(out, entry + KEY, size)
    return 0
