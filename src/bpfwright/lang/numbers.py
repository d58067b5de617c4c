"""Interval arithmetic of the dialect's integers: what Python would give, and where 64 bits end."""
from __future__ import annotations

from bpfwright.spec.meaning import I64, MAX_I64, MAX_U64, MIN_I64, U64, Integer

__all__ = ["DivisionByZero", "MixedSigns", "NegativeShift", "arithmetic", "fit", "widen"]


class DivisionByZero(Exception):
    """The divisor may be zero."""


class NegativeShift(Exception):
    """The shift count may be negative."""


class MixedSigns(Exception):
    """A u64 and a possibly negative number, where no 64-bit result is right."""


def fit(low: int, high: int, *operands: Integer) -> Integer:
    """The interval, or all of u64 or i64 when the result may wrap."""
    if (low >= MIN_I64 and high <= MAX_I64) or (low >= 0 and high <= MAX_U64):
        return Integer(low, high)
    unsigned = low >= 0 or any(o.high > MAX_I64 for o in operands)
    return U64 if unsigned else I64


def arithmetic(operator: str, a: Integer, b: Integer) -> Integer:
    """The interval of `a operator b`. Constants fold; DivisionByZero, MixedSigns and NegativeShift refuse."""
    low, high = _RULES[operator](a, b)
    if a.constant is not None and b.constant is not None and operator in "&|^":
        low = high = {"&": a.low & b.low, "|": a.low | b.low, "^": a.low ^ b.low}[operator]
    return fit(low, high, a, b)


def _corners(a: Integer, b: Integer, rule: str) -> tuple[int, int]:
    pairs = [(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    values = [_AT[rule](x, y) for x, y in pairs]
    return min(values), max(values)


_AT = {"*": lambda x, y: x * y, "//": lambda x, y: x // y, ">>": lambda x, y: x >> y, "<<": lambda x, y: x << y}


def _mixed(a: Integer, b: Integer) -> bool:
    return (a.high > MAX_I64 and b.low < 0) or (b.high > MAX_I64 and a.low < 0)


def _floordiv(a: Integer, b: Integer) -> tuple[int, int]:
    if b.low <= 0 <= b.high:
        raise DivisionByZero
    if _mixed(a, b):
        raise MixedSigns
    low, high = _corners(a, b, "//")
    if a.low <= 0 <= a.high:
        low, high = min(low, 0), max(high, 0)
    return low, high


def _mod(a: Integer, b: Integer) -> tuple[int, int]:
    if b.low <= 0 <= b.high:
        raise DivisionByZero
    if _mixed(a, b):
        raise MixedSigns
    if a.low >= 0 and a.high < b.low:
        return a.low, a.high
    if b.low > 0:
        return 0, min(b.high - 1, a.high) if a.low >= 0 else b.high - 1
    return b.low + 1, 0


def _mask(value: int) -> int:
    return (1 << value.bit_length()) - 1


def _and(a: Integer, b: Integer) -> tuple[int, int]:
    if a.low >= 0 and b.low >= 0:
        return (a.low & b.low if a.constant is not None and b.constant is not None else 0), min(a.high, b.high)
    if a.low >= 0:
        return 0, a.high
    if b.low >= 0:
        return 0, b.high
    return -_mask(-min(a.low, b.low)) - 1, max(a.high, b.high)


def _or(a: Integer, b: Integer) -> tuple[int, int]:
    if a.low >= 0 and b.low >= 0:
        return max(a.low, b.low), _mask(max(a.high, b.high))
    return _signed_bits(a, b)


def _xor(a: Integer, b: Integer) -> tuple[int, int]:
    if a.low >= 0 and b.low >= 0:
        return 0, _mask(max(a.high, b.high))
    return _signed_bits(a, b)


def _signed_bits(a: Integer, b: Integer) -> tuple[int, int]:
    if _mixed(a, b):
        return 0, MAX_U64
    size = max(_mask(max(a.high, b.high, 0)), _mask(-min(a.low, b.low)))
    return -size - 1, size


def _shift(a: Integer, b: Integer) -> None:
    if b.low < 0:
        raise NegativeShift


def _shl(a: Integer, b: Integer) -> tuple[int, int]:
    _shift(a, b)
    if b.high > 63:
        return (0 if a.low >= 0 else MIN_I64 * 2, MAX_U64 * 2)
    return _corners(a, b, "<<")


def _shr(a: Integer, b: Integer) -> tuple[int, int]:
    _shift(a, b)
    return _corners(a, Integer(min(b.low, 64), min(b.high, 64)), ">>")


_RULES = {
    "+": lambda a, b: (a.low + b.low, a.high + b.high),
    "-": lambda a, b: (a.low - b.high, a.high - b.low),
    "*": lambda a, b: _corners(a, b, "*"),
    "//": _floordiv, "%": _mod, "&": _and, "|": _or, "^": _xor, "<<": _shl, ">>": _shr,
}

_LOWS = (0, -(1 << 7), -(1 << 15), -(1 << 31), MIN_I64)
_HIGHS = (0xFF, 0xFFFF, 0xFFFFFFFF, MAX_I64, MAX_U64)


def widen(before: Integer, after: Integer) -> Integer:
    """The next larger interval that a loop may settle in: bounds that moved jump to the next width."""
    low, high = before.low, before.high
    if after.low < low:
        low = next(step for step in _LOWS if step <= after.low)
    if after.high > high:
        high = next(step for step in _HIGHS if step >= after.high)
    if low < 0 and high > MAX_I64:
        return U64 if before.high > MAX_I64 else I64
    return Integer(low, high)
