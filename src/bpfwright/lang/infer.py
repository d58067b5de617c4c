"""Expressions: what each one is, and which operation a call or attribute stands for."""
from __future__ import annotations

from enum import IntEnum
from types import FunctionType, ModuleType

from bpfwright._typing import Any, NoReturn
from bpfwright.errors import UsageError
from bpfwright.lang import builtin
from bpfwright.lang import flow as f
from bpfwright.lang import tree as t
from bpfwright.lang.build import part_types
from bpfwright.lang.fitting import BOOLEAN_CONSTANTS, NUMBERS
from bpfwright.lang.numbers import DivisionByZero, MixedSigns, NegativeShift, arithmetic
from bpfwright.lang.scope import MISSING, Scope
from bpfwright.lang.site import CallSite
from bpfwright.lang.storing import Storing
from bpfwright.spec.dialect import Loop, Operation, Property, Scope as ScopeOperation, operation_of
from bpfwright.spec.meaning import (BOOLEAN, NOTHING, Boolean, Constant, ContextOf, InnerMap, Integer, KernelObject,
                                    Meaning, Nothing, OneOf, Optional, Reference, TupleOf, describe, join,
                                    meaning_of)
from bpfwright.types import is_shared
from bpfwright.types.address import Address
from bpfwright.types.config import Config
from bpfwright.types.ctype import (AddressType, ArrayType, AtomicType, BitsType, Bool, CharArray, CType, EnumType, Int,
                                   Maybe, Opaque, Pointer, RecordType)
from bpfwright.types.structs import Field, Struct

__all__ = ["Infer", "cut_meaning", "declared_result", "without_none"]



class Infer(Storing):
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

    # attributes and items

    def operation(self, meaning: Meaning, name: str) -> Operation | None:
        """The declared operation `name` of a meaning, if it has one."""
        match meaning:
            case Constant(value=value):
                return operation_of(value, name)
            case ContextOf(cls=cls):
                return operation_of(cls, name)
            case InnerMap(declaration=declaration):
                return operation_of(declaration, name)
            case Reference(ctype=Opaque(name=opaque)):
                return builtin.opaque(opaque).get(name)
            case Reference(ctype=RecordType(cls=cls)):
                if name and name == getattr(cls, "tail_name", "") and getattr(cls, "option_list", None) is not None:
                    from bpfwright.hooks._packet import option_loop
                    return option_loop(cls)
                return operation_of(cls, name) or builtin.method(meaning, name)
        return builtin.method(meaning, name)

    def of_attribute(self, node: Any) -> Meaning:
        owner = self.infer(node.object)
        node.operation = None
        operation = self.operation(owner, node.name)
        if isinstance(operation, Property):
            site = CallSite(self, node, operation, owner, node.object, [], {})
            node.operation = site
            return self.perform(site, operation)
        if operation is not None:
            self.refuse(node, f"{node.name} is a method", f"Call it: .{node.name}(...).")
        return self.member(node, owner, node.name)

    def member(self, node: Any, owner: Meaning, name: str) -> Meaning:
        """What `owner.name` is, where it is a plain member."""
        match owner:
            case Optional():
                self.refuse(node, f"this may be None: {describe(owner)}",
                            "Test it first: `if x is None: return`.")
            case Constant(value=value):
                return self.python_attribute(node, value, name)
            case Reference(ctype=RecordType() as record, space=space):
                return self.read_as(self.field(node, record, name).type, space)
            case KernelObject():
                return self.kernel_member(node, owner, name)
            case OneOf(choices=choices):
                parts = [self.member(node, choice, name) for choice in choices]
                found: Meaning | None = None
                for part in parts:
                    found = join(found, part)
                if found is None:
                    self.refuse(node, f"{name} differs between {describe(owner)}", "Match on the class first.")
                return found
            case ContextOf(cls=cls):
                known = getattr(cls, "__operations__", {})
                self.refuse(node, f"{describe(owner)} has no {name!r}", self.close(name, known))
        self.refuse(node, f"{describe(owner)} has no attribute {name!r}",
                    "Structs, headers and kernel objects have fields.")

    def close(self, name: str, known: Any) -> str:
        import difflib
        found = difflib.get_close_matches(name, [k for k in known if not k.startswith("_")], 1)
        return f"Did you mean {found[0]!r}?" if found else ""

    def read_as(self, ctype: CType, space: str) -> Meaning:
        return meaning_of(ctype, space)

    def field(self, node: Any, record: RecordType, name: str) -> Field:
        try:
            fields = record.cls.__layout__().fields
        except UsageError as error:
            self.refuse(node, error.what, error.cure)
        if name not in fields:
            self.refuse(node, f"{record.name} has no field {name!r}", self.close(name, fields))
        found: Field = fields[name]
        return found

    def kernel_member(self, node: Any, owner: KernelObject, name: str) -> Meaning:
        cls = owner.cls
        for step in owner.path:
            cls = cls.__layout__().fields[step].type.cls
        ctype = self.field(node, RecordType(cls), name).type
        if isinstance(ctype, RecordType):
            return KernelObject(owner.cls, owner.trusted, (*owner.path, name))
        self.calls_out(node, not owner.trusted or isinstance(ctype, (CharArray, ArrayType, AddressType, BitsType)))
        if isinstance(ctype, Pointer) and isinstance(ctype.target, RecordType):
            return KernelObject(ctype.target.cls, owner.trusted)
        return meaning_of(ctype, "stack")

    def python_attribute(self, node: Any, value: object, name: str) -> Meaning:
        if isinstance(value, Config):
            types = type(value).types()
            if name not in types:
                self.refuse(node, f"{type(value).__name__} has no member {name!r}", self.close(name, types))
            return meaning_of(types[name], "frozen")
        try:
            found = getattr(value, name)
        except AttributeError:
            self.refuse(node, f"{describe(Constant(value))} has no attribute {name!r}", self.close(name, dir(value)))
        if not isinstance(value, (type, ModuleType)) and callable(found) and not hasattr(found, "__operation__"):
            self.refuse(node, f"{type(value).__name__}.{name} does not exist in a program",
                        self.close(name, getattr(value, "__operations__", {})))
        return self.constant(node, found)

    def of_index(self, node: Any) -> Meaning:
        owner = self.infer(node.object)
        operation = self.operation(owner, "__getitem__")
        node.operation = None
        if operation is not None:
            site = CallSite(self, node, operation, owner, node.object, [node.index], {})
            node.operation = site
            return self.perform(site, operation)
        index = self.infer(node.index)
        if isinstance(owner, TupleOf) or (isinstance(owner, Constant) and isinstance(owner.value, tuple)):
            return self.tuple_item(node, owner, index)
        if isinstance(owner, Reference) and isinstance(owner.ctype, (ArrayType, CharArray)):
            self.in_range(node, index, owner.ctype.length if isinstance(owner.ctype, ArrayType) else owner.ctype.size)
            if isinstance(owner.ctype, CharArray):
                return Integer(0, 255)
            return meaning_of(owner.ctype.element, owner.space)
        if isinstance(owner, Optional):
            self.refuse(node.object, f"this may be None: {describe(owner)}", "Test it first: `if x is None: return`.")
        self.refuse(node, f"{describe(owner)} cannot be indexed", "Arrays, texts and tuples can; maps have .get().")

    def tuple_item(self, node: Any, owner: Meaning, index: Meaning) -> Meaning:
        items = owner.items if isinstance(owner, TupleOf) else [self.constant(node, v) for v in owner.value]  # type: ignore[attr-defined]
        if not isinstance(index, Integer) or index.constant is None:
            self.refuse(node.index, "a tuple's index must be a constant", "Use an array field of a Struct.")
        if not -len(items) <= index.constant < len(items):
            self.refuse(node.index, f"index {index.constant} of a tuple of {len(items)}")
        return items[index.constant]

    def in_range(self, node: Any, index: Meaning, length: int) -> None:
        number = self.number(node.index, index)
        if number.constant is not None and -length <= number.constant < 0:
            return
        if number.low < 0 or number.high >= length:
            if number.constant is not None:
                self.refuse(node.index, f"index {number.constant} of an array of {length}",
                            f"The last one is {length - 1}.")
            self.refuse(node.index, f"this index may be outside 0..{length - 1}",
                        f"Test it first: `if i < {length}:`, or write `% {length}`.")

    def assign(self, target: Any, meaning: Meaning, value: Any) -> None:
        raise NotImplementedError

    # calls

    def of_call(self, node: Any) -> Meaning:
        node.operation = node.inlined = node.call = None
        function = node.function
        if isinstance(function, t.Attribute):
            owner = self.infer(function.object)
            operation = self.operation(owner, function.name)
            if operation is not None and not isinstance(operation, Property):
                return self.operate(node, operation, owner, function.object)
            if isinstance(owner, Optional):
                self.refuse(function.object, f"this may be None: {describe(owner)}",
                            "Test it first: `if x is None: return`.")
        meaning = self.infer(function)
        if not isinstance(meaning, Constant):
            self.refuse(node, f"{describe(meaning)} cannot be called", "Call a function of this module, or a helper.")
        return self.call_object(node, meaning.value)

    def operate(self, node: Any, operation: Operation, owner: Meaning, owner_node: Any) -> Meaning:
        if isinstance(operation, ScopeOperation):
            self.refuse(node, "this belongs into a `with` statement", "Write `with ... as name:`.")
        if isinstance(operation, Loop):
            self.refuse(node, "this belongs into a `for` statement", "Write `for ... in ...:`.")
        site = CallSite(self, node, operation, owner, owner_node, node.args, node.keywords)
        node.call = site
        return self.perform(site, operation)

    def call_object(self, node: Any, value: object) -> Meaning:
        operation = getattr(value, "__operation__", None) or builtin.FUNCTIONS.get(_identity(value))
        if isinstance(operation, Operation):
            return self.operate(node, operation, Constant(value), node.function)
        if isinstance(value, Int):
            return self.operate(node, builtin.conversion(value), Constant(value), node.function)
        if isinstance(value, type) and issubclass(value, Address):
            return self.operate(node, builtin.address(value), Constant(value), node.function)
        if isinstance(value, type):
            return self.construct(node, value)
        if isinstance(value, FunctionType):
            return self.call_function(node, value)
        name = getattr(value, "__name__", type(value).__name__)
        self.refuse(node, f"{name}() cannot be called in a kernel program", builtin.CURES.get(name, ""))

    def construct(self, node: Any, cls: type[Any]) -> Meaning:
        if issubclass(cls, IntEnum):
            site = builtin.enumeration(cls)
            return self.operate(node, site, Constant(cls), node.function)
        if not hasattr(cls, "__layout__") or hasattr(cls, "__kernel_name__"):
            self.refuse(node, f"{cls.__name__} cannot be made in a kernel program",
                        builtin.CURES.get(cls.__name__, "Structs, unions and enums can."))
        record = RecordType(cls)
        names = [n for n, field in record.cls.__layout__().fields.items() if not isinstance(field.type, Opaque)]
        if getattr(cls, "__union__", False):
            names = []
        if len(node.args) > len(names):
            self.refuse(node, f"{cls.__name__} takes {len(names)} values, not {len(node.args)}",
                        f"They are: {', '.join(names)}." if names else "Make it empty, then assign one member.")
        given = dict(zip(names, node.args, strict=False))
        for name, value in node.keywords.items():
            if name not in names:
                self.refuse(value, f"{cls.__name__} has no member {name!r}", self.close(name, names))
            if name in given:
                self.refuse(value, f"{name} is given twice", "Remove one of them.")
            given[name] = value
        defaults = getattr(cls, "__defaults__", {})
        for name in names:
            if name in given:
                self.fit(given[name], self.infer(given[name]), self.field(node, record, name).type)
            elif name not in defaults:
                self.refuse(node, f"{cls.__name__}: {name} is missing", f"Write {cls.__name__}({', '.join(names)}).")
        node.call = {"record": record, "given": given, "defaults": {n: defaults[n] for n in names if n not in given}}
        return Reference(record, "stack")

    def call_function(self, node: Any, function: FunctionType) -> Meaning:
        if getattr(function, "__kfunc__", False):
            from bpfwright.lang.calls import check_kfunc
            return check_kfunc(self, node, function)
        if function in self.stack:
            self.refuse(node, f"{function.__name__} calls itself", "Write a loop: the kernel has no recursion.")
        params = self.arguments(node, function)
        if getattr(function, "__subprogram__", False):
            return self.call_subprogram(node, function, params)
        from bpfwright.lang.check import Checker
        inner = Checker(self.job, function, self.stack)
        inner.locks, inner.kernel_locks = list(self.locks), self.kernel_locks
        inner.held, inner.depth = self.still_held(), self.depth
        inner.result_type = declared_result(inner.scope)
        node.inlined = inner.run(params, None, function.__name__)
        self.frames = max(self.frames, node.inlined.frames)
        self.leaves = self.leaves or node.inlined.leaves
        if node.inlined.moves:
            self.move_packet()
        return node.inlined.result or NOTHING

    def arguments(self, node: Any, function: FunctionType) -> list[tuple[str, Meaning]]:
        """Match a call's arguments to a Python function's parameters."""
        code = function.__code__
        names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
        if code.co_flags & 0x0C:
            self.refuse(node, f"{function.__name__} takes *args or **kwargs", "Name each argument.")
        if len(node.args) > code.co_argcount:
            self.refuse(node, f"{function.__name__} takes {code.co_argcount} arguments, not {len(node.args)}",
                        f"They are: {', '.join(names)}.")
        given = dict(zip(names, node.args, strict=False))
        for name, value in node.keywords.items():
            if name not in names:
                self.refuse(value, f"{function.__name__} has no argument {name!r}",
                            self.close(name, names) or f"They are: {', '.join(names)}.")
            given[name] = value
        defaults = dict(zip(names[code.co_argcount - len(function.__defaults__ or ()):code.co_argcount],
                            function.__defaults__ or (), strict=True))
        defaults.update(function.__kwdefaults__ or {})
        node.call = {}
        scope = Scope(function)
        params: list[tuple[str, Meaning]] = []
        moves: dict[str, int] = {}
        for name in names:
            if name in given:
                meaning = self.infer(given[name])
                moves[name] = self.moves
                node.call[name] = given[name]
            elif name in defaults:
                meaning = self.constant(node, defaults[name])
                node.call[name] = defaults[name]
            else:
                self.refuse(node, f"{function.__name__}: the argument {name!r} is missing",
                            f"It takes: {', '.join(names)}.")
            params.append((name, self.declared_parameter(node, given.get(name), scope, name, meaning)))
        for name, meaning in params:
            self.stays(given.get(name, node), meaning, moves.get(name, self.moves))
        return params

    def declared_parameter(self, node: Any, argument: Any, scope: Scope, name: str, meaning: Meaning) -> Meaning:
        """A parameter's meaning: its annotation's width, where it has one, else whatever is passed."""
        annotation = scope.annotation(name)
        if annotation is MISSING or not isinstance(annotation, (CType, Maybe, type)) or annotation is int:
            return meaning
        try:
            ctype = scope.ctype(annotation)
        except UsageError:
            return meaning
        if isinstance(ctype, (Int, Bool, EnumType)) and not isinstance(meaning, Constant):
            self.fit(argument or node, meaning, ctype)
            return meaning_of(ctype, "stack")
        return meaning

    def call_subprogram(self, node: Any, function: FunctionType, params: list[tuple[str, Meaning]]) -> Meaning:
        if sum(len(part_types(m)) for _, m in params) > 5:
            self.refuse(node, "a subprogram takes at most 5 arguments", "Put them into a Struct and pass that.")
        if any(isinstance(m, ContextOf) for _, m in params[1:]):
            self.refuse(node, f"{function.__name__} is a @subprogram, which takes the context first or not at all",
                        f"Write def {function.__name__}(ctx, ...).")
        scope = Scope(function)
        annotation = scope.annotation("return")
        if annotation is MISSING:
            self.refuse(node, f"{function.__name__} does not say what it returns", "Annotate it: `-> u64`.")
        result: Meaning = NOTHING
        if annotation is not None:
            ctype = scope.ctype(annotation)
            result = meaning_of(ctype, "stack") if isinstance(ctype, CType) else Optional(NOTHING)
            if not isinstance(result, NUMBERS):
                self.refuse(node, f"{function.__name__}: a subprogram returns an integer, a bool or None",
                            "Remove @subprogram: a plain function is inlined and may return anything.")
        node.inlined = None
        if self.kernel_locks:
            self.refuse(node, f"{function.__name__} is a @subprogram, which nothing may call while a spin lock is held",
                        "Remove @subprogram, or call it before the `with`.")
        body = node.operation = self.instance(node, function, [m for _, m in params], result)
        self.enters_frame(node, f"calling {function.__name__}() here", body.frames)
        if body.moves:
            self.move_packet()
        if body.leaves:
            self.leave_program(node)
        return result

    def instance(self, node: Any, function: FunctionType, parameters: list[Meaning], result: Meaning,
                 pointers: Any = None) -> Any:
        """A function of its own in the object: checked once for these parameters.

        `pointers`: (type of a first argument, types that the kernel passes pointers to).
        """
        if not isinstance(function, FunctionType):
            self.refuse(node, "only a function written with `def` can be called back")
        names = function.__code__.co_varnames[:function.__code__.co_argcount]
        if len(names) != len(parameters):
            self.refuse(node, f"{function.__name__} is called with {len(parameters)} arguments, and takes {len(names)}")
        key = (function, tuple(parameters), result, pointers)
        known = self.job.instances.get(key)
        if known is None:
            if function in self.stack:
                self.refuse(node, f"{function.__name__} calls itself", "Write a loop: the kernel has no recursion.")
            from bpfwright.lang.check import Checker
            checker = Checker(self.job, function, self.stack)
            checker.depth = 1 if pointers else self.depth + 1  # what the kernel calls later has a stack of its own
            checker.result_type = declared_result(checker.scope)
            name = self.job.fresh(function.__name__)
            known = self.job.instances[key] = checker.run(list(zip(names, parameters, strict=True)), result, name)
            known.pointers = pointers
        return known


def declared_result(scope: Scope) -> CType | None:
    """The integer or bool that a function says it gives back, be it None as well; None where it says something else."""
    annotation = scope.annotation("return")
    if annotation is MISSING or annotation is None or annotation is int:
        return None
    try:
        found = scope.ctype(annotation)
    except UsageError:
        return None
    ctype = found.inner if isinstance(found, Maybe) else found
    return ctype if isinstance(ctype, (Int, Bool)) else None


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


def _identity(value: object) -> object:
    """The value as a key of a table; None for what cannot be one."""
    try:
        hash(value)
    except TypeError:
        return None
    return value
