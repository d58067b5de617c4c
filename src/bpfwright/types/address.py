"""Addresses and networks: bytes in packet order, text on the outside."""
from __future__ import annotations

from bpfwright._typing import Any, ClassVar, Generic, Self, TypeVar
from bpfwright.errors import UsageError, WrongType
from bpfwright.types.ctype import AddressType

__all__ = ["Address", "Network"]


class Address:
    """An address of `size` bytes, in network order. Equal to another of its class, or to the same address as text.

    Subclasses give `size` (bytes), `parse(text) -> bytes` and `format(packed) -> str`.
    """

    __slots__ = ("packed",)
    packed: bytes
    size: ClassVar[int] = 0
    align: ClassVar[int] = 1

    def __init__(self, text: str) -> None:
        self.packed = self.parse(text)

    @classmethod
    def __ctype__(cls) -> AddressType:
        return AddressType(cls)

    @classmethod
    def parse(cls, text: str) -> bytes:
        raise NotImplementedError

    @classmethod
    def format(cls, packed: bytes) -> str:
        raise NotImplementedError

    @classmethod
    def from_bytes(cls, packed: bytes) -> Self:
        """The address that stands in a packet as these bytes."""
        address = object.__new__(cls)
        address.packed = packed
        return address

    @classmethod
    def from_int(cls, number: int) -> Self:
        return cls.from_bytes(number.to_bytes(cls.size, "big"))

    @classmethod
    def coerce(cls, value: Any) -> Self:
        """An address from itself, text or raw bytes; WrongType otherwise."""
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls(value)
        if isinstance(value, bytes) and len(value) == cls.size:
            return cls.from_bytes(value)
        raise WrongType(f"{value!r} is not an {cls.__qualname__}")

    def __int__(self) -> int:
        return int.from_bytes(self.packed, "big")

    def __bytes__(self) -> bytes:
        return self.packed

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            try:
                return self.packed == self.parse(other)
            except UsageError:
                return False
        return type(other) is type(self) and self.packed == other.packed

    def __hash__(self) -> int:
        return hash((type(self), self.packed))

    def __lt__(self, other: Self) -> bool:
        return self.packed < other.packed

    def __str__(self) -> str:
        return self.format(self.packed)

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}({str(self)!r})"


A = TypeVar("A", bound=Address)


class Network(Generic[A]):
    """A prefix: `Network(IPv4.Address("192.0.2.0"), 24)`, or Network.parse(IPv4.Address, "192.0.2.0/24")."""

    __slots__ = ("address", "length")

    def __init__(self, address: A, length: int) -> None:
        bits = address.size * 8
        if not 0 <= length <= bits:
            raise UsageError(f"a prefix of {length} bits does not fit {type(address).__qualname__}")
        self.length = length
        mask = (1 << bits) - (1 << (bits - length))
        self.address: A = type(address).from_int(int(address) & mask)

    @classmethod
    def parse(cls, kind: type[A], text: object) -> Network[A]:
        """A network from text, an address (all bits) or itself."""
        if isinstance(text, Network):
            return text
        if isinstance(text, str) and "/" in text:
            address, _, length = text.partition("/")
            if not length.isascii() or not length.isdigit():
                raise UsageError(f"{text!r} is not a network", cure="Write 192.0.2.0/24.")
            return Network(kind(address), int(length))
        return Network(kind.coerce(text), kind.size * 8)

    def __contains__(self, address: A) -> bool:
        shift = address.size * 8 - self.length
        return int(address) >> shift == int(self.address) >> shift

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Network) and (self.address, self.length) == (other.address, other.length)

    def __hash__(self) -> int:
        return hash((self.address, self.length))

    def __str__(self) -> str:
        return f"{self.address}/{self.length}"

    def __repr__(self) -> str:
        return f"Network({str(self)!r})"
