"""One value of the language in bytes as text and as JSON. Texts are bytes from end to end: what is no UTF-8 stays."""
from __future__ import annotations

import sys
from struct import Struct as Packed

from bpfwright._typing import TYPE_CHECKING, Callable
from bpfwright.facets.trace.types import (
    Aggregate, Array, Average, Boolean, Buffer, Chars, Enumeration, Extreme, Integer, Nothing, Pointer, Stack,
    Statistics, Struct, Sum, Text, Token, Tuple, Type, offsets)

if TYPE_CHECKING:
    from bpfwright.facets.trace.output.world import World

__all__ = ["KEY_INDENT", "Reader", "code", "escaped", "integer_reader", "json_reader", "json_text", "key_reader",
           "json_key_reader", "raw_text", "text_reader"]

Reader = Callable[[bytes, int], bytes]
"""Bytes and where in them the value stands to what it reads as. A value may end early, with the bytes."""

KEY_INDENT, VALUE_INDENT = 4, 8
"""How far the frames of stacks stand in: in a map's key, and anywhere else."""

_CODES = {(1, True): "b", (1, False): "B", (2, True): "h", (2, False): "H", (4, True): "i", (4, False): "I",
          (8, True): "q", (8, False): "Q"}
_BITS = 0xFFFF_FFFF_FFFF_FFFF
_PRINTABLE = bytes(range(32, 127))
_PLAIN = bytes(byte for byte in b"\n" + _PRINTABLE if byte not in b'"\\')
_ESCAPES = [bytes((byte,)) if byte in _PRINTABLE else b"\\x%02x" % byte for byte in range(256)]
_WORD = Packed("=Q").unpack_from
_PAIR = Packed("=II").unpack_from


def code(type: Type) -> tuple[str, int]:
    """The letter of `struct` for a type that is a number, and the number's size; no letter for another type."""
    match type:
        case Integer() | Enumeration():
            return _CODES[type.bytes, type.signed], type.bytes
        case Boolean():
            return "B", 1
        case Pointer():
            return "Q", 8
        case Sum() | Extreme() | Average() | Statistics():
            return "q" if type.signed else "Q", 8
        case Aggregate():
            return "Q", 8
    return "", 0


def integer_reader(type: Type) -> Callable[[bytes, int], int]:
    """A number, with the sign that its type has."""
    unpack = Packed("=" + code(type)[0]).unpack_from
    return lambda data, at: int(unpack(data, at)[0])


def raw_text(data: bytes, at: int, length: int, trailer: bytes) -> bytes:
    """A text up to its NUL; `trailer` follows when it fills all its room, because then it was cut."""
    end = data.find(0, at, at + length)
    if end >= 0:
        return data[at:end]
    found = data[at:at + length]
    return found + trailer if len(found) == length else found


def escaped(data: bytes) -> bytes:
    """Bytes with those that are no printable ASCII as `\\xNN`."""
    if data.isascii() and data.decode("ascii").isprintable():
        return data
    return b"".join([_ESCAPES[byte] for byte in data])


def buffer_at(data: bytes, at: int, room: int) -> bytes:
    """The bytes of a buffer."""
    length = min(int.from_bytes(data[at:at + 4], sys.byteorder), room)
    return data[at + 4:at + 4 + length]


def json_text(text: bytes) -> bytes:
    """A text as JSON, with its quotes. A byte that is no UTF-8 becomes `\\udcNN`: Python reads and writes it back."""
    if not text.translate(None, _PLAIN):  # three times as fast as what follows
        return b'"' + text.replace(b"\n", b"\\n") + b'"'
    quoted = _quote(text.decode("utf-8", "surrogateescape"))
    try:
        return quoted.encode()
    except UnicodeEncodeError:
        return "".join(c if not "\ud800" <= c <= "\udfff" else f"\\u{ord(c):04x}" for c in quoted).encode()


try:
    from _json import encode_basestring as _quote  # json itself costs 3 ms of a start
except ImportError:
    from json.encoder import encode_basestring as _quote


# --------------------------------------------------------------------------------------------------------------- text


def text_reader(type: Type, world: World, indent: int = VALUE_INDENT, member: bool = False,
                spaced: bool = True) -> Reader:
    """What reads a value as text. `member`: it stands in a struct, where arrays of char are texts. `spaced`: tuples and
    structs have spaces in them; in keys of JSON they have none."""
    match type:
        case Integer() | Average() | Extreme() | Sum() | Statistics() | Aggregate():
            unpack = Packed("=" + code(type)[0]).unpack_from
            return lambda data, at: b"%d" % unpack(data, at)[0]
        case Boolean():
            return lambda data, at: b"true" if data[at] else b"false"
        case Enumeration():
            return _enumeration(type)
        case Pointer():
            return lambda data, at: b"0x%x" % _WORD(data, at)[0]
        case Nothing():
            return lambda data, at: b"null"
        case Text():
            length, trailer = type.length, b"" if isinstance(type, Chars) else world.trailer
            return lambda data, at: raw_text(data, at, length, trailer)
        case Buffer():
            room = type.length
            return lambda data, at: escaped(buffer_at(data, at, room))
        case Array():
            if member and type.of == Integer(1, True):
                count = type.count
                return lambda data, at: raw_text(data, at, count, b"")
            return _array(type, text_reader(type.of, world, indent, spaced=spaced), b"[", b",", b"]")
        case Tuple():
            return _tuple(type, world, indent, spaced)
        case Struct():
            return _struct(type, world, indent, spaced)
        case Stack():
            return _stack(type, world, indent)
        case Token():
            return world.reader(type.kind)
    raise TypeError(f"a {type} has no text")


def _enumeration(type: Enumeration) -> Reader:
    names = {number & _BITS: name.encode() for number, name in reversed(type.values)}
    unpack = Packed("=" + code(type)[0]).unpack_from

    def read(data: bytes, at: int) -> bytes:
        number = unpack(data, at)[0]
        return names.get(number & _BITS) or b"%d" % number
    return read


def _stack(type: Stack, world: World, indent: int) -> Reader:
    def read(data: bytes, at: int) -> bytes:
        number, pid = _PAIR(data, at)
        return world.stack(type, number, pid, indent)
    return read


def _array(type: Array, read: Reader, begin: bytes, between: bytes, end: bytes) -> Reader:
    places = [index * type.of.size for index in range(type.count)]
    return lambda data, at: begin + between.join([read(data, at + place) for place in places]) + end


def _tuple(type: Tuple, world: World, indent: int, spaced: bool) -> Reader:
    items = [(at, text_reader(item, world, indent, spaced=spaced))
             for at, item in zip(offsets(type.items), type.items, strict=True)]
    if type.names:
        return _record([(name, at, read) for name, (at, read) in zip(type.names, items, strict=True)], spaced)
    between = b", " if spaced else b","
    return lambda data, at: b"(%b)" % between.join([read(data, at + place) for place, read in items])


def _struct(type: Struct, world: World, indent: int, spaced: bool) -> Reader:
    return _record([(name, at, _member(text_reader(item, world, indent, True, spaced), item, bit, width))
                    for name, at, item, bit, width in type.members], spaced)


def _record(members: list[tuple[str, int, Reader]], spaced: bool) -> Reader:
    if not members:
        return lambda data, at: b"{}"
    form, whole, between = (b".%b = ", b"{ %b }", b", ") if spaced else (b".%b=", b"{%b}", b",")
    parts = [(form % name.encode(), at, read) for name, at, read in members]
    return lambda data, at: whole % between.join([name + read(data, at + place) for name, place, read in parts])


def _member(read: Reader, type: Type, bit: int, width: int) -> Reader:
    """A bit-field is moved into whole bytes of its type first."""
    letter, size = code(type)
    if not width or not letter:
        return read
    mask, sign = (1 << width) - 1, 1 << width - 1 if getattr(type, "signed", False) else 0

    def reading(data: bytes, at: int) -> bytes:
        number = int.from_bytes(data[at:at + size], sys.byteorder) >> bit & mask
        number = (number ^ sign) - sign
        return read(number.to_bytes(size, sys.byteorder, signed=number < 0), 0)
    return reading


# --------------------------------------------------------------------------------------------------------------- JSON


def json_reader(type: Type, world: World, member: bool = False) -> Reader:
    """What reads a value as JSON: enums and pointers are numbers, tuples and arrays lists, stacks and tokens texts."""
    match type:
        case Enumeration() | Pointer():
            return text_reader(Integer(type.size, isinstance(type, Enumeration) and type.signed), world)
        case Integer() | Boolean() | Nothing() | Aggregate():
            return text_reader(type, world)
        case Array() if not (member and type.of == Integer(1, True)):
            return _array(type, json_reader(type.of, world), b"[", b",", b"]")
        case Tuple() if not type.names:
            items = [(at, json_reader(item, world)) for at, item in
                     zip(offsets(type.items), type.items, strict=True)]
            return lambda data, at: b"[%b]" % b",".join([read(data, at + place) for place, read in items])
        case Tuple():
            return _json_object([(name, at, json_reader(item, world)) for name, at, item in
                                 zip(type.names, offsets(type.items), type.items, strict=True)])
        case Struct():
            return _json_object([(name, at, _member(json_reader(item, world, True), item, bit, width))
                                 for name, at, item, bit, width in type.members])
    read = text_reader(type, world, member=member)
    return lambda data, at: json_text(read(data, at))


def _json_object(members: list[tuple[str, int, Reader]]) -> Reader:
    parts = [(json_text(name.encode()) + b": ", at, read) for name, at, read in members]
    return lambda data, at: b"{%b}" % b", ".join([name + read(data, at + place) for name, place, read in parts])


# --------------------------------------------------------------------------------------------------------------- keys


def key_reader(keys: tuple[Type, ...], world: World, spaced: bool = True) -> Callable[[bytes], bytes]:
    """What reads a map's key as it stands between the brackets; a tuple there has no parentheses of its own."""
    if len(keys) == 1 and isinstance(keys[0], Tuple) and not keys[0].names:
        keys = keys[0].items
    parts = [(at, text_reader(key, world, KEY_INDENT, spaced=spaced))
             for at, key in zip(offsets(keys), keys, strict=True)]
    if len(parts) == 1:
        (_, only), = parts
        return lambda data: only(data, 0)
    between = b", " if spaced else b","
    return lambda data: between.join([read(data, at) for at, read in parts])


def json_key_reader(keys: tuple[Type, ...], world: World) -> Callable[[bytes], bytes]:
    """The same as JSON: a text, without spaces that are not the values' own."""
    read = key_reader(keys, world, False)
    return lambda data: json_text(read(data))
