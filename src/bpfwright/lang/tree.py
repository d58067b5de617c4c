"""The dialect's syntax tree: the constructs that we know, each with its span, and nothing else.

`parse` makes it from Python's own tree; `check` writes what it finds out into `meaning`, `operation` and the like;
`lower` only reads.
"""
from __future__ import annotations

from bpfwright._typing import Any




__all__ = ["Assign", "Attribute", "Augmented", "BoolOp", "Break", "Call", "Case", "Compare", "Conditional", "Constant",
           "Continue", "Discard", "Expression", "For", "Format", "FunctionTree", "If", "Index", "Match", "Name", "Node",
           "Pass", "Pattern", "Return", "Statement", "Tuple", "Unary", "Binary", "Walrus", "While", "With"]


class Node:
    """Anything with a place: `line` from 1, `column` and `end_column` from 0."""

    __slots__ = ("column", "end_column", "line")
    line: int
    column: int
    end_column: int


class Expression(Node):
    """`meaning` is what the checker found it to be."""

    __slots__ = ("meaning",)
    meaning: Any


class Statement(Node):
    __slots__ = ()


def _node(base: type[Any], name: str, fields: str, doc: str, extra: str = "") -> Any:
    names = fields.split()
    body: dict[str, Any] = {"__slots__": tuple(names + extra.split()), "__doc__": doc,
                            "__module__": __name__, "fields": names}

    def init(self: Any, at: Any, *values: Any) -> None:
        self.line = at.line if isinstance(at, Node) else at[0]
        self.column = at.column if isinstance(at, Node) else at[1]
        self.end_column = at.end_column if isinstance(at, Node) else at[2]
        for field, value in zip(names, values, strict=True):
            setattr(self, field, value)

    body["__init__"] = init
    return type(name, (base,), body)


Constant = _node(Expression, "Constant", "value", "A literal.")
Name = _node(Expression, "Name", "name", "A name; `binding` is local, free or builtin.", "binding")
Attribute = _node(Expression, "Attribute", "object name", "`object.name`.", "operation meaning_size")
Index = _node(Expression, "Index", "object index", "`object[index]`.", "operation meaning_size")
Call = _node(Expression, "Call", "function args keywords", "A call; `keywords` is a dict.", "operation call inlined")
Unary = _node(Expression, "Unary", "operator operand", "`-x ~x +x not x`.")
Binary = _node(Expression, "Binary", "operator left right", "Arithmetic; the operator is Python's text.")
BoolOp = _node(Expression, "BoolOp", "operator values", "`and`, `or`.")
Compare = _node(Expression, "Compare", "first rest", "A chain; `rest` is a list of (operator, expression).", "links")
Conditional = _node(Expression, "Conditional", "test then other", "`then if test else other`.")
Tuple = _node(Expression, "Tuple", "items", "`a, b`.")
Walrus = _node(Expression, "Walrus", "target value", "`name := value`.")
Format = _node(Expression, "Format", "parts", "An f-string: texts and (expression, conversion, spec).")

Assign = _node(Statement, "Assign", "target annotation value", "`target: annotation = value`.", "declared")
Augmented = _node(Statement, "Augmented", "target operator value", "`target += value`.", "how")
Discard = _node(Statement, "Discard", "value", "An expression for its effect.")
If = _node(Statement, "If", "test then other", "`if`; `truth` where the test is a constant.", "truth")
While = _node(Statement, "While", "test body other", "`while`.")
For = _node(Statement, "For", "target iterable body other", "`for`.", "plan")
With = _node(Statement, "With", "item target body", "`with item as target`.", "operation call")
Match = _node(Statement, "Match", "subject cases", "`match`.", "plan")
Return = _node(Statement, "Return", "value", "`return value`; value may be None.", "declared")
Break = _node(Statement, "Break", "", "`break`.")
Continue = _node(Statement, "Continue", "", "`continue`.")
Pass = _node(Statement, "Pass", "", "`pass`.")
Delete = _node(Statement, "Delete", "target", "`del target`.", "operation call")

Pattern = _node(Node, "Pattern", "kind value children keywords",
                "A case's pattern: value, none, any, bind, or, class; `keywords` is a list of (field, pattern).")
Case = _node(Node, "Case", "pattern guard body", "One case.")
FunctionTree = _node(Node, "FunctionTree", "name params annotations returns body defaults",
                     "A function: parameter names, their annotations as expressions' text, its statements.")
