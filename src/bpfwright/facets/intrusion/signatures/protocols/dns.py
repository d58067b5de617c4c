"""DNS: questions of a message, in datagrams and on streams."""
from __future__ import annotations

from struct import unpack_from

from bpfwright.facets.intrusion.signatures.protocols.message import Message

__all__ = ["Dns", "message_of", "plausible"]

_HEAD = 12
_MOST_QUESTIONS = 64
_MOST_JUMPS = 32
_MOST_NAME = 1025


_MAKERS = {"dns.query": tuple}


def plausible(data: bytes) -> bool:
    """Whether these bytes may be a message: an opcode that is known, few records, a first name that can be read."""
    if len(data) < _HEAD:
        return False
    _, flags, questions, answers, authorities, additional = unpack_from("!6H", data)
    if flags >> 11 & 15 > 6 or flags & 0x40 or questions > 64 or not questions + answers + authorities + additional:
        return False
    if answers + authorities + additional > 512:
        return False
    return questions == 0 or _name(data, _HEAD) is not None


def message_of(data: bytes) -> Message | None:
    """The message, None for what is none. What is cut off has the questions that can be read."""
    if not plausible(data):
        return None
    _, flags, count = unpack_from("!3H", data)
    names: list[bytes] = []
    at = _HEAD
    for _ in range(min(count, _MOST_QUESTIONS)):
        found = _name(data, at)
        if found is None:
            break
        names.append(found[0])
        at = found[1] + 4
    asks = not flags & 0x8000
    questions = tuple(names) if asks else ()
    return Message("dns", to_server=asks, source=questions, makers=_MAKERS,
                   numbers={"dns.opcode": flags >> 11 & 15, "dns.rcode": flags & 15})


def _name(data: bytes, at: int) -> tuple[bytes, int] | None:
    """A name with dots, and where it ends."""
    labels: list[bytes] = []
    end = -1
    size = 0
    for _ in range(_MOST_JUMPS + 128):
        if at >= len(data):
            return None
        length = data[at]
        if length == 0:
            return b".".join(labels), end if end >= 0 else at + 1
        if length >= 0xC0:
            if at + 1 >= len(data):
                return None
            end = at + 2 if end < 0 else end
            at = (length & 0x3F) << 8 | data[at + 1]
            continue
        if length >= 0x40 or at + 1 + length > len(data):
            return None
        labels.append(data[at + 1:at + 1 + length])
        size += length + 1
        if size > _MOST_NAME:
            return None
        at += 1 + length
    return None


class Dns:
    """One side of a connection: messages with their lengths before them."""

    def __init__(self, *, to_server: bool) -> None:
        self._held = b""

    @property
    def size(self) -> int:
        """Bytes that it keeps."""
        return len(self._held)

    def skip(self, count: int) -> None:
        """Bytes were not seen."""
        self._held = b""

    def take(self, data: bytes) -> list[Message]:
        """What was said with these bytes."""
        self._held += data
        found = []
        while len(self._held) >= 2:
            length = int.from_bytes(self._held[:2], "big")
            if len(self._held) < 2 + length:
                break
            message = message_of(self._held[2:2 + length])
            if message is None:
                self._held = b""
                break
            found.append(message)
            self._held = self._held[2 + length:]
        return found
