"""Assignments into memory: members, items, and `op=` that is atomic where CPUs share the memory."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.lang import tree as t
from bpfwright.lang.entering import Entering
from bpfwright.lang.site import CallSite
from bpfwright.spec.dialect import Property
from bpfwright.spec.meaning import Constant, Integer, KernelObject, Meaning, Optional, Reference, describe, meaning_of
from bpfwright.types.config import Config
from bpfwright.types.ctype import ArrayType, AtomicType, CType, Int, Opaque, RecordType
from bpfwright.types.structs import Field

__all__ = ["Storing"]

SHARED_SPACES = ("map", "map lru", "shared")
ATOMIC_OPERATORS = {"+": "add", "-": "add", "&": "and", "|": "or", "^": "xor"}


class Storing(Entering):
    """The part of the checker that assigns to what is not a plain name."""

    declared: dict[str, CType]
    locks: list[str]

    def field(self, node: Any, record: RecordType, name: str) -> Field:
        raise NotImplementedError

    def in_range(self, node: Any, index: Meaning, length: int) -> None:
        raise NotImplementedError

    def binary(self, node: Any, operator: str, left: Meaning, right: Meaning, left_node: Any,
               right_node: Any) -> Integer:
        raise NotImplementedError

    def number(self, node: Any, meaning: Meaning) -> Integer:
        raise NotImplementedError

    def of_name(self, node: Any) -> Meaning:
        raise NotImplementedError

    def set_variable(self, name: str, meaning: Meaning, node: Any) -> None:
        raise NotImplementedError

    def assign(self, target: Any, meaning: Meaning, value: Any) -> None:
        raise NotImplementedError

    def assign_attribute(self, target: Any, meaning: Meaning, value: Any) -> None:
        owner = self.infer(target.object)
        target.operation = None
        operation = self.operation(owner, target.name)
        if isinstance(operation, Property):
            if operation.write is None:
                self.refuse(target, f"{target.name} cannot be written")
            site = CallSite(self, target, operation, owner, target.object, [], {})
            target.operation = site
            self.perform(site, operation)
            if operation.accepts is not None:
                self.fit(value or target, meaning, operation.accepts)
            return
        if isinstance(owner, KernelObject):
            self.refuse(target, "kernel structs are read only", "Only what a helper or kfunc changes can change.")
        if isinstance(owner, Constant) and isinstance(owner.value, Config):
            self.refuse(target, f"{type(owner.value).__name__} is frozen when the program loads",
                        "Use shared(...) for memory that changes.")
        if isinstance(owner, Optional):
            self.refuse(target.object, f"this may be None: {describe(owner)}", "Test it first: `if x is None: return`.")
        if not isinstance(owner, Reference) or not isinstance(owner.ctype, RecordType):
            self.refuse(target, f"{describe(owner)} has no field to assign")
        if owner.space == "frozen":
            self.refuse(target, "this struct is a constant of the program", "Use shared(...) for memory that changes.")
        field = self.field(target, owner.ctype, target.name)
        if isinstance(field.type, Opaque):
            self.refuse(target, f"{field.type.name} belongs to the kernel and cannot be assigned",
                        "Hold a lock with `with entry.lock:`; start a timer with .start(...).")
        target.meaning = meaning_of(field.type, owner.space)
        self.fit(value or target, meaning, field.type)

    def assign_item(self, target: Any, meaning: Meaning, value: Any) -> None:
        owner = self.infer(target.object)
        operation = self.operation(owner, "__setitem__")
        target.operation = None
        if operation is not None:
            site = CallSite(self, target, operation, owner, target.object, [target.index, value], {})
            target.operation = site
            self.perform(site, operation)
            return
        index = self.infer(target.index)
        if not isinstance(owner, Reference) or not isinstance(owner.ctype, ArrayType):
            self.refuse(target, f"an item of {describe(owner)} cannot be assigned")
        if owner.space == "frozen":
            self.refuse(target, "this struct is a constant of the program")
        self.in_range(target, index, owner.ctype.length)
        target.meaning = meaning_of(owner.ctype.element, owner.space)
        self.fit(value or target, meaning, owner.ctype.element)

    def augment(self, node: Any) -> None:
        """`target op= value`: plain, or one atomic instruction where CPUs share the memory."""
        target = node.target
        value = self.infer(node.value)
        if isinstance(target, t.Tuple):
            self.refuse(target, "an augmented assignment has one target")
        if isinstance(target, t.Name):
            left = self.of_name(target)
            target.meaning = left
            result: Meaning = self.binary(node, node.operator, left, value, target, node.value)
            node.how = "plain"
            if target.name in self.declared:
                full = meaning_of(self.declared[target.name], "stack")
                assert isinstance(full, Integer) and isinstance(result, Integer)
                result = result if full.low <= result.low and result.high <= full.high else full
            self.set_variable(target.name, result, node)
            return
        left = self.infer(target)
        place = self.place(target)
        target.meaning_size = max(place.ctype.size, 1) if place is not None else 1
        if isinstance(left, Reference) and isinstance(left.ctype, AtomicType):
            node.how = self.atomic(node, left.ctype.element)
            self.number(node.value, value)
            return
        result = self.binary(node, node.operator, left, value, target, node.value)
        node.how = "plain"
        if isinstance(place, Reference) and place.space in SHARED_SPACES and "spin" not in self.locks \
                and self.aligned(target):
            node.how = self.atomic(node, place.ctype)
        self.assign(target, result, node.value)

    def place(self, target: Any) -> Reference | None:
        """The memory that `a.b` or `a[i]` stands for: its own type and its owner's space."""
        owner = target.object.meaning
        if not isinstance(owner, Reference):
            return None
        if isinstance(target, t.Attribute) and isinstance(owner.ctype, RecordType):
            return Reference(self.field(target, owner.ctype, target.name).type, owner.space)
        if isinstance(target, t.Index) and isinstance(owner.ctype, ArrayType):
            return Reference(owner.ctype.element, owner.space)
        return None

    def aligned(self, target: Any) -> bool:
        """Whether the memory of `a.b` or `a[i]` is aligned. What packed structs misalign can be no atomic's place: the
        kernel refuses it, so that a plain update is all there is."""
        offset, node, size = 0, target, target.meaning_size
        while isinstance(node, (t.Attribute, t.Index)) and isinstance(node.object.meaning, Reference):
            owner = node.object.meaning
            if isinstance(node, t.Attribute) and isinstance(owner.ctype, RecordType):
                offset += owner.ctype.cls.__layout__().fields[node.name].offset
            elif isinstance(owner.ctype, ArrayType) and owner.ctype.element.size % size:
                return False
            node = node.object
        return bool(offset % size == 0)

    def atomic(self, node: Any, ctype: CType) -> str:
        if node.operator not in ATOMIC_OPERATORS:
            self.refuse(node, f"`{node.operator}=` on memory that CPUs share is not atomic",
                        "Hold a lock: `with entry.lock:`, or use a per-CPU map.")
        if not isinstance(ctype, Int) or ctype.size not in (4, 8) or ctype.big:
            self.refuse(node, f"`{node.operator}=` on {ctype.name} in memory that CPUs share cannot be atomic",
                        "Make the field u32 or u64, hold a lock, or use a per-CPU map.")
        if node.operator not in "+-" and self.job.target.cpu in ("v1", "v2"):
            self.refuse(node, f"`{node.operator}=` on memory that CPUs share is an atomic instruction since Linux "
                        "5.12, and this is compiled for older kernels",
                        "Hold a lock, use a per-CPU map, or compile for newer kernels: --target here.")
        return ATOMIC_OPERATORS[node.operator]
