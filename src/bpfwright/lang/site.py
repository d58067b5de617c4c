"""A use of a declared operation: its arguments by name, in the words of spec.dialect.Site."""
from __future__ import annotations

from bpfwright._typing import Any, NoReturn
from bpfwright.lang import tree as t
from bpfwright.spec.dialect import Operation, Value
from bpfwright.spec.meaning import BOOLEAN, NOTHING, Boolean, Constant, Integer, Meaning, Nothing, describe
from bpfwright.types.ctype import CType

__all__ = ["CallSite"]


class CallSite:
    """Implements spec.dialect.Site; `lowering` is set while lowering."""

    __slots__ = ("args", "checker", "defaults", "function_body", "keywords", "lowering", "node", "notes", "operation",
                 "receiver", "receiver_node")

    def __init__(self, checker: Any, node: Any, operation: Operation, receiver: Meaning, receiver_node: Any,
                 args: list[Any], keywords: dict[str, Any]) -> None:
        self.checker = checker
        self.node = node
        self.operation = operation
        self.receiver = receiver
        self.receiver_node = receiver_node
        self.args = args
        self.keywords = dict(keywords)
        self.defaults: dict[str, object] = {}
        self.notes: dict[str, Any] = {}
        self.function_body: dict[str, Any] = {}
        self.lowering: Any = None

    # checking

    def bind(self, *names: str, **defaults: object) -> None:
        order = [*names, *defaults]
        if len(self.args) > len(order):
            self.checker.refuse(self.args[len(order)], f"{len(order)} arguments are enough here",
                                f"They are: {', '.join(order)}." if order else "")
        bound = dict(zip(order, self.args, strict=False))
        for name, node in self.keywords.items():
            if name not in order:
                self.checker.refuse(node, f"no argument is called {name!r}",
                                    f"They are: {', '.join(order)}." if order else "")
            if name in bound:
                self.checker.refuse(node, f"{name} is given twice")
            bound[name] = node
        for name in names:
            if name not in bound:
                self.refuse(f"the argument {name!r} is missing")
        self.keywords = bound
        self.defaults = defaults
        for name, node in bound.items():
            if isinstance(node, t.Format):
                node.meaning = self.checker.format(node)
            else:
                self.checker.infer(node)
            del name

    def given(self, name: str) -> bool:
        return name in self.keywords

    def meaning(self, name: str) -> Meaning:
        if name in self.keywords:
            found: Meaning = self.keywords[name].meaning
            return found
        default = self.defaults[name]
        if default is None:
            return NOTHING
        if isinstance(default, bool):
            return BOOLEAN
        return Integer(default, default) if isinstance(default, int) else Constant(default)

    def integer(self, name: str) -> None:
        meaning = self.meaning(name)
        if not isinstance(meaning, (Integer, Boolean)):
            self.checker.refuse(self.keywords[name], f"{name} is an integer, not {describe(meaning)}")

    def constant(self, name: str) -> Any:
        if name not in self.keywords:
            return self.defaults[name]
        meaning = self.keywords[name].meaning
        if isinstance(meaning, Integer) and meaning.constant is not None:
            return meaning.enum(meaning.low) if meaning.enum else meaning.low
        if isinstance(meaning, Constant):
            return meaning.value
        if isinstance(meaning, Nothing):
            return None
        self.checker.refuse(self.keywords[name], f"{name} must be known when compiling",
                            "Write a literal, or a name that is set at module level.")

    def fits(self, name: str, ctype: CType) -> None:
        self.checker.fit(self.keywords[name], self.keywords[name].meaning, ctype)

    def refuse(self, what: str, cure: str = "") -> NoReturn:
        self.checker.refuse(self.node, what, cure)
        raise AssertionError

    def callback(self, name: str, parameters: list[Meaning], *, first: str = "",
                 pointers: list[CType] | None = None) -> None:
        node = self.keywords[name]
        meaning = node.meaning
        if not isinstance(meaning, Constant) or not callable(meaning.value):
            self.checker.refuse(node, f"{name} is a function", "Name a `def` of this module.")
        self.function_body[name] = self.checker.instance(node, meaning.value, parameters, NOTHING,
                                                                (first, tuple(pointers)) if pointers else None)

    @property
    def program(self) -> Any:
        """The program that is being compiled."""
        return self.checker.job.program

    @property
    def discarded(self) -> bool:
        """Whether the call is a statement of its own, whose result nobody takes."""
        return self.checker.discarded is self.node

    def target(self) -> Any:
        return self.checker.job.target

    # lowering

    def value(self, name: str) -> Value:
        if name in self.keywords:
            result: Value = self.lowering.expression(self.keywords[name])
            return result
        default: Value = self.lowering.literal(self.defaults[name])
        return default

    def into(self, name: str, ctype: CType, pointer: int, offset: int = 0) -> None:
        self.lowering.into(self.keywords[name], ctype, pointer, offset)

    def address(self, name: str, ctype: CType) -> int:
        found: int = self.lowering.address(self.keywords[name], ctype)
        return found

    def function(self, name: str) -> int:
        found: int = self.lowering.function_pointer(self.function_body[name])
        return found

    def receiver_value(self) -> Value:
        found: Value = self.lowering.expression(self.receiver_node)
        return found

    def builds(self, name: str) -> bool:
        """Whether the argument is a record made here, which can be made anywhere."""
        node = self.keywords[name]
        return isinstance(node, t.Call) and isinstance(node.call, dict) and node.inlined is None

    def prepare(self, name: str) -> Any:
        """Evaluate such a record's parts; gives what writes it to a pointer."""
        return self.lowering.prepare_record(self.keywords[name])

    def parts(self, name: str) -> list[Any]:
        """The parts of an f-string argument: texts, and (tree, conversion, format)."""
        node = self.keywords[name]
        return list(node.parts) if isinstance(node, t.Format) else [node.meaning.value]

    def node_of(self, name: str) -> Any:
        """The argument's tree (for operations of the language itself)."""
        return self.keywords.get(name)


def is_tree(value: object) -> bool:
    """Whether a value is part of the syntax tree."""
    return isinstance(value, t.Node)
