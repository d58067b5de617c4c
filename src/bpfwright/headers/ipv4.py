"""IPv4 (RFC 791), its options and addresses."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import UsageError
from bpfwright.headers.ethernet import Ethernet
from bpfwright.headers.vlan import Vlan
from bpfwright.spec.header import Checksum, Header, LengthRule, Link, Option, Options, Size
from bpfwright.types import L, address, be16, bits, u8

__all__ = ["IPv4", "IPv4Option"]

_OCTETS = {str(number): number for number in range(256)}  # maps are filled from millions of addresses as text


class IPv4Option(Option):
    """An option of the IPv4 header; `length` counts kind and length too."""

    length_rule = LengthRule("length", 1)
    kind: u8 = 0
    length: u8 = 0


class IPv4(Header):
    """An IPv4 header. What follows is there in the first fragment only."""

    class Address(address.Address):
        """An IPv4 address: `IPv4.Address("192.0.2.1")`."""

        __slots__ = ()
        size = 4

        @classmethod
        def parse(cls, text: str) -> bytes:
            """The four bytes; UsageError unless `text` is four decimal numbers up to 255 without leading zeros."""
            try:
                first, second, third, fourth = text.split(".")
                return bytes((_OCTETS[first], _OCTETS[second], _OCTETS[third], _OCTETS[fourth]))
            except (KeyError, ValueError):
                pass
            raise UsageError(f"{text!r} is not an IPv4 address", cure="Write 192.0.2.1.")

        @classmethod
        def format(cls, packed: bytes) -> str:
            return ".".join(map(str, packed))

        if TYPE_CHECKING:
            def __get__(self, instance: object, owner: object) -> IPv4.Address: ...
            def __set__(self, instance: object, value: IPv4.Address | str) -> None: ...

    follows = (Link(Ethernet, "protocol", (0x0800,)), Link(Vlan, "protocol", (0x0800,)),
               Link(None, "protocol", (4,), tunnel=True))
    length_rule = LengthRule("ihl", 4)
    payload_requires = (("fragment_offset", 0),)
    size_rule = Size("total_length", True)
    checksum_rule = Checksum("checksum", covers="header")

    version: bits[u8, L[4]] = 4
    ihl: bits[u8, L[4]] = 5
    dscp: bits[u8, L[6]] = 0
    ecn: bits[u8, L[2]] = 0
    total_length: be16 = 0
    identification: be16 = 0
    reserved: bits[be16, L[1]] = 0
    dont_fragment: bits[be16, L[1]] = 0
    more_fragments: bits[be16, L[1]] = 0
    fragment_offset: bits[be16, L[13]] = 0
    ttl: u8 = 64
    protocol: u8 = 0
    checksum: be16 = 0
    source: Address = Address("0.0.0.0")
    destination: Address = Address("0.0.0.0")
    options: Options[IPv4Option] = Options(IPv4Option, single=(0, 1), end=0)

    def pseudo_header(self, protocol: int, length: int) -> bytes:
        """What transport checksums cover of it (RFC 9293, 3.1)."""
        return bytes(self._memory[12:20]) + bytes([0, protocol]) + length.to_bytes(2, "big")
