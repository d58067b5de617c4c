"""TLS: the first message of the client, put together from its records."""
from __future__ import annotations

from struct import unpack_from

from bpfwright._typing import Callable
from bpfwright.facets.intrusion.signatures.protocols.message import Message, Values

__all__ = ["Tls", "hello_of"]

_HANDSHAKE, _CLIENT_HELLO, _SERVER_HELLO = 22, 1, 2
_MOST = 65_536
_NAMES, _GROUPS, _FORMATS = 0, 10, 11


class Tls:
    """One side of a connection."""

    def __init__(self, *, to_server: bool) -> None:
        self._kind = _CLIENT_HELLO if to_server else _SERVER_HELLO
        self._held, self._hello = b"", b""
        self._done = False

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return 0 if self._done else len(self._held) + len(self._hello)

    def skip(self, count: int) -> None:
        """Bytes were not seen."""
        self._done = True

    def take(self, data: bytes) -> list[Message]:
        """What was said with these bytes."""
        if self._done:
            return []
        self._held += data
        while len(self._held) >= 5:
            kind, length = self._held[0], int.from_bytes(self._held[3:5], "big")
            if kind != _HANDSHAKE or len(self._hello) + length > _MOST:
                self._done = True
                return []
            if len(self._held) < 5 + length:
                break
            self._hello += self._held[5:5 + length]
            self._held = self._held[5 + length:]
            if len(self._hello) >= 4 and len(self._hello) >= 4 + int.from_bytes(self._hello[1:4], "big"):
                self._done = True
                if self._hello[0] != self._kind:
                    return []
                return [hello_of(self._hello[4:]) if self._kind == _CLIENT_HELLO else
                        Message("tls", to_server=False, source=None, makers={})]
        return []


def hello_of(body: bytes) -> Message:
    """A client's hello, without its type and length. What is cut off or malformed gives what can be read."""
    return Message("tls", to_server=True, source=_Fields(body), makers=_MAKERS)


def _md5(text: bytes) -> bytes:
    from hashlib import md5
    return md5(text, usedforsecurity=False).hexdigest().encode()


class _Fields:
    def __init__(self, body: bytes) -> None:
        self.version = 0
        self.ciphers: list[int] = []
        self.extensions: list[int] = []
        self.groups: list[int] = []
        self.formats: list[int] = []
        self.names: Values = ()
        try:
            self._read(body)
        except (IndexError, ValueError):
            pass

    def _read(self, body: bytes) -> None:
        self.version = int.from_bytes(body[:2], "big")
        at = 34 + 1 + body[34]
        length = _two(body, at)
        self.ciphers = _twos(body[at + 2:at + 2 + length])
        at += 2 + length
        at += 1 + body[at]
        end = min(len(body), at + 2 + _two(body, at))
        at += 2
        while at + 4 <= end:
            kind, length = _two(body, at), _two(body, at + 2)
            data = body[at + 4:at + 4 + length]
            self.extensions.append(kind)
            if kind == _NAMES:
                self.names = _names(data)
            elif kind == _GROUPS:
                self.groups = _twos(data[2:])
            elif kind == _FORMATS:
                self.formats = list(data[1:])
            at += 4 + length

    def ja3(self) -> bytes:
        """The text that JA3 makes of a hello; values of GREASE are left out."""
        lists = (self.ciphers, self.extensions, self.groups, self.formats)
        parts = ["-".join(str(number) for number in each if not _grease(number)) for each in lists]
        return ",".join([str(self.version), *parts]).encode()


def _two(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise ValueError
    found: int = unpack_from("!H", data, at)[0]
    return found


def _twos(data: bytes) -> list[int]:
    return [int.from_bytes(data[at:at + 2], "big") for at in range(0, len(data) - 1, 2)]


_MAKERS: dict[str, Callable[[_Fields], Values]] = {
    "tls.sni": lambda hello: hello.names, "ja3.string": lambda hello: (hello.ja3(),),
    "ja3.hash": lambda hello: (_md5(hello.ja3()),)}


def _grease(number: int) -> bool:
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def _names(data: bytes) -> Values:
    """The names that a hello asks for; those of hosts are of type 0."""
    at = 2
    while at + 3 <= len(data):
        length = _two(data, at + 1)
        if data[at] == 0:
            return (data[at + 3:at + 3 + length],)
        at += 3 + length
    return ()
