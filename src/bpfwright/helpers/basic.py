"""Helpers that most programs use: time, randomness, log lines, and the marks of subprograms and kfuncs."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, NoReturn, ParamSpec, TypeVar
from bpfwright.errors import UsageError
from bpfwright.helpers._family import operation
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import U32, U64, Meaning

__all__ = ["external", "judged_alone", "kfunc", "now_coarse_ns", "now_ns", "random_u32", "subprogram", "unknown"]

_KTIME, _KTIME_COARSE = 5, 160
P = ParamSpec("P")
R = TypeVar("R")


def inside_only(name: str) -> UsageError:
    """What a helper raises when this process calls it."""
    return UsageError(f"{name}() exists inside a kernel program only", cure="Call it from a decorated program.")


def now_ns() -> int:
    """Nanoseconds since boot, not counting suspension (CLOCK_MONOTONIC)."""
    raise inside_only("now_ns")


def now_coarse_ns() -> int:
    """now_ns() as of the last timer tick, a few milliseconds old, for half its price. In networking programs; before
    Linux 5.11 it is now_ns().
    """
    raise inside_only("now_coarse_ns")


def random_u32() -> int:
    """A pseudo-random number of 32 bits. Since Linux 4.1."""
    raise inside_only("random_u32")


def unknown(value: int) -> int:
    """The number itself, of which the compiler is to know nothing any more. It costs no instruction.

    For arithmetic that LLVM would make branches of, as of a difference's sign: where the outcome is as good as random,
    a branch that is guessed wrong costs more than the arithmetic.
    """
    raise inside_only("unknown")


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


def judged_alone(function: Callable[P, R]) -> Callable[P, R]:
    """Compile the function as one of its own that the verifier judges once, whoever calls it (a global function).

    For bodies of long loops and for what many paths lead to: otherwise each path goes through it anew. It takes up to
    five integers, the first may be the context of an XDP or tc program, and gets everything else out of maps; returns
    an integer or a bool. Since Linux 5.6.
    """
    function.__judged_alone__ = True  # type: ignore[attr-defined]
    return subprogram(function)


def kfunc(function: Callable[P, R]) -> Callable[P, R]:
    """Declare a kernel function by its name and types; its body is `external()`. The loader checks it against BTF."""
    function.__kfunc__ = True  # type: ignore[attr-defined]
    return function


def _check_clock(site: Any) -> Meaning:
    site.bind()
    return U64


def _lower_clock(b: Any, site: Any) -> Value:
    return Value(U64, b.helper(_KTIME_COARSE if site.target().has("coarse_clock") else _KTIME))


def _check_unknown(site: Any) -> Meaning:
    site.bind("value")
    site.integer("value")
    return U64


def _lower_unknown(b: Any, site: Any) -> Value:
    return Value(U64, b.op("held", "i64", b.numeric(site.value("value"))[0]))


now_ns.__operation__ = operation(_KTIME, U64)  # type: ignore[attr-defined]
now_coarse_ns.__operation__ = Operation(_check_clock, _lower_clock, pure=True)  # type: ignore[attr-defined]
random_u32.__operation__ = operation(7, U32)  # type: ignore[attr-defined]
unknown.__operation__ = Operation(_check_unknown, _lower_unknown, calls=False)  # type: ignore[attr-defined]


def names() -> list[Any]:
    """The functions declared here."""
    return [now_ns, now_coarse_ns, random_u32, unknown]
