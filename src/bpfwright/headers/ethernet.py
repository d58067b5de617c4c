"""Ethernet II frames (IEEE 802.3) and MAC addresses."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import UsageError
from bpfwright.spec.header import Header
from bpfwright.types import address, be16

__all__ = ["Ethernet", "MacAddress"]

_HEX = frozenset("0123456789abcdefABCDEF")


class MacAddress(address.Address):
    """A 48-bit hardware address: `MacAddress("02:00:00:00:00:01")`."""

    __slots__ = ()
    size = 6

    @classmethod
    def parse(cls, text: str) -> bytes:
        """The six bytes; UsageError unless `text` is six groups of two hex digits with colons (or all hyphens)."""
        groups = text.split(":") if ":" in text else text.split("-")
        if len(groups) != 6 or any(len(group) != 2 or not _HEX.issuperset(group) for group in groups):
            raise UsageError(f"{text!r} is not a MAC address", cure="Write 02:00:00:00:00:01.")
        return bytes.fromhex("".join(groups))

    @classmethod
    def format(cls, packed: bytes) -> str:
        return packed.hex(":")

    if TYPE_CHECKING:
        def __get__(self, instance: object, owner: object) -> MacAddress: ...
        def __set__(self, instance: object, value: MacAddress | str) -> None: ...


class Ethernet(Header):
    """The frame's header; `protocol` is the EtherType of what follows."""

    root = True
    destination: MacAddress = MacAddress("00:00:00:00:00:00")
    source: MacAddress = MacAddress("00:00:00:00:00:00")
    protocol: be16 = 0
