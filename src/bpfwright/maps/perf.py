"""PerfEventArray: records by a buffer of each CPU's own, for kernels without ring buffers."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from bpfwright.maps import _shared as s
from bpfwright.maps.array import INDEX
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import BOOLEAN, ContextOf, Meaning
from bpfwright.types.ctype import CType

__all__ = ["PerfEventArray"]

V = TypeVar("V")
_OUTPUT, _CURRENT_CPU = 25, 0xFFFFFFFF


def _check(site: Any) -> Meaning:
    site.bind("ctx", "record")
    if not isinstance(site.meaning("ctx"), ContextOf):
        site.refuse("the first argument is the program's context", "Write events.emit(ctx, Open(...)).")
    site.fits("record", s.declaration(site).value)
    return BOOLEAN


def _lower(b: Any, site: Any) -> Value:
    map_ = s.declaration(site)
    record = site.address("record", map_.value)
    failed = b.helper(_OUTPUT, b.context(), s.map_pointer(b, site), b.number(_CURRENT_CPU), record,
                      b.number(map_.value.size))
    return Value(BOOLEAN, b.op("eq", "i1", failed, b.number(0)))


class PerfEventArray(MapDeclaration, Generic[V]):
    """A buffer of `V` records on each CPU. Inside: `events.emit(ctx, Open(...))`; outside: `session.events(...)`,
    where the kernel itself counts what was lost. Prefer RingBuf from Linux 5.8 on. Since Linux 4.3.
    """

    kind: ClassVar[int] = 4
    parameters: ClassVar[tuple[str, ...]] = ("V",)
    __operations__: ClassVar[dict[str, Operation]] = {"emit": Operation(_check, _lower)}

    def __init__(self, *, pages: int = 64) -> None:
        super().__init__(max_entries=1)
        self.pages = pages

    @property
    def key(self) -> CType:
        """The CPU."""
        return INDEX

    def numbers(self) -> dict[str, int]:
        """One entry a CPU: the loader counts them."""
        return {"type": self.kind, "key_size": 4, "value_size": 4}

    if TYPE_CHECKING:
        def emit(self, ctx: object, record: V) -> bool:
            """Send a record; False when this CPU's buffer is full."""
