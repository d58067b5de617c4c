"""Messages of the domain name system, as much of them as is shown."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.tools._net import Ends, ends
from bpfwright.facets.tools._who import pid
from bpfwright.helpers import current, kernel_object, now_ns, subprogram, user_bytes, user_word
from bpfwright.maps import LruHash, RingBuf
from bpfwright.types import Config, L, Struct, array, char, u8, u32, u64
from bpfwright.vmlinux import sock

__all__ = ["Choice", "answer_code", "choice", "message", "messages", "question", "record_type"]


class Asked(Struct):
    """A question that waits for its answer."""

    socket: u64
    id: u64


class Message(Struct):
    """One message, from its first byte on."""

    at: u64
    took: u64
    pid: u32
    query: u32
    comm: char[L[16]]
    ends: Ends
    data: array[u8, L[256]]


class Choice(Config):
    """The servers' port, and whether questions are shown."""

    port: u32 = 53
    queries: bool = False


choice = Choice()
asked = LruHash[Asked, u64](max_entries=10_240)
messages = RingBuf[Message](size_bytes=1 << 22)


@subprogram
def message(socket: u64, buffer: u64, length: u64, sends: u32) -> None:
    """A question or an answer in a program's memory."""
    key, now, took = Asked(socket, user_word(buffer) & 0xFFFF), now_ns(), u64(0)
    if sends != 0:
        asked[key] = now
        if not choice.queries:
            return
    else:
        since = asked.pop(key, None)
        if since is None:
            return
        took = now - since
    messages.emit(Message(now, took, pid(), sends, current.comm, ends(kernel_object(sock, socket)),
                          user_bytes(buffer, length, 256)))


TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 35: "NAPTR",
         43: "DS", 48: "DNSKEY", 64: "SVCB", 65: "HTTPS", 255: "ANY"}
CODES = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
         "NOTZONE")


def _name(data: bytes) -> tuple[str, int]:
    """The first question's name, and where it ends."""
    labels, at = [], 12
    while at < len(data) and 0 < data[at] < 64:
        labels.append(data[at + 1:at + 1 + data[at]].decode("ascii", "backslashreplace"))
        at += 1 + data[at]
    return ".".join(labels) or ".", at + 1


def question(message: Any) -> str:
    """The name that is asked for."""
    return _name(bytes(message.data))[0]


def record_type(message: Any) -> str:
    """What is asked for: A, AAAA, MX ..."""
    data = bytes(message.data)
    at = _name(data)[1]
    number = int.from_bytes(data[at:at + 2], "big")
    return TYPES.get(number, f"TYPE{number}")


def answer_code(message: Any) -> str | None:
    """NOERROR, NXDOMAIN ...; None for a question."""
    if message.query:
        return None
    number = bytes(message.data)[3] & 15
    return CODES[number] if number < len(CODES) else f"RCODE{number}"
