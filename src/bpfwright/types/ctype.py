"""C types as objects: size, alignment, and how a Python value gets into memory and out of it.

A type is what stands in an annotation (`u32`, `char[L[16]]`, a Struct class); `ctype_of` turns any of them into the
one description that the compiler, the maps and the event decoder read.
"""
from __future__ import annotations

import struct as _struct
import sys

from bpfwright._typing import TYPE_CHECKING, Any, Iterator, MutableSequence, Sequence
from bpfwright.errors import UsageError, WrongType

if TYPE_CHECKING:
    from enum import IntEnum
    from types import FrameType

__all__ = ["AddressType", "ArrayType", "ArrayView", "AtomicType", "BitsType", "Bool", "CType", "CharArray", "EnumType",
           "Int", "Maybe", "Memory", "Opaque", "Pointer", "RecordType", "UserPointer", "ctype_of", "evaluate",
           "is_int_enum", "own_annotations"]

Memory = Any  # bytes, bytearray, memoryview or mmap: whatever struct.unpack_from takes


class CType:
    """A type with a size and an alignment in bytes, and a C name.

    `get` reads a Python value at an offset of a memory, `put` writes one, `accepts` names what `put` takes.
    """

    __slots__ = ("align", "name", "size")
    size: int
    align: int
    name: str

    def __init__(self, name: str, size: int, align: int) -> None:
        self.name = name
        self.size = size
        self.align = align

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> Any:
        raise NotImplementedError

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        raise NotImplementedError

    def to_bytes(self, value: Any) -> bytes:
        """The value's bytes, padding zeroed; WrongType when it does not fit."""
        memory = bytearray(self.size)
        self.put(memory, 0, value)
        return bytes(memory)

    def from_bytes(self, data: bytes) -> Any:
        """A frozen value out of its bytes."""
        return self.get(data, 0, True)

    def _key(self) -> tuple[object, ...]:
        return (type(self), self.name, self.size)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CType) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return self.name

    def __or__(self, other: object) -> Maybe:
        if other is None or other is type(None):
            return Maybe(self)
        return NotImplemented

    __ror__ = __or__


_CODES = {(1, False): "B", (1, True): "b", (2, False): "H", (2, True): "h",
          (4, False): "I", (4, True): "i", (8, False): "Q", (8, True): "q"}


class Int(CType):
    """An integer of 8 to 64 bits. Calling it truncates: `u32(2**32 + 1) == 1`."""

    __slots__ = ("_packer", "big", "signed")

    def __init__(self, name: str, size: int, signed: bool, big: bool = False) -> None:
        super().__init__(name, size, size)
        self.signed = signed
        self.big = big
        self._packer = _struct.Struct((">" if big else "<") + _CODES[size, signed])

    @property
    def bits(self) -> int:
        return self.size * 8

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - self.signed)) - 1

    def __call__(self, value: int = 0) -> int:
        value = int(value) & ((1 << self.bits) - 1)
        return value - (1 << self.bits) if self.signed and value >> (self.bits - 1) else value

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> int:
        result: int = self._packer.unpack_from(memory, offset)[0]
        return result

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        try:
            self._packer.pack_into(memory, offset, value)
        except _struct.error:
            raise _misfit(self, value) from None


def _misfit(ctype: CType, value: object) -> WrongType:
    if isinstance(value, int) and isinstance(ctype, Int):
        return WrongType(f"{value} does not fit {ctype.name}", why=f"It holds {ctype.low} to {ctype.high}.",
                         cure=f"Write {ctype.name}({value}) to keep the low {ctype.bits} bits.")
    return WrongType(f"{ctype.name} cannot hold {value!r} ({type(value).__name__})")


class Bool(CType):
    """One byte, 0 or 1."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("bool", 1, 1)

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> bool:
        return bool(memory[offset])

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        if value not in (0, 1):
            raise _misfit(self, value)
        memory[offset] = int(value)


class EnumType(CType):
    """A standard-library IntEnum: 4 bytes as in C, signed when a member is negative."""

    __slots__ = ("enum", "storage")

    def __init__(self, enum: type[IntEnum]) -> None:
        super().__init__(enum.__name__, 4, 4)
        self.enum = enum
        signed = any(member.value < 0 for member in enum)
        self.storage = Int("i32", 4, True) if signed else Int("u32", 4, False)

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> int:
        value = self.storage.get(memory, offset)
        try:
            return self.enum(value)
        except ValueError:
            return value

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        if not isinstance(value, int):
            raise _misfit(self, value)
        self.storage.put(memory, offset, value)

    def _key(self) -> tuple[object, ...]:
        return (EnumType, self.enum)


class CharArray(CType):
    """`char[L[n]]`: text of at most n bytes, NUL-padded; reads as str, cut at NUL, UTF-8 with surrogateescape."""

    __slots__ = ()

    def __init__(self, length: int) -> None:
        super().__init__(f"char[{length}]", length, 1)

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> str:
        raw = bytes(memory[offset:offset + self.size])
        end = raw.find(0)
        return (raw if end < 0 else raw[:end]).decode("utf-8", "surrogateescape")

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        if isinstance(value, str):
            value = value.encode("utf-8", "surrogateescape")
        if not isinstance(value, bytes):
            raise _misfit(self, value)
        if len(value) > self.size:
            raise WrongType(f"{len(value)} bytes do not fit {self.name}", cure="Cut the text before storing it.")
        memory[offset:offset + self.size] = value.ljust(self.size, b"\0")


class ArrayView(MutableSequence[Any]):
    """An array in memory as a sequence of fixed length."""

    __slots__ = ("_frozen", "_memory", "_offset", "_type")

    def __init__(self, ctype: ArrayType, memory: Memory, offset: int, frozen: bool) -> None:
        self._type = ctype
        self._memory = memory
        self._offset = offset
        self._frozen = frozen

    def __len__(self) -> int:
        return self._type.length

    def _at(self, index: int) -> int:
        length = self._type.length
        if index < 0:
            index += length
        if not 0 <= index < length:
            raise IndexError(f"index {index} of an array of {length}")
        return self._offset + index * self._type.element.size

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        return self._type.element.get(self._memory, self._at(index), self._frozen)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._frozen:
            raise WrongType("this is a frozen copy", cure="Change a copy and assign it to the map: m[key] = value.")
        if isinstance(index, slice):
            for i, item in zip(range(*index.indices(len(self))), value, strict=True):
                self[i] = item
            return
        self._type.element.put(self._memory, self._at(index), value)

    def __delitem__(self, index: Any) -> None:
        raise WrongType("an array has a fixed length")

    def insert(self, index: int, value: Any) -> None:
        raise WrongType("an array has a fixed length")

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __bytes__(self) -> bytes:
        return bytes(self._memory[self._offset:self._offset + self._type.size])

    def __repr__(self) -> str:
        return repr(list(self))


class ArrayType(CType):
    """`array[T, L[n]]`."""

    __slots__ = ("element", "length")

    def __init__(self, element: CType, length: int) -> None:
        super().__init__(f"{element.name}[{length}]", element.size * length, element.align)
        self.element = element
        self.length = length

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> Any:
        return ArrayView(self, memory, offset, frozen)

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        if isinstance(value, (bytes, bytearray)) and self.element.size == 1:
            value = bytes(value).ljust(self.length, b"\0")
        if isinstance(value, (str, int)) or not hasattr(value, "__len__"):
            raise _misfit(self, value)
        if len(value) != self.length:
            raise WrongType(f"{self.name} takes {self.length} items, not {len(value)}")
        for index, item in enumerate(value):
            self.element.put(memory, offset + index * self.element.size, item)

    def _key(self) -> tuple[object, ...]:
        return (ArrayType, self.element, self.length)


class BitsType(CType):
    """`bits[u8, L[4]]`: a bit-field of `width` bits in a storage unit; its place is the struct's to say."""

    __slots__ = ("storage", "width")

    def __init__(self, storage: Int, width: int) -> None:
        super().__init__(f"{storage.name}:{width}", storage.size, storage.align)
        if not 1 <= width <= storage.bits:
            raise UsageError(f"a bit-field of {width} bits does not fit {storage.name}")
        self.storage = storage
        self.width = width

    def _key(self) -> tuple[object, ...]:
        return (BitsType, self.storage, self.width)


class Pointer(CType):
    """`ptr[T]`: an address in the kernel; `target` resolves late, so that types may point at each other."""

    __slots__ = ("_namespace", "_target")

    def __init__(self, target: object, namespace: object = None) -> None:
        super().__init__("pointer", 8, 8)
        self._target = target
        self._namespace = namespace

    @property
    def target(self) -> CType:
        if not isinstance(self._target, CType):
            self._target = ctype_of(self._target, self._namespace)
        return self._target

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> int:
        result: int = _struct.unpack_from("<Q", memory, offset)[0]
        return result

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        _struct.pack_into("<Q", memory, offset, int(value))

    def adopt(self, namespace: object) -> None:
        """Where a quoted target is to be looked up, unless that is known already."""
        if self._namespace is None:
            self._namespace = namespace

    def _key(self) -> tuple[object, ...]:
        return (Pointer, self._target if isinstance(self._target, (str, CType, type)) else id(self._target))


class UserPointer(CType):
    """A pointer into the traced process: `User[T]`, or `UserStr` when `target` is None."""

    __slots__ = ("target",)

    def __init__(self, target: CType | None) -> None:
        super().__init__("user pointer", 8, 8)
        self.target = target

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> int:
        result: int = _struct.unpack_from("<Q", memory, offset)[0]
        return result

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        _struct.pack_into("<Q", memory, offset, int(value))

    def _key(self) -> tuple[object, ...]:
        return (UserPointer, self.target)


class AddressType(CType):
    """An address class (IPv4.Address, MacAddress ...): its bytes as they stand in a packet."""

    __slots__ = ("cls",)

    def __init__(self, cls: type[Any]) -> None:
        super().__init__(cls.__qualname__, cls.size, cls.align)
        self.cls = cls

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> Any:
        return self.cls.from_bytes(bytes(memory[offset:offset + self.size]))

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        memory[offset:offset + self.size] = self.cls.coerce(value).packed

    def _key(self) -> tuple[object, ...]:
        return (AddressType, self.cls)


class AtomicType(CType):
    """`Atomic[u64]`: an integer that several CPUs change at once."""

    __slots__ = ("element",)

    def __init__(self, element: Int) -> None:
        super().__init__(f"Atomic[{element.name}]", element.size, element.align)
        if element.size not in (4, 8):
            raise UsageError(f"Atomic[{element.name}]: the kernel has 32- and 64-bit atomics only",
                             cure="Use u32 or u64.")
        self.element = element

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> Any:
        from bpfwright.types.cells import AtomicCell
        return AtomicCell(self.element, memory, offset)

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        self.element.put(memory, offset, int(value))

    def _key(self) -> tuple[object, ...]:
        return (AtomicType, self.element)


class Opaque(CType):
    """Memory that belongs to the kernel: bpf_spin_lock, bpf_timer. User space cannot read or write it."""

    __slots__ = ("arguments",)

    def __init__(self, name: str, size: int, align: int, arguments: tuple[object, ...] = ()) -> None:
        super().__init__(name, size, align)
        self.arguments = arguments

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> None:
        return None

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        return None


class RecordType(CType):
    """A Struct, CUnion or KernelStruct class; the layout is worked out when it is first asked for."""

    __slots__ = ("cls",)

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self.name = getattr(cls, "__kernel_name__", None) or cls.__name__

    @property
    def size(self) -> int:  # type: ignore[override]
        size: int = self.cls.__layout__().size
        return size

    @property
    def align(self) -> int:  # type: ignore[override]
        align: int = self.cls.__layout__().align
        return align

    def get(self, memory: Memory, offset: int, frozen: bool = False) -> Any:
        return self.cls.view(memory, offset, frozen)

    def put(self, memory: Memory, offset: int, value: Any) -> None:
        if not isinstance(value, self.cls):
            raise _misfit(self, value)
        memory[offset:offset + self.size] = bytes(value)

    def _key(self) -> tuple[object, ...]:
        return (RecordType, self.cls)


class Maybe:
    """`T | None` in an annotation."""

    __slots__ = ("inner",)

    def __init__(self, inner: CType) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"{self.inner!r} | None"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Maybe) and other.inner == self.inner

    def __hash__(self) -> int:
        return hash((Maybe, self.inner))


def length_of(size: object) -> int:
    """The number in `L[n]`, or a bare int."""
    size = getattr(size, "__args__", (size,))[0]
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise UsageError(f"a size must be a positive integer, not {size!r}", cure="Write L[16].")
    return size


def evaluate(annotation: object, namespace: object) -> object:
    """A string annotation's meaning in the namespace it was written in (a mapping or a list of them)."""
    if not isinstance(annotation, str):
        return annotation
    spaces = namespace if isinstance(namespace, (list, tuple)) else [namespace or {}]
    merged: dict[str, Any] = {}
    lazy: Any = None
    for space in reversed(spaces):
        if hasattr(space, "__missing__"):  # names that are made when they are asked for
            lazy = space
        else:
            merged.update(space)
    try:
        result: object = eval(annotation, merged, lazy)  # the user's own annotation, as typing.get_type_hints does
        return result
    except NameError as error:
        raise UsageError(f"annotation {annotation!r}: {error}",
                         cure="Define the type at module level, or above its use.") from None


_CACHE: dict[Any, CType] = {}


def ctype_of(annotation: object, namespace: object = None) -> CType:
    """The CType that an annotation means; UsageError when it means none."""
    if isinstance(annotation, CType):
        if isinstance(annotation, Pointer):
            annotation.adopt(namespace)
        return annotation
    if isinstance(annotation, str):
        return ctype_of(evaluate(annotation, namespace), namespace)
    if isinstance(annotation, type):
        known = _CACHE.get(annotation)
        if known is None:
            known = _CACHE[annotation] = _class_type(annotation)
        return known
    origin = getattr(annotation, "__origin__", None)
    maker = getattr(origin, "__ctype__", None) or getattr(annotation, "__ctype__", None)
    if maker is not None:
        made: CType = maker(*annotation.__args__) if origin else maker()  # type: ignore[attr-defined]
        return made
    if str(origin) == "typing.Union":
        raise UsageError(f"{annotation!r} cannot be a field: what may be missing has no fixed place in memory")
    raise UsageError(f"{annotation!r} is not a C type", cure="Use u8..u64, char[L[n]], array[T, L[n]], a Struct ...")


def is_int_enum(cls: type[Any]) -> bool:
    """Whether `cls` is an IntEnum; where `enum` was never imported, nothing is."""
    enum = sys.modules.get("enum")
    return enum is not None and issubclass(cls, enum.IntEnum)


def _class_type(cls: type[Any]) -> CType:
    if hasattr(cls, "__layout__"):
        return RecordType(cls)
    if is_int_enum(cls):
        return EnumType(cls)
    if cls is bool:
        return Bool()
    maker = getattr(cls, "__ctype__", None)
    if maker is not None:
        made: CType = maker()
        return made
    if cls is int:
        raise UsageError("int has no width", cure="Write u32, u64, i64 ...")
    raise UsageError(f"{cls.__name__} is not a C type", cure="Use u8..u64, char[L[n]], array[T, L[n]], a Struct ...")


def own_annotations(cls: type[Any]) -> dict[str, object]:
    """The annotations written in the body of `cls` itself, as text where they are not evaluated yet."""
    if sys.version_info >= (3, 14) and "__annotations__" not in cls.__dict__:  # PEP 649: made on demand
        from annotationlib import Format, get_annotations
        return get_annotations(cls, format=Format.STRING)
    own: dict[str, object] = cls.__dict__.get("__annotations__", {})  # noqa: RUF063  # inspect is slow to import
    return own


def caller_namespaces(frame: FrameType | None) -> list[dict[str, Any]]:
    """Where a class body's annotations are to be evaluated: the defining frames' locals, then the module."""
    spaces: list[dict[str, Any]] = []
    first = frame
    while frame is not None and frame.f_locals is not frame.f_globals:
        spaces.append(frame.f_locals)
        frame = frame.f_back if frame.f_globals is (first.f_globals if first else None) else None
    if first is not None:
        spaces.append(first.f_globals)
    return spaces


def defining_frame(depth: int) -> FrameType:
    """The frame that holds a class statement, `depth` calls up."""
    return sys._getframe(depth + 1)
