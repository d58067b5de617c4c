"""Certificates of X.509: what rules ask of one, read from its beginning on, also while its end is still missing."""
from __future__ import annotations

from bpfwright._typing import NamedTuple

__all__ = ["Certificate", "Short", "certificate_of"]

_SEQUENCE, _SET, _INTEGER, _OBJECT, _VERSION = 0x30, 0x31, 0x02, 0x06, 0xA0
_WIDE = 30  # BMPString, two bytes a letter
_TEXTS = frozenset({12, 18, 19, 20, 22, 26, 28, _WIDE})
_ATTRIBUTES = {
    "2.5.4.3": "CN", "2.5.4.4": "surname", "2.5.4.5": "serialNumber", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST",
    "2.5.4.9": "streetAddress", "2.5.4.10": "O", "2.5.4.11": "OU", "2.5.4.12": "title", "2.5.4.13": "description",
    "2.5.4.15": "businessCategory", "2.5.4.16": "postalAddress", "2.5.4.17": "postalCode", "2.5.4.41": "name",
    "2.5.4.42": "givenName", "2.5.4.43": "initials", "2.5.4.44": "generationQualifier",
    "2.5.4.45": "uniqueIdentifier", "2.5.4.46": "dnQualifier", "0.9.2342.19200300.100.1.1": "uid",
    "0.9.2342.19200300.100.1.25": "DC", "1.2.840.113549.1.9.1": "Email", "1.2.840.113549.1.9.2": "unstructuredName",
    "1.3.6.1.4.1.311.60.2.1.1": "msJurisdictionLocality",
    "1.3.6.1.4.1.311.60.2.1.2": "msJurisdictionStateOrProvince",
    "1.3.6.1.4.1.311.60.2.1.3": "msJurisdictionCountry"}
"""Names of attributes by their numbers, as Suricata tells them; others are OID(2.5.4.97) and the like."""


class Short(Exception):
    """The bytes end before what is asked for does."""


class Certificate(NamedTuple):
    """Subject and issuer as `C=US, O=Example, CN=www.example.org`, in the certificate's order; the serial number as
    `0A:1B`, byte by byte."""

    subject: bytes
    issuer: bytes
    serial: bytes


def certificate_of(data: bytes) -> Certificate:
    """What a certificate (RFC 5280, section 4.1) says. Short where its subject is not whole yet; ValueError for what is
    no certificate."""
    at, end = _inside(data, *_inside(data, 0, _header(data, 0)[2]))
    if data[at:at + 1] == bytes([_VERSION]):
        at = _element(data, at, end)[2]
    kind, first, at = _element(data, at, end)
    if kind != _INTEGER:
        raise ValueError("no serial number")
    serial = data[first:at].hex(":").upper().encode()
    at = _element(data, at, end)[2]  # how it is signed
    _, first, at = _element(data, at, end)
    issuer = _name(data, first, at)
    at = _element(data, at, end)[2]  # from when to when
    _, first, at = _element(data, at, end)
    return Certificate(_name(data, first, at), issuer, serial)


def _header(data: bytes, at: int) -> tuple[int, int, int]:
    """An element's kind, where its content begins, and where it is to end."""
    if at + 2 > len(data):
        raise Short
    length, begin = data[at + 1], at + 2
    if length >= 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise ValueError("a length that is none")
        if begin + count > len(data):
            raise Short
        length, begin = int.from_bytes(data[begin:begin + count], "big"), begin + count
    return data[at], begin, begin + length


def _inside(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Where the content of a sequence lies, which need not be there to its end."""
    kind, begin, stop = _header(data, at)
    if kind != _SEQUENCE or stop > end:
        raise ValueError("an element of another kind, or one that is too long")
    return begin, stop


def _element(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """An element's kind, where its content begins and where it ends. Short where it is not whole."""
    if at >= end:
        raise ValueError("an element is missing")
    kind, begin, stop = _header(data, at)
    if stop > end:
        raise ValueError("an element is longer than what it is in")
    if stop > len(data):
        raise Short
    return kind, begin, stop


def _name(data: bytes, at: int, end: int) -> bytes:
    parts = []
    while at < end:
        kind, first, at = _element(data, at, end)
        if kind != _SET:
            raise ValueError("a name is made of sets")
        some = []
        while first < at:
            _, begin, first = _element(data, first, at)
            some.append(_attribute(data, begin, first))
        parts.append(b" + ".join(some))
    return b", ".join(parts)


def _attribute(data: bytes, at: int, end: int) -> bytes:
    kind, begin, at = _element(data, at, end)
    if kind != _OBJECT:
        raise ValueError("an attribute has a number")
    number = _number(data[begin:at])
    kind, begin, stop = _element(data, at, end)
    value = data[begin:stop]
    if kind == _WIDE:
        value = value.decode("utf-16-be", "replace").encode()
    elif kind not in _TEXTS:
        value = value.hex().encode()
    return _ATTRIBUTES.get(number, f"OID({number})").encode() + b"=" + value


def _number(data: bytes) -> str:
    """An object's number with dots."""
    found, value = [], 0
    for byte in data:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            found.append(value)
            value = 0
    if not found:
        raise ValueError("an empty number")
    first = min(found[0] // 40, 2)
    return ".".join(str(each) for each in (first, found[0] - 40 * first, *found[1:]))
