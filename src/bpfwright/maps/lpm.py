"""LpmTrie: the value of the longest prefix that holds an address."""
from __future__ import annotations

from bpfwright._typing import Any, ClassVar, Generic, Iterator, MutableMapping, TypeVar
from bpfwright.errors import UsageError
from bpfwright.maps import _shared as s
from bpfwright.spec.dialect import Operation
from bpfwright.types import Struct, array, u8, u32
from bpfwright.types.address import Address, Network
from bpfwright.types.ctype import AddressType, CType, RecordType, ctype_of

__all__ = ["LpmTrie"]

A = TypeVar("A", bound=Address)
V = TypeVar("V")
_NO_PREALLOC = 1
_KEYS: dict[int, type[Any]] = {}

def _key_class(size: int) -> type[Any]:
    """The trie's key: prefix length in bits, then the address's bytes."""
    if size not in _KEYS:
        annotations = {"length": u32, "address": array[u8, size]}  # type: ignore[valid-type]
        _KEYS[size] = type("lpm_key", (Struct,), {"__annotations__": annotations, "__module__": __name__})
    return _KEYS[size]


class LpmTrie(s.Keyed, MutableMapping[A | Network[A] | str, V], Generic[A, V]):
    """Longest prefix match on addresses: keys are addresses, networks or text. Since Linux 4.11.

    Inside: `m.get(ip.source)`. Outside: a mapping of networks; `m["192.0.2.0/24"]` is that very prefix, not a match.
    """

    kind: ClassVar[int] = 11
    parameters: ClassVar[tuple[str, ...]] = ("A", "V")
    __operations__: ClassVar[dict[str, Operation]] = {
        "get": s.GET, "__contains__": s.CONTAINS, "__setitem__": s.SET, "insert": s.INSERT, "discard": s.DISCARD,
        "__getitem__": s.refuse_getitem(),
    }

    def __init__(self, *, max_entries: int) -> None:
        super().__init__(max_entries=max_entries, flags=_NO_PREALLOC)

    @property
    def address(self) -> AddressType:
        """The kind of address it holds."""
        found = ctype_of(self.arguments[0], self.spaces)
        if not isinstance(found, AddressType):
            raise UsageError(f"LpmTrie matches addresses, not {found.name}", cure="Write LpmTrie[IPv4.Address, V].")
        return found

    @property
    def key(self) -> CType:
        """What programs look up by: an address."""
        return self.address

    @property
    def kernel_key(self) -> CType:
        """The key as the kernel holds it."""
        return RecordType(_key_class(self.address.size))

    def key_address(self, b: Any, site: Any, name: str) -> int:
        """All bits of an address, as a key on the stack."""
        size = self.address.size
        place: int = b.slot(4 + size, 8 if size > 4 else 4, "prefix")
        b.store(place, b.number(size * 8, "i32"), 0, 4)
        site.into(name, self.address, place, 4)
        return place

    def _network(self, key: Any) -> Network[A]:
        return Network.parse(self.address.cls, key)

    def _key_bytes(self, key: Any) -> bytes:
        network: Network[A] = self._network(key)
        packed: bytes = network.address.packed
        return network.length.to_bytes(4, "little") + packed

    def _key_from(self, data: bytes) -> Network[A]:
        return Network(self.address.cls.from_bytes(data[4:4 + self.address.size]), int.from_bytes(data[:4], "little"))

    def __getitem__(self, key: A | Network[A] | str) -> V:
        wanted = self._key_bytes(key)
        raw = self.handle.lookup(wanted)
        if raw is None or wanted not in set(self._near(wanted)):
            raise KeyError(key)
        return self._value_from(raw)  # type: ignore[no-any-return]

    def _near(self, wanted: bytes) -> Iterator[bytes]:
        """Whether the very prefix is there: the kernel's look-up also answers with a shorter one."""
        for raw in self.handle.keys():  # noqa: SIM118
            if raw == wanted:
                yield raw
                return

    def match(self, address: A | str) -> V | None:
        """The value of the longest prefix that holds the address, as a program would find it."""
        raw = self.handle.lookup(self._key_bytes(address))
        return None if raw is None else self._value_from(raw)

    def __setitem__(self, key: A | Network[A] | str, value: V) -> None:
        self.handle.update(self._key_bytes(key), self._value_bytes(value))

    def __delitem__(self, key: A | Network[A] | str) -> None:
        if not self.handle.delete(self._key_bytes(key)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[Network[A]]:
        return (self._key_from(raw) for raw in self.handle.keys())  # noqa: SIM118

    def __len__(self) -> int:
        return sum(1 for _ in self.handle.keys())  # noqa: SIM118
