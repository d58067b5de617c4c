"""Helpers that most programs use: time, randomness, log lines, and the marks of subprograms and kfuncs."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NoReturn, ParamSpec, TypeVar
from bpfwright.errors import UsageError
from bpfwright.helpers._family import operation
from bpfwright.spec.meaning import U32, U64

__all__ = ["external", "kfunc", "now_ns", "random_u32", "subprogram"]

P = ParamSpec("P")
R = TypeVar("R")


def inside_only(name: str) -> UsageError:
    """What a helper raises when this process calls it."""
    return UsageError(f"{name}() exists inside a kernel program only", cure="Call it from a decorated program.")


def now_ns() -> int:
    """Nanoseconds since boot, not counting suspension (CLOCK_MONOTONIC)."""
    raise inside_only("now_ns")


def random_u32() -> int:
    """A pseudo-random number of 32 bits. Since Linux 4.1."""
    raise inside_only("random_u32")


def external() -> NoReturn:
    """The body of a kfunc's declaration."""
    raise inside_only("external")


def subprogram(function: Callable[P, R]) -> Callable[P, R]:
    """Compile the function as one of its own (bpf-to-bpf call) in place of inlining it.

    It takes up to five integers, pointers or records (the context first) and returns an integer, a bool or None. Eight
    functions may be on the stack at most, the program among them.
    """
    function.__subprogram__ = True  # type: ignore[attr-defined]
    return function


def kfunc(function: Callable[P, R]) -> Callable[P, R]:
    """Declare a kernel function by its name and types; its body is `external()`. The loader checks it against BTF."""
    function.__kfunc__ = True  # type: ignore[attr-defined]
    return function


now_ns.__operation__ = operation(5, U64)  # type: ignore[attr-defined]
random_u32.__operation__ = operation(7, U32)  # type: ignore[attr-defined]


def names() -> list[Any]:
    """The functions declared here."""
    return [now_ns, random_u32]
