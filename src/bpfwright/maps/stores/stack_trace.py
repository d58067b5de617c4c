"""Call stacks by the lower bits of their hash (kernel/bpf/stackmap.c): a place holds the hash, a length and words."""
from __future__ import annotations

from bpfwright.maps.stores._header import BODY, EEXIST, EINVAL, ENOENT, MAX_ENTRIES, OWN, STRIDE, VALUE_SIZE
from bpfwright.spec.hashing import hash_of
from bpfwright.spec.memory import copy, differ, fill, load32, store32
from bpfwright.types import i64, u64

__all__ = ["KINDS", "PRIVATE", "create", "delete", "keep", "lookup", "next_key", "put", "read", "room", "update"]

KINDS = (7,)
PRIVATE = True
_PLACES = OWN
_HASH, _SIZE, _WORDS = 0, 4, 8
_FAST_COMPARE, _REUSE = 1 << 9, 1 << 10


def _places(most: u64) -> u64:
    count: u64 = 1
    while count < most:
        count = count * 2
    return count


def room(key_size: int, value_size: int, max_entries: int, cpus: int, flags: int) -> int:
    return _places(max_entries) * (_WORDS + -(-value_size // 8) * 8)


def create(m: u64) -> None:
    store32(m + _PLACES, _places(load32(m + MAX_ENTRIES)))
    store32(m + STRIDE, _WORDS + ((load32(m + VALUE_SIZE) + 7) & 0xFFFFFFF8))


def put(m: u64, words: u64, size: u64, flags: u64) -> i64:
    """The number of a stack of `size` bytes, which is kept; -EEXIST where another has its place."""
    whole: u64 = size
    if whole > load32(m + VALUE_SIZE):
        whole = load32(m + VALUE_SIZE)
    code = hash_of(words, whole & 0xFFFFFFFF)
    number = code & (load32(m + _PLACES) - 1)
    place = m + BODY + number * load32(m + STRIDE)
    if load32(place + _SIZE) != 0:
        if load32(place + _HASH) == code:
            if flags & _FAST_COMPARE != 0:
                return number
            if load32(place + _SIZE) == whole and not differ(place + _WORDS, words, whole):
                return number
        if flags & _REUSE == 0:
            return EEXIST
    store32(place + _HASH, code)
    store32(place + _SIZE, whole)
    fill(place + _WORDS, 0, load32(m + VALUE_SIZE))
    copy(place + _WORDS, words, whole)
    return number


def keep(m: u64, number: u64, words: u64, size: u64) -> i64:
    """A stack under a number that another machine gave it."""
    if number >= load32(m + _PLACES):
        return EINVAL
    whole: u64 = size
    if whole > load32(m + VALUE_SIZE):
        whole = load32(m + VALUE_SIZE)
    place = m + BODY + number * load32(m + STRIDE)
    store32(place + _HASH, hash_of(words, whole & 0xFFFFFFFF))
    store32(place + _SIZE, whole)
    fill(place + _WORDS, 0, load32(m + VALUE_SIZE))
    copy(place + _WORDS, words, whole)
    return 0


def lookup(m: u64, key: u64) -> u64:
    return 0


def read(m: u64, key: u64, out: u64) -> i64:
    number = load32(key)
    if number >= load32(m + _PLACES):
        return ENOENT
    place = m + BODY + number * load32(m + STRIDE)
    if load32(place + _SIZE) == 0:
        return ENOENT
    copy(out, place + _WORDS, load32(m + VALUE_SIZE))
    return 0


def update(m: u64, key: u64, value: u64, flags: u64) -> i64:
    return EINVAL


def delete(m: u64, key: u64) -> i64:
    number = load32(key)
    if number >= load32(m + _PLACES):
        return 0 - 7
    place = m + BODY + number * load32(m + STRIDE)
    if load32(place + _SIZE) == 0:
        return ENOENT
    store32(place + _SIZE, 0)
    return 0


def next_key(m: u64, key: u64, out: u64) -> i64:
    number: u64 = 0
    if key != 0:
        number = load32(key) + 1
        if number > load32(m + _PLACES):
            number = 0
    while number < load32(m + _PLACES):
        if load32(m + BODY + number * load32(m + STRIDE) + _SIZE) != 0:
            store32(out, number)
            return 0
        number = number + 1
    return ENOENT
