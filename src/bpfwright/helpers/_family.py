"""Short ways to declare helpers: a number, what they give, what they take."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.spec.dialect import Operation, Property, Value
from bpfwright.spec.meaning import Integer, Meaning

__all__ = ["number_property", "operation"]


def number_property(helper: int, meaning: Integer, shift: int = 0, width: int = 64) -> Property:
    """An attribute that is (part of) a helper's 64-bit result."""
    def lower(b: Any, site: Any) -> Value:
        value = b.helper(helper)
        if shift:
            value = b.op("lshr", "i64", value, b.number(shift))
        if width < 64 and shift + width < 64:
            value = b.op("and", "i64", value, b.number((1 << width) - 1))
        return Value(meaning, value)

    return Property(lambda site: meaning, lower, calls=True)


def operation(helper: int, meaning: Meaning, *names: str) -> Operation:
    """A call of a helper that takes integers and gives `meaning`."""
    def check(site: Any) -> Meaning:
        site.bind(*names)
        for name in names:
            site.integer(name)
        return meaning

    def lower(b: Any, site: Any) -> Value:
        return Value(meaning, b.helper(helper, *(b.numeric(site.value(name))[0] for name in names)))

    return Operation(check, lower, pure=True)
