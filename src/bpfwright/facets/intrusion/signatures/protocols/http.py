"""HTTP/1 on a stream: requests and answers one after the other, with their bodies as far as they were copied."""
from __future__ import annotations

import re
import zlib

from bpfwright._typing import Callable
from bpfwright.facets.intrusion.signatures.protocols.message import Message, Values
from bpfwright.facets.intrusion.signatures.protocols.uris import host_of, normal

__all__ = ["MOST_BODY", "Http", "METHODS"]

MOST_BODY = 65_536
"""Bytes of a body that are kept, as it is sent and unpacked."""
_ENOUGH = 4096  # of a body, for what is not to be in it: what is copied of a long one has no end
_MOST_HEAD = 32_768
_TINY = 20
METHODS = ("get", "put", "post", "head", "trace", "options", "connect", "delete", "patch", "propfind", "proppatch",
           "mkcol", "copy", "move", "lock", "unlock", "checkout", "uncheckout", "checkin", "update", "label", "report",
           "mkworkspace", "mkactivity", "merge", "invalid", "version-control", "baseline-control")
"""What begins a stream of HTTP, in any case, before a space or a tab."""
_KNOWN = re.compile(rb"(?:" + b"|".join(each.encode() for each in METHODS) + rb")[ \t]", re.IGNORECASE)
_REQUEST = re.compile(rb"[A-Za-z][!-~]{0,31}(?:\Z|[ \t]+(?:\Z|[^\r\n]))")
_END = re.compile(rb"\r?\n\r?\n")
_LINE = re.compile(rb"\r?\n")
_FOLD = re.compile(rb"\r?\n[ \t]+")
_ANSWER = re.compile(rb"HTTP/1\.[0-9][ \t][1-5][0-9]{2}[ \t\r\n]", re.IGNORECASE)
_LEAST_ANSWER = 13
_PROTOCOL = re.compile(rb"[ \t]+(HTTP/[!-~]*)[ \t]*$", re.IGNORECASE)
_VALUES = {"user_agent": "user-agent", "accept": "accept", "accept_enc": "accept-encoding",
           "accept_lang": "accept-language", "referer": "referer", "connection": "connection",
           "content_type": "content-type", "content_len": "content-length", "server": "server", "location": "location"}
_BODIES = frozenset({"http.request_body", "http.response_body", "file.data"})


class _Head:
    """A start line and headers, the same names put together with a comma, in the order of the first of each."""

    __slots__ = ("headers", "line", "raw")

    def __init__(self, data: bytes, end: int) -> None:
        first = _LINE.search(data, 0, end)
        self.line = data[:first.start()] if first else data[:end].rstrip(b"\r\n")
        self.raw = data[first.end():end] if first else b""
        self.headers: dict[bytes, tuple[bytes, bytes]] = {}
        for line in _LINE.split(_FOLD.sub(b" ", self.raw)):
            name, colon, value = line.partition(b":")
            if not line.strip():
                continue
            name, value = (name.strip(), value.strip(b" \t")) if colon else (b"", line.strip())
            key = name.lower()
            known = self.headers.get(key)
            self.headers[key] = (known[0], known[1] + b", " + value) if known else (name, value)

    def value(self, name: str) -> bytes | None:
        """A header by its name in lower case."""
        found = self.headers.get(name.encode())
        return found[1] if found else None

    def written(self, without: bytes = b"") -> bytes:
        """The headers in their normal form."""
        return b"".join(name + b": " + value + b"\r\n" for key, (name, value) in self.headers.items() if key != without)

    def names(self) -> bytes:
        """Their names, each on a line; nothing where there is none."""
        names = b"".join(name + b"\r\n" for name, _ in self.headers.values())
        return b"\r\n" + names + b"\r\n" if names else b""


class _Body:
    """A body as it comes; `add` gives what is behind its end, None while it goes on."""

    def __init__(self, head: _Head, *, answer: bool) -> None:
        self.data = b""
        self._unpack: Callable[[bytes], bytes] | None = None
        coding = (head.value("content-encoding") or b"").lower()
        if answer and (b"gzip" in coding or b"deflate" in coding):
            self._unpack = _Unpacker(b"gzip" in coding).add
        self.chunked = b"chunked" in (head.value("transfer-encoding") or b"").lower()
        length = (head.value("content-length") or b"").split(b",")[0].strip()
        self.left: int | None = None if self.chunked else int(length[:12]) if length.isdigit() else (
            None if answer else 0)
        self._held = b""
        self._chunk = 0
        self.fresh = answer
        if answer and (head.line[9:12] in (b"204", b"304") or head.line[9:10] == b"1"):
            self.chunked, self.left = False, 0

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return len(self.data) + len(self._held)

    def add(self, data: bytes) -> bytes | None:
        if self.chunked:
            return self._chunks(data)
        if self.left is None:
            self._keep(data)
            return None
        taken, rest = data[:self.left], data[self.left:]
        self.left -= len(taken)
        self._keep(taken)
        return rest if self.left == 0 else None

    def missed(self, count: int) -> bool:
        """Bytes were not seen; whether what comes is still of this body."""
        if self.left is None or self.left < count:
            return False
        self.left -= count
        self._unpack = _nothing if self._unpack is not None else None
        return True

    def _keep(self, data: bytes) -> None:
        room = MOST_BODY - len(self.data)
        if data and room > 0:
            self.data += (self._unpack(data) if self._unpack is not None else data)[:room]

    def _chunks(self, data: bytes) -> bytes | None:
        data = self._held + data
        self._held = b""
        while True:
            if self._chunk:
                self._keep(data[:self._chunk])
                taken = min(self._chunk, len(data))
                self._chunk -= taken
                data = data[taken:]
                if self._chunk:
                    return None
            begin = 2 if data[:2] == b"\r\n" else 1 if data[:1] == b"\n" else 0
            found = data.find(b"\n", begin)
            if found < 0 or data == b"\r":
                self._held = data
                return data if len(data) > 4096 else None  # no chunk begins so
            size = data[begin:found].split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size):
                return data
            self._chunk = int(size, 16)
            if self._chunk == 0:
                return self._trailer(data, found + 1, begin)
            data = data[found + 1:]

    def _trailer(self, data: bytes, at: int, begin: int) -> bytes | None:
        if data[at:at + 2] == b"\r\n":
            return data[at + 2:]
        end = _END.search(data, at)
        if end is None:
            self._held = data[begin:]
            return None if len(data) < _MOST_HEAD else b""
        return data[end.end():]


class _Unpacker:
    """gzip and deflate, bounded; what cannot be unpacked is left as far as it went."""

    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._machine = zlib.decompressobj(31 if gzip else 15)
        self._first = True

    def add(self, data: bytes) -> bytes:
        try:
            return self._machine.decompress(data, MOST_BODY)
        except zlib.error:
            if self._gzip or not self._first:
                return b""
            self._machine = zlib.decompressobj(-15)  # deflate without its header, as some send it
            try:
                return self._machine.decompress(data, MOST_BODY)
            except zlib.error:
                return b""
        finally:
            self._first = False


def _nothing(data: bytes) -> bytes:
    return b""


class Http:
    """One side of a connection. `take(data)` gives messages, those that grew again; `skip(count)` says that bytes were
    not seen. What comes then begins a message, or the body goes on."""

    def __init__(self, *, to_server: bool) -> None:
        self._to_server = to_server
        self._held = b""
        self._body: _Body | None = None
        self._message: Message | None = None
        self._lost = False

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return len(self._held) + (self._body.size if self._body is not None else 0)

    def skip(self, count: int) -> None:
        """Bytes were not seen."""
        self._held = b""
        if self._body is None or not self._body.missed(count):
            self._body, self._lost = None, True

    def take(self, data: bytes) -> list[Message]:
        """What was said with these bytes."""
        found: list[Message] = []
        left: bytes | None = data
        while left:
            left = self._in_body(left, found) if self._body is not None else self._in_head(left, found)
        return found

    def _in_body(self, data: bytes, found: list[Message]) -> bytes | None:
        assert self._body is not None and self._message is not None
        if self._body.fresh:  # of a HEAD: what its answer says of its length is not of a body
            data, self._held = self._held + data, b""
            if len(data) < _LEAST_ANSWER and data[:7].upper() == b"HTTP/1."[:len(data)]:
                self._held = data
                return None
            self._body.fresh = False
            if _ANSWER.match(data):
                self._body = None
                return data
        size = len(self._body.data)
        rest = self._body.add(data)
        whole = rest is not None or len(self._body.data) >= _ENOUGH
        if len(self._body.data) != size or (whole and not self._message.whole):
            self._message.whole |= whole
            self._message.grown(again=self._message not in found)
            if self._message not in found:
                found.append(self._message)
        if rest is not None:
            self._body = None
        return rest

    def _in_head(self, data: bytes, found: list[Message]) -> bytes | None:
        data = self._held + data
        self._held = b""
        stripped = data.lstrip(b"\r\n")
        if not stripped:
            return None
        if not self._begins(stripped):
            self._lost = True
            return None
        end = _END.search(stripped)
        line = stripped.find(b"\n")
        if end is None and self._to_server and line >= 0 and not _PROTOCOL.search(stripped[:line].rstrip(b"\r")):
            stop = line + 1  # HTTP/0.9 has no headers
        elif end is not None:
            stop = end.end()
        elif len(stripped) < _MOST_HEAD:
            self._held = stripped
            return None
        else:
            stop = len(stripped)
        self._lost = False
        head = _Head(stripped, stop)
        body = _Body(head, answer=not self._to_server)
        self._message = (_request if self._to_server else _answer)(head, body)
        found.append(self._message)
        self._body = body if body.left != 0 else None
        self._message.whole = self._body is None or (body.left is None and not body.chunked)
        return stripped[stop:]

    def _begins(self, data: bytes) -> bool:
        if not self._to_server:
            return b"HTTP/"[:len(data)] == data[:5].upper()
        if self._lost:
            return _KNOWN.match(data) is not None or (_REQUEST.match(data) is not None and (
                len(data) < _TINY or b"HTTP/" in data[:8192]))
        return _REQUEST.match(data) is not None


class _Said:
    """A request or an answer: its start line taken apart, its head and its body."""

    __slots__ = ("body", "code", "head", "method", "protocol", "text", "uri")

    def __init__(self, head: _Head, body: _Body) -> None:
        self.head, self.body = head, body
        self.method = self.uri = self.code = self.text = b""
        self.protocol: Values = ()


def _some(value: bytes) -> Values:
    return (value,) if value else ()


Makers = dict[str, Callable[[_Said], Values]]


def _value(name: str) -> Callable[[_Said], Values]:
    def make(said: _Said) -> Values:
        found = said.head.value(name)
        return () if found is None else (found,)

    return make


def _shared(cookie: str) -> Makers:
    without = cookie.encode()
    return {**{f"http.{name}": _value(header) for name, header in _VALUES.items()},
            "http.cookie": _value(cookie), "http.header": lambda said: _some(said.head.written(without)),
            "http.header.raw": lambda said: (said.head.raw,),
            "http.header_names": lambda said: _some(said.head.names()),
            "http.start": lambda said: (said.head.line + b"\r\n" + said.head.written() + b"\r\n",),
            "http.protocol": lambda said: said.protocol}


def _body_of(said: _Said) -> Values:
    return _some(said.body.data)


def _host(said: _Said) -> Values:
    found = host_of(said.uri)
    if found is None:
        found = said.head.value("host")
    return () if found is None else (found,)


def _raw_host(said: _Said) -> Values:
    named = host_of(said.uri)
    return _host(said) if named is None else (_plain(named),)


_OF_REQUESTS: Makers = {
    **_shared("cookie"), "http.method": lambda said: (said.method,), "http.uri.raw": lambda said: (said.uri,),
    "http.uri": lambda said: (normal(said.uri),), "http.request_line": lambda said: (said.head.line,),
    "http.host.raw": _raw_host, "http.host": lambda said: tuple(map(_plain, _host(said))),
    "http.request_body": _body_of}
_OF_ANSWERS: Makers = {
    **_shared("set-cookie"), "http.stat_code": lambda said: (said.code,),
    "http.stat_msg": lambda said: _some(said.text), "http.response_line": lambda said: (said.head.line,),
    "http.response_body": _body_of, "file.data": _body_of}


def _request(head: _Head, body: _Body) -> Message:
    said = _Said(head, body)
    said.method, _, rest = head.line.lstrip().replace(b"\t", b" ").partition(b" ")
    rest = rest.strip()
    named = _PROTOCOL.search(b" " + rest)
    said.uri = rest[:max(0, named.start() - 1)].strip() if named else rest
    said.protocol = (named[1],) if named else ()
    return Message("http", to_server=True, source=said, makers=_OF_REQUESTS, grows=_BODIES)


def _plain(host: bytes) -> bytes:
    name = host.lower()
    if not name.startswith(b"["):
        name, colon, port = name.rpartition(b":")
        name = name if colon and (port.isdigit() or not port) else host.lower()
    elif b"]:" in name:
        name = name[:name.index(b"]:") + 1]
    return name.rstrip(b".")


def _answer(head: _Head, body: _Body) -> Message:
    said = _Said(head, body)
    protocol, _, rest = head.line.replace(b"\t", b" ").partition(b" ")
    said.protocol = (protocol,)
    said.code, _, text = rest.strip().partition(b" ")
    said.text = text.strip()
    return Message("http", to_server=False, source=said, makers=_OF_ANSWERS, grows=_BODIES)
