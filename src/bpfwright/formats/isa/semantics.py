"""What each operation of the opcode table does, once: as Python on unsigned numbers, and as LLVM's text.

The interpreter takes the functions, the JIT the templates; a test holds both against each other and against vectors.
Division by zero gives 0, the remainder of a division by zero the dividend, and shifts are masked (RFC 9669, 4.1).
"""
from __future__ import annotations

from bpfwright._typing import Callable, NamedTuple


__all__ = ["ARITHMETIC", "COMPARISONS", "Arithmetic", "Comparison", "signed", "swap"]


class Arithmetic(NamedTuple):
    """`compute(a, b, bits)` on unsigned numbers of that width, the result unmasked; `llvm` a template over {a} {b}
    {type} {bits}, of one or more instructions, whose result is {out}; {t} begins names of its own."""

    compute: Callable[[int, int, int], int]
    llvm: tuple[str, ...]


class Comparison(NamedTuple):
    """`holds(a, b, bits)` on unsigned numbers; `llvm` is icmp's predicate, empty for jset."""

    holds: Callable[[int, int, int], bool]
    llvm: str


def signed(value: int, bits: int) -> int:
    """The two's complement number that these bits are."""
    return value - (1 << bits) if value >> (bits - 1) else value


def swap(value: int, bits: int) -> int:
    """The low `bits` with their bytes reversed."""
    return int.from_bytes((value & (1 << bits) - 1).to_bytes(bits // 8, "little"), "big")


def _sdiv(a: int, b: int, bits: int) -> int:
    if b == 0:
        return 0
    x, y = signed(a, bits), signed(b, bits)
    quotient = abs(x) // abs(y)
    return -quotient if (x < 0) != (y < 0) else quotient


def _smod(a: int, b: int, bits: int) -> int:
    return a if b == 0 else signed(a, bits) - signed(b, bits) * signed(_sdiv(a, b, bits) & (1 << bits) - 1, bits)


def _simple(name: str) -> tuple[str, ...]:
    return (f"{{out}} = {name} {{type}} {{a}}, {{b}}",)


def _shift(name: str) -> tuple[str, ...]:
    return ("{t}m = and {type} {b}, {mask}", f"{{out}} = {name} {{type}} {{a}}, {{t}}m")


def _guarded(name: str, otherwise: str) -> tuple[str, ...]:
    """A division whose divisor is 1 when it is 0, and whose result is then thrown away."""
    return ("{t}z = icmp eq {type} {b}, 0", "{t}d = select i1 {t}z, {type} 1, {type} {b}",
            f"{{t}}q = {name} {{type}} {{a}}, {{t}}d",
            f"{{out}} = select i1 {{t}}z, {{type}} {otherwise}, {{type}} {{t}}q")


def _guarded_signed(name: str, otherwise: str, overflow: str) -> tuple[str, ...]:
    """The same for signed numbers, where the least number divided by -1 has no result either."""
    return ("{t}z = icmp eq {type} {b}, 0", "{t}n = icmp eq {type} {b}, -1", "{t}e = or i1 {t}z, {t}n",
            "{t}d = select i1 {t}e, {type} 1, {type} {b}", f"{{t}}q = {name} {{type}} {{a}}, {{t}}d",
            "{t}g = sub {type} 0, {a}", f"{{t}}r = select i1 {{t}}n, {{type}} {overflow}, {{type}} {{t}}q",
            f"{{out}} = select i1 {{t}}z, {{type}} {otherwise}, {{type}} {{t}}r")


ARITHMETIC: dict[str, Arithmetic] = {
    "add": Arithmetic(lambda a, b, n: a + b, _simple("add")),
    "sub": Arithmetic(lambda a, b, n: a - b, _simple("sub")),
    "mul": Arithmetic(lambda a, b, n: a * b, _simple("mul")),
    "div": Arithmetic(lambda a, b, n: a // b if b else 0, _guarded("udiv", "0")),
    "sdiv": Arithmetic(_sdiv, _guarded_signed("sdiv", "0", "{t}g")),
    "or": Arithmetic(lambda a, b, n: a | b, _simple("or")),
    "and": Arithmetic(lambda a, b, n: a & b, _simple("and")),
    "lsh": Arithmetic(lambda a, b, n: a << (b & n - 1), _shift("shl")),
    "rsh": Arithmetic(lambda a, b, n: a >> (b & n - 1), _shift("lshr")),
    "mod": Arithmetic(lambda a, b, n: a % b if b else a, _guarded("urem", "{a}")),
    "smod": Arithmetic(_smod, _guarded_signed("srem", "{a}", "0")),
    "xor": Arithmetic(lambda a, b, n: a ^ b, _simple("xor")),
    "mov": Arithmetic(lambda a, b, n: b, ("{out} = add {type} {b}, 0",)),
    "arsh": Arithmetic(lambda a, b, n: signed(a, n) >> (b & n - 1), _shift("ashr")),
}

COMPARISONS: dict[str, Comparison] = {
    "jeq": Comparison(lambda a, b, n: a == b, "eq"),
    "jne": Comparison(lambda a, b, n: a != b, "ne"),
    "jgt": Comparison(lambda a, b, n: a > b, "ugt"),
    "jge": Comparison(lambda a, b, n: a >= b, "uge"),
    "jlt": Comparison(lambda a, b, n: a < b, "ult"),
    "jle": Comparison(lambda a, b, n: a <= b, "ule"),
    "jsgt": Comparison(lambda a, b, n: signed(a, n) > signed(b, n), "sgt"),
    "jsge": Comparison(lambda a, b, n: signed(a, n) >= signed(b, n), "sge"),
    "jslt": Comparison(lambda a, b, n: signed(a, n) < signed(b, n), "slt"),
    "jsle": Comparison(lambda a, b, n: signed(a, n) <= signed(b, n), "sle"),
    "jset": Comparison(lambda a, b, n: bool(a & b), ""),
}
