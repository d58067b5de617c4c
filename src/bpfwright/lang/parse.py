"""Python's tree to ours. What is not in the tables here is refused, with a caret and what to write instead."""
from __future__ import annotations

import ast

from bpfwright._typing import Any, Callable, NoReturn
from bpfwright.lang import tree as t
from bpfwright.lang.source import Source

__all__ = ["parse"]

_BINARY = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.FloorDiv: "//", ast.Mod: "%", ast.BitAnd: "&", ast.BitOr: "|",
           ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>", ast.Pow: "**"}
_COMPARE = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Is: "is",
            ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"}
_UNARY = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~", ast.Not: "not"}

REFUSED: dict[type[ast.AST], tuple[str, str]] = {
    ast.AsyncFor: ("`async for` does not exist in the kernel", "Write a plain `for`."),
    ast.AsyncWith: ("`async with` does not exist in the kernel", "Write a plain `with`."),
    ast.Await: ("`await` does not exist in the kernel", "A program runs to its end without waiting; use a timer."),
    ast.Yield: ("a kernel program cannot yield", "Send events through a RingBuf: ring.emit(Event(...))."),
    ast.YieldFrom: ("a kernel program cannot yield", "Send events through a RingBuf: ring.emit(Event(...))."),
    ast.Lambda: ("a lambda cannot be compiled", "Write a `def` beside the program and name it here."),
    ast.FunctionDef: ("a function inside a program cannot be compiled", "Move the `def` out of the program."),
    ast.AsyncFunctionDef: ("a function inside a program cannot be compiled", "Move the `def` out of the program."),
    ast.ClassDef: ("a class inside a program cannot be compiled", "Move the class out of the program."),
    ast.Try: ("the kernel has no exceptions", "Test for the case beforehand: `if x is None: return`."),
    ast.TryStar: ("the kernel has no exceptions", "Test for the case beforehand: `if x is None: return`."),
    ast.Raise: ("the kernel has no exceptions", "Return an action, or count the case in a map."),
    ast.Assert: ("the kernel has no exceptions, so nothing can be asserted", "Write `if not ...: return`."),
    ast.Import: ("an import inside a program", "Import at the top of the module."),
    ast.ImportFrom: ("an import inside a program", "Import at the top of the module."),
    ast.Global: ("`global` names memory that the kernel does not share", "Declare `totals = shared(Totals(0))`."),
    ast.Nonlocal: ("`nonlocal` names memory that the kernel does not share", "Declare `totals = shared(Totals(0))`."),
    ast.List: ("the kernel has no lists", "Use a tuple, an array field of a Struct, or a map."),
    ast.Dict: ("the kernel has no dicts", "Declare a Hash map at module level."),
    ast.Set: ("the kernel has no sets", "Declare a Hash map, or compare with a tuple: `x in (1, 2)`."),
    ast.ListComp: ("the kernel has no lists, so no comprehensions", "Write a `for` loop."),
    ast.SetComp: ("the kernel has no sets, so no comprehensions", "Write a `for` loop."),
    ast.DictComp: ("the kernel has no dicts, so no comprehensions", "Write a `for` loop."),
    ast.GeneratorExp: ("a generator expression cannot be compiled", "Write a `for` loop."),
    ast.Starred: ("`*` unpacking cannot be compiled", "Name each item."),
    ast.Slice: ("slices cannot be compiled", "Index one item, or loop over them."),
    ast.Div: ("`/` gives a float, and the kernel has none", "Write `//`, which floors as Python does."),
    ast.MatMult: ("`@` has no meaning here", "Write the loop."),
}


def parse(source: Source) -> Any:
    """The FunctionTree of a source; CompileError for what the dialect does not have."""
    return _Parser(source).function(source.tree())


class _Parser:
    def __init__(self, source: Source) -> None:
        self.source = source

    def refuse(self, node: ast.AST, what: str = "", cure: str = "") -> NoReturn:
        if not what:
            what, cure = REFUSED.get(type(node), (f"{type(node).__name__} is not part of the dialect", ""))
        self.source.refuse(_Place(node), what, cure)

    def function(self, node: ast.FunctionDef) -> Any:
        a = node.args
        for bad in (a.vararg, a.kwarg):
            if bad is not None:
                self.refuse(bad, "a program takes a fixed number of arguments", "Name each argument.")
        params = [*a.posonlyargs, *a.args, *a.kwonlyargs]
        defaults: dict[str, Any] = {}
        positional = [*a.posonlyargs, *a.args]
        for param, value in zip(positional[len(positional) - len(a.defaults):], a.defaults, strict=True):
            defaults[param.arg] = self.expression(value)
        for param, default in zip(a.kwonlyargs, a.kw_defaults, strict=True):
            if default is not None:
                defaults[param.arg] = self.expression(default)
        body = node.body
        if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) \
                and isinstance(body[0].value.value, str):
            body = body[1:]
        return t.FunctionTree(_at(node), node.name, [p.arg for p in params],
                              {p.arg: p.annotation is not None for p in params}, node.returns is not None,
                              self.block(body), defaults)

    def block(self, statements: list[ast.stmt]) -> list[Any]:
        return [self.statement(node) for node in statements]

    def statement(self, node: ast.stmt) -> Any:
        maker = _STATEMENTS.get(type(node))
        if maker is None:
            self.refuse(node)
        return maker(self, node)

    def expression(self, node: ast.expr) -> Any:
        maker = _EXPRESSIONS.get(type(node))
        if maker is None:
            self.refuse(node)
        return maker(self, node)

    # statements

    def assign(self, node: ast.Assign) -> Any:
        if len(node.targets) > 1:
            self.refuse(node.targets[1], "one target at a time", "Write two assignments.")
        return t.Assign(_at(node), self.target(node.targets[0]), None, self.expression(node.value))

    def annotated(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            self.refuse(node, "a declaration without a value", "Give it its first value: `n: u64 = 0`.")
        if not isinstance(node.target, ast.Name):
            self.refuse(node.target, "only a local name can be annotated", "Remove the annotation.")
        return t.Assign(_at(node), self.target(node.target), _Annotation(node.annotation),
                        self.expression(node.value))

    def target(self, node: ast.expr) -> Any:
        if not isinstance(node, (ast.Name, ast.Attribute, ast.Subscript, ast.Tuple)):
            self.refuse(node)
        return self.expression(node)

    def augmented(self, node: ast.AugAssign) -> Any:
        operator = _BINARY.get(type(node.op))
        if operator is None:
            what, cure = REFUSED[type(node.op)]
            self.refuse(node, what, cure)
        return t.Augmented(_at(node), self.target(node.target), operator, self.expression(node.value))

    def discard(self, node: ast.Expr) -> Any:
        if isinstance(node.value, ast.Constant) and node.value.value is ...:
            return t.Pass(_at(node))
        return t.Discard(_at(node), self.expression(node.value))

    def if_(self, node: ast.If) -> Any:
        return t.If(_at(node), self.expression(node.test), self.block(node.body), self.block(node.orelse))

    def while_(self, node: ast.While) -> Any:
        return t.While(_at(node), self.expression(node.test), self.block(node.body), self.block(node.orelse))

    def for_(self, node: ast.For) -> Any:
        return t.For(_at(node), self.target(node.target), self.expression(node.iter), self.block(node.body),
                     self.block(node.orelse))

    def with_(self, node: ast.With) -> Any:
        made = self.block(node.body)
        for item in reversed(node.items):
            target = None
            if item.optional_vars is not None:
                if not isinstance(item.optional_vars, ast.Name):
                    self.refuse(item.optional_vars, "`as` takes one name here")
                target = self.expression(item.optional_vars)
            made = [t.With(_at(item.context_expr), self.expression(item.context_expr), target, made)]
        return made[0]

    def match(self, node: ast.Match) -> Any:
        cases = [t.Case(_at(case.pattern), self.pattern(case.pattern),
                        None if case.guard is None else self.expression(case.guard), self.block(case.body))
                 for case in node.cases]
        return t.Match(_at(node), self.expression(node.subject), cases)

    def delete(self, node: ast.Delete) -> Any:
        if len(node.targets) != 1:
            self.refuse(node, "one `del` at a time", "Write two statements.")
        return t.Delete(_at(node), self.expression(node.targets[0]))

    # patterns

    def pattern(self, node: ast.pattern) -> Any:
        match node:
            case ast.MatchValue(value=value):
                return t.Pattern(_at(node), "value", self.expression(value), [], [])
            case ast.MatchSingleton(value=None):
                return t.Pattern(_at(node), "none", None, [], [])
            case ast.MatchSingleton(value=value):
                return t.Pattern(_at(node), "value", t.Constant(_at(node), value), [], [])
            case ast.MatchAs(pattern=None, name=None):
                return t.Pattern(_at(node), "any", None, [], [])
            case ast.MatchAs(pattern=None, name=name):
                return t.Pattern(_at(node), "bind", name, [], [])
            case ast.MatchAs(pattern=inner, name=name) if inner is not None:
                return t.Pattern(_at(node), "as", name, [self.pattern(inner)], [])
            case ast.MatchOr(patterns=patterns):
                return t.Pattern(_at(node), "or", None, [self.pattern(p) for p in patterns], [])
            case ast.MatchClass(cls=cls, patterns=[], kwd_attrs=names, kwd_patterns=patterns):
                return t.Pattern(_at(node), "class", self.expression(cls), [],
                                 list(zip(names, map(self.pattern, patterns), strict=True)))
            case ast.MatchClass():
                self.refuse(node, "a header's fields are matched by name", "Write TCP(dport=443).")
            case ast.MatchSequence(patterns=patterns):
                return t.Pattern(_at(node), "tuple", None, [self.pattern(p) for p in patterns], [])
        self.refuse(node, "this pattern is not part of the dialect",
                    "Patterns are values, enum members, None, header classes and `|`.")

    # expressions

    def constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, (float, complex)):
            self.refuse(node, "the kernel has no floating point", "Scale to an integer: nanoseconds, per mille.")
        if node.value is ...:
            self.refuse(node, "`...` has no value here")
        return t.Constant(_at(node), node.value)

    def name(self, node: ast.Name) -> Any:
        return t.Name(_at(node), node.id)

    def attribute(self, node: ast.Attribute) -> Any:
        return t.Attribute(_at(node), self.expression(node.value), node.attr)

    def index(self, node: ast.Subscript) -> Any:
        return t.Index(_at(node), self.expression(node.value), self.expression(node.slice))

    def call(self, node: ast.Call) -> Any:
        keywords = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                self.refuse(keyword, "`**` unpacking cannot be compiled", "Name each argument.")
            keywords[keyword.arg] = self.expression(keyword.value)
        return t.Call(_at(node), self.expression(node.func), [self.expression(a) for a in node.args], keywords)

    def unary(self, node: ast.UnaryOp) -> Any:
        operand = self.expression(node.operand)
        if isinstance(node.op, ast.USub) and isinstance(operand, t.Constant) and type(operand.value) is int:
            return t.Constant(_at(node), -operand.value)
        return t.Unary(_at(node), _UNARY[type(node.op)], operand)

    def binary(self, node: ast.BinOp) -> Any:
        operator = _BINARY.get(type(node.op))
        if operator is None:
            what, cure = REFUSED[type(node.op)]
            self.refuse(node, what, cure)
        return t.Binary(_at(node), operator, self.expression(node.left), self.expression(node.right))

    def boolean(self, node: ast.BoolOp) -> Any:
        operator = "and" if isinstance(node.op, ast.And) else "or"
        return t.BoolOp(_at(node), operator, [self.expression(value) for value in node.values])

    def compare(self, node: ast.Compare) -> Any:
        rest = [(_COMPARE[type(op)], self.expression(value))
                for op, value in zip(node.ops, node.comparators, strict=True)]
        return t.Compare(_at(node), self.expression(node.left), rest)

    def conditional(self, node: ast.IfExp) -> Any:
        return t.Conditional(_at(node), self.expression(node.test), self.expression(node.body),
                             self.expression(node.orelse))

    def tuple_(self, node: ast.Tuple) -> Any:
        return t.Tuple(_at(node), [self.expression(item) for item in node.elts])

    def walrus(self, node: ast.NamedExpr) -> Any:
        return t.Walrus(_at(node), self.expression(node.target), self.expression(node.value))

    def format(self, node: ast.JoinedStr) -> Any:
        parts: list[Any] = []
        for part in node.values:
            if isinstance(part, ast.Constant):
                parts.append(str(part.value))
            elif isinstance(part, ast.FormattedValue):
                spec = ""
                if isinstance(part.format_spec, ast.JoinedStr):
                    for piece in part.format_spec.values:
                        if not isinstance(piece, ast.Constant):
                            self.refuse(node, "a format inside a format", "Write the format out: {n:#x}.")
                        spec += str(piece.value)
                conversion = chr(part.conversion) if part.conversion > 0 else ""
                parts.append((self.expression(part.value), conversion, spec))
        return t.Format(_at(node), parts)


class _Annotation:
    """An annotation's text: what it means is the scope's to say."""

    __slots__ = ("column", "end_column", "line", "text")

    def __init__(self, node: ast.expr) -> None:
        self.line, self.column, self.end_column = _at(node)
        self.text = ast.unparse(node)


class _Place:
    __slots__ = ("column", "end_column", "line")

    def __init__(self, node: ast.AST) -> None:
        self.line, self.column, self.end_column = _at(node)


def _at(node: Any) -> tuple[int, int, int]:
    column = node.col_offset
    last = getattr(node, "end_lineno", node.lineno)
    return node.lineno, column, node.end_col_offset if last == node.lineno else column + 1


_STATEMENTS: dict[type[ast.AST], Callable[[_Parser, Any], Any]] = {
    ast.Assign: _Parser.assign, ast.AnnAssign: _Parser.annotated, ast.AugAssign: _Parser.augmented,
    ast.Expr: _Parser.discard, ast.If: _Parser.if_, ast.While: _Parser.while_, ast.For: _Parser.for_,
    ast.With: _Parser.with_, ast.Match: _Parser.match, ast.Delete: _Parser.delete,
    ast.Return: lambda p, n: t.Return(_at(n), None if n.value is None else p.expression(n.value)),
    ast.Break: lambda p, n: t.Break(_at(n)), ast.Continue: lambda p, n: t.Continue(_at(n)),
    ast.Pass: lambda p, n: t.Pass(_at(n)),
}
_EXPRESSIONS: dict[type[ast.AST], Callable[[_Parser, Any], Any]] = {
    ast.Constant: _Parser.constant, ast.Name: _Parser.name, ast.Attribute: _Parser.attribute,
    ast.Subscript: _Parser.index, ast.Call: _Parser.call, ast.UnaryOp: _Parser.unary, ast.BinOp: _Parser.binary,
    ast.BoolOp: _Parser.boolean, ast.Compare: _Parser.compare, ast.IfExp: _Parser.conditional,
    ast.Tuple: _Parser.tuple_, ast.NamedExpr: _Parser.walrus, ast.JoinedStr: _Parser.format,
}
