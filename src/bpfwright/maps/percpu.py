"""Per-CPU maps: every CPU counts for itself, nobody waits."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, Generic, Iterator, Mapping, Sequence, TypeVar, overload
from bpfwright.errors import UsageError, WrongType
from bpfwright.maps import _shared as s
from bpfwright.maps.array import INDEX
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import Meaning, Optional, meaning_of
from bpfwright.types.ctype import AtomicType, BitsType, CType, Int, RecordType

__all__ = ["PerCpu", "PerCpuArray", "PerCpuHash", "PerCpuLruHash"]

K = TypeVar("K")
V = TypeVar("V")


class PerCpu(Sequence[V]):
    """One value a CPU, by CPU number; `total()` adds them up, field by field."""

    __slots__ = ("_ctype", "_raw", "_stride")

    def __init__(self, ctype: CType, raw: bytes) -> None:
        self._ctype = ctype
        self._raw = raw
        self._stride = -(-ctype.size // 8) * 8

    def __len__(self) -> int:
        return len(self._raw) // self._stride

    @overload
    def __getitem__(self, cpu: int) -> V: ...
    @overload
    def __getitem__(self, cpu: slice) -> Sequence[V]: ...
    def __getitem__(self, cpu: Any) -> Any:
        if isinstance(cpu, slice):
            return [self[i] for i in range(*cpu.indices(len(self)))]
        if not -len(self) <= cpu < len(self):
            raise IndexError(f"CPU {cpu} of {len(self)}")
        at = cpu % len(self) * self._stride
        return self._ctype.from_bytes(self._raw[at:at + self._ctype.size])

    def total(self) -> V:
        """The sum over all CPUs; of a Struct, the sum of each number in it."""
        if isinstance(self._ctype, Int):
            return sum(self)  # type: ignore[arg-type, return-value]
        if not isinstance(self._ctype, RecordType):
            raise UsageError(f"values of {self._ctype.name} do not add up", cure="Walk them: `for value in m[key]`.")
        memory = bytearray(self._ctype.size)
        record = self._ctype.cls.view(memory)
        for name, field in self._ctype.cls.__layout__().fields.items():
            if isinstance(field.type, (Int, AtomicType, BitsType)):
                number = sum(int(getattr(value, name)) for value in self)
                element = field.type.element if isinstance(field.type, AtomicType) else field.type
                setattr(record, name, element(number) if isinstance(element, Int) else number)
        return record  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        return f"PerCpu({list(self)!r})"


def _check_local(site: Any) -> Meaning:
    site.bind("key")
    map_ = s.declaration(site)
    site.fits("key", map_.key)
    inner = meaning_of(map_.value, "percpu")
    return Optional(inner)


def _check_local_index(site: Any) -> Meaning:
    """An index below max_entries never misses: then the entry itself, else None is possible."""
    optional = _check_local(site)
    assert isinstance(optional, Optional)
    index = site.meaning("key")
    inside = getattr(index, "low", -1) >= 0 and getattr(index, "high", 1 << 64) < s.declaration(site).max_entries
    site.notes["inside"] = inside
    return optional.inner if inside else optional


def _lower_local(b: Any, site: Any) -> Value:
    map_ = s.declaration(site)
    pointer = b.helper_pointer(s.LOOKUP, s.map_pointer(b, site), map_.key_address(b, site, "key"))
    if site.notes.get("inside"):
        with b.when(b.is_null(pointer)):  # never: but the verifier cannot know
            b.leave_program()
        found: Value = b.read(map_.value, pointer, 0, "percpu")
        return found
    answer: Value = b.optional_memory(pointer, map_.value, "percpu")
    return answer


_LOCAL = Operation(_check_local, _lower_local)
_LOCAL_INDEX = Operation(_check_local_index, _lower_local)

class PerCpuHash(s.Keyed, Mapping[K, PerCpu[V]], Generic[K, V]):
    """A hash table with one value a CPU. Inside: `local(key)` is this CPU's. Since Linux 4.6."""

    kind: ClassVar[int] = 5
    parameters: ClassVar[tuple[str, ...]] = ("K", "V")
    space: ClassVar[str] = "percpu"
    __operations__: ClassVar[dict[str, Operation]] = {
        "local": _LOCAL, "__contains__": s.CONTAINS, "__setitem__": s.SET, "insert": s.INSERT, "pop": s.POP_ENTRY,
        "discard": s.DISCARD, "increment": s.INCREMENT, "__getitem__": s.refuse_getitem(), **s.WALKS,
    }

    def __init__(self, *, max_entries: int) -> None:
        super().__init__(max_entries=max_entries)

    if TYPE_CHECKING:
        def local(self, key: K) -> V | None: ...
        def increment(self: PerCpuHash[K, int], key: K, by: int = 1) -> None: ...
        def insert(self, key: K, value: V) -> bool: ...
        def __setitem__(self, key: K, value: V | Sequence[V]) -> None: ...
    else:
        def __setitem__(self, key, value):
            self.handle.update(self._key_bytes(key), _all_cpus(self, value))

    def __getitem__(self, key: K) -> PerCpu[V]:
        raw = self.handle.lookup(self._key_bytes(key))
        if raw is None:
            raise KeyError(key)
        return PerCpu(self._value_type, raw)

    def __delitem__(self, key: K) -> None:
        if not self.handle.delete(self._key_bytes(key)):
            raise KeyError(key)

    def __iter__(self) -> Iterator[K]:
        return self._keys()

    def __len__(self) -> int:
        return sum(1 for _ in self.handle.keys())  # noqa: SIM118


class PerCpuLruHash(PerCpuHash[K, V]):
    """A per-CPU hash that drops what was used least recently. Since Linux 4.10."""

    kind: ClassVar[int] = 10


def _all_cpus(map_: Any, value: Any) -> bytes:
    """The bytes of one value for each CPU: a list of them, or one for all."""
    stride = -(-map_.value.size // 8) * 8
    count = map_.handle.value_size // stride
    values = list(value) if isinstance(value, (list, tuple, PerCpu)) else [value] * count
    if len(values) != count:
        raise WrongType(f"{len(values)} values for {count} CPUs")
    return b"".join(map_.value.to_bytes(v).ljust(stride, b"\0") for v in values)


class PerCpuArray(s.Keyed, Generic[V]):
    """An array with one value a CPU. Inside: `local(index)` is this CPU's. Since Linux 4.6."""

    kind: ClassVar[int] = 6
    parameters: ClassVar[tuple[str, ...]] = ("V",)
    space: ClassVar[str] = "percpu"
    fixed_length: ClassVar[bool] = True
    __operations__: ClassVar[dict[str, Operation]] = {
        "local": _LOCAL_INDEX, "increment": s.INCREMENT, "items": s.WALKS["items"], "__getitem__": s.refuse_getitem(),
    }

    def __init__(self, *, max_entries: int) -> None:
        super().__init__(max_entries=max_entries)

    @property
    def key(self) -> CType:
        """The index."""
        return INDEX

    if TYPE_CHECKING:
        def local(self, index: int) -> V: ...
        def increment(self: PerCpuArray[int], index: int, by: int = 1) -> None: ...

    def __getitem__(self, index: int) -> PerCpu[V]:
        if not -self.max_entries <= index < self.max_entries:
            raise IndexError(f"index {index} of an array of {self.max_entries}")
        return PerCpu(self._value_type, self.handle.lookup((index % self.max_entries).to_bytes(4, "little")))

    if not TYPE_CHECKING:
        def __setitem__(self, index, value):
            if not 0 <= index < self.max_entries:
                raise IndexError(f"index {index} of an array of {self.max_entries}")
            self.handle.update(index.to_bytes(4, "little"), _all_cpus(self, value))

    def __len__(self) -> int:
        return self.max_entries

    def __iter__(self) -> Iterator[PerCpu[V]]:
        return (self[i] for i in range(self.max_entries))
