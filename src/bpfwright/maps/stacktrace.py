"""StackTrace: call stacks, kept once each."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, Iterator
from bpfwright.maps import _shared as s
from bpfwright.maps.array import INDEX
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import ContextOf, Integer, Meaning, Optional
from bpfwright.spec.program import Context
from bpfwright.types.ctype import ArrayType, CType, Int

__all__ = ["StackTrace"]

_GET_STACKID, _USER_STACK = 27, 1 << 8
_DEPTH = 127  # PERF_MAX_STACK_DEPTH


def _check(site: Any) -> Meaning:
    site.bind("ctx", user=False)
    if not isinstance(site.meaning("ctx"), ContextOf):
        site.refuse("the first argument is the program's context", "Write stacks.capture(ctx).")
    site.constant("user")
    return Optional(Integer(0, 0xFFFFFFFF))


def _lower(b: Any, site: Any) -> Value:
    flags = _USER_STACK if site.constant("user") else 0
    found = b.helper(_GET_STACKID, b.context(), s.map_pointer(b, site), b.number(flags))
    number = b.truncate(found, "i32")
    present = b.op("sle", "i1", b.number(0, "i32"), number)
    with b.unless(present):
        b.count_lost(s.declaration(site))
    return Value(site.node.meaning, present, b.extend(number, "i32"))


class StackTrace(MapDeclaration):
    """Call stacks by a number of their own. Inside: `stacks.capture(ctx, user=True)`; outside: addresses, innermost
    first. `lost` counts stacks that were not had or fell to another with the same hash. Since Linux 4.6.
    """

    kind: ClassVar[int] = 7
    __operations__: ClassVar[dict[str, Operation]] = {"capture": Operation(_check, _lower)}

    def __init__(self, *, max_entries: int) -> None:
        super().__init__(max_entries=max_entries)

    @property
    def key(self) -> CType:
        """The stack's number."""
        return INDEX

    @property
    def value(self) -> CType:
        """Up to 127 addresses."""
        return ArrayType(Int("u64", 8, False), _DEPTH)

    if TYPE_CHECKING:
        def capture(self, ctx: Context, *, user: bool = False) -> int | None:
            """The number of the stack that runs now; None when it cannot be had."""

    def __getitem__(self, id: int) -> list[int]:
        raw = self.handle.lookup(id.to_bytes(4, "little"))
        if raw is None:
            raise KeyError(id)
        words = [int.from_bytes(raw[at:at + 8], "little") for at in range(0, len(raw), 8)]
        return [word for word in words if word]

    def __iter__(self) -> Iterator[int]:
        return (int.from_bytes(raw, "little") for raw in self.handle.keys())  # noqa: SIM118
