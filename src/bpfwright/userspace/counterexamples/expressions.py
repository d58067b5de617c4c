"""What a number in a run was made from: expressions over the input, which can be evaluated again and turned around.

A variable is a byte or a word of the input. `invert` answers: which bytes would make this expression that value? It
works backwards through the operations that programs put between a load and a comparison (byte order, masks, shifts,
sums), and leaves the rest of the input as it is.
"""
from __future__ import annotations

from bpfwright._typing import Any, Mapping
from bpfwright.formats.isa.semantics import ARITHMETIC, signed, swap

__all__ = ["Expression", "Variable", "byte_of", "evaluate", "invert", "joined", "most", "operation", "variables"]

Variable = tuple[Any, ...]  # ("data", 3), ("context", 12), ("map", name, key, 7), ("word", address), ("length",) ...
_WORD = (1 << 64) - 1
_LARGEST = 400  # nodes of one expression: what is larger (checksums) counts as a plain number


class Expression:
    """`op` of `a` and `b`, `bits` wide: `var` (a is the Variable), `join` (a are expressions of a byte each, the least
    first), `byte` (b of a), `swap`, `sign` (b bits of a), `neg`, or an arithmetic operation whose operands are
    expressions or numbers."""

    __slots__ = ("a", "b", "bits", "op", "size")

    def __init__(self, op: str, a: Any, b: Any, bits: int, size: int = 1) -> None:
        self.op, self.a, self.b, self.bits, self.size = op, a, b, bits, size


Term = Expression | int


def operation(op: str, a: Term, b: Term, bits: int) -> Expression | None:
    """An arithmetic operation; None when it is too large to follow."""
    size = 1 + (a.size if isinstance(a, Expression) else 0) + (b.size if isinstance(b, Expression) else 0)
    return Expression(op, a, b, bits, size) if size <= _LARGEST else None


def joined(parts: tuple[Term, ...]) -> Expression | None:
    """A number of several bytes, the least first; the same expression when they are all of one."""
    first = parts[0]
    if isinstance(first, Expression) and first.op == "byte" and first.b == 0 and first.a.bits == 8 * len(parts) and all(
            isinstance(each, Expression) and each.op == "byte" and each.a is first.a and each.b == at
            for at, each in enumerate(parts)):
        return first.a  # type: ignore[no-any-return]
    if len(parts) == 1 and isinstance(first, Expression):
        return first
    size = 1 + sum(each.size if isinstance(each, Expression) else 0 for each in parts)
    return Expression("join", parts, None, 8 * len(parts), size) if size <= _LARGEST else None


def byte_of(whole: Expression, index: int) -> Expression | int:
    """One byte of an expression."""
    if whole.op == "join":
        parts: tuple[Term, ...] = whole.a
        return parts[index] if index < len(parts) else 0
    if whole.op == "var" and whole.bits == 8:
        return whole if index == 0 else 0
    return Expression("byte", whole, index, 8, whole.size + 1) if 8 * index < max(whole.bits, 8) else 0


def variables(term: Term, found: set[Variable] | None = None) -> set[Variable]:
    """The variables that it depends on."""
    found = set() if found is None else found
    if isinstance(term, Expression):
        if term.op == "var":
            found.add(term.a)
        elif term.op == "join":
            for each in term.a:
                variables(each, found)
        else:
            variables(term.a, found)
            if isinstance(term.b, Expression):
                variables(term.b, found)
    return found


def evaluate(term: Term, values: Mapping[Variable, int]) -> int:
    """Its value, where the variables have these."""
    if not isinstance(term, Expression):
        return term
    op = term.op
    if op == "var":
        return values[term.a]
    if op == "join":
        return sum(evaluate(each, values) << 8 * at for at, each in enumerate(term.a))
    a = evaluate(term.a, values)
    if op == "byte":
        return a >> 8 * int(term.b) & 255
    mask = (1 << term.bits) - 1
    if op == "swap":
        return swap(a, term.bits)
    if op == "sign":
        return signed(a & (1 << term.b) - 1, term.b) & mask
    if op == "neg":
        return -a & mask
    return ARITHMETIC[op].compute(a & mask, evaluate(term.b, values) & mask, term.bits) & mask


def most(term: Term) -> int:
    """A mask of the bits that may be set."""
    if not isinstance(term, Expression):
        return term
    mask = (1 << term.bits) - 1
    match term.op:
        case "join":
            return sum(most(each) << 8 * at for at, each in enumerate(term.a))
        case "byte":
            return most(term.a) >> 8 * int(term.b) & 255
        case "lsh" if isinstance(term.b, int):
            return most(term.a) << (term.b & term.bits - 1) & mask
        case "rsh" if isinstance(term.b, int):
            return (most(term.a) & mask) >> (term.b & term.bits - 1)
        case "and":
            return most(term.a) & most(term.b) & mask
        case "or" | "xor":
            return (most(term.a) | most(term.b)) & mask
        case "swap":
            return swap(most(term.a), term.bits)
    return mask


def invert(term: Term, target: int, values: Mapping[Variable, int], depth: int = 0) -> dict[Variable, int] | None:
    """Values of some variables that make it `target`, the others staying as they are; None when no way is seen."""
    if not isinstance(term, Expression):
        return {} if term == target else None
    if target < 0 or target >> term.bits or depth > 60:
        return None
    if term.op == "var":
        return {term.a: target}
    if term.op == "join":
        return _together([(each, target >> 8 * at & 255) for at, each in enumerate(term.a)], values, depth)
    unary = _UNARY.get(term.op)
    if unary is not None:
        wanted = unary(term, target, evaluate(term.a, values))
        return None if wanted is None else invert(term.a, wanted, values, depth + 1)
    mask = (1 << term.bits) - 1
    a, b = evaluate(term.a, values) & mask, evaluate(term.b, values) & mask
    if isinstance(term.a, Expression) and isinstance(term.b, Expression) and term.op in ("or", "add", "xor"):
        one, other = most(term.a), most(term.b)
        if not one & other:  # a number put together from parts
            if target & ~(one | other):
                return None
            return _together([(term.a, target & one), (term.b, target & other)], values, depth)
    if isinstance(term.a, Expression):
        wanted = _left(term.op, target, a, b, term.bits)
        # Bits above those that took part stay what they are.
        solved = None if wanted is None else _widened(term.a, wanted, mask, values, depth)
        if solved is not None:
            return solved
    if isinstance(term.b, Expression):
        wanted = _right(term.op, target, a, b, term.bits)
        return None if wanted is None else _widened(term.b, wanted, mask, values, depth)
    return None


def _widened(term: Expression, wanted: int, mask: int, values: Mapping[Variable, int], depth: int,
             ) -> dict[Variable, int] | None:
    if term.bits == 64 and mask != _WORD:
        wanted |= evaluate(term, values) & ~mask
    return invert(term, wanted, values, depth + 1)


def _together(parts: list[tuple[Term, int]], values: Mapping[Variable, int], depth: int) -> dict[Variable, int] | None:
    """All of these at once; later parts see what earlier ones chose."""
    chosen: dict[Variable, int] = {}
    now = dict(values)
    for term, target in parts:
        found = invert(term, target, now, depth + 1)
        if found is None or any(chosen.get(name, value) != value for name, value in found.items()):
            return None
        chosen |= found
        now |= found
    return chosen


def _byte(term: Expression, target: int, now: int) -> int | None:
    shift = 8 * int(term.b)
    return now & ~(255 << shift) | target << shift


def _swap(term: Expression, target: int, now: int) -> int | None:
    return now & ~((1 << term.bits) - 1) | swap(target, term.bits)


def _sign(term: Expression, target: int, now: int) -> int | None:
    low = target & (1 << term.b) - 1
    return now & ~((1 << term.b) - 1) | low if signed(low, term.b) & (1 << term.bits) - 1 == target else None


def _neg(term: Expression, target: int, now: int) -> int | None:
    return -target & (1 << term.bits) - 1


_UNARY = {"byte": _byte, "swap": _swap, "sign": _sign, "neg": _neg}


def _left(op: str, target: int, a: int, b: int, bits: int) -> int | None:
    """Which left operand gives the target."""
    mask, shift = (1 << bits) - 1, b & bits - 1
    match op:
        case "add":
            return target - b & mask
        case "sub":
            return target + b & mask
        case "xor":
            return target ^ b
        case "and":
            return None if target & ~b else a & ~b & mask | target
        case "or":
            return None if b & ~target else target & ~b | a & b
        case "lsh":
            return None if target & (1 << shift) - 1 else target >> shift | (a & ~(mask >> shift))
        case "rsh":
            return None if target << shift & ~mask else target << shift | a & (1 << shift) - 1
        case "arsh":
            wanted = target << shift & mask | a & (1 << shift) - 1
            return wanted if signed(wanted, bits) >> shift & mask == target else None
        case "mul":
            if b and target % b == 0:
                return target // b
            return target * pow(b, -1, 1 << bits) & mask if b & 1 else None
        case "div":
            return target * b + a % b if b and target * b + a % b <= mask else None
        case "mod":
            return a // b * b + target if b and target < b and a // b * b + target <= mask else None
        case "mov":
            return None
    return None


def _right(op: str, target: int, a: int, b: int, bits: int) -> int | None:
    """Which right operand gives the target."""
    if op == "mov":
        return target
    if op == "sub":
        return a - target & (1 << bits) - 1
    if op in ("lsh", "rsh", "arsh"):
        shifts = (n for n in range(bits) if ARITHMETIC[op].compute(a, n, bits) & (1 << bits) - 1 == target)
        return next(shifts, None)
    if op in ("div", "mod"):
        return None
    return _left(op, target, b, a, bits)
