"""A declared map as the object file describes it."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.lang.emit import MapShape

__all__ = ["shape_of"]


def shape_of(declaration: Any) -> MapShape:
    """The definition of a map: numbers, key and value types, the map inside."""
    numbers = declaration.numbers()
    key = getattr(declaration, "kernel_key", declaration.key)
    value = getattr(declaration, "kernel_value", declaration.value)
    if declaration.kind in _WITHOUT_TYPES:
        key = value = None
    inner = declaration.inner
    return MapShape(numbers, key, value, None if inner is None else shape_of(inner))


_WITHOUT_TYPES = frozenset({4, 27})  # perf event array and ring buffer: the kernel wants no key and value types
