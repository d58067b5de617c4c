"""Two objects' types as one: the second's come behind the first's."""
from __future__ import annotations

from array import array
from struct import pack, unpack_from

from bpfwright._typing import NamedTuple
from bpfwright.errors import BtfError
from bpfwright.formats.btf.reader import Btf
from bpfwright.formats.btf.writer import ENTRIES, HEAD_TYPES

__all__ = ["Joined", "joined"]

_HEADER = 24


class Joined(NamedTuple):
    """BTF of both; what to add to type numbers and to string offsets of the second (but for 0, which stays)."""

    data: bytes
    types: int
    strings: int


def joined(first: bytes, second: bytes) -> Joined:
    """Both in this machine's order. Types that are the same in both stand there twice."""
    ours, theirs = Btf(first), Btf(second)
    types, strings = ours.count, len(ours.raw_strings)
    words = _type_words(first)
    for type_id in theirs.ids():
        words.extend(_moved(theirs.words(type_id), theirs.kind(type_id), types, strings))
    section = words.tobytes()
    text = ours.raw_strings + theirs.raw_strings
    magic, version, flags = unpack_from("=HBB", first)
    data = pack("=HBBIIIII", magic, version, flags, _HEADER, 0, len(section), len(section), len(text)) + section + text
    if Btf(data).count != types + theirs.count:
        raise BtfError("the types of two objects could not be joined")
    return Joined(data, types, strings)


def _type_words(data: bytes) -> array[int]:
    header, at, length = unpack_from("=III", data, 4)
    return array("I", data[header + at:header + at + length])


def _moved(words: array[int], kind: int, types: int, strings: int) -> array[int]:
    """A record with its numbers and names moved."""
    moved = array("I", words)
    _add(moved, 0, strings)
    for at in HEAD_TYPES.get(kind, ()):
        _add(moved, at, types)
    step, named, type_at = ENTRIES.get(kind, (len(moved), False, None))
    for at in range(3, len(moved), step) if kind in ENTRIES else ():
        if named:
            _add(moved, at, strings)
        if type_at is not None:
            _add(moved, at + type_at, types)
    return moved


def _add(words: array[int], at: int, number: int) -> None:
    if words[at]:
        words[at] += number
