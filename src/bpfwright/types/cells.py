"""Memory that CPUs share: atomics, locks, and `shared` structs."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar
from bpfwright.errors import SessionError, UsageError
from bpfwright.types.ctype import AtomicType, CType, Int, Memory, Opaque, ctype_of
from bpfwright.types.structs import Struct

__all__ = ["Atomic", "AtomicCell", "SpinLock", "is_shared", "shared"]

T = TypeVar("T")
S = TypeVar("S")


if TYPE_CHECKING:
    class Atomic(Generic[T]):
        """An integer field that several CPUs change at once."""

        def __init__(self, value: T) -> None: ...
        def __get__(self, instance: object, owner: object) -> Atomic[T]: ...
        def __set__(self, instance: object, value: T | Atomic[T]) -> None: ...
        @property
        def value(self) -> T: ...
        def __add__(self, n: T) -> T: ...
        def __sub__(self, n: T) -> T: ...
        def __or__(self, n: T) -> T: ...
        def fetch_add(self, n: T) -> T: ...
        def fetch_or(self, n: T) -> T: ...
        def exchange(self, n: T) -> T: ...
        def compare_exchange(self, expected: T, new: T) -> T: ...
else:
    class Atomic:
        """`Atomic[u64]`: an integer field that several CPUs change at once."""

        def __class_getitem__(cls, element: Any) -> CType:
            ctype = ctype_of(element)
            if not isinstance(ctype, Int):
                raise UsageError(f"Atomic[{ctype.name}]: only integers are atomic")
            return AtomicType(ctype)


class AtomicCell:
    """An atomic seen from user space. Reads and writes are single accesses; read-modify-write here is not atomic
    against the kernel, so counters are changed on one side only."""

    __slots__ = ("_element", "_memory", "_offset")

    def __init__(self, element: Int, memory: Memory, offset: int) -> None:
        self._element = element
        self._memory = memory
        self._offset = offset

    @property
    def value(self) -> int:
        return self._element.get(self._memory, self._offset)

    def _swap(self, new: int) -> int:
        old = self.value
        self._element.put(self._memory, self._offset, self._element(new))
        return old

    def fetch_add(self, n: int) -> int:
        return self._swap(self.value + n)

    def fetch_or(self, n: int) -> int:
        return self._swap(self.value | n)

    def exchange(self, n: int) -> int:
        return self._swap(n)

    def compare_exchange(self, expected: int, new: int) -> int:
        return self._swap(new) if self.value == expected else self.value

    def __int__(self) -> int:
        return self.value

    __index__ = __int__

    def __add__(self, n: int) -> int:
        return self._element(self.value + n)

    def __sub__(self, n: int) -> int:
        return self._element(self.value - n)

    def __or__(self, n: int) -> int:
        return self.value | n

    def __eq__(self, other: object) -> bool:
        return self.value == (other.value if isinstance(other, AtomicCell) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return str(self.value)


class SpinLock:
    """A bpf_spin_lock in a map value; `with bucket.lock:` holds it. Since Linux 5.1."""

    @staticmethod
    def __ctype__() -> CType:
        return Opaque("bpf_spin_lock", 4, 4)

    def __enter__(self) -> None:
        raise UsageError("a spin lock is held inside a kernel program only")

    def __exit__(self, *exc: object) -> None:
        return None


class SharedMemory:
    """Where a shared struct lives: its initial bytes, and the memory of every session that holds it. `looked` is told
    of each look at it, by machines that record or replay."""

    __slots__ = ("bindings", "initial", "looked")

    def __init__(self, initial: bytes) -> None:
        self.initial = initial
        self.bindings: list[Memory] = []
        self.looked: Callable[[Memory], None] | None = None

    def current(self) -> Memory:
        if len(self.bindings) == 1:
            if self.looked is not None:
                self.looked(self.bindings[0])
            return self.bindings[0]
        if not self.bindings:
            raise SessionError("this shared struct is in no session", cure="Use it inside `with load(...)`.")
        raise SessionError("two sessions hold this shared struct", cure="Write session[name] to say which.")


_SHARED: dict[type[Any], type[Any]] = {}


def shared(initial: S) -> S:
    """Memory that the kernel programs and this process share: the struct's value when the session starts.

    >>> totals = shared(Totals(0, 0))     # totals.dropped += 1 in a program; read it outside, live
    """
    if not isinstance(initial, Struct):
        raise UsageError("shared() takes a Struct", cure="Write shared(Totals(0, 0)).")
    base = type(initial)
    cls = _SHARED.get(base)
    if cls is None:
        cls = _SHARED[base] = _shared_class(base)
    cell = cls.view(None)
    cell.shared_memory = SharedMemory(bytes(initial))
    return cell  # type: ignore[no-any-return]


def _shared_class(base: type[Any]) -> type[Any]:
    def memory(self: Any) -> Memory:
        return self.shared_memory.current()

    def ignore(self: Any, _: Memory) -> None:
        return None

    def shown(self: Any) -> str:
        """Its values where one session holds it; a debugger may ask at any time."""
        held = len(self.shared_memory.bindings) == 1
        return Struct.__repr__(self) if held else f"shared({base.__name__})"

    return type(base.__name__, (base,), {"_memory": property(memory, ignore), "__module__": base.__module__,
                                         "__eq__": object.__eq__, "__hash__": object.__hash__, "__repr__": shown})


def is_shared(value: object) -> bool:
    """Whether `value` came from shared()."""
    return isinstance(value, Struct) and hasattr(value, "shared_memory")
