"""Attributes and items: what a member of a meaning is, and which operation it stands for."""
from __future__ import annotations

from types import ModuleType

from bpfwright._typing import Any
from bpfwright.errors import UsageError
from bpfwright.lang import builtin
from bpfwright.lang.site import CallSite
from bpfwright.lang.storing import Storing
from bpfwright.spec.dialect import Operation, Property, operation_of
from bpfwright.spec.meaning import (
    Constant,
    ContextOf,
    InnerMap,
    Integer,
    KernelObject,
    Meaning,
    OneOf,
    Optional,
    Reference,
    TupleOf,
    describe,
    join,
    meaning_of,
)
from bpfwright.types.config import Config
from bpfwright.types.ctype import (
    AddressType,
    ArrayType,
    BitsType,
    CharArray,
    CType,
    Opaque,
    Pointer,
    RecordType,
)
from bpfwright.types.structs import Field

__all__ = ["Members"]


class Members(Storing):
    """The part of the checker that reads members and items."""

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
