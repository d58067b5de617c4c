"""Kernel functions that programs may call here, by the numbers that relocation gives them."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.helpers.bodies import KERNEL_FUNCTIONS
from bpfwright.userspace.stores import kernel_function_body

__all__ = ["NAMES", "NUMBERS", "body", "functions", "native_name"]

NUMBERS: dict[str, int] = {name: number for number, name in enumerate(KERNEL_FUNCTIONS, 1)}
NAMES = {number: name for name, number in NUMBERS.items()}


def _function(name: str) -> Callable[..., Any]:
    return kernel_function_body(name)


def functions() -> dict[str, Callable[..., Any]]:
    """Their bodies by their names in native code."""
    return {f"kernel_{name}": _function(name) for name in KERNEL_FUNCTIONS}


def native_name(number: int) -> str:
    """The name in native code."""
    return f"kernel_{NAMES[number]}" if number in NAMES else ""


def body(number: int) -> Callable[[Any, list[int]], int | None] | None:
    """What runs for a number in the interpreter; None when it is none of them."""
    if number not in NAMES:
        return None
    function = _function(NAMES[number])
    end = 1 + function.__code__.co_argcount
    return lambda interpreter, r: function(*r[1:end])
