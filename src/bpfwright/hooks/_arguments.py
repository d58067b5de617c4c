"""Arguments that arrive as an array of 64-bit words: raw tracepoints, fentry, LSM."""
from __future__ import annotations

from typing import Any

from bpfwright.errors import UsageError
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import BOOLEAN, Boolean, ContextOf, Integer, KernelObject, Meaning, Optional, UserAddress
from bpfwright.spec.meaning import meaning_of
from bpfwright.types.ctype import CType, Maybe, Pointer, RecordType, ctype_of

__all__ = ["argument_meaning", "enter", "meanings"]


def argument_meaning(annotation: Any, trusted: bool) -> Meaning:
    """What a parameter of a kernel function is, by its annotation."""
    if getattr(annotation, "__args__", None) and type(None) in annotation.__args__:
        (inner,) = (a for a in annotation.__args__ if a is not type(None))
        return Optional(argument_meaning(inner, trusted))
    if isinstance(annotation, Maybe):
        return Optional(argument_meaning(annotation.inner, trusted))
    ctype: CType = ctype_of(annotation)
    if isinstance(ctype, RecordType) and hasattr(ctype.cls, "__kernel_name__"):
        return KernelObject(ctype.cls, trusted)
    if isinstance(ctype, Pointer):
        target = ctype.target
        if isinstance(target, RecordType) and hasattr(target.cls, "__kernel_name__"):
            return KernelObject(target.cls, trusted)
        raise UsageError(f"ptr[{target.name}] is not a kernel struct", cure="Write ptr[task_struct], or u64.")
    meaning = meaning_of(ctype, "stack")
    if not isinstance(meaning, (Integer, Boolean, UserAddress)):
        raise UsageError(f"{ctype.name} is not passed in a register", cure="Arguments are numbers and pointers.")
    return meaning


def meanings(context: type[Any], annotations: list[Any], *, trusted: bool) -> list[Any]:
    """The meanings of (ctx, argument...)."""
    return [ContextOf(context), *(argument_meaning(a, trusted) for a in annotations[1:])]


def enter(builder: Any, found: list[Any], first: int = 0, stride: int = 8) -> list[Any]:
    """Load each argument from its word."""
    values = [Value(found[0], builder.context())]
    for index, meaning in enumerate(found[1:]):
        values.append(word_as(builder, meaning, builder.load("i64", builder.context(), (first + index) * stride, 8)))
    return values


def word_as(builder: Any, meaning: Meaning, word: int) -> Value:
    """A 64-bit word as a parameter's meaning."""
    match meaning:
        case Boolean():
            low = builder.truncate(word, "i8")
            return Value(BOOLEAN, builder.op("ne", "i1", low, builder.number(0, "i8")))
        case Integer(low=low, high=high):
            for bits in (8, 16, 32):
                if (low, high) in ((0, (1 << bits) - 1), (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)):
                    narrow = builder.truncate(word, f"i{bits}")
                    return Value(meaning, builder.extend(narrow, f"i{bits}", low < 0))
            return Value(meaning, word)
        case UserAddress():
            return Value(meaning, word)
        case Optional(inner=inner):
            return Value(meaning, *word_as(builder, inner, word).parts)
    return Value(meaning, builder.op("toptr", "ptr", word))
