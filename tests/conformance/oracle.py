"""What the rows of the RFC's table give, on Python's whole numbers: knows nothing of bpfwright."""
from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from math import trunc
from types import CodeType
from typing import Any, NamedTuple

__all__ = ["After", "apply"]


class After(NamedTuple):
    """What one instruction left."""

    dst: int
    src: int
    r0: int
    cell: bytes
    jump: bool


def _unsigned(bits: int) -> Callable[[int], int]:
    return lambda value: value % 2 ** bits


def _signed(bits: int) -> Callable[[int], int]:
    return lambda value: (value + 2 ** (bits - 1)) % 2 ** bits - 2 ** (bits - 1)


def _quotient(a: int, b: int) -> int:
    return trunc(Fraction(a, b))


def _remainder(a: int, b: int) -> int:
    return a - b * _quotient(a, b)


def _reversed_bytes(value: int, bits: int) -> int:
    digits = f"{value % 2 ** bits:0{bits // 4}x}"
    return int("".join(reversed([digits[at:at + 2] for at in range(0, len(digits), 2)])), 16)


_WORDS: dict[str, Any] = {
    **{f"u{bits}": _unsigned(bits) for bits in (8, 16, 32, 64)},
    **{f"s{bits}": _signed(bits) for bits in (8, 16, 32, 64)},
    "quotient": _quotient, "remainder": _remainder, "reversed_bytes": _reversed_bytes,
}


@cache
def _compiled(meaning: str) -> CodeType:
    return compile(meaning, meaning, "exec")


def apply(meaning: str, *, dst: int = 0, src: int = 0, r0: int = 0, imm: int = 0, cell: bytes = bytes(8), at: int = 0,
          ) -> After:
    """Run one row's meaning; its access, if it has one, is `at` bytes into the cell."""
    memory = bytearray(cell)

    def load(size: int) -> int:
        return int.from_bytes(memory[at:at + size], "little")

    def store(size: int, value: int) -> None:
        memory[at:at + size] = (value % 2 ** (8 * size)).to_bytes(size, "little")

    names = _WORDS | {"dst": dst, "src": src, "r0": r0, "imm": imm, "load": load, "store": store, "jump": False}
    exec(_compiled(meaning), {"__builtins__": {"bool": bool}}, names)
    return After(names["dst"], names["src"], names["r0"], bytes(memory), names["jump"])
