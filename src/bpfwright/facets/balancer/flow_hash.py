"""The hash of a flow inside programs: Linux's jhash over raw words, as `hashes.flow_hash` has it in Python."""
from __future__ import annotations

from bpfwright.types import u32

__all__ = ["flow_hash4", "flow_hash6"]

_START = 0xDEADBEEF
_VIPS, _SEED = 512, 512 * 65537


def _rotated(word: u32, by: int) -> u32:
    return u32(word << by) | word >> 32 - by


def _final(a: u32, b: u32, c: u32) -> u32:
    c = u32((c ^ b) - _rotated(b, 14))
    a = u32((a ^ c) - _rotated(c, 11))
    b = u32((b ^ a) - _rotated(a, 25))
    c = u32((c ^ b) - _rotated(b, 16))
    a = u32((a ^ c) - _rotated(c, 4))
    b = u32((b ^ a) - _rotated(a, 14))
    return u32((c ^ b) - _rotated(b, 24))


def flow_hash4(source: u32, ports: u32) -> u32:
    """Of a source address and both ports."""
    start = u32(_START + 8 + _SEED)
    return _final(u32(source + start), u32(ports + start), start)


def _address_hash(first: u32, second: u32, third: u32, fourth: u32) -> u32:
    """jhash of 16 bytes: one round over three words, and the end with the fourth."""
    start = u32(_START + 16 + _VIPS)
    a = u32(first + start)
    b = u32(second + start)
    c = u32(third + start)
    a = u32(a - c) ^ _rotated(c, 4)
    c = u32(c + b)
    b = u32(b - a) ^ _rotated(a, 6)
    a = u32(a + c)
    c = u32(c - b) ^ _rotated(b, 8)
    b = u32(b + a)
    a = u32(a - c) ^ _rotated(c, 16)
    c = u32(c + b)
    b = u32(b - a) ^ _rotated(a, 19)
    a = u32(a + c)
    c = u32(c - b) ^ _rotated(b, 4)
    b = u32(b + a)
    return _final(u32(a + fourth), b, c)


def flow_hash6(source_a: int, source_b: int, ports: u32) -> u32:
    """Of a source address in two raw words and both ports."""
    hashed = _address_hash(u32(source_a), u32(source_a >> 32), u32(source_b), u32(source_b >> 32))
    return flow_hash4(hashed, ports)
