"""Maps of maps: an entry is a map of its own, exchanged in one move."""
from __future__ import annotations

from bpfwright._typing import Any, ClassVar, Generic, Iterator, MutableMapping, TypeVar
from bpfwright.errors import UsageError, WrongType
from bpfwright.maps import _shared as s
from bpfwright.maps.array import INDEX
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import InnerMap, Meaning, Optional
from bpfwright.types.ctype import CType

__all__ = ["ArrayOfMaps", "HashOfMaps"]

K = TypeVar("K")
M = TypeVar("M")


def _check_get(site: Any) -> Meaning:
    site.bind("key")
    map_ = s.declaration(site)
    site.fits("key", map_.key)
    return Optional(InnerMap(map_.inner))


def _lower_get(b: Any, site: Any) -> Value:
    map_ = s.declaration(site)
    pointer = b.helper_pointer(s.LOOKUP, s.map_pointer(b, site), map_.key_address(b, site, "key"))
    return Value(site.node.meaning, pointer)


_GET = Operation(_check_get, _lower_get)


class _OfMaps(s.Keyed):
    """What both kinds share."""

    def __init__(self, *, max_entries: int, inner: Any) -> None:
        super().__init__(max_entries=max_entries)
        if not isinstance(inner, MapDeclaration):
            raise WrongType("inner is a map that shows the shape of those inside",
                            cure="Write inner=Array[Backend](max_entries=256).")
        if inner.inner is not None:
            raise UsageError("the kernel nests maps one deep")
        self._inner = inner
        self._held: dict[Any, MapDeclaration] = {}

    @property
    def value(self) -> CType | None:
        """A map's number, as the kernel shows it."""
        return INDEX

    @property
    def inner(self) -> MapDeclaration:
        """The shape of the maps inside."""
        return self._inner

    def _put(self, raw: bytes, key: Any, value: Any) -> None:
        if not isinstance(value, MapDeclaration) or value.kind != self._inner.kind:
            raise WrongType(f"{value!r} is not a {type(self._inner).__name__}")
        self.handle.update(raw, value.handle.fd.to_bytes(4, "little"))
        self._held[key] = value

    def _find(self, raw: bytes, key: Any) -> Any:
        number = self.handle.lookup(raw)
        if number is None:
            raise KeyError(key)
        known = self._held.get(key)
        if known is not None and known.handle.id == int.from_bytes(number, "little"):
            return known
        raise UsageError(f"the map at {key!r} was put there by another session", cure="Put one of this session there.")


class HashOfMaps(_OfMaps, MutableMapping[K, M], Generic[K, M]):
    """A hash whose values are maps of one shape. Since Linux 4.12."""

    kind: ClassVar[int] = 13
    parameters: ClassVar[tuple[str, ...]] = ("K", "M")
    __operations__: ClassVar[dict[str, Operation]] = {"get": _GET, "__contains__": s.CONTAINS,
                                                      "__getitem__": s.refuse_getitem()}

    def __getitem__(self, key: K) -> M:
        found: M = self._find(self._key_bytes(key), key)
        return found

    def __setitem__(self, key: K, value: M) -> None:
        self._put(self._key_bytes(key), key, value)

    def __delitem__(self, key: K) -> None:
        if not self.handle.delete(self._key_bytes(key)):
            raise KeyError(key)
        self._held.pop(key, None)

    def __iter__(self) -> Iterator[K]:
        return self._keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.handle.keys())  # noqa: SIM118


class ArrayOfMaps(_OfMaps, Generic[M]):
    """An array whose entries are maps of one shape, empty at first. Since Linux 4.12."""

    kind: ClassVar[int] = 12
    parameters: ClassVar[tuple[str, ...]] = ("M",)
    __operations__: ClassVar[dict[str, Operation]] = {"get": _GET, "__getitem__": s.refuse_getitem()}

    @property
    def key(self) -> CType:
        """The index."""
        return INDEX

    def _raw(self, index: int) -> bytes:
        if not 0 <= index < self.max_entries:
            raise IndexError(f"index {index} of an array of {self.max_entries}")
        return index.to_bytes(4, "little")

    def __getitem__(self, index: int) -> M:
        found: M = self._find(self._raw(index), index)
        return found

    def get(self, index: int) -> M | None:
        """The map, or None where there is none."""
        try:
            return self[index]
        except (IndexError, KeyError):
            return None

    def __setitem__(self, index: int, value: M) -> None:
        self._put(self._raw(index), index, value)

    def __delitem__(self, index: int) -> None:
        self.handle.delete(self._raw(index))
        self._held.pop(index, None)

    def __len__(self) -> int:
        return self.max_entries
