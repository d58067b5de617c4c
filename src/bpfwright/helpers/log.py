"""log(): an f-string whose parts are shipped raw and formatted outside: it costs no formatting in the kernel."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.helpers.basic import inside_only
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import NOTHING, Boolean, Constant, Integer, Meaning, Reference
from bpfwright.types.ctype import AddressType, Int

__all__ = ["LOG_RING", "log"]

LOG_RING = "bpfwright_log"
"""The hidden ring that carries the parts; each record starts with the number of its form (u32) and 4 unused bytes."""

_RESERVE, _SUBMIT = 131, 132


def log(message: str) -> None:
    """Send a line to the session's log: `log(f"{current.comm} opened {path}")`. Since Linux 5.8.

    Numbers and texts are copied as they are; the session formats them with Python's own rules.
    """
    raise inside_only("log")


def _check(site: Any) -> Meaning:
    site.bind("message")
    meaning = site.meaning("message")
    if not isinstance(meaning, Constant) or not isinstance(meaning.value, str):
        site.refuse("log() takes an f-string or a constant text", 'Write log(f"{value}").')
    return NOTHING


def _lower(b: Any, site: Any) -> Value:
    form: list[Any] = []
    values: list[tuple[int, Value]] = []
    at = 8
    for part in site.parts("message"):
        if isinstance(part, str):
            form.append(part)
            continue
        node, conversion, spec = part
        value = b.expression(node)
        if isinstance(value.meaning, Constant):
            form.append(format(value.meaning.value, spec))
            continue
        kind, size = _kind(value.meaning)
        form.append([kind, at, size, conversion, spec])
        values.append((at, value))
        at += -(-size // 8) * 8
    number = b.sink.log_site((b.sink.program, form))
    pointer = b.helper_pointer(_RESERVE, b.sink.log_ring(b), b.number(at), b.number(0))
    with b.when(b.is_null(pointer)):
        b.count_lost(LOG_RING)
    with b.unless(b.is_null(pointer)):
        b.store(pointer, b.number(number), 0, 8)
        for offset, value in values:
            _write(b, pointer, offset, value)
        b.helper(_SUBMIT, pointer, b.number(0))
    return Value(NOTHING)


def _kind(meaning: Meaning) -> tuple[str, int]:
    if isinstance(meaning, Boolean):
        return "bool", 8
    if isinstance(meaning, Integer):
        return ("i64" if meaning.low < 0 else "u64"), 8
    assert isinstance(meaning, Reference)
    if isinstance(meaning.ctype, AddressType):
        cls = meaning.ctype.cls
        return f"{cls.__module__}:{cls.__qualname__}", meaning.ctype.size
    return "text", meaning.ctype.size


def _write(b: Any, pointer: int, offset: int, value: Value) -> None:
    if isinstance(value.meaning, (Boolean, Integer)):
        b.write(Int("u64", 8, False), pointer, value, offset, "ring")
    else:
        assert isinstance(value.meaning, Reference)
        size = value.meaning.ctype.size
        if size % 8:
            b.store(pointer, b.number(0), offset + size // 8 * 8, 8)
        b.write(value.meaning.ctype, pointer, value, offset, "ring")


log.__operation__ = Operation(_check, _lower)  # type: ignore[attr-defined]
