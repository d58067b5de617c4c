"""Arguments that arrive as an array of 64-bit words: raw tracepoints, fentry, LSM; and how names find their places."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.spec.dialect import Value
from bpfwright.spec.meaning import (BOOLEAN, Boolean, ContextOf, Integer, KernelObject, Meaning, Optional, UserAddress,
                                    meaning_of)
from bpfwright.types.ctype import CType, Maybe, Pointer, RecordType, ctype_of

__all__ = ["argument_meaning", "enter", "meanings", "places", "word_as"]


def argument_meaning(annotation: Any, trusted: bool) -> Meaning:
    """What a parameter of a kernel function is, by its annotation."""
    choices = getattr(annotation, "__args__", None) or ()
    if type(None) in choices:
        (inner,) = (a for a in choices if a is not type(None))
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


def places(found: list[Any], names: tuple[str, ...], parameters: list[tuple[str, str]] | None, what: str,
           *, returns: bool = False) -> list[int]:
    """Which word each argument is.

    `parameters` is what BTF says: (name, struct pointed to). A pointer to a struct takes the parameter of its name, or
    else the first free one of that struct; a number the parameter of its name, or the one at its own position.
    Without BTF, positions count. With `returns`, an argument called `ret`, or one too many, is the returned value.
    """
    if parameters is None:
        return list(range(len(found) - 1))
    taken: set[int] = set()
    result = []
    for position, (meaning, name) in enumerate(zip(found[1:], names[1:], strict=True)):
        if returns and (name == "ret" or position == len(parameters)):
            result.append(len(parameters))
            continue
        result.append(_place(meaning, name, position, parameters, taken, what))
        taken.add(result[-1])
    return result


def _place(meaning: Meaning, name: str, position: int, parameters: list[tuple[str, str]], taken: set[int],
           what: str) -> int:
    inner = meaning.inner if isinstance(meaning, Optional) else meaning
    wanted = inner.cls.__kernel_name__ if isinstance(inner, KernelObject) else ""
    fitting = [i for i, (_, struct) in enumerate(parameters) if i not in taken and (not wanted or struct == wanted)]
    for index in fitting:
        if parameters[index][0] == name:
            return index
    if wanted and fitting:
        return position if position in fitting else fitting[0]
    if not wanted and position < len(parameters) and position not in taken:
        return position
    shown = ", ".join(f"{n}: ptr[{s}]" if s else n for n, s in parameters) or "nothing"
    raise UsageError(f"{what} has no parameter that fits {name}", cure=f"It takes: {shown}.")


def enter(builder: Any, found: list[Any], words: list[int]) -> list[Any]:
    """Load each argument from its word."""
    values = [Value(found[0], builder.context())]
    for meaning, word in zip(found[1:], words, strict=True):
        values.append(word_as(builder, meaning, builder.load("i64", builder.context(), word * 8, 8)))
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
