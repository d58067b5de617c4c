"""Queue, Stack and Bloom: maps without keys."""
from __future__ import annotations

from bpfwright._typing import Any, ClassVar, Generic, TypeVar
from bpfwright.maps import _shared as s
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import BOOLEAN, Meaning, Optional, meaning_of
from bpfwright.types.ctype import CType

__all__ = ["Bloom", "Queue", "Stack"]

V = TypeVar("V")


def _check_value(site: Any) -> Meaning:
    site.bind("value")
    site.fits("value", s.declaration(site).value)
    return BOOLEAN


def _lower_push(b: Any, site: Any) -> Value:
    map_ = s.declaration(site)
    failed = b.helper(s.PUSH, s.map_pointer(b, site), site.address("value", map_.value), b.number(0))
    done = b.op("eq", "i1", failed, b.number(0))
    with b.unless(done):
        b.count_lost(map_)
    return Value(BOOLEAN, done)


def _check_take(site: Any) -> Meaning:
    site.bind()
    return Optional(meaning_of(s.declaration(site).value, "stack"))


def _take(helper: int) -> Operation:
    def lower(b: Any, site: Any) -> Value:
        ctype = s.declaration(site).value
        place = b.memory(ctype.size, "taken")
        failed = b.helper(helper, s.map_pointer(b, site), place)
        found: Value = b.present_memory(b.op("eq", "i1", failed, b.number(0)), ctype, place)
        return found

    return Operation(_check_take, lower)


def _lower_contains(b: Any, site: Any) -> Value:
    map_ = s.declaration(site)
    failed = b.helper(s.PEEK, s.map_pointer(b, site), site.address("value", map_.value))
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


class _Keyless(MapDeclaration, Generic[V]):
    parameters: ClassVar[tuple[str, ...]] = ("V",)

    def __init__(self, *, max_entries: int) -> None:
        super().__init__(max_entries=max_entries)

    @property
    def key(self) -> CType | None:
        """None: there are no keys."""
        return None

    def _bytes(self, value: V) -> bytes:
        assert self.value is not None
        return self.value.to_bytes(value)


class Queue(_Keyless[V]):
    """First in, first out. `push` says whether it went in; `pop` and `peek` give None when empty. Since Linux 4.20."""

    kind: ClassVar[int] = 22
    __operations__: ClassVar[dict[str, Operation]] = {
        "push": Operation(_check_value, _lower_push), "pop": _take(s.POP), "peek": _take(s.PEEK),
    }

    def push(self, value: V) -> bool:
        """Put a value in; False when it is full."""
        from bpfwright.errors import MapFull
        try:
            self.handle.update(b"", self._bytes(value))
        except MapFull:
            return False
        return True

    def pop(self) -> V | None:
        """Take the next value out; None when empty."""
        return self._value(self.handle.pop(b""))

    def peek(self) -> V | None:
        """The next value, left in; None when empty."""
        return self._value(self.handle.lookup(b""))

    def _value(self, raw: bytes | None) -> V | None:
        assert self.value is not None
        return None if raw is None else self.value.from_bytes(raw)


class Stack(Queue[V]):
    """Last in, first out. Since Linux 4.20."""

    kind: ClassVar[int] = 23


class Bloom(_Keyless[V]):
    """A set that may say yes wrongly, never no. `hashes` functions; `v in bloom` on both sides. Since Linux 5.16."""

    kind: ClassVar[int] = 30
    __operations__: ClassVar[dict[str, Operation]] = {
        "add": Operation(_check_value, _lower_push), "__contains__": Operation(_check_value, _lower_contains),
    }

    def __init__(self, *, max_entries: int, hashes: int = 5) -> None:
        super().__init__(max_entries=max_entries)
        self.hashes = hashes

    def numbers(self) -> dict[str, int]:
        """The definition; map_extra is the number of hash functions."""
        return {**super().numbers(), "map_extra": self.hashes}

    def add(self, value: V) -> bool:
        """Put a value in."""
        self.handle.update(b"", self._bytes(value))
        return True

    def __contains__(self, value: V) -> bool:
        found: bool = self.handle.contains(self._bytes(value))
        return found
