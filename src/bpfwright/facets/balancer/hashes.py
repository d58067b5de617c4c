"""The hash functions that a Katran-compatible choice is made of, as numbers of Python.

Each is public: Linux's jhash (include/linux/jhash.h, Bob Jenkins's lookup3), FNV-1, SpookyHash V2 for up to 32 bytes,
MurmurHash3 x64, and the 64-bit mixing step of folly's and CityHash's hash_128_to_64.
"""
from __future__ import annotations

from struct import unpack

__all__ = ["address_hash", "flow_hash", "jhash", "jhash_2words", "murmur3_two", "spooky_short"]

_M32, _M64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
_JHASH_INITVAL = 0xDEADBEEF
_MIX = 0x9DDFEA08EB382D69
_FNV_OFFSET, _FNV_PRIME = 2166136261, 16777619
_SPOOKY = 0xDEADBEEFDEADBEEF
_SHORT_MIX = (50, 52, 30, 41, 54, 48, 38, 37, 62, 34, 5, 36)
_SHORT_END = (15, 52, 26, 51, 28, 9, 47, 54, 32, 25, 63)
_IPV4, _IPV6 = 2, 10


def _rotated32(word: int, by: int) -> int:
    return (word << by | word >> 32 - by) & _M32


def _rotated64(word: int, by: int) -> int:
    return (word << by | word >> 64 - by) & _M64


def _jhash_mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a = (a - c & _M32) ^ _rotated32(c, by)
        c = c + b & _M32
        a, b, c = b, c, a
    return a, b, c


def _jhash_final(a: int, b: int, c: int) -> int:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _rotated32(b, by) & _M32
        a, b, c = b, c, a
    return b


def jhash(data: bytes, seed: int) -> int:
    """Linux's jhash of bytes."""
    a = b = c = _JHASH_INITVAL + len(data) + seed & _M32
    at = 0
    while len(data) - at > 12:
        words = unpack("<3I", data[at:at + 12])
        a, b, c = _jhash_mix(*((have + word) & _M32 for have, word in zip((a, b, c), words, strict=True)))
        at += 12
    if at == len(data):
        return c
    words = unpack("<3I", data[at:].ljust(12, b"\0"))
    return _jhash_final(*((have + word) & _M32 for have, word in zip((a, b, c), words, strict=True)))


def jhash_2words(a: int, b: int, seed: int) -> int:
    """Linux's jhash of two words."""
    start = _JHASH_INITVAL + 8 + seed & _M32
    return _jhash_final(a + start & _M32, b + start & _M32, start)


def flow_hash(source: bytes, ports: int, *, vips: int = 512, ring: int = 65537) -> int:
    """The hash of a flow: its source address (4 or 16 bytes of the packet), and its ports as the four bytes of the
    packet read as a little-endian word. How many VIPs there can be and how large a ring is are its seeds."""
    if len(source) == 4:
        return jhash_2words(int.from_bytes(source, "little"), ports, vips * ring)
    return jhash_2words(jhash(source, vips), ports, vips * ring)


def murmur3_two(first: int, second: int, seed: int) -> int:
    """The first 64 bits of MurmurHash3 x64 128 over two 64-bit words."""
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = seed
    h1 ^= _rotated64(first * c1 & _M64, 31) * c2 & _M64
    h1 = (_rotated64(h1, 27) + h2) * 5 + 0x52DCE729 & _M64
    h2 ^= _rotated64(second * c2 & _M64, 33) * c1 & _M64
    h2 = (_rotated64(h2, 31) + h1) * 5 + 0x38495AB5 & _M64
    h1, h2 = h1 ^ 16, h2 ^ 16
    h1 = h1 + h2 & _M64
    h2 = h2 + h1 & _M64
    return _murmur_final(h1) + _murmur_final(h2) & _M64


def _murmur_final(word: int) -> int:
    word = (word ^ word >> 33) * 0xFF51AFD7ED558CCD & _M64
    word = (word ^ word >> 33) * 0xC4CEB9FE1A85EC53 & _M64
    return word ^ word >> 33


def spooky_short(data: bytes) -> tuple[int, int]:
    """SpookyHash V2 128 of 16 bytes, both seeds 0."""
    c, d = ((_SPOOKY + word) & _M64 for word in unpack("<2Q", data))
    h = [0, 0, c, d]
    at = 2
    for by in _SHORT_MIX:  # turns through h2, h3, h0, h1
        h[at] = _rotated64(h[at], by) + h[(at + 1) % 4] & _M64
        h[(at + 2) % 4] ^= h[at]
        at = (at + 1) % 4
    h[3] = h[3] + (len(data) << 56) & _M64
    h[2], h[3] = h[2] + _SPOOKY & _M64, h[3] + _SPOOKY & _M64
    at = 3
    for by in _SHORT_END:  # turns through h3, h0, h1, h2
        before = (at - 1) % 4
        h[at] ^= h[before]
        h[before] = _rotated64(h[before], by)
        h[at] = h[at] + h[before] & _M64
        at = (at + 1) % 4
    return h[0], h[1]


def _mixed(upper: int, lower: int) -> int:
    a = (lower ^ upper) * _MIX & _M64
    a ^= a >> 47
    b = (upper ^ a) * _MIX & _M64
    return (b ^ b >> 47) * _MIX & _M64


def address_hash(address: bytes) -> int:
    """The hash of a backend's address, 4 or 16 bytes in network order; an IPv4 address written as IPv6 is one."""
    if len(address) == 16 and address[:12] == bytes(10) + b"\xff\xff":
        address = address[12:]
    if len(address) == 4:
        found = _FNV_OFFSET
        for byte in address:
            found = found * _FNV_PRIME & _M32 ^ (byte if byte < 128 else byte | 0xFFFFFF00)  # a signed char there
        return _mixed(_IPV4, found)
    return _mixed(_IPV6, _mixed(*spooky_short(address)))
