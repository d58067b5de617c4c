"""Macros, expanded: each call becomes a block, whose own variables have names that nobody else has (hygiene)."""
from __future__ import annotations

from bpfwright._typing import NamedTuple, TypeVar, cast
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.points import Wrong
from bpfwright.facets.trace.text import Mistakes, Note, Span
from bpfwright.facets.trace.tree import Expression, Macro, Node, walk

__all__ = ["expand"]

MOST_NODES = 50_000
"""How large a program may grow by expansion: a macro that calls another one twice doubles with every step."""
TALLEST = 160
"""How many levels of syntax may stand on one another then."""
DEEPEST = 24
"""How deep macros may call one another."""
_KINDS: dict[type, str] = {tree.Name: "", tree.Variable: "$", tree.MapName: "@"}


_N = TypeVar("_N", bound=Node)


class _Given(NamedTuple):
    """An argument, expanded; it is put in as often as the parameter is used, so its size counts each time."""

    expression: Expression
    height: int
    size: int


class _Use(NamedTuple):
    """Inside a macro's body: what its parameters stand for, and how its own variables are called here."""

    arguments: dict[tuple[str, str], _Given]
    own: dict[str, str]
    stack: tuple[Macro, ...]
    call: Span


def expand(program: tree.Program) -> tree.Program:
    """The program without macros. Mistakes for a call that no macro takes, a body that reaches for what it was not
    given, and macros that call themselves."""
    if not program.macros:
        return program
    return _Expander(program).run()


class _Expander:
    def __init__(self, program: tree.Program) -> None:
        self.program = program
        self.macros: dict[str, list[Macro]] = {}
        self.mistakes: list[Note] = []
        self.height = self.size = 0
        self.number = 0
        self.taken = {node.name for node in walk(program) if isinstance(node, (tree.Variable, tree.Let, tree.For))}
        for macro in program.macros:
            same = self.macros.setdefault(macro.name, [])
            if any([p.kind for p in one.parameters] == [p.kind for p in macro.parameters] for one in same):
                self.mistakes.append(Note(Span(macro.span.text, macro.span.start, macro.body.span.start),
                                          f"there is a macro `{macro.name}` with such parameters already",
                                          "Rename one of the two."))
            same.append(macro)
            self.hygiene(macro)

    def run(self) -> tree.Program:
        if self.mistakes:
            raise Mistakes(self.mistakes)
        nothing = _Use({}, {}, (), self.program.span)
        functions = tuple([self.rewritten(function, nothing) for function in self.program.functions])
        probes = tuple([self.rewritten(probe, nothing) for probe in self.program.probes])
        if self.mistakes:
            raise Mistakes(self.mistakes)
        program = self.program
        return tree.Program(program.span, program.settings, program.imports, program.definitions, program.maps, (),
                            functions, probes)

    def rewritten(self, node: _N, use: _Use) -> _N:
        try:
            changed: _N = cast("_N", self.change(node, use))
        except Wrong as wrong:
            self.mistakes.append(wrong.note)
            return node
        return changed

    def hygiene(self, macro: Macro) -> None:
        """A body knows its parameters and its own variables."""
        given = {(parameter.kind, parameter.name) for parameter in macro.parameters}
        own = _declared(macro.body)
        said: set[str] = set()
        for node in walk(macro.body):
            if isinstance(node, (tree.Let, tree.For)) and ("$", node.name) in given:
                self.mistakes.append(Note(node.span, f"`${node.name}` is a parameter of the macro already",
                                          "Use another name."))
            if isinstance(node, tree.MapName) and ("@", node.name) not in given and f"@{node.name}" not in said:
                said.add(f"@{node.name}")
                self.mistakes.append(Note(node.span, f"the macro `{macro.name}` is not given `@{node.name}`",
                                          f"Make it a parameter: `macro {macro.name}(@{node.name})`."))
            elif isinstance(node, tree.Variable) and ("$", node.name) not in given and node.name not in own \
                    and f"${node.name}" not in said:
                said.add(f"${node.name}")
                self.mistakes.append(Note(node.span, f"the macro `{macro.name}` is not given `${node.name}`",
                                          f"Make it a parameter, or declare it: `let ${node.name} = ...;`."))

    def change(self, node: Node, use: _Use) -> Node:
        """The node with macros expanded and parameters put in; `height` and `size` are its own then."""
        if isinstance(node, tree.Call) and node.name in self.macros:
            arguments: list[_Given] = []
            for argument in node.arguments:
                changed = self.change(argument, use)
                assert isinstance(changed, Expression)  # what is changed stays one
                arguments.append(_Given(changed, self.height, self.size))
            return self.expanded(node.name, arguments, node.span, use)
        self.height = self.size = 1
        key = _KINDS.get(type(node))
        if key is not None:
            name: str = node.name  # type: ignore[attr-defined]
            given = use.arguments.get((key, name))
            if given is not None:
                self.height, self.size = given.height, given.size
                return given.expression
            if isinstance(node, tree.Variable):
                return tree.Variable(node.span, use.own.get(name, name))
            if isinstance(node, tree.Name) and any(not macro.parameters for macro in self.macros.get(name, ())):
                return self.expanded(name, [], node.span, use)
            return node
        remade = self.parts(node, use)
        self.sound(remade)
        return remade

    def parts(self, node: Node, use: _Use) -> Node:
        """The node with `change` done to all below it, and a variable's own name where it declares one."""
        height = size = 0
        values: list[object] = []
        for value in node.values():
            if isinstance(value, Node):
                values.append(self.change(value, use))
                height, size = max(height, self.height), size + self.size
            elif isinstance(value, tuple):
                inside: list[object] = []
                for one in value:
                    if isinstance(one, Node):
                        inside.append(self.change(one, use))
                        height, size = max(height, self.height), size + self.size
                    else:
                        inside.append(one)
                values.append(tuple(inside))
            else:
                values.append(value)
        if isinstance(node, (tree.Let, tree.For)):
            values[0] = use.own.get(node.name, node.name)
        self.height, self.size = height + 1, size + 1
        if self.height > TALLEST or self.size > MOST_NODES:
            raise Mistakes([Note(use.call if use.stack else node.span, "the macros make this program too large",
                                 "Bind what is used twice to a variable: `let $x = x;`.")])
        remade: Node = node.remade(values)
        return remade

    def sound(self, node: Node) -> None:
        """What was put in for a parameter must fit where it stands."""
        if isinstance(node, tree.For) and not isinstance(node.over, (tree.Range, tree.MapName, tree.Name)):
            raise Wrong(Note(node.over.span, "a loop goes over a map or a range",
                             "Make it a map's parameter: `@name`."))

    def expanded(self, name: str, arguments: list[_Given], span: Span, use: _Use) -> Expression:
        macro = self.chosen(name, [given.expression for given in arguments], span)
        if macro in use.stack:
            raise Wrong(Note(span, f"the macro `{name}` calls itself", "Macros end while compiling: use a loop."))
        if len(use.stack) >= DEEPEST:
            raise Wrong(Note(span, f"macros call one another deeper than {DEEPEST} levels", "Join some of them."))
        given = {(parameter.kind, parameter.name): argument
                 for parameter, argument in zip(macro.parameters, arguments)}
        taken = {parameter.name for parameter in macro.parameters if parameter.kind == "$"}
        own = {local: self.fresh(local) for local in sorted(_declared(macro.body) - taken)}
        inside = _Use(given, own, (*use.stack, macro), use.call if use.stack else span)
        body = self.change(macro.body, inside)
        assert isinstance(body, tree.Block)  # a block stays one
        return tree.Block(span, body.statements, body.value)

    def fresh(self, name: str) -> str:
        while True:
            self.number += 1
            made = f"{name}__{self.number}"
            if made not in self.taken:
                return made

    def chosen(self, name: str, arguments: list[Expression], span: Span) -> Macro:
        """The macro whose parameters take the arguments; variables and maps by kind before expressions."""
        best: Macro | None = None
        most = -1
        for macro in self.macros[name]:
            fits = _fit(macro, arguments)
            if fits > most:
                best, most = macro, fits
        if best is None:
            shown = " or ".join(f"`{name}({', '.join(p.kind + p.name for p in macro.parameters)})`"
                                for macro in self.macros[name])
            raise Wrong(Note(span, f"no macro `{name}` takes these arguments", f"There is {shown}."))
        return best


def _fit(macro: Macro, arguments: list[Expression]) -> int:
    """How many arguments fit by kind; -1 if one does not fit at all."""
    if len(macro.parameters) != len(arguments):
        return -1
    exact = 0
    for parameter, argument in zip(macro.parameters, arguments):
        if (parameter.kind == "$" and not isinstance(argument, tree.Variable)) or (
                parameter.kind == "@" and not isinstance(argument, tree.MapName)):
            return -1
        exact += parameter.kind != ""
    return exact


def _declared(body: tree.Block) -> set[str]:
    """The variables that a body makes."""
    found = set()
    for node in walk(body):
        if isinstance(node, (tree.Let, tree.For)):
            found.add(node.name)
        elif isinstance(node, tree.Assign) and isinstance(node.target, tree.Variable):
            found.add(node.target.name)
    return found
