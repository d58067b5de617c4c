"""An ObjectSpec as plain values and back, for the private cache: reading an object file costs as much as loading it."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.spec import objects

__all__ = ["freeze", "thaw"]

_CLASSES = (objects.ObjectSpec, objects.ProgramSpec, objects.Function, objects.MapSpec, objects.Extern,
            objects.Relocation, objects.CoreRelocation, objects.LineInfo)
_NUMBERS = {cls: number for number, cls in enumerate(_CLASSES)}


def freeze(value: Any) -> Any:
    """What `marshal` can write: a spec becomes a list of its class's number and its fields."""
    number = _NUMBERS.get(type(value))
    if number is not None:
        return [number, *map(freeze, value)]
    return tuple(map(freeze, value)) if isinstance(value, tuple) else value


def thaw(value: Any) -> Any:
    """What was frozen."""
    if isinstance(value, list):
        number, *fields = value
        return _CLASSES[number](*map(thaw, fields))
    return tuple(map(thaw, value)) if isinstance(value, tuple) else value
