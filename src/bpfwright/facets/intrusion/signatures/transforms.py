"""Transforms: what a rule makes of a buffer before it looks into it."""
from __future__ import annotations

import re

from bpfwright._typing import Callable

__all__ = ["TRANSFORMS", "transformed"]

_SPACE = re.compile(rb"[ \t\n\v\f\r]+")


def _digest(name: str) -> Callable[[bytes], bytes]:
    def make(data: bytes) -> bytes:
        import hashlib
        return hashlib.new(name, data, usedforsecurity=False).digest()

    return make


def _url(data: bytes) -> bytes:
    from bpfwright.facets.intrusion.signatures.protocols.uris import unescaped
    return unescaped(data.replace(b"+", b" "))


def _names(data: bytes) -> bytes:
    return b"\r\n".join(name.lower() + colon + value for name, colon, value in (
        line.partition(b":") for line in data.split(b"\r\n")))


TRANSFORMS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "dotprefix": (lambda data: b"." + data, "a dot before it"),
    "strip_whitespace": (lambda data: _SPACE.sub(b"", data), "without white space"),
    "compress_whitespace": (lambda data: _SPACE.sub(b" ", data), "one space for any white space"),
    "to_lowercase": (bytes.lower, "in lower case"),
    "to_uppercase": (bytes.upper, "in upper case"),
    "to_md5": (_digest("md5"), "its digest, 16 bytes"),
    "to_sha1": (_digest("sha1"), "its digest, 20 bytes"),
    "to_sha256": (_digest("sha256"), "its digest, 32 bytes"),
    "url_decode": (_url, "%XX decoded, + as a space"),
    "header_lowercase": (_names, "names of headers in lower case"),
}
"""By name: what it does, and how the README says it."""


def transformed(data: bytes, names: tuple[str, ...]) -> bytes:
    """A buffer behind some transforms, in their order."""
    for name in names:
        data = TRANSFORMS[name][0](data)
    return data
