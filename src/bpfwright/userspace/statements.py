"""The statements of a Python file's functions, and which may run after which: what coverage is inferred along.

Statements are known by their first line, as coverage.py knows them; a function's entry and exit are both the negative
of its first line, decorators included: arcs come from it and lead to it.
"""
from __future__ import annotations

import ast
import linecache
import sys
from enum import EnumMeta
from types import ModuleType

from bpfwright._typing import Any, Sequence

__all__ = ["Flow", "Places", "places_of"]


class Flow:
    """One function: `following` and `preceding` say what may run after and before each statement.

    `gate` is the entry and exit, `statements` are all others, those that nothing leads to included.
    """

    __slots__ = ("_behind", "calls", "following", "gate", "name", "open_ended", "plain", "preceding", "returns",
                 "statements")

    def __init__(self, name: str, gate: int) -> None:
        self.name = name
        self.gate = gate
        self.statements: set[int] = set()
        self.following: dict[int, set[int]] = {}
        self.preceding: dict[int, set[int]] = {}
        self.open_ended: set[int] = set()  # need not lead to their only successor: a `with` may have nothing to enter
        self.plain: set[int] = set()  # evaluate all that they say, each time
        self.calls: dict[int, set[str]] = {}  # the functions that a statement calls whenever it runs
        self.returns: dict[int, frozenset[int]] = {}  # the low 32 bits of the constants that a `return` may give
        self._behind: dict[frozenset[int], dict[int, set[int]]] = {}

    def add(self, start: int, end: int) -> None:
        """`end` may run after `start`; several statements of one line are one."""
        if start != end:
            self.following.setdefault(start, set()).add(end)
            self.preceding.setdefault(end, set()).add(start)

    def may_return(self, statement: int, value: int) -> bool:
        """Whether the function may end there with this value (its low 32 bits)."""
        known = self.returns.get(statement)
        return known is None or value & _HALF in known

    def before(self, statement: int) -> set[int]:
        """The statements that every way to this one leads through."""
        return self._ways(None).get(statement, set())

    def behind(self, statement: int, stops: set[int]) -> set[int]:
        """The statements that every way from this one to the function's end leads through; runs may end at `stops`."""
        ways = self._ways(frozenset(stops & self.statements))
        if statement != self.gate:
            return ways.get(statement, set())
        first = [ways.get(each, set()) | {each} for each in self.following.get(self.gate, ()) if each != self.gate]
        return set.intersection(*first) if first else set()

    def _ways(self, stops: frozenset[int] | None) -> dict[int, set[int]]:
        """Dominators, without `stops`; else post-dominators, where runs may end there and at open-ended statements."""
        known = self._behind.get(stops if stops is not None else _FORWARDS)
        if known is None:
            leads = self.preceding if stops is None else {
                each: after | {self.gate} if each in stops or each in self.open_ended else after
                for each, after in self.following.items()}
            known = _common(self.gate, self.statements, leads)
            self._behind[stops if stops is not None else _FORWARDS] = known
        return known


_HALF = (1 << 32) - 1
_FORWARDS = frozenset((0,))  # no statement is in line 0


def _common(gate: int, statements: set[int], leads: dict[int, set[int]]) -> dict[int, set[int]]:
    """For each statement what all ways from it to the gate by `leads` share. What has no way shares nothing."""
    found: dict[int, set[int]] = {gate: set()}
    changed = True
    order = sorted(statements)
    while changed:
        changed = False
        for each in order:
            ways = [found[next_] | {next_} for next_ in leads.get(each, ()) if next_ in found]
            if ways:
                now = set.intersection(*ways) - {gate, each}
                if found.get(each) != now:
                    found[each] = now
                    changed = True
        order.reverse()
    return found


class Places:
    """Every line of a file that belongs to a statement of a function: `at[line]` is (flow, the statement's line).

    A line of a function's own head belongs to its gate.
    """

    __slots__ = ("at", "flows")

    def __init__(self, tree: ast.Module, names: dict[str, Any]) -> None:
        self.at: dict[int, tuple[Flow, int]] = {}
        self.flows: list[Flow] = []
        known = _globals(tree, names)
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self.flows.append(_Drawing(self.at, node, known).flow)


_known: dict[str, tuple[list[str], Places | None]] = {}


def places_of(file: str) -> Places | None:
    """What the statements of a Python file are; None for other files and for what cannot be read."""
    linecache.checkcache(file)
    lines = linecache.getlines(file)
    known = _known.get(file)
    if known is not None and known[0] is lines:
        return known[1]
    made = None
    if lines and not file.endswith((".c", ".h")):
        try:
            made = Places(ast.parse("".join(lines)), _names_of(file))
        except (SyntaxError, ValueError):
            made = None
    _known[file] = lines, made
    return made


class _Loop:
    """Where `break` and `continue` of a loop go; a break's end is known once what follows the loop is."""

    def __init__(self, head: int) -> None:
        self.head = head
        self.breaks: set[int] = set()


class _Drawing:
    """Walks one function's body; each step gets the statements that lead to it and gives those that lead on."""

    def __init__(self, at: dict[int, tuple[Flow, int]], node: ast.FunctionDef | ast.AsyncFunctionDef,
                 known: dict[str, Any]) -> None:
        self.known = known
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        self.at = at
        self.flow = Flow(node.name, -first)
        self.loops: list[_Loop] = []
        for line in range(first, max(node.body[0].lineno, node.lineno + 1)):
            at.setdefault(line, (self.flow, self.flow.gate))
        for last in self.body(node.body, {self.flow.gate}, documented=True):
            self.flow.add(last, self.flow.gate)

    def body(self, nodes: Sequence[ast.stmt], leading: set[int], documented: bool = False) -> set[int]:
        for index, node in enumerate(nodes):
            if documented and not index and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) \
                    and isinstance(node.value.value, str):
                continue
            if isinstance(node, (ast.Global, ast.Nonlocal)) or (
                    isinstance(node, ast.AnnAssign) and node.value is None and isinstance(node.target, ast.Name)):
                continue  # these leave nothing to run, in Python either
            leading = self.statement(node, leading)
        return leading

    def own(self, line: int, first: int, end: int, leading: set[int]) -> int:
        """A statement: its lines are its own, and what leads to it does."""
        for each in range(first, end + 1):
            self.at[each] = self.flow, line
        self.flow.statements.add(line)
        for each in leading:
            self.flow.add(each, line)
        return line

    def statement(self, node: ast.stmt, leading: set[int]) -> set[int]:
        handler = _HANDLERS.get(type(node))
        if handler is not None:
            found: set[int] = handler(self, node, leading)
            return found
        end = node.lineno if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)) else \
            node.end_lineno or node.lineno
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))])
        here = self.own(first, first, end, leading)
        if not any(isinstance(each, _CONDITIONAL) for each in ast.walk(node)):
            self.flow.plain.add(here)
        self.called(here, node)
        if first != node.lineno:  # a decorated function is two statements: its decorator's line and its own
            here = self.own(node.lineno, node.lineno, end, {here})
        return {here}

    def head(self, node: ast.stmt, inside: Sequence[ast.stmt], leading: set[int]) -> int:
        here = self.own(node.lineno, node.lineno, max(node.lineno, inside[0].lineno - 1), leading)
        for part in ("test", "iter", "subject"):
            self.called(here, getattr(node, part, None))
        return here

    def called(self, statement: int, node: ast.AST | None) -> None:
        """Note what an expression calls in any case: not what stands behind `and`, `or` or `if`."""
        if node is None or isinstance(node, _LATER):
            return
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            self.flow.calls.setdefault(statement, set()).add(node.func.id)
        inner: list[ast.AST] = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.IfExp):
            inner = [node.test]
        elif isinstance(node, ast.BoolOp):
            inner = [node.values[0]]
        elif isinstance(node, ast.Compare):
            inner = [node.left, node.comparators[0]]
        for each in inner:
            self.called(statement, each)

    def leave(self, node: ast.stmt, leading: set[int]) -> set[int]:
        here = self.own(node.lineno, node.lineno, node.end_lineno or node.lineno, leading)
        self.called(here, node)
        values = _constants(node.value, self.known) if isinstance(node, ast.Return) else None
        if values is not None and self.flow.following.get(here) is None:
            self.flow.returns[here] = frozenset(value & _HALF for value in values)
        self.flow.add(here, self.flow.gate)
        return set()

    def interrupt(self, node: ast.stmt, leading: set[int]) -> set[int]:
        here = self.own(node.lineno, node.lineno, node.lineno, leading)
        if isinstance(node, ast.Break):
            self.loops[-1].breaks.add(here)
        else:
            self.flow.add(here, self.loops[-1].head)
        return set()

    def choose(self, node: ast.If, leading: set[int]) -> set[int]:
        here = self.head(node, node.body, leading)
        always = _constant(node.test)
        yes = self.body(node.body, {here} if always is not False else set())
        no = self.body(node.orelse, {here} if always is not True else set()) if node.orelse else \
            ({here} if always is not True else set())
        return yes | no

    def repeat(self, node: ast.For | ast.While, leading: set[int]) -> set[int]:
        here = self.head(node, node.body, leading)
        self.loops.append(_Loop(here))
        for last in self.body(node.body, {here}):
            self.flow.add(last, here)
        loop = self.loops.pop()
        endless = isinstance(node, ast.While) and _constant(node.test) is True
        ended = set() if endless else {here}
        if node.orelse:
            ended = self.body(node.orelse, ended)
        return ended | loop.breaks

    def enter(self, node: ast.With, leading: set[int]) -> set[int]:
        here = self.head(node, node.body, leading)
        self.flow.open_ended.add(here)
        return self.body(node.body, {here})

    def match(self, node: ast.Match, leading: set[int]) -> set[int]:
        here = self.own(node.lineno, node.lineno, max(node.lineno, node.cases[0].pattern.lineno - 1), leading)
        self.called(here, node.subject)
        ended: set[int] = set()
        for case in node.cases:
            line = case.pattern.lineno
            here = self.own(line, line, max(line, case.body[0].lineno - 1), {here})
            ended |= self.body(case.body, {here})
        last = node.cases[-1]
        open_ended = last.guard is not None or not _irrefutable(last.pattern)
        return ended | {here} if open_ended else ended


def _names_of(file: str) -> dict[str, Any]:
    """The names of the module that was imported from a file."""
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == file:
            return vars(module)
    return {}


def _globals(tree: ast.Module, names: dict[str, Any]) -> dict[str, Any]:
    """Those that no function of the file has for something of its own."""
    own: set[str] = set()
    for function in ast.walk(tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            for node in ast.walk(function):
                if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                    own.add(node.id)
                elif isinstance(node, ast.arg):
                    own.add(node.arg)
                elif isinstance(node, ast.alias):
                    own.add((node.asname or node.name).partition(".")[0])
                elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.MatchAs, ast.MatchStar)) and node.name \
                        and node is not function:
                    own.add(node.name)
    return {name: value for name, value in names.items() if name not in own}


def _constants(node: ast.expr | None, known: dict[str, Any]) -> set[int] | None:
    """The numbers that an expression may be, when it is a choice of constants."""
    if isinstance(node, ast.IfExp):
        one, other = _constants(node.body, known), _constants(node.orelse, known)
        return one | other if one is not None and other is not None else None
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _constants(node.operand, known)
        return {-value for value in inner} if inner is not None else None
    value: Any = node.value if isinstance(node, ast.Constant) else _named(node, known)
    return {int(value)} if isinstance(value, int) else None


def _named(node: ast.expr | None, known: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.Attribute):
        base = _named(node.value, known)
        if isinstance(base, (ModuleType, EnumMeta)):
            return getattr(base, node.attr, None)
    return None


def _irrefutable(pattern: ast.pattern) -> bool:
    if isinstance(pattern, ast.MatchAs):
        return pattern.pattern is None or _irrefutable(pattern.pattern)
    return isinstance(pattern, ast.MatchOr) and any(_irrefutable(each) for each in pattern.patterns)


def _constant(test: ast.expr) -> bool | None:
    return bool(test.value) if isinstance(test, ast.Constant) else None


_CONDITIONAL = (ast.IfExp, ast.BoolOp, ast.Compare, ast.Lambda, ast.FunctionDef, ast.GeneratorExp, ast.ListComp)
_LATER = (ast.Lambda, ast.FunctionDef, ast.ClassDef, ast.GeneratorExp, ast.ListComp, ast.SetComp, ast.DictComp)
_HANDLERS: dict[type[ast.stmt], Any] = {
    ast.If: _Drawing.choose, ast.For: _Drawing.repeat, ast.While: _Drawing.repeat, ast.With: _Drawing.enter,
    ast.Match: _Drawing.match, ast.Return: _Drawing.leave, ast.Raise: _Drawing.leave, ast.Break: _Drawing.interrupt,
    ast.Continue: _Drawing.interrupt,
}
