"""RingBuf: records from all CPUs to user space, in order."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from bpfwright.errors import UsageError, WrongType
from bpfwright.maps import _shared as s
from bpfwright.spec.dialect import Operation, Scope, Value
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import BOOLEAN, Meaning, Optional, Reference
from bpfwright.types.ctype import CType

__all__ = ["RingBuf"]

V = TypeVar("V")
_OUTPUT, _RESERVE, _SUBMIT, _DISCARD = 130, 131, 132, 133


def _reserve(b: Any, map_: Any) -> int:
    """A record's memory, null when the ring is full: counted."""
    pointer: int = b.helper_pointer(_RESERVE, b.map(map_), b.number(map_.value.size), b.number(0))
    b.alignments[pointer] = 8
    with b.when(b.is_null(pointer)):
        b.count_lost(map_)
    return pointer


def _check_reserve(site: Any) -> Meaning:
    site.bind()
    return Optional(Reference(s.declaration(site).value, "ring"))


def _enter(b: Any, site: Any) -> Value:
    return Value(Optional(Reference(s.declaration(site).value, "ring")), _reserve(b, s.declaration(site)))


def _leave(b: Any, site: Any, value: Value) -> None:
    with b.unless(b.is_null(value.only)):
        b.helper(_SUBMIT, value.only, b.number(0))


def _check_emit(site: Any) -> Meaning:
    site.bind("record")
    site.fits("record", s.declaration(site).value)
    return BOOLEAN


def _lower_emit(b: Any, site: Any) -> Value:
    """Build the record in the ring itself where its parts allow, else send a copy."""
    map_ = s.declaration(site)
    if site.builds("record"):
        finish = site.prepare("record")
        pointer = _reserve(b, map_)
        with b.unless(b.is_null(pointer)):
            finish(pointer)
            b.helper(_SUBMIT, pointer, b.number(0))
        return Value(BOOLEAN, b.op("ne", "i1", pointer, b.null()))
    record = site.address("record", map_.value)
    failed = b.helper(_OUTPUT, b.map(map_), record, b.number(map_.value.size), b.number(0))
    sent = b.op("eq", "i1", failed, b.number(0))
    with b.unless(sent):
        b.count_lost(map_)
    return Value(BOOLEAN, sent)


class RingBuf(MapDeclaration, Generic[V]):
    """A ring of `V` records, shared by all CPUs. Since Linux 5.8.

    Inside: `with ring.reserve() as e: if e is None: return` (leaving submits), or `ring.emit(Open(...))`. Outside:
    `session.events(ring)`. `size_bytes` is a power of two and a multiple of the page size. What finds no room is
    counted in `events.lost`.
    """

    kind: ClassVar[int] = 27
    parameters: ClassVar[tuple[str, ...]] = ("V",)
    __operations__: ClassVar[dict[str, Operation]] = {
        "reserve": Scope(_check_reserve, _enter, _leave, holds="a ring record"),
        "emit": Operation(_check_emit, _lower_emit),
    }

    def __init__(self, *, size_bytes: int) -> None:
        if isinstance(size_bytes, bool) or not isinstance(size_bytes, int):
            raise WrongType(f"size_bytes is a number, not {size_bytes!r}", cure="Write size_bytes=1 << 20.")
        if size_bytes < 4096 or size_bytes & (size_bytes - 1):
            raise UsageError(f"a ring of {size_bytes} bytes: a power of two from 4096 on is needed",
                             cure=f"Write size_bytes={max(4096, 1 << size_bytes.bit_length())}.")
        super().__init__(max_entries=size_bytes)

    @property
    def key(self) -> CType | None:
        """None: a ring has no keys."""
        return None

    if TYPE_CHECKING:
        from contextlib import AbstractContextManager

        def reserve(self) -> AbstractContextManager[V | None]: ...
        def emit(self, record: V) -> bool: ...

    @property
    def size_bytes(self) -> int:
        """The ring's size."""
        return self.max_entries

    def numbers(self) -> dict[str, int]:
        """A ring's definition has neither key nor value."""
        return {"type": self.kind, "max_entries": self.size_bytes}

