"""Which protocol a connection speaks, by what its sides say first on any port, and what it says from there on."""
from __future__ import annotations

import re
from functools import partial

from bpfwright._typing import Callable, Protocol
from bpfwright.facets.intrusion.signatures.protocols.dns import Dns, plausible
from bpfwright.facets.intrusion.signatures.protocols.http import METHODS, Http
from bpfwright.facets.intrusion.signatures.protocols.message import Message
from bpfwright.facets.intrusion.signatures.protocols.ssh import Ssh
from bpfwright.facets.intrusion.signatures.protocols.tls import Tls

__all__ = ["PROTOCOLS", "Conversation"]

_MOST_HELD = 2048


class _Side(Protocol):
    @property
    def size(self) -> int: ...

    def take(self, data: bytes) -> list[Message]: ...

    def skip(self, count: int) -> None: ...


class _Silent:
    """A protocol that is recognised and not taken apart: each side begins to speak, that is all."""

    size = 0

    def __init__(self, protocol: str, *, to_server: bool) -> None:
        self._message: list[Message] = [Message(protocol, to_server=to_server, source=None, makers={})]

    def take(self, data: bytes) -> list[Message]:
        found, self._message = self._message, []
        return found

    def skip(self, count: int) -> None:
        pass


_SIDES: dict[str, Callable[..., _Side]] = {"http": Http, "dns": Dns, "tls": Tls, "ssh": Ssh,
                                           "ftp": partial(_Silent, "ftp"), "smtp": partial(_Silent, "smtp")}
PROTOCOLS = tuple(_SIDES)
"""What is recognised."""
_WORDS = b"|".join(each.encode() for each in METHODS)
_CLIENT = re.compile(rb"(?i:(?P<http>(?:" + _WORDS + rb")[ \t])|(?P<smtp>(?:EHLO|HELO)[ \t\r])|"
                     rb"(?P<ftp>(?:USER|PASS|PORT|FEAT|SYST|AUTH TLS)[ \r]))|(?P<ssh>SSH-)|"
                     rb"(?s:(?P<tls>\x16\x03[\x00-\x04]..[\x01]))")
_SERVER = re.compile(rb"(?P<http>HTTP/)|(?P<ssh>SSH-)|(?s:(?P<tls>\x16\x03[\x00-\x04]..[\x02]))")
_ENOUGH = 20  # bytes that tell whether it is one of these
_DNS = 14


class Conversation:
    """Both sides of a connection. `protocol` is "" while it is not known."""

    __slots__ = ("_at", "_held", "_sides", "protocol")

    def __init__(self) -> None:
        self.protocol = ""
        self._at: list[int | None] = [None, None]
        self._held: list[bytes | None] = [b"", b""]
        self._sides: list[_Side | None] = [None, None]

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return sum(len(held or b"") for held in self._held) + sum(side.size for side in self._sides if side is not None)

    @property
    def settled(self) -> bool:
        """Whether its protocol is known, or that it is none of those that are."""
        return self.protocol != "" or None in self._held

    def take(self, side: int, place: int, data: bytes) -> list[Message]:
        """What a side (0: the one that asked first) said with bytes at a place of its stream."""
        at = self._at[side]
        self._at[side] = place + len(data)
        missed = at is not None and at != place
        speaks = self._sides[side]
        if speaks is None:
            return self._begin(side, data, missed)
        if missed and at is not None:
            speaks.skip(place - at)
        return speaks.take(data)

    def _begin(self, side: int, data: bytes, missed: bool) -> list[Message]:
        held = b"" if missed else self._held[side]
        if held is None:  # it was nothing that is known
            return []
        held += data
        name = self.protocol or _recognised(held, asks=side == 0)
        if not name:
            self._held[side] = held if len(held) < _MOST_HELD and (name is None or side) else None
            return []
        self.protocol = name
        self._held[side] = None
        found: list[Message] = []
        for each in (0, 1):
            if self._sides[each] is None and (each == side or self._held[each]):
                speaks = self._sides[each] = _SIDES[name](to_server=each == 0)
                found += speaks.take(held if each == side else self._held[each] or b"")
                self._held[each] = None
        return found


def _recognised(data: bytes, *, asks: bool) -> str | None:
    """The protocol that begins with these bytes; "": none that is known; None: that cannot be told yet."""
    found = (_CLIENT if asks else _SERVER).match(data)
    if found:
        return str(found.lastgroup)
    if len(data) >= _DNS and 12 <= int.from_bytes(data[:2], "big") < 4096 and plausible(
            data[2:2 + int.from_bytes(data[:2], "big")]):
        return "dns"
    first = data[:1]
    return "" if len(data) >= _ENOUGH and not (first < b"\x10" and len(data) < 300) else None
