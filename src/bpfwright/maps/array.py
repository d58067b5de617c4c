"""Array: values by index, all there from the start."""
from __future__ import annotations

from bpfwright._typing import Any, ClassVar, Generic, Iterator, NoReturn, TypeVar
from bpfwright.errors import WrongType
from bpfwright.maps import _shared as s
from bpfwright.spec.dialect import Operation, Value
from bpfwright.types.ctype import CType, Int

__all__ = ["INDEX", "Array"]

V = TypeVar("V")
INDEX = Int("u32", 4, False)
_MMAPABLE = 1 << 10  # BPF_F_MMAPABLE


def _check_index(site: Any) -> NoReturn:
    """`m[i]` with an index that is known to be inside gives the entry without a None to test."""
    s.GET.check(site)
    site.refuse("an array's entry is looked up in the kernel, and the answer may be None",
                "Write m.get(index), and test it for None.")
    raise AssertionError


def _lower_index(b: Any, site: Any) -> Value:
    found: Value = s.GET.lower(b, site)
    return found


class Array(s.Keyed, Generic[V]):
    """`max_entries` values, zero at first, by index. Since Linux 3.19.

    `mapped`: `handle.map_values()` gives its memory itself, to read and write without system calls; since 5.5.
    """

    kind: ClassVar[int] = 2
    parameters: ClassVar[tuple[str, ...]] = ("V",)
    fixed_length: ClassVar[bool] = True
    __operations__: ClassVar[dict[str, Operation]] = {
        "get": s.GET, "__setitem__": s.SET, "insert": s.INSERT, "increment": s.INCREMENT,
        "__getitem__": Operation(_check_index, _lower_index), "items": s.WALKS["items"],
        "values": s.WALKS["values"], "__iter__": s.WALKS["values"],
    }

    def __init__(self, *, max_entries: int, mapped: bool = False) -> None:
        super().__init__(max_entries=max_entries, flags=_MMAPABLE if mapped else 0)

    @property
    def key(self) -> CType:
        """The index."""
        return INDEX

    def _index(self, index: int) -> bytes:
        if isinstance(index, bool) or not isinstance(index, int):
            raise WrongType(f"an index is an integer, not {index!r}")
        if index < 0:
            index += self.max_entries
        if not 0 <= index < self.max_entries:
            raise IndexError(f"index {index} of an array of {self.max_entries}")
        return index.to_bytes(4, "little")

    def __getitem__(self, index: int) -> V:
        raw = self.handle.lookup(self._index(index))
        return self._value_from(raw)  # type: ignore[no-any-return]

    def __setitem__(self, index: int, value: V) -> None:
        self.handle.update(self._index(index), self._value_bytes(value))

    def get(self, index: int) -> V | None:
        """The value, or None outside of the array."""
        return self[index] if 0 <= index < self.max_entries else None

    def increment(self: Array[int], index: int, by: int = 1) -> None:
        """Add to a number; from this side not atomic against the kernel."""
        self[index] = self[index] + by

    def __len__(self) -> int:
        return self.max_entries

    def __iter__(self) -> Iterator[V]:
        return (self[i] for i in range(self.max_entries))

    def values(self) -> Iterator[V]:
        """The values in their order, as iteration gives them."""
        return iter(self)

    def items(self) -> Iterator[tuple[int, V]]:
        """(index, value) pairs."""
        return enumerate(self)

