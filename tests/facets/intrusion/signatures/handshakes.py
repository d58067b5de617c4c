"""Handshakes of TLS, built from their parts: hellos, records, certificates."""
from __future__ import annotations

__all__ = ["certificate", "chain", "element", "records", "server_hello"]

_OBJECTS = {"CN": "550403", "C": "550406", "O": "55040a", "Email": "2a864886f70d010901", "OID(1.2.3.4)": "2a0304"}


def element(kind: int, content: bytes) -> bytes:
    """In DER."""
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2, "big")
    return bytes([kind]) + length + content


def _name(text: str) -> bytes:
    parts = []
    for part in text.split(", "):
        values = [each.partition("=") for each in part.split(" + ")]
        parts.append(element(0x31, b"".join(element(0x30, element(6, bytes.fromhex(_OBJECTS[key])) + element(
            12, value.encode())) for key, _, value in values)))
    return element(0x30, b"".join(parts))


def certificate(subject: str, issuer: str = "O=Someone, CN=Authority", serial: bytes = b"\x0a\xbc",
                more: int = 0) -> bytes:
    """What is signed, with `more` bytes in an extension, and no true signature."""
    method = element(0x30, element(6, bytes.fromhex("2a864886f70d01010b")) + b"\5\0")
    valid = element(0x30, element(0x17, b"250101000000Z") + element(0x17, b"350101000000Z"))
    key = element(0x30, method + element(3, b"\0" + b"k" * 140))
    body = element(0xA0, element(2, b"\2")) + element(2, serial) + method + _name(issuer) + valid + _name(subject) + key
    return element(0x30, element(0x30, body + element(0xA3, bytes(more))) + method + element(3, b"\0" + b"s" * 140))


def _message(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + len(body).to_bytes(3, "big") + body


def server_hello(cipher: int = 0xC02F) -> bytes:
    extensions = b"\xff\1\0\1\0" + b"\0\x0b\0\2\1\0"
    return _message(2, b"\3\3" + bytes(32) + b"\0" + cipher.to_bytes(2, "big") + b"\0" + len(extensions).to_bytes(
        2, "big") + extensions)


def chain(*certificates: bytes) -> bytes:
    """The message that holds them."""
    body = b"".join(len(each).to_bytes(3, "big") + each for each in certificates)
    return _message(11, len(body).to_bytes(3, "big") + body)


def records(messages: bytes, size: int = 16_000) -> bytes:
    """Messages in records of at most `size` bytes."""
    parts = [messages[low:low + size] for low in range(0, len(messages), size)]
    return b"".join(b"\x16\3\3" + len(part).to_bytes(2, "big") + part for part in parts)
