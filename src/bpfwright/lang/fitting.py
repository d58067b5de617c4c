"""Which values can be stored as which types."""
from __future__ import annotations

from bpfwright._typing import Any, NoReturn
from bpfwright.errors import UsageError
from bpfwright.spec.meaning import (Boolean, Constant, Integer, KernelObject, Meaning, Optional, Reference, TupleOf,
                                    UserAddress, describe)
from bpfwright.types.ctype import (AddressType, ArrayType, AtomicType, BitsType, Bool, CharArray, CType, EnumType, Int,
                                   Pointer, RecordType, UserPointer)

__all__ = ["BOOLEAN_CONSTANTS", "NUMBERS", "Fitting", "wanted"]

NUMBERS = (Integer, Boolean)
BOOLEAN_CONSTANTS = (Constant(False), Constant(True))


class Fitting:
    """The part of the checker that fits values into types."""

    def refuse(self, place: Any, what: str, cure: str = "") -> NoReturn:
        raise NotImplementedError

    def fit(self, node: Any, meaning: Meaning, ctype: CType) -> None:
        """Refuse a value that cannot be stored as a `ctype`. Integers are cut to the width; constants must fit."""
        if isinstance(meaning, Optional):
            self.refuse(node, f"this may be None: {describe(meaning)}", "Test it first: `if x is None: return`.")
        if not self.fits(meaning, ctype):
            cure = wanted(ctype)
            if isinstance(ctype, (Int, BitsType)) and isinstance(meaning, Integer):
                self.refuse(node, f"{meaning.low} does not fit {ctype.name}", f"Write {ctype.name}(...) to cut it.")
            if isinstance(ctype, CharArray) and isinstance(meaning, Reference) and isinstance(meaning.ctype, CharArray):
                cure = f"Make the field char[L[{meaning.ctype.size}]], or read fewer bytes."
            self.refuse(node, f"{describe(meaning)} does not fit {ctype.name}", cure)

    def fits(self, meaning: Meaning, ctype: CType) -> bool:
        match ctype:
            case Int() | BitsType():
                if isinstance(meaning, Integer) and meaning.constant is not None:
                    bits = ctype.bits if isinstance(ctype, Int) else ctype.width
                    signed = (ctype if isinstance(ctype, Int) else ctype.storage).signed
                    return -(1 << (bits - 1)) <= meaning.low < 1 << bits if signed else 0 <= meaning.low < 1 << bits
                return isinstance(meaning, NUMBERS) or meaning in BOOLEAN_CONSTANTS
            case Bool():
                return isinstance(meaning, Boolean) or meaning in BOOLEAN_CONSTANTS or (
                    isinstance(meaning, Integer) and meaning.low >= 0 and meaning.high <= 1)
            case EnumType(enum=enum):
                return isinstance(meaning, Integer) and meaning.enum is enum
            case CharArray(size=size):
                return self.text_fits(meaning, size)
            case AddressType(cls=cls):
                return self.address_fits(meaning, cls)
            case ArrayType():
                return self.array_fits(meaning, ctype)
            case AtomicType():
                return isinstance(meaning, NUMBERS)
            case Pointer() | UserPointer():
                return isinstance(meaning, (Integer, KernelObject, UserAddress))
        return isinstance(meaning, Reference) and meaning.ctype == ctype

    def text_fits(self, meaning: Meaning, size: int) -> bool:
        if isinstance(meaning, Constant):
            value = meaning.value.encode() if isinstance(meaning.value, str) else meaning.value
            return isinstance(value, bytes) and len(value) <= size
        return isinstance(meaning, Reference) and isinstance(meaning.ctype, CharArray) and meaning.ctype.size <= size

    def address_fits(self, meaning: Meaning, cls: type[Any]) -> bool:
        if isinstance(meaning, Constant) and isinstance(meaning.value, str):
            try:
                cls(meaning.value)
            except UsageError:
                return False
            return True
        if isinstance(meaning, Constant):
            return isinstance(meaning.value, cls)
        return isinstance(meaning, Reference) and meaning.ctype == AddressType(cls)

    def array_fits(self, meaning: Meaning, ctype: ArrayType) -> bool:
        if isinstance(meaning, TupleOf):
            return len(meaning.items) == ctype.length and all(self.fits(m, ctype.element) for m in meaning.items)
        if isinstance(meaning, Constant) and isinstance(meaning.value, (bytes, tuple)):
            return len(meaning.value) == ctype.length
        if isinstance(meaning, Reference) and isinstance(meaning.ctype, CharArray):
            return ctype.element.size == 1 and meaning.ctype.size == ctype.size
        return isinstance(meaning, Reference) and meaning.ctype == ctype


def wanted(ctype: CType) -> str:
    """What can be stored as a type, for messages."""
    match ctype:
        case EnumType(enum=enum):
            return f"Write {enum.__name__}.{next(iter(enum)).name}, or another of its members."
        case RecordType(cls=cls):
            return f"Write {cls.__name__}(...)."
        case AddressType(cls=cls):
            return f"It takes an {cls.__qualname__}, or its text."
        case CharArray(size=size):
            return f"It takes a text of at most {size} bytes."
        case ArrayType(length=length):
            return f"It takes {length} items."
    return f"It takes a {'bool' if isinstance(ctype, Bool) else 'number'}."
