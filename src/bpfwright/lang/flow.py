"""What is known of each local variable at a point of the program, and what a test adds to it."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.lang import tree as t
from bpfwright.lang.numbers import widen
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.meaning import (MAX_I64, Boolean, Constant, Integer, Meaning, Nothing, OneOf, Optional, Reference,
                                    join)

__all__ = ["Flow", "kept", "merge", "narrow", "settle"]

Flow = dict[str, Meaning]
"""Meanings by name; a name that may be unset is not in it. None in place of a Flow: this point is never reached."""

_SWAP = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_NEGATE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "==", "is": "is not", "is not": "is"}


def merge(a: Flow | None, b: Flow | None, rooms: Flow) -> tuple[Flow | None, str]:
    """What holds where two paths meet, and a name whose meanings do not join ('' when all do).

    Where both paths narrowed a name to different parts of it, what it may be at all (`rooms`) holds again."""
    if a is None or b is None:
        return (b if a is None else a), ""
    both: Flow = {}
    for name, meaning in a.items():
        if name in b:
            joined = join(meaning, b[name]) or rooms.get(name)
            if joined is None:
                return None, name
            both[name] = joined
    return both, ""


def settle(before: Flow, after: Flow | None, round: int, rooms: Flow) -> tuple[Flow, str]:
    """A loop's head: what held before it and what its body leaves, widened from the third round on."""
    merged, clash = merge(before, after, rooms)
    if merged is None:
        return before, clash
    if round >= 2:
        for name, meaning in merged.items():
            old = before.get(name)
            if isinstance(old, Integer) and isinstance(meaning, Integer) and old != meaning:
                merged[name] = widen(old, meaning)
            elif isinstance(old, Optional) and isinstance(meaning, Optional) and old != meaning \
                    and isinstance(old.inner, Integer) and isinstance(meaning.inner, Integer):
                merged[name] = Optional(widen(old.inner, meaning.inner))
    return merged, ""


def kept(before: Flow, after: Flow) -> Flow:
    """`before` without what is gone since: headers of a packet that moved."""
    return {name: meaning for name, meaning in before.items() if name in after}


def narrow(test: Any, flow: Flow, truth: bool) -> Flow:
    """The flow after `test` came out as `truth`."""
    match test:
        case t.Unary(operator="not"):
            return narrow(test.operand, flow, not truth)
        case t.BoolOp():
            if (test.operator == "and") == truth:
                for value in test.values:
                    flow = narrow(value, flow, truth)
            return flow
        case t.Walrus():
            return narrow(test.target, flow, truth)
        case t.Name():
            return _truthy(test.name, flow, truth)
        case t.Compare():
            if truth or len(test.rest) == 1:
                left = test.first
                for operator, right in test.rest:
                    flow = _compare(left, operator if truth else _NEGATE.get(operator, ""), right, flow)
                    left = right
            return flow
        case t.Call(function=t.Name(name="isinstance"), args=[t.Name() as name, kind]):
            return _choice(name.name, kind, flow, truth)
    return flow


def _with(flow: Flow, name: str, meaning: Meaning) -> Flow:
    return {**flow, name: meaning}


def _truthy(name: str, flow: Flow, truth: bool) -> Flow:
    meaning = flow.get(name)
    match meaning:
        case Optional(inner=inner) if truth:
            return _truthy(name, _with(flow, name, inner), truth)
        case Optional(inner=Reference()) if not truth:
            return _with(flow, name, Nothing()) if not _may_be_empty(meaning.inner) else flow
        case Integer(low=low, high=high, enum=enum):
            if not truth:
                return _with(flow, name, Integer(0, 0, enum))
            return _with(flow, name, Integer(low + (low == 0), high - (high == 0), enum)) if low < high else flow
    return flow


def _may_be_empty(inner: Meaning) -> bool:
    return isinstance(inner, Reference) and inner.ctype.name.startswith("char[")


def _compare(left: Any, operator: str, right: Any, flow: Flow) -> Flow:
    if isinstance(left, t.Walrus):
        left = left.target
    if isinstance(left, t.Name) and operator in ("is", "is not", "==", "!=") and _is_none(right):
        return _none(left.name, flow, operator in ("is", "=="))
    if isinstance(left, t.Name):
        flow = _bound(left.name, operator, getattr(right, "meaning", None), flow)
    if isinstance(right, t.Name) and operator in _SWAP:
        flow = _bound(right.name, _SWAP[operator], getattr(left, "meaning", None), flow)
    return flow


def _is_none(node: Any) -> bool:
    return isinstance(node, t.Constant) and node.value is None


def _none(name: str, flow: Flow, is_none: bool) -> Flow:
    meaning = flow.get(name)
    if isinstance(meaning, Optional):
        return _with(flow, name, Nothing() if is_none else meaning.inner)
    return flow


def _bound(name: str, operator: str, other: Meaning | None, flow: Flow) -> Flow:
    meaning = flow.get(name)
    inner = meaning.inner if isinstance(meaning, Optional) and operator == "==" else meaning
    if not isinstance(inner, Integer) or not isinstance(other, Integer):
        return flow
    low, high = inner.low, inner.high
    if operator == "==":
        low, high = max(low, other.low), min(high, other.high)
    elif operator == "!=" and other.constant is not None:
        low, high = low + (low == other.low), high - (high == other.low)
    elif operator in ("<", "<="):
        high = min(high, other.high - (operator == "<"))
    elif operator in (">", ">="):
        low = max(low, other.low + (operator == ">"))
    if low > high or (low < 0 and high > MAX_I64):
        return flow
    return _with(flow, name, Integer(low, high, inner.enum))


def _choice(name: str, kind: Any, flow: Flow, truth: bool) -> Flow:
    meaning = flow.get(name)
    cls = kind.meaning.value if isinstance(getattr(kind, "meaning", None), Constant) else None
    inner = meaning.inner if isinstance(meaning, Optional) else meaning
    if not isinstance(inner, OneOf):
        return flow
    chosen = [c for c in inner.choices if isinstance(c, Reference) and getattr(c.ctype, "cls", None) is cls]
    if truth and chosen:
        return _with(flow, name, chosen[0])
    return flow


def settled(a: Flow, b: Flow) -> bool:
    """Whether another round of the loop would find nothing new."""
    return a == b


def truthy_kinds(meaning: Meaning) -> bool:
    """Whether a meaning can stand in a test. A map can't: what it holds is known only while it runs."""
    if isinstance(meaning, Constant):
        return not isinstance(meaning.value, MapDeclaration)
    return isinstance(meaning, (Integer, Boolean, Optional, Nothing, Reference))
