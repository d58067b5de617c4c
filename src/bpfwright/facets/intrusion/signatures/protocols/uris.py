"""The normal form of a request's URI: what is behind the host, decoded, the path without dots."""
from __future__ import annotations

import re

__all__ = ["decoded", "host_of", "normal", "unescaped"]

_ESCAPE = re.compile(rb"%(?:[uU]([0-9a-fA-F]{4})|([0-9a-fA-F]{2}))")
_HEX = re.compile(rb"%([0-9a-fA-F]{2})")
_ABSOLUTE = re.compile(rb"[a-zA-Z][a-zA-Z0-9+.-]*://([^/?#]*)")


def decoded(text: bytes) -> bytes:
    """%XX and %uXXXX as the bytes that they stand for; what is no such thing stays. Letters beyond a byte are ?."""
    if b"%" not in text:
        return text
    return _ESCAPE.sub(_byte, text)


def unescaped(text: bytes) -> bytes:
    """%XX as the bytes that they stand for."""
    return _HEX.sub(lambda found: bytes.fromhex(found[1].decode()), text) if b"%" in text else text


def _byte(found: re.Match[bytes]) -> bytes:
    if found[2]:
        return bytes.fromhex(found[2].decode())
    number = int(found[1], 16)
    if 0xFF01 <= number <= 0xFF5E:  # the wide forms of ASCII
        number -= 0xFEE0
    return bytes([number]) if number < 256 else b"?"


def host_of(uri: bytes) -> bytes | None:
    """The host that an absolute URI names, with its port."""
    found = _ABSOLUTE.match(uri)
    return found[1].rpartition(b"@")[2] if found else None


def normal(uri: bytes) -> bytes:
    """Path and query: %XX decoded; in the path %uXXXX too, \\ as /, // as /, . and .. taken out."""
    absolute = _ABSOLUTE.match(uri)
    if absolute:
        uri = uri[absolute.end():] or b"/"
    uri, hash_mark, fragment = uri.partition(b"#")
    path, mark, query = uri.partition(b"?")
    path = decoded(path).replace(b"\\", b"/")
    if path.startswith(b"/") or b"/" in path:
        path = _without_dots(path)
    return path + mark + unescaped(query) + hash_mark + unescaped(fragment)


def _without_dots(path: bytes) -> bytes:
    if b"//" not in path and b"/." not in path and not path.startswith(b"."):
        return path
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    found: list[bytes] = []
    for part in parts:
        if part != b"..":
            found.append(part)
        elif found:
            found.pop()
    ends = path.endswith((b"/", b"/.", b"/..")) and found
    return (b"/" if path.startswith(b"/") else b"") + b"/".join(found) + (b"/" if ends else b"") or b"/"
