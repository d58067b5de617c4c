"""What an expression of the dialect can be: the compiler's types, which hooks, maps and helpers speak of too.

Integers carry the interval of values that they can have, so that 64-bit arithmetic gives what Python would: operands
narrower than 64 bits never overflow, and only what leaves both i64 and u64 wraps.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.types.ctype import (AddressType, BitsType, Bool, CharArray, CType, EnumType, Int, Pointer,
                                   RecordType, UserPointer)

if TYPE_CHECKING:
    from enum import IntEnum

__all__ = ["BOOLEAN", "I64", "NOTHING", "NOWHERE", "U16", "U32", "U64", "U8", "Boolean", "Constant", "ContextOf",
           "InnerMap", "Integer", "KernelObject", "Meaning", "Nothing", "OneOf", "Optional", "Reference", "TupleOf",
           "UserAddress", "describe", "join", "meaning_of"]

MIN_I64, MAX_I64, MAX_U64 = -(1 << 63), (1 << 63) - 1, (1 << 64) - 1


class Meaning:
    """What an expression is; equal when all its parts are."""

    __slots__: tuple[str, ...] = ()

    def _key(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Meaning) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self), self._key()))

    def __repr__(self) -> str:
        return describe(self)


class Integer(Meaning):
    """An integer between `low` and `high`, both included. `enum`: an IntEnum that it is a member of."""

    __slots__ = ("enum", "high", "low")

    def __init__(self, low: int, high: int, enum: type[IntEnum] | None = None) -> None:
        self.low = low
        self.high = high
        self.enum = enum

    @property
    def constant(self) -> int | None:
        """Its value when there is only one."""
        return self.low if self.low == self.high else None

    @property
    def signed(self) -> bool:
        """Held as i64 rather than u64."""
        return self.low < 0


class Boolean(Meaning):
    """True or False."""

    __slots__ = ()


class Nothing(Meaning):
    """None."""

    __slots__ = ()


class Constant(Meaning):
    """A Python object that is known when compiling: a module, class, function, map, text."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def _key(self) -> tuple[object, ...]:
        value = self.value
        return (type(value), value) if isinstance(value, (str, bytes, tuple)) else (id(value),)


NOWHERE = "nowhere"
"""The space of a record that is declared and None so far: it is where the first one is that is assigned."""


class Reference(Meaning):
    """A place in memory that holds a `ctype`.

    `space`: stack, map (shared between CPUs), percpu, ring, packet, shared, frozen (read-only data), inner memory that
    only this program sees. `plain`: a lock is held, or one CPU only writes: `+=` need not be atomic.
    """

    __slots__ = ("ctype", "space")

    def __init__(self, ctype: CType, space: str) -> None:
        self.ctype = ctype
        self.space = space


class KernelObject(Meaning):
    """A pointer to a kernel struct, or (with a `path` of member names) to a struct inside of it.

    `trusted`: BTF-typed, so that loads are direct; otherwise they are probe reads."""

    __slots__ = ("cls", "path", "trusted")

    def __init__(self, cls: type[Any], trusted: bool, path: tuple[str, ...] = ()) -> None:
        self.cls = cls
        self.trusted = trusted
        self.path = path


class UserAddress(Meaning):
    """An address in the traced process: of text (None) or of a `ctype`."""

    __slots__ = ("ctype",)

    def __init__(self, ctype: CType | None) -> None:
        self.ctype = ctype


class ContextOf(Meaning):
    """The program's context; `cls` is the hook's Context class (or an event's class)."""

    __slots__ = ("cls",)

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls


class InnerMap(Meaning):
    """A map that was found in a map of maps; `declaration` says of which shape."""

    __slots__ = ("declaration",)

    def __init__(self, declaration: object) -> None:
        self.declaration = declaration

    def _key(self) -> tuple[object, ...]:
        return (id(self.declaration),)


class TupleOf(Meaning):
    """A tuple with a fixed number of items."""

    __slots__ = ("items",)

    def __init__(self, items: tuple[Meaning, ...]) -> None:
        self.items = items


class OneOf(Meaning):
    """A pointer to one of several records, told apart by a number (their place in `choices`)."""

    __slots__ = ("choices",)

    def __init__(self, choices: tuple[Meaning, ...]) -> None:
        self.choices = choices


class Optional(Meaning):
    """`inner`, or None."""

    __slots__ = ("inner",)

    def __init__(self, inner: Meaning) -> None:
        self.inner = inner


BOOLEAN, NOTHING = Boolean(), Nothing()
U8, U16, U32 = Integer(0, 0xFF), Integer(0, 0xFFFF), Integer(0, 0xFFFFFFFF)
U64, I64 = Integer(0, MAX_U64), Integer(MIN_I64, MAX_I64)


def meaning_of(ctype: CType, space: str) -> Meaning:
    """What reading a `ctype` out of memory gives."""
    match ctype:
        case Int():
            return Integer(ctype.low, ctype.high)
        case BitsType(storage=storage, width=width):
            signed = storage.signed
            return Integer(-(1 << (width - 1)) if signed else 0, (1 << (width - signed)) - 1)
        case Bool():
            return BOOLEAN
        case EnumType(enum=enum, storage=storage):
            return Integer(storage.low, storage.high, enum)
        case UserPointer(target=target):
            return UserAddress(target)
        case Pointer():
            target = ctype.target
            if isinstance(target, RecordType) and hasattr(target.cls, "__kernel_name__"):
                return KernelObject(target.cls, space == "kernel")
            return U64
    return Reference(ctype, space)


def join(a: Meaning | None, b: Meaning) -> Meaning | None:
    """The meaning that covers both; None when there is none: below 0 and above i64 fits no 64 bits."""
    if isinstance(b, Constant) and isinstance(b.value, bool):
        b = BOOLEAN
    if isinstance(a, Constant) and isinstance(a.value, bool):
        a = BOOLEAN
    if a is None or a == b:
        return b
    match a, b:
        case Integer(), Integer():
            low, high = min(a.low, b.low), max(a.high, b.high)
            enum = a.enum if a.enum is b.enum else None
            if low < 0 and high > MAX_I64:
                return None
            return Integer(low, high, enum)
        case (Integer(), Boolean()) | (Boolean(), Integer()):
            number = a if isinstance(a, Integer) else b
            assert isinstance(number, Integer)
            return Integer(min(number.low, 0), max(number.high, 1))
        case Nothing(), Optional():
            return b
        case Optional(), Nothing():
            return a
        case Nothing(), _:
            return Optional(b)
        case _, Nothing():
            return Optional(a)
        case Optional(), _:
            inner = join(a.inner, b.inner if isinstance(b, Optional) else b)
            return None if inner is None else Optional(inner)
        case _, Optional():
            inner = join(a, b.inner)
            return None if inner is None else Optional(inner)
        case Reference(), Reference() if a.ctype == b.ctype or _both_text(a, b):
            spaces = {a.space, b.space} - {NOWHERE} or {NOWHERE}
            space = "mixed" + " packet" * any("packet" in each for each in spaces)
            return Reference(a.ctype if a.ctype.size >= b.ctype.size else b.ctype,
                             spaces.pop() if len(spaces) == 1 else space)
        case Reference(ctype=CharArray() | AddressType()), Constant(value=str()):
            return Reference(a.ctype, "stack")
        case Constant(value=str()), Reference(ctype=CharArray() | AddressType()):
            return Reference(b.ctype, "stack")
        case KernelObject(), KernelObject() if a.cls is b.cls and not a.path and not b.path:
            return KernelObject(a.cls, a.trusted and b.trusted)
        case Constant(value=str() as one), Constant(value=str() as two):
            return Reference(CharArray(max(len(one.encode()), len(two.encode()), 1)), "stack")
        case TupleOf(), TupleOf() if len(a.items) == len(b.items):
            items = [join(x, y) for x, y in zip(a.items, b.items, strict=True)]
            return None if None in items else TupleOf(tuple(i for i in items if i is not None))
    return None


def _both_text(a: Reference, b: Reference) -> bool:
    return isinstance(a.ctype, CharArray) and isinstance(b.ctype, CharArray)


def describe(meaning: Meaning) -> str:
    """A meaning in the words of the dialect, for messages."""
    match meaning:
        case Integer(enum=enum) if enum is not None:
            return enum.__name__
        case Integer(low=low, high=high):
            if low == high:
                return f"the integer {low}"
            for name, (least, most) in _NAMES.items():
                if (low, high) == (least, most):
                    return name
            return "i64" if low < 0 else "u64" if high > 0xFFFFFFFF else "u32"
        case Boolean():
            return "bool"
        case Nothing():
            return "None"
        case Optional(inner=inner):
            return f"{describe(inner)} | None"
        case Reference(ctype=ctype):
            return ctype.name
        case KernelObject(cls=cls):
            return str(cls.__kernel_name__)
        case UserAddress(ctype=ctype):
            return "UserStr" if ctype is None else f"User[{ctype.name}]"
        case ContextOf(cls=cls):
            return f"the context ({cls.__name__})"
        case InnerMap():
            return "a map"
        case TupleOf(items=items):
            return f"({', '.join(map(describe, items))})"
        case OneOf(choices=choices):
            return " | ".join(map(describe, choices))
        case Constant(value=value):
            return _describe_constant(value)
    return type(meaning).__name__


def _describe_constant(value: object) -> str:
    if isinstance(value, (str, bytes)):
        return f"the text {value!r}"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return getattr(value, "__name__", None) or f"a {type(value).__name__}"


_NAMES = {"u8": (0, 0xFF), "u16": (0, 0xFFFF), "u32": (0, 0xFFFFFFFF), "u64": (0, MAX_U64), "i8": (-128, 127),
          "i16": (-32768, 32767), "i32": (-(1 << 31), (1 << 31) - 1), "i64": (MIN_I64, MAX_I64)}
