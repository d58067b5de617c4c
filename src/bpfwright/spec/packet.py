"""Packets: headers and a payload, made with `/`, taken apart by `Packet.parse`."""
from __future__ import annotations

from bpfwright._typing import Callable, Iterable, TypeVar
from bpfwright.errors import UsageError, WrongType
from bpfwright.spec.header import Header, Link, children_of, roots

__all__ = ["Packet", "catalogue"]

H = TypeVar("H", bound=Header)

_catalogues: list[Callable[[], None]] = []


def catalogue(load: Callable[[], None]) -> None:
    """Register what imports a set of headers; Packet.parse calls it, since it must know them all."""
    _catalogues.append(load)


def _load_catalogues() -> None:
    while _catalogues:
        _catalogues.pop()()


class Packet:
    """Headers from the outside in, then payload bytes, then the padding that the lengths leave out (a short frame's).

    `bytes(packet)` fills in protocol numbers, lengths and checksums, but for fields that were given or parsed.
    """

    __slots__ = ("headers", "padding", "payload")

    def __init__(self, headers: Iterable[Header], payload: bytes = b"", padding: bytes = b"") -> None:
        self.headers = tuple(headers)
        self.payload = payload
        self.padding = padding

    @classmethod
    def parse(cls, data: bytes, first: type[Header] | None = None, *, prefer: Iterable[type[Header]] = ()) -> Packet:
        """Take `data` apart as far as the known headers go; what is left is payload.

        `first` is the outermost header, Ethernet by default. Headers that are cut short count as payload. A header of
        one's own that claims the number of a shipped one is taken where `prefer` names it: `prefer=[MyProtocol]`.
        """
        preferred = frozenset(prefer)
        _load_catalogues()
        data = bytes(data)
        if first is None:
            known = roots()
            if not known:
                raise UsageError("no header is known that a packet starts with",
                                 cure="Import Ethernet from bpfwright.headers, or name the first header.")
            first = known[0]
        headers: list[Header] = []
        padding = b""
        kind: type[Header] | None = first
        while kind is not None:
            header = kind.parse(data)
            if header is None:
                break
            headers.append(header)
            length = header.header_length()
            data = data[length:]
            if kind.size_rule is not None:
                claimed = getattr(header, kind.size_rule.field) - (length if kind.size_rule.includes_header else 0)
                if 0 <= claimed < len(data):
                    data, padding = data[:claimed], data[claimed:] + padding
            kind = _next(header, preferred)
        return cls(headers, data, padding)

    def find(self, header: type[H]) -> H | None:
        """The outermost header of this class, or None."""
        return next((each for each in self.headers if isinstance(each, header)), None)

    def recomputed(self) -> Packet:
        """A copy whose lengths and checksums are computed anew, as after a change of a parsed packet."""
        fresh = []
        for header in self.headers:
            twin = header.copy()
            size, check, length = twin.size_rule, twin.checksum_rule, twin.length_rule
            names = {rule.field for rule in (size, check, length) if rule is not None}
            twin._given = twin._given - names
            fresh.append(twin)
        return Packet(fresh, self.payload, self.padding)

    def __truediv__(self, upper: Header | Packet | bytes) -> Packet:
        if isinstance(upper, (bytes, bytearray)):
            return Packet(self.headers, self.payload + bytes(upper), self.padding)
        if self.payload:
            raise UsageError("a header cannot follow payload bytes")
        if isinstance(upper, Packet):
            return Packet(self.headers + upper.headers, upper.payload, self.padding + upper.padding)
        if not isinstance(upper, Header):
            raise WrongType(f"a packet is made of headers and bytes, not {type(upper).__name__}")
        return Packet((*self.headers, upper), b"", self.padding)

    def __bytes__(self) -> bytes:
        body = self.payload
        inner: type[Header] | None = None
        for index in range(len(self.headers) - 1, -1, -1):
            header = self.headers[index]
            body = header.finished(inner, body, self.headers[:index]) + body
            inner = type(header)
        return body + self.padding

    def __len__(self) -> int:
        return len(bytes(self))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, (bytes, bytearray)):
            return bytes(self) == bytes(other)
        return isinstance(other, Packet) and bytes(self) == bytes(other) and \
            [type(h) for h in self.headers] == [type(h) for h in other.headers]

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __repr__(self) -> str:
        parts = [repr(header) for header in self.headers]
        if self.payload or not parts:
            parts.append(repr(self.payload))
        return " / ".join(parts)


def _next(header: Header, preferred: frozenset[type[Header]]) -> type[Header] | None:
    """The class of the header behind `header`, if any is known."""
    if any(getattr(header, name) != value for name, value in header.payload_requires):
        return None
    following = [child for child, link in children_of(type(header)) if _leads(header, link)]
    return next((child for child in following if child in preferred), following[0] if following else None)


def _leads(header: Header, link: Link) -> bool:
    return not link.field or getattr(header, link.field) in link.values
