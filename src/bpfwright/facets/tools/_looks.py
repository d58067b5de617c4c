"""Which of argdist's probes the programs of `_simple.py` serve, and how those are set for them."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, NamedTuple
from bpfwright.errors import BpfwrightError
from bpfwright.facets.tools._simple import Look

if TYPE_CHECKING:
    from bpfwright.facets.tools._expressions import Probe

__all__ = ["look_of"]

_REGISTERS = 6
_OPERATORS = {"Eq": "==", "NotEq": "!=", "Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">="}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_TOP = (1 << 64) - 1


class _Operand(NamedTuple):
    """An argument, or a field, and its type."""

    at: int
    bits: int
    signed: bool

    @property
    def bias(self) -> int:
        """What makes the order of its values that of unsigned numbers."""
        return 1 << 63 if self.signed else 0


def look_of(probe: Probe, types: dict[str, str], histogram: bool) -> Look | None:
    """The settings for a probe that is simple; None for others. `types` are the dialect's, of each name in it."""
    import ast
    places = _fields(probe, types) if probe.kind == "t" else _arguments(probe, types)
    shown = places.get(_name(ast.parse(probe.expression, mode="eval").body))
    if shown is None or (probe.type == "char*" and shown.bits != 64):
        return None
    if not probe.filter:
        return Look(at=shown.at, shift=64 - shown.bits, signed=shown.signed, histogram=histogram)
    found = _comparison(ast.parse(probe.filter, mode="eval").body, places, types)
    if found is None:
        return None
    other, low, high, outside = found
    return Look(at=shown.at, shift=64 - shown.bits, signed=shown.signed, histogram=histogram, compared=True,
                other_at=other.at, other_shift=64 - other.bits, other_signed=other.signed, low=low, high=high,
                outside=outside)


def _arguments(probe: Probe, types: dict[str, str]) -> dict[str, _Operand]:
    names = ["retval"] if probe.kind == "r" else [name for _, name in probe.parameters]
    if len(names) > min(_REGISTERS, len(set(names))):
        return {}
    return {name: _Operand(at, *_parts(types[name])) for at, name in enumerate(names)}


def _fields(probe: Probe, types: dict[str, str]) -> dict[str, _Operand]:
    """Fields that are numbers; of a probe of texts, those that hold where a text stands."""
    from bpfwright.hooks.tracepoint import parse_format
    from bpfwright.kernel.tracepoints import event_format
    category, _, event = probe.where.partition(":")
    try:
        places = parse_format(event_format(category, event))
    except (BpfwrightError, OSError):  # the compiler says what is wrong
        return {}
    if probe.type == "char*":
        return {} if probe.filter else {f"args.{name}": _Operand(place.offset, 64, False)
                                        for name, place in places.items() if place.dynamic}
    bits, signed = _parts(next(iter(types.values()), "u64"))
    return {f"args.{name}": _Operand(place.offset, min(bits, place.size * 8), signed)
            for name, place in places.items() if not place.dynamic and place.size in (1, 2, 4, 8)}


def _parts(kind: str) -> tuple[int, bool]:
    """(bits, whether it is signed) of u8 to i64."""
    return int(kind[1:]), kind[0] == "i"


def _name(node: Any) -> str:
    import ast
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _comparison(node: Any, places: dict[str, _Operand], types: dict[str, str],
                ) -> tuple[_Operand, int, int, bool] | None:
    """What is compared, and the values that pass: from, to, or those outside; None for what is no such comparison."""
    import ast
    if not isinstance(node, ast.Compare) or len(node.ops) != 1:
        return None
    sign = _OPERATORS.get(type(node.ops[0]).__name__, "")
    left, right = node.left, node.comparators[0]
    if _name(left) not in places:
        left, right, sign = right, left, _TURNED.get(sign, sign)
    other, constant = places.get(_name(left)), _constant(right)
    if other is None or constant is None or not sign:
        return None
    bits, signed = _parts(types[_name(left)])
    if not -(1 << bits - 1) * signed <= constant < 1 << bits - signed:
        return None
    border = (constant + other.bias) & _TOP
    low, high = {"=": (border, border), "!": (border, border), "<": (border, _TOP), ">": (0, border)}[sign[0]]
    if sign in ("<=", ">="):
        low, high = (0, border) if sign == "<=" else (border, _TOP)
    return other, low, high, sign in ("!=", "<", ">")


def _constant(node: Any) -> int | None:
    import ast
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        found = _constant(node.operand)
        return None if found is None else -found
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None
