"""IPv6 (RFC 8200), and its addresses as text (RFC 4291, RFC 5952)."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import UsageError
from bpfwright.headers.ethernet import Ethernet
from bpfwright.headers.ipv4 import IPv4
from bpfwright.headers.vlan import Vlan
from bpfwright.spec.header import Carry, Header, Link, Size
from bpfwright.types import L, address, be16, be32, bits, u8

__all__ = ["IPv6"]

_HEX = frozenset("0123456789abcdefABCDEF")


def _groups(text: str) -> list[int] | None:
    """The 16-bit groups of colon-separated text, a dotted quad at its end being two; None when it is malformed."""
    groups: list[int] = []
    parts = text.split(":") if text else []
    if parts and "." in parts[-1]:
        try:
            quad = IPv4.Address.parse(parts[-1])
        except UsageError:
            return None
        parts[-1:] = [quad[:2].hex(), quad[2:].hex()]
    for part in parts:
        if not 1 <= len(part) <= 4 or not _HEX.issuperset(part):
            return None
        groups.append(int(part, 16))
    return groups


def _longest_zeros(groups: list[int]) -> tuple[int, int]:
    """Start and length of the longest run of zero groups, the first of equals; (0, 0) when none has two."""
    best = (0, 0)
    start = 0
    for index, group in enumerate([*groups, 1]):
        if group:
            if index - start > max(best[1], 1):
                best = (start, index - start)
            start = index + 1
    return best


class IPv6(Header):
    """The fixed IPv6 header; extension headers are headers of their own."""

    class Address(address.Address):
        """An IPv6 address: `IPv6.Address("2001:db8::1")`."""

        __slots__ = ()
        size = 16

        @property
        def high(self) -> int:
            """The first 64 bits as a number: in programs too."""
            return int.from_bytes(self.packed[:8], "big")

        @property
        def low(self) -> int:
            """The last 64 bits as a number: in programs too."""
            return int.from_bytes(self.packed[8:], "big")

        @classmethod
        def parse(cls, text: str) -> bytes:
            """The sixteen bytes; UsageError unless `text` is a form of RFC 4291, without a zone."""
            left, gap, right = text.partition("::")
            first, last = _groups(left), _groups(right)
            if first is not None and last is not None and not (gap and "." in left):
                missing = 8 - len(first) - len(last)
                if (missing >= 1) if gap else (missing == 0):
                    return b"".join(g.to_bytes(2, "big") for g in [*first, *([0] * missing), *last])
            raise UsageError(f"{text!r} is not an IPv6 address", cure="Write 2001:db8::1.")

        @classmethod
        def format(cls, packed: bytes) -> str:
            if packed[:12] == bytes(10) + b"\xff\xff":
                return "::ffff:" + IPv4.Address.format(packed[12:])
            groups = [int.from_bytes(packed[i:i + 2], "big") for i in range(0, 16, 2)]
            start, length = _longest_zeros(groups)
            if not length:
                return ":".join(f"{group:x}" for group in groups)
            before = ":".join(f"{group:x}" for group in groups[:start])
            return f"{before}::" + ":".join(f"{group:x}" for group in groups[start + length:])

        if TYPE_CHECKING:
            def __get__(self, instance: object, owner: object) -> IPv6.Address: ...
            def __set__(self, instance: object, value: IPv6.Address | str) -> None: ...

    follows = (Link(Ethernet, "protocol", (0x86DD,)), Link(Vlan, "protocol", (0x86DD,)),
               Link(IPv4, "protocol", (41,), tunnel=True), Link(None, "next_header", (41,), tunnel=True))
    carries = (Carry(IPv4, "next_header", (4,), tunnel=True),)
    size_rule = Size("payload_length", False)

    version: bits[be32, L[4]] = 6
    traffic_class: bits[be32, L[8]] = 0
    flow_label: bits[be32, L[20]] = 0
    payload_length: be16 = 0
    next_header: u8 = 59
    hop_limit: u8 = 64
    source: Address = Address("::")
    destination: Address = Address("::")

    def pseudo_header(self, protocol: int, length: int) -> bytes:
        """What transport checksums cover of it (RFC 8200, 8.1)."""
        return bytes(self._memory[8:40]) + length.to_bytes(4, "big") + bytes([0, 0, 0, protocol])
