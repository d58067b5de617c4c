"""Expressions: what each one is, and which operation a call or attribute stands for."""
from __future__ import annotations

from enum import IntEnum
from types import FunctionType

from bpfwright._typing import Any, NoReturn
from bpfwright.lang import flow as f
from bpfwright.lang import tree as t
from bpfwright.lang.calling import Calling
from bpfwright.lang.fitting import BOOLEAN_CONSTANTS, NUMBERS
from bpfwright.lang.numbers import DivisionByZero, MixedSigns, NegativeShift, arithmetic
from bpfwright.lang.scope import MISSING, Scope
from bpfwright.lang.site import CallSite
from bpfwright.spec.meaning import (
    BOOLEAN,
    NOTHING,
    Boolean,
    Constant,
    Integer,
    KernelObject,
    Meaning,
    Nothing,
    Optional,
    Reference,
    TupleOf,
    describe,
    join,
    meaning_of,
)
from bpfwright.types import is_shared
from bpfwright.types.ctype import (
    AddressType,
    AtomicType,
    CharArray,
    CType,
    RecordType,
)
from bpfwright.types.structs import Struct

__all__ = ["Infer", "cut_meaning", "without_none"]


class Infer(Calling):
    """Meanings of expressions. The statements' half, `Checker`, holds the flow."""

    job: Any
    flow: f.Flow | None
    scope: Scope
    declared: dict[str, CType]
    locks: list[str]
    local_names: set[str]
    stack: tuple[FunctionType, ...]

    def refuse(self, place: Any, what: str, cure: str = "") -> NoReturn:
        raise NotImplementedError

    def infer(self, node: Any) -> Meaning:
        """The meaning of an expression; recorded in the node."""
        meaning: Meaning = getattr(self, "of_" + type(node).__name__.lower())(node)
        node.meaning = meaning
        return meaning

    def stored(self, meaning: Meaning) -> Meaning:
        """What a variable holds after an assignment: text and addresses are values, so it holds a copy."""
        if isinstance(meaning, Reference) and isinstance(meaning.ctype, (CharArray, AddressType)):
            return Reference(meaning.ctype, "stack")
        if isinstance(meaning, Optional):
            return Optional(self.stored(meaning.inner))
        if isinstance(meaning, TupleOf):
            return TupleOf(tuple(map(self.stored, meaning.items)))
        return BOOLEAN if meaning in BOOLEAN_CONSTANTS else meaning

    # leaves

    def of_constant(self, node: Any) -> Meaning:
        return self.constant(node, node.value)

    def constant(self, node: Any, value: object) -> Meaning:
        if value is None:
            return NOTHING
        if isinstance(value, bool):
            return Constant(value) if isinstance(node, t.Constant) else BOOLEAN_CONSTANTS[value]
        if isinstance(value, IntEnum):
            return Integer(value.value, value.value, type(value))
        if isinstance(value, int):
            if not -(1 << 63) <= value < 1 << 64:
                self.refuse(node, f"{value} does not fit 64 bits",
                            "The kernel's largest numbers are u64 and i64: mask it.")
            return Integer(value, value)
        if isinstance(value, float):
            self.refuse(node, "the kernel has no floating point", "Scale to an integer.")
        if isinstance(value, Struct):
            return Reference(RecordType(type(value).__mro__[1] if is_shared(value) else type(value)),
                             "shared" if is_shared(value) else "frozen")
        return Constant(value)

    def of_name(self, node: Any) -> Meaning:
        assert self.flow is not None
        if node.name in self.local_names:
            node.binding = "local"
            if node.name not in self.flow and node.name in self.moved:
                self.refuse(node, f"the packet may have moved since {node.name} was found",
                            "Find it again: ctx.find(...).")
            if node.name not in self.flow:
                self.refuse(node, f"{node.name} may not be set here", "Set it on every path before.")
            return self.flow[node.name]
        value = self.scope.lookup(node.name)
        if value is MISSING:
            self.refuse(node, f"the name {node.name!r} is not known", self.similar(node.name))
        node.binding = value
        if isinstance(value, (list, dict, set)):
            kind = type(value).__name__
            self.refuse(node, f"{node.name} is a {kind}, which the kernel does not have",
                        "Declare a map at module level: Hash[u32, u64](max_entries=...).")
        return self.constant(node, value)

    def similar(self, name: str) -> str:
        import difflib
        known = [*self.local_names, *self.scope.spaces[0], *self.scope.spaces[1]]
        found = difflib.get_close_matches(name, known, 1)
        return f"Did you mean {found[0]!r}?" if found else "Define or import it at module level."

    def of_tuple(self, node: Any) -> Meaning:
        found = [(item, self.infer(item), self.moves) for item in node.items]
        for item, meaning, moves in found:
            self.stays(item, meaning, moves)
        return TupleOf(tuple(meaning for _, meaning, _ in found))

    def of_walrus(self, node: Any) -> Meaning:
        meaning = self.infer(node.value)
        self.set_variable(node.target.name, self.stored(meaning), node)
        self.acquires(node.value, node.target.name)
        node.target.meaning = meaning
        node.target.binding = "local"
        return meaning

    def set_variable(self, name: str, meaning: Meaning, node: Any) -> None:
        raise NotImplementedError

    def format(self, node: Any) -> Meaning:
        """An f-string that is logged: each part is a number or a text."""
        node.parts = [part if isinstance(part, str) else self.format_part(*part) for part in node.parts]
        return Constant("")

    def format_part(self, node: Any, conversion: str, spec: str) -> Any:
        meaning = self.infer(node)
        if isinstance(meaning, Optional):
            self.refuse(node, f"this may be None: {describe(meaning)}", "Test it first: `if x is None: return`.")
        if not isinstance(meaning, NUMBERS) and not (
                isinstance(meaning, Reference) and isinstance(meaning.ctype, (CharArray, AddressType))) \
                and not isinstance(meaning, Constant):
            self.refuse(node, f"{describe(meaning)} cannot be logged", "Log its numbers and texts.")
        return (node, conversion, spec)

    def of_format(self, node: Any) -> Meaning:
        self.refuse(node, "an f-string can only be logged", "Write log(f\"...\"), or send the parts in an event.")

    # tests

    def test(self, node: Any) -> None:
        """Check a condition; narrowing inside of it flows from left to right."""
        if isinstance(node, t.BoolOp):
            self.boolean_chain(node, [self.test_value] * len(node.values))
            node.meaning = BOOLEAN
        elif isinstance(node, t.Unary) and node.operator == "not":
            self.test(node.operand)
            node.meaning = BOOLEAN
        else:
            self.test_value(node)

    def test_value(self, node: Any) -> Meaning:
        if isinstance(node, t.BoolOp) or (isinstance(node, t.Unary) and node.operator == "not"):
            self.test(node)
            return BOOLEAN
        meaning = self.infer(node)
        if not f.truthy_kinds(meaning):
            self.refuse(node, f"{describe(meaning)} has no truth value", "Compare it with something.")
        return meaning

    def boolean_chain(self, node: Any, kinds: list[Any]) -> list[Meaning]:
        assert self.flow is not None
        before = self.flow
        meanings = []
        for value, kind in zip(node.values, kinds, strict=True):
            meanings.append(kind(value))
            self.flow = f.narrow(value, self.flow, node.operator == "and")
        walrus = {k: v for k, v in self.flow.items() if k not in before}
        self.flow = {**f.kept(before, self.flow), **(walrus if node.operator == "and" else {})}
        return meanings

    def of_boolop(self, node: Any) -> Meaning:
        meanings = self.boolean_chain(node, [self.infer] * len(node.values))
        result: Meaning | None = None
        for position, meaning in enumerate(meanings):
            last = position == len(meanings) - 1
            kept = meaning
            if not last and node.operator == "or" and isinstance(meaning, Optional):
                kept = meaning.inner
            joined = join(result, kept)
            if joined is None:
                self.refuse(node.values[position], f"`{node.operator}` would give {describe(result or NOTHING)} or "
                            f"{describe(kept)}", "Give both sides one type.")
            result = joined
        assert result is not None
        return BOOLEAN if all(isinstance(m, Boolean) or m in BOOLEAN_CONSTANTS for m in meanings) else result

    def of_compare(self, node: Any) -> Meaning:
        left = self.infer(node.first)
        place = node.first
        node.links = []
        for operator, right_node in node.rest:
            right = self.infer_in(right_node) if operator in ("in", "not in") else self.infer(right_node)
            node.links.append(self.comparable(right_node, operator, left, right, place))
            left, place = right, right_node
        return BOOLEAN

    def infer_in(self, node: Any) -> Meaning:
        return self.infer(node)

    def comparable(self, place: Any, operator: str, left: Meaning, right: Meaning, left_node: Any = None) -> Any:
        """Check that two meanings compare; gives the operation for `in`, else None."""
        if operator in ("in", "not in"):
            return self.membership(place, left, right, left_node)
        if operator in ("is", "is not"):
            if not isinstance(right, Nothing):
                self.refuse(place, "`is` compares with None here", "Write `==`.")
            if not isinstance(left, (Optional, Nothing)):
                self.refuse(left_node or place, f"{describe(left)} is never None", "Remove the test.")
            return None
        pair = (left, right)
        if any(isinstance(side, Nothing) for side in pair):
            self.refuse(place, "None is compared with `is`", "Write `is None` or `is not None`.")
        for side, node in ((left, left_node), (right, place)):
            if isinstance(side, Optional):
                self.refuse(node or place, f"this may be None: {describe(side)}",
                            "Test it first: `if x is None: return`.")
        if all(isinstance(side, NUMBERS) or side in BOOLEAN_CONSTANTS for side in pair):
            return None
        if operator in ("==", "!="):
            if self.same_text(left, right) or self.same_text(right, left):
                return None
            if isinstance(left, KernelObject) and isinstance(right, KernelObject):
                return None
            if isinstance(left, Reference) and isinstance(right, Reference) and left.ctype == right.ctype:
                return None
        self.refuse(place, f"{describe(left)} and {describe(right)} do not compare with `{operator}`",
                    "Read an atomic with .value." if any(isinstance(s, Reference) and isinstance(s.ctype, AtomicType)
                                                         for s in pair) else "Compare values of one kind.")

    def same_text(self, a: Meaning, b: Meaning) -> bool:
        if not isinstance(a, Reference):
            return False
        if isinstance(a.ctype, CharArray):
            return (isinstance(b, Constant) and isinstance(b.value, (str, bytes))) or (
                isinstance(b, Reference) and isinstance(b.ctype, CharArray))
        if isinstance(a.ctype, AddressType):
            return isinstance(b, Constant) and isinstance(b.value, (str, a.ctype.cls))
        return False

    def membership(self, place: Any, left: Meaning, right: Meaning, left_node: Any) -> Any:
        if isinstance(right, TupleOf) or (isinstance(right, Constant) and isinstance(right.value, (tuple, range))):
            values: Any = () if isinstance(right, TupleOf) else right.value
            items = right.items if isinstance(right, TupleOf) else [self.constant(place, v) for v in values]
            for item in items:
                self.comparable(place, "==", left, item, left_node)
            return None
        operation = self.operation(right, "__contains__")
        if operation is None:
            self.refuse(place, f"`in` does not work on {describe(right)}", "Use a map, a tuple or comparisons.")
        site = CallSite(self, place, operation, right, place, [left_node], {})
        self.perform(site, operation)
        return site

    # arithmetic

    def number(self, node: Any, meaning: Meaning) -> Integer:
        if isinstance(meaning, Integer):
            return meaning
        if isinstance(meaning, Boolean):
            return Integer(0, 1)
        if isinstance(meaning, Constant) and isinstance(meaning.value, bool):
            return Integer(int(meaning.value), int(meaning.value))
        if isinstance(meaning, Optional):
            self.refuse(node, f"this may be None: {describe(meaning)}", "Test it first: `if x is None: return`.")
        if isinstance(meaning, Reference) and isinstance(meaning.ctype, AtomicType):
            self.refuse(node, f"{meaning.ctype.name} is not a number by itself", "Read it with .value.")
        self.refuse(node, f"{describe(meaning)} is not an integer")

    def of_binary(self, node: Any) -> Meaning:
        left, right = self.infer(node.left), self.infer(node.right)
        if node.operator == "+" and any(isinstance(m, Constant) and isinstance(m.value, str) for m in (left, right)):
            self.refuse(node, "texts cannot be joined in the kernel",
                        "Send the parts in an event and join them outside.")
        return self.binary(node, node.operator, left, right, node.left, node.right)

    def binary(self, node: Any, operator: str, left: Meaning, right: Meaning, left_node: Any,
               right_node: Any) -> Integer:
        a, b = self.number(left_node, left), self.number(right_node, right)
        if operator == "**":
            return self.power(node, a, b)
        try:
            return arithmetic(operator, a, b)
        except DivisionByZero:
            self.refuse(right_node, "this divisor may be zero, and the kernel has no ZeroDivisionError",
                        "Test it first: `if n == 0: return`, or write max(n, 1).")
        except NegativeShift:
            self.refuse(right_node, "this shift count may be negative", "Mask it: `& 63`.")
        except MixedSigns:
            self.refuse(node, f"`{operator}` of a u64 and a number that may be negative has no 64-bit result",
                        "Say which is meant: u64(...) or i64(...).")

    def power(self, node: Any, a: Integer, b: Integer) -> Integer:
        if b.constant is None or not 0 <= b.constant <= 63:
            self.refuse(node, "the exponent must be a constant between 0 and 63", "Write a loop.")
        result = Integer(1, 1)
        for _ in range(b.constant):
            result = arithmetic("*", result, a)
        return result

    def of_unary(self, node: Any) -> Meaning:
        if node.operator == "not":
            self.test(node.operand)
            return BOOLEAN
        value = self.number(node.operand, self.infer(node.operand))
        if node.operator == "-":
            return arithmetic("-", Integer(0, 0), value)
        if node.operator == "~":
            return arithmetic("-", Integer(-1, -1), value)
        return value

    def of_conditional(self, node: Any) -> Meaning:
        self.test(node.test)
        before = self.flow
        assert before is not None
        self.flow = f.narrow(node.test, before, True)
        then = self.infer(node.then)
        still = f.kept(before, self.flow)
        self.flow = f.narrow(node.test, before, False)
        other = self.infer(node.other)
        self.flow = f.kept(still, self.flow)
        both = join(then, other)
        if both is None:
            self.refuse(node, f"{describe(then)} or {describe(other)}: they have no one type",
                        "Give both sides one type.")
        return both

    def assign(self, target: Any, meaning: Meaning, value: Any) -> None:
        raise NotImplementedError


def without_none(meaning: Meaning) -> Meaning:
    return meaning.inner if isinstance(meaning, Optional) else meaning


def cut_meaning(meaning: Meaning, ctype: CType) -> Meaning:
    """What is left of a number, if there is one, in a type: the number itself where it fits."""
    if isinstance(meaning, Optional):
        return Optional(cut_meaning(meaning.inner, ctype))
    full = meaning_of(ctype, "stack")
    if not isinstance(full, Integer) or not isinstance(meaning, Integer):
        return meaning
    return meaning if full.low <= meaning.low and meaning.high <= full.high else full
