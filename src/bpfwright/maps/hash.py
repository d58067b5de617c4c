"""Hash and LruHash: the map that answers for any key."""
from __future__ import annotations

from itertools import islice

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, Iterator, MutableMapping, TypeVar
from bpfwright.maps import _shared as s
from bpfwright.spec.dialect import Operation

__all__ = ["Hash", "LruHash"]

K = TypeVar("K")
V = TypeVar("V")
_NO_PREALLOC = 1
_BATCH = 1 << 16  # entries that update() hands over at once
_MISSING: Any = object()

class Hash(s.Keyed, MutableMapping[K, V]):
    """A hash table in the kernel, a dict on this side. Since Linux 3.19.

    `preallocate=False` allocates entries as they come: less memory, slower inserts. Inside a program `m[k] = v` into a
    full map counts into `m.lost`; outside it raises MapFull.
    """

    kind: ClassVar[int] = 1
    parameters: ClassVar[tuple[str, ...]] = ("K", "V")
    __operations__: ClassVar[dict[str, Operation]] = {
        "get": s.GET, "__contains__": s.CONTAINS, "insert": s.INSERT, "__setitem__": s.SET, "pop": s.POP_ENTRY,
        "discard": s.DISCARD, "increment": s.INCREMENT, "__getitem__": s.refuse_getitem(), **s.WALKS,
    }

    def __init__(self, *, max_entries: int, preallocate: bool = True) -> None:
        super().__init__(max_entries=max_entries, flags=0 if preallocate else _NO_PREALLOC)

    def __getitem__(self, key: K) -> V:
        raw = self.handle.lookup(self._key_bytes(key))
        if raw is None:
            raise KeyError(key)
        return self._value_from(raw)  # type: ignore[no-any-return]

    def __setitem__(self, key: K, value: V) -> None:
        self.handle.update(self._key_bytes(key), self._value_bytes(value))

    def __delitem__(self, key: K) -> None:
        if not self.handle.delete(self._key_bytes(key)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        return self._keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.handle.keys())  # noqa: SIM118

    def items(self) -> Any:
        """(key, value) pairs, read in batches where the kernel has them."""
        return ((self._key_from(k), self._value_from(v)) for k, v in self.handle.items())

    def insert(self, key: K, value: V, *, only_new: bool = False) -> bool:
        """Store, and say whether it went in. `only_new`: not where there is an entry of this key."""
        from bpfwright.errors import MapFull
        if only_new and key in self:
            return False
        try:
            self[key] = value
        except MapFull:
            return False
        return True

    def increment(self, key: Any, by: int = 1) -> None:
        """Add to a number; from this side not atomic against the kernel."""
        raw = self.handle.lookup(self._key_bytes(key))
        total: Any = (0 if raw is None else self._value_from(raw)) + by
        self[key] = total

    def discard(self, key: K) -> bool:
        """Remove an entry, and say whether it was there."""
        return bool(self.handle.delete(self._key_bytes(key)))

    if not TYPE_CHECKING:
        def update(self, entries=(), /, **named):
            """dict.update, in batches: keys and values are written into columns, which the kernel takes as a whole."""
            pairs = iter(entries.items() if hasattr(entries, "keys") else entries)
            key, value = self.key, self._value_type
            while chunk := list(islice(pairs, _BATCH)):
                keys, values = bytearray(len(chunk) * key.size), bytearray(len(chunk) * value.size)
                put_key, put_value, key_size, value_size = key.put, value.put, key.size, value.size
                key_at = value_at = 0
                for each, its_value in chunk:
                    put_key(keys, key_at, each)
                    put_value(values, value_at, its_value)
                    key_at += key_size
                    value_at += value_size
                self.handle.update_batch(keys, values, len(chunk))
            if named:
                self.update(named)

        def pop(self, key, default=_MISSING):
            raw = self.handle.pop(self._key_bytes(key))
            if raw is not None:
                return self._value_from(raw)
            if default is _MISSING:
                raise KeyError(key)
            return default

    def update_columns(self, keys: Any, values: Any) -> None:
        """Fill from NumPy arrays: one row an entry, key and value bytes as the kernel holds them. Batched."""
        self.handle.update_batch(keys, values, len(keys))


class LruHash(Hash[K, V]):
    """A hash table that drops what was used least recently when it is full. Since Linux 4.10."""

    kind: ClassVar[int] = 9
    space: ClassVar[str] = "map lru"
