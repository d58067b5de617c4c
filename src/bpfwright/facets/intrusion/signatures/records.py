"""What the kernel's part keeps and sends: sessions, entries of the pattern table, copies of packets."""
from __future__ import annotations

import struct

from bpfwright._typing import Any, NamedTuple
from bpfwright.types import L, Struct, array, u8, u16, u32, u64

__all__ = ["BY_STATE", "CARRIED", "EGRESS", "ENTRY_WORDS", "ESTABLISHED", "REASONS", "SNAP", "STEP", "TO_CLIENT",
           "TO_SERVER", "WITH_TAIL", "Copy", "Entry", "Looked", "Seen", "Session", "SessionKey",
           "seen_of", "struct_of"]

SNAP = 1936
"""Bytes of a packet that a copy has room for."""
CARRIED = 16
"""Bytes at a segment's end that are looked at once more with the next one."""
ENTRY_WORDS = 5
REASONS = ("", "pattern", "header", "fragment", "out of order", "tiny segment", "followed", "first bytes",
           "request")
"""Why a packet is copied, by number."""
STEP = 8
"""Words that are looked at in one round of a loop."""
WITH_TAIL, EGRESS, TO_SERVER, TO_CLIENT, ESTABLISHED = (1 << bit for bit in range(5))
"""Flags of a copy; the last three are what its state says."""
BY_STATE = (0, TO_SERVER, TO_SERVER | ESTABLISHED, TO_CLIENT, TO_CLIENT | ESTABLISHED)
"""The flags of a state, as Looked has it."""


class SessionKey(Struct):
    """A flow on an interface: both ends, the smaller one first."""

    first_high: u64
    first_low: u64
    second_high: u64
    second_low: u64
    ports: u32
    place: u32  # interface << 8 | protocol


class Session(Struct):
    """A flow: `begin_ns` is its number. Of each side, the one that asked first: the sequence number that comes next
    and that of its first byte, bytes that are still to be followed, bytes that were copied, what is known (1: the
    numbers, 2: the last bytes too, 4: there is a hole, 8: it speaks HTTP), where the first hole begins, and its
    last bytes."""

    begin_ns: u64
    last_ns: u64
    flags: u64
    expected: array[u32, L[2]]
    first: array[u32, L[2]]
    follow: array[u32, L[2]]
    copied: array[u32, L[2]]
    known: array[u32, L[2]]
    complete: array[u32, L[2]]
    tail: array[u32, L[8]]


class Looked(Struct):
    """What is known of a packet, in memory that all functions share: with it in registers verifiers walk what follows
    once for each way through the parse. Names as in `Parsed`; then: the masks of rules that may match; the flow's
    number; where the payload begins, its size; the stream's numbers; whether the last bytes before are known; the first
    bytes of this payload, whether a request's method begins with them, and its last ones. `state` is 0 without a flow,
    else 1 and 2 for what is sent to the server, 3 and 4 to the client, the even ones when the flow is established."""

    source_high: u64
    source_low: u64
    destination_high: u64
    destination_low: u64
    source_port: u16
    destination_port: u16
    length: u16
    network_offset: u16
    transport_offset: u16
    family: u8
    protocol: u8
    tcp_flags: u8
    type: u8
    code: u8
    ttl: u8
    ifindex: u32
    content: u64
    head: u64
    flow: u64
    start: u32
    size: u32
    sequence: u32
    state: u32
    expected: u32
    complete: u32
    first: u32
    carried: u32
    has_tail: u32
    word: u32
    method: u32
    tail: array[u32, L[4]]


class Entry(Struct):
    """A pattern at one of its places: words that are compared under masks, and where it may stand."""

    words: array[u32, L[5]]
    masks: array[u32, L[5]]
    buckets: u64
    first: u16
    last: u16
    back: u16      # bytes from the pattern's start to the second word
    size: u16
    drop: u32      # 0, or the sid of a rule that is decided here
    next: u16      # 0: none
    padding: u16


class Copy(Struct):
    """A packet for the process: what is known of its flow, and its bytes. `expected`: all bytes of the stream before it
    were seen; `tail` are the last of them."""

    time_ns: u64
    flow: u64
    ifindex: u32
    length: u32
    kept: u32
    expected: u32
    start: u32
    drop: u32
    flags: u16
    reason: u8
    family: u8
    network_offset: u16
    state: u16
    tail: array[u32, L[4]]
    data: array[u8, L[1936]]


class Seen(NamedTuple):
    """A copy as it is read: its fields, as Copy has them."""

    time_ns: int
    flow: int
    ifindex: int
    length: int
    kept: int
    expected: int
    start: int
    drop: int
    flags: int
    reason: int
    family: int
    network_offset: int
    state: int
    tail: bytes


_SEEN = struct.Struct("=QQIIIIIIHBBHH16s")


def seen_of(copy: bytes) -> tuple[Seen, bytes]:
    """The fields of a copy, and the bytes of its packet."""
    fields = Seen._make(_SEEN.unpack_from(copy))
    return fields, copy[_SEEN.size:_SEEN.size + fields.kept]


def struct_of(name: str, fields: dict[str, Any], kind: type[Any] = Struct) -> type[Any]:
    """A Struct, or a CUnion, whose sizes are known late; its fields' types may be text."""
    return type(name, (kind,), {"__annotations__": fields, "__module__": __name__})
