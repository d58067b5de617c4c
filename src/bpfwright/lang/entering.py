"""What a `with` enters and a `for` walks."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.lang import builtin
from bpfwright.lang import tree as t
from bpfwright.lang.scope import Scope
from bpfwright.lang.site import CallSite
from bpfwright.lang.using import Using
from bpfwright.spec.dialect import Loop, Operation
from bpfwright.spec.dialect import Scope as ScopeOperation
from bpfwright.spec.meaning import Constant, Meaning, Reference, TupleOf, describe, join, meaning_of
from bpfwright.types.ctype import ArrayType

__all__ = ["Entering"]


class Entering(Using):
    """The part of the checker that finds the operations behind `with` and `for`."""

    scope: Scope
    local_names: set[str]

    def infer(self, node: Any) -> Meaning:
        raise NotImplementedError

    def operation(self, meaning: Meaning, name: str) -> Operation | None:
        raise NotImplementedError

    def constant(self, node: Any, value: object) -> Meaning:
        raise NotImplementedError

    def enter(self, node: Any) -> Meaning:
        """The operation of a `with` item; gives what `as` names."""
        item = node.item
        operation, owner, owner_node, args, keywords = None, None, item, [], {}
        if isinstance(item, t.Call):
            args, keywords = item.args, item.keywords
            if isinstance(item.function, t.Attribute):
                owner_node = item.function.object
                owner = self.infer(owner_node)
                operation = self.operation(owner, item.function.name)
            if operation is None:
                owner = self.infer(item.function)
                operation = getattr(owner.value, "__operation__", None) if isinstance(owner, Constant) else None
        else:
            owner = self.infer(item)
            operation = self.operation(owner, "__enter__")
        if not isinstance(operation, ScopeOperation) or owner is None:
            self.refuse(item, "this cannot stand in a `with` statement",
                        "Ring records, spin locks, rcu() and acquired references can.")
        node.operation = operation
        node.call = CallSite(self, item, operation, owner, owner_node, args, keywords)
        return self.perform(node.call, operation)

    def iteration(self, node: Any) -> dict[str, Any]:
        """How a `for` walks: {"kind", "item", ...}."""
        iterable = node.iterable
        if isinstance(iterable, t.Call):
            name = iterable.function
            if isinstance(name, t.Name) and name.name not in self.local_names:
                value = self.scope.lookup(name.name)
                if value in (range, reversed, enumerate):
                    return builtin.iteration(self, node, value)
            if isinstance(name, t.Attribute):
                owner = self.infer(name.object)
                operation = self.operation(owner, name.name)
                if isinstance(operation, Loop):
                    return self.walk(iterable, operation, owner, name.object, iterable.args, iterable.keywords)
        if isinstance(iterable, t.Attribute):
            owner = self.infer(iterable.object)
            operation = self.operation(owner, iterable.name)
            if isinstance(operation, Loop):
                return self.walk(iterable, operation, owner, iterable.object, [], {})
        meaning = self.infer(iterable)
        operation = self.operation(meaning, "__iter__")
        if isinstance(operation, Loop):
            return self.walk(iterable, operation, meaning, iterable, [], {})
        match meaning:
            case Reference(ctype=ArrayType(element=element)):
                return {"kind": "array", "item": meaning_of(element, meaning.space), "type": meaning.ctype}
            case TupleOf(items=items):
                return {"kind": "tuple", "item": self.common(iterable, list(items)), "count": len(items)}
            case Constant(value=tuple() | range() as items):
                found = [self.constant(node, value) for value in items]
                return {"kind": "values", "item": self.common(iterable, found), "values": list(items)}
        self.refuse(iterable, f"`for` cannot walk {describe(meaning)}",
                    "It walks range(...), array fields, tuples, maps and header options.")

    def walk(self, node: Any, operation: Loop, owner: Meaning, owner_node: Any, args: list[Any],
             keywords: dict[str, Any]) -> dict[str, Any]:
        site = CallSite(self, node, operation, owner, owner_node, args, keywords)
        item = self.perform(site, operation)
        return {"kind": "operation", "item": item, "site": site, "operation": operation}

    def common(self, node: Any, items: list[Meaning]) -> Meaning:
        found: Meaning | None = None
        for item in items:
            joined = join(found, item)
            if joined is None:
                self.refuse(node, "the items are of different types", "Walk items of one type.")
            found = joined
        if found is None:
            self.refuse(node, "there is nothing to walk")
        return found
