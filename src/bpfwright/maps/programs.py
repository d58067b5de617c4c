"""ProgArray: programs that call one another without coming back (tail calls)."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar
from bpfwright.errors import SessionError, WrongType
from bpfwright.maps import _shared as s
from bpfwright.maps.array import INDEX
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import NOTHING, ContextOf, Meaning
from bpfwright.spec.program import Context, Program
from bpfwright.types.ctype import CType

__all__ = ["ProgArray"]

C = TypeVar("C", bound=Context)
_TAIL_CALL = 12


def _check(site: Any) -> Meaning:
    site.bind("ctx", "index")
    if not isinstance(site.meaning("ctx"), ContextOf):
        site.refuse("the first argument is the program's context", "Write stages.tail_call(ctx, 1).")
    site.integer("index")
    return NOTHING


def _lower(b: Any, site: Any) -> Value:
    index = b.truncate(b.numeric(site.value("index"))[0], "i32")
    b.helper(_TAIL_CALL, b.context(), s.map_pointer(b, site), index)
    return Value(NOTHING)


class ProgArray(MapDeclaration, Generic[C]):
    """Programs by number. Inside: `stages.tail_call(ctx, 1)` comes back only if it failed. Since Linux 4.2."""

    kind: ClassVar[int] = 3
    parameters: ClassVar[tuple[str, ...]] = ("C",)
    __operations__: ClassVar[dict[str, Operation]] = {
        "tail_call": Operation(_check, _lower, leaves=True)}

    def __init__(self, *, max_entries: int) -> None:
        super().__init__(max_entries=max_entries)

    @property
    def key(self) -> CType:
        """The index."""
        return INDEX

    @property
    def value(self) -> CType:
        """A program's number, as the kernel shows it."""
        return INDEX

    if TYPE_CHECKING:
        def tail_call(self, ctx: C, index: int) -> None:
            """Go on in the program at `index`; come back only if there is none, or after 33 such calls."""

    def _raw(self, index: int) -> bytes:
        if not 0 <= index < self.max_entries:
            raise IndexError(f"index {index} of an array of {self.max_entries}")
        return index.to_bytes(4, "little")

    def __setitem__(self, index: int, program: Program[Any, Any, Any]) -> None:
        if not isinstance(program, Program):
            raise WrongType(f"{program!r} is not a program")
        if not program.bindings:
            raise SessionError(f"{program.name} is in no session", cure="Load it beside the others: load(a, b).")
        self.handle.update(self._raw(index), program.bindings[-1].fd.to_bytes(4, "little"))

    def __delitem__(self, index: int) -> None:
        self.handle.delete(self._raw(index))

    def __contains__(self, index: int) -> bool:
        return self.handle.lookup(self._raw(index)) is not None

    def __len__(self) -> int:
        return self.max_entries
