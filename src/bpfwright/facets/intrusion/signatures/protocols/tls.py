"""TLS: the hellos of both sides and the server's certificates, put together from their records."""
from __future__ import annotations

from struct import unpack_from

from bpfwright._typing import Callable
from bpfwright.facets.intrusion.signatures.protocols.certificates import Certificate, Short, certificate_of
from bpfwright.facets.intrusion.signatures.protocols.message import Message, Values

__all__ = ["Tls", "hello_of"]

_HANDSHAKE, _CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE = 22, 1, 2, 11
_MOST = 65_536
_NAMES, _GROUPS, _FORMATS = 0, 10, 11
_OF_CERTIFICATES = frozenset({"tls.cert_subject", "tls.cert_issuer", "tls.cert_serial", "tls.cert_fingerprint",
                              "tls.certs"})


class Tls:
    """One side of a connection: the client's hello; the server's, which is given again when its certificates come,
    each as soon as it can be read, for what is copied of a long chain may end before the chain does."""

    def __init__(self, *, to_server: bool) -> None:
        self._kind = _CLIENT_HELLO if to_server else _SERVER_HELLO
        self._held, self._said = b"", b""
        self._left = 0  # of a record
        self._server: _Server | None = None
        self._message: Message | None = None
        self._done = False

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return 0 if self._done else len(self._held) + len(self._said)

    def skip(self, count: int) -> None:
        """Bytes were not seen."""
        self._done = True

    def take(self, data: bytes) -> list[Message]:
        """What was said with these bytes."""
        found: list[Message] = []
        if self._done:
            return found
        ends = self._records(self._held + data)
        while not self._done and len(self._said) >= 4:
            kind, end = self._said[0], 4 + int.from_bytes(self._said[1:4], "big")
            if kind == _CERTIFICATE:
                self._certificates(self._said[4:end], found)
            if len(self._said) < end:
                break
            body, self._said = self._said[4:end], self._said[end:]
            if self._server is None:
                self._hello(kind, body, found)
            else:
                self._done = kind == _CERTIFICATE
        self._done = self._done or ends
        if self._done:
            self._held = self._said = b""
        return found

    def _records(self, data: bytes) -> bool:
        """Add to the messages what records have of them. Whether there is no more of them to come, in the clear."""
        while data and (self._left or len(data) >= 5):
            if not self._left:
                kind, self._left, data = data[0], int.from_bytes(data[3:5], "big"), data[5:]
                if kind != _HANDSHAKE or len(self._said) + self._left > _MOST:
                    return True
            taken = min(self._left, len(data))
            self._said, data = self._said + data[:taken], data[taken:]
            self._left -= taken
        self._held = data
        return False

    def _hello(self, kind: int, body: bytes, found: list[Message]) -> None:
        if kind != self._kind:
            self._done = True
        elif kind == _CLIENT_HELLO:
            self._done = True
            found.append(hello_of(body))
        else:
            self._server = _Server(body)
            self._message = Message("tls", to_server=False, source=self._server, makers=_OF_SERVERS,
                                    grows=_OF_CERTIFICATES)
            found.append(self._message)

    def _certificates(self, body: bytes, found: list[Message]) -> None:
        if self._server is not None and self._message is not None and self._server.take(body):
            self._message.grown(again=self._message not in found)
            if self._message not in found:
                found.append(self._message)


class _Server:
    """A server's hello, and what there is of its certificates."""

    def __init__(self, body: bytes) -> None:
        self.hello = _Fields(body, asks=False)
        self.certificate: Certificate | None = None
        self.chain: list[bytes] = []
        self._unread = True

    def take(self, body: bytes) -> bool:
        """A list of certificates, so far as it came (RFC 5246, section 7.4.2). Whether it says more than before."""
        before = len(self.chain), self.certificate
        chain: list[bytes] = []
        at = 3
        while at + 3 <= len(body):
            end = at + 3 + int.from_bytes(body[at:at + 3], "big")
            if self._unread and not chain:
                self._read(body[at + 3:end])
            if end > len(body):
                break
            chain.append(body[at + 3:end])
            at = end
        self.chain = chain
        return (len(chain), self.certificate) != before

    def _read(self, data: bytes) -> None:
        try:
            self.certificate = certificate_of(data)
        except Short:
            return
        except ValueError:
            pass
        self._unread = False

    def fingerprint(self) -> Values:
        """Of the first certificate, with SHA-1."""
        if not self.chain:
            return ()
        from hashlib import sha1
        return (sha1(self.chain[0], usedforsecurity=False).digest().hex(":").encode(),)


def hello_of(body: bytes) -> Message:
    """A client's hello, without its type and length. What is cut off or malformed gives what can be read."""
    return Message("tls", to_server=True, source=_Fields(body), makers=_MAKERS)


def _md5(text: bytes) -> bytes:
    from hashlib import md5
    return md5(text, usedforsecurity=False).hexdigest().encode()


class _Fields:
    """A hello of a client, or of a server, who says one cipher and no other methods of compression."""

    def __init__(self, body: bytes, *, asks: bool = True) -> None:
        self._asks = asks
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
        if self._asks:
            length = _two(body, at)
            self.ciphers = _twos(body[at + 2:at + 2 + length])
            at += 2 + length
            at += 1 + body[at]
        else:
            self.ciphers = [_two(body, at)]
            at += 3
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
        """The text that JA3 makes of a hello, JA3S of a server's; values of GREASE are left out."""
        lists = (self.ciphers, self.extensions, self.groups, self.formats)[:4 if self._asks else 2]
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
_OF_SERVERS: dict[str, Callable[[_Server], Values]] = {
    "ja3s.string": lambda said: (said.hello.ja3(),), "ja3s.hash": lambda said: (_md5(said.hello.ja3()),),
    "tls.cert_subject": lambda said: (said.certificate.subject,) if said.certificate else (),
    "tls.cert_issuer": lambda said: (said.certificate.issuer,) if said.certificate else (),
    "tls.cert_serial": lambda said: (said.certificate.serial,) if said.certificate else (),
    "tls.cert_fingerprint": lambda said: said.fingerprint(), "tls.certs": lambda said: tuple(said.chain)}


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
