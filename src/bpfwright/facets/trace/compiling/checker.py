"""The checker: goes over the tree with what is known, gives typed expressions and statements, and collects mistakes."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.code import Code, Variable
from bpfwright.facets.trace.compiling.scope import Knowledge, MapFacts, Scopes
from bpfwright.facets.trace.compiling.typed import INT64, Operand, Refused, Typed, is_number, join, literal, refuse
from bpfwright.facets.trace.text import Note, Span, nearest
from bpfwright.facets.trace.types import (Aggregate, Array, Boolean, Enumeration, Integer, Nothing, Pointer, Struct,
                                          Text,
                                          Tuple, Type)

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.probes.sites import Site

__all__ = ["Checker", "Done", "Spoiled"]

class Spoiled(Refused):
    """A mistake that follows from another one, which was said."""


Done = Callable[[Code], None]
"""What a statement does, once code is made."""

_INTEGERS = {f"{'u' * unsigned}int{bits}": Integer(bits // 8, not unsigned)
             for bits in (8, 16, 32, 64) for unsigned in (True, False)}
_C_TYPES = {
    "char": Integer(1, True), "signed char": Integer(1, True), "unsigned char": Integer(1, False),
    "short": Integer(2, True), "unsigned short": Integer(2, False), "int": Integer(4, True),
    "unsigned int": Integer(4, False), "unsigned": Integer(4, False), "long": Integer(8, True),
    "unsigned long": Integer(8, False), "long long": Integer(8, True), "unsigned long long": Integer(8, False),
    "size_t": Integer(8, False), "ssize_t": Integer(8, True), "pid_t": Integer(4, True), "uid_t": Integer(4, False),
    "u8": Integer(1, False), "u16": Integer(2, False), "u32": Integer(4, False), "u64": Integer(8, False),
    "s8": Integer(1, True), "s16": Integer(2, True), "s32": Integer(4, True), "s64": Integer(8, True),
    "uintptr_t": Integer(8, False), "intptr_t": Integer(8, True),
    **{f"{name}_t": type for name, type in _INTEGERS.items()},
}


class Checker:
    """One program's check. `site` is where it attaches, `probe` its number: variables are told apart by it."""

    def __init__(self, known: Knowledge, host: Host, site: Site, probe: int) -> None:
        self.known = known
        self.host = host
        self.site = site
        self.probe = probe
        self.scopes = Scopes()
        self.serial = 0
        self.loops = 0
        self.uses_frame = False
        self.mistakes: list[Note] = []
        self.function: tree.Function | None = None
        self.returns: Type | None = None
        self.calling: list[str] = []
        self.late: list[Variable] = []

    # expressions

    def expression(self, node: tree.Expression) -> Typed:
        """The expression with its type; Refused when it has none."""
        from bpfwright.facets.trace.compiling.expressions import EXPRESSIONS
        return EXPRESSIONS[type(node)](self, node)

    def value(self, node: tree.Expression) -> Typed:
        """An expression that has a value; what maps gather is read as a number."""
        typed = self.expression(node)
        if isinstance(typed.type, Nothing):
            raise refuse(node.span, "this has no value", "Use it as a statement of its own.")
        return typed

    def number(self, node: tree.Expression, what: str = "this") -> Typed:
        """An expression that is a number."""
        typed = self.as_number(self.value(node))
        if not is_number(typed.type):
            raise refuse(node.span, f"{what} is a number, not `{typed.type}`", self.cure_for(typed.type))
        return typed

    def scalar(self, node: tree.Expression, what: str = "this") -> Typed:
        """A number or pointer."""
        typed = self.as_number(self.value(node))
        if not is_number(typed.type) and not isinstance(typed.type, Pointer):
            raise refuse(node.span, f"{what} is a number or pointer, not `{typed.type}`", self.cure_for(typed.type))
        return typed

    @staticmethod
    def as_number(typed: Typed) -> Typed:
        """What maps gather, as the number that it comes to."""
        if isinstance(typed.type, Aggregate):
            signed = getattr(typed.type, "signed", False)
            if hasattr(type(typed.type), "counters"):
                raise refuse(typed.span, f"`{typed.type}` is no number", "Print the map: `print(@name)`.")
            return Typed(Integer(8, signed), typed.span, typed.emit)
        return typed

    @staticmethod
    def cure_for(type: Type) -> str:
        """How a number is had of something."""
        match type:
            case Text():
                return "Texts are compared with `==` and `!=`, and measured with `strlen(...)`."
            case Struct():
                return "Name a field: `value.field`."
            case Tuple():
                return "Name an item: `value.0`."
            case Array():
                return "Name an element: `value[0]`."
        return ""

    def known_number(self, node: tree.Expression, what: str) -> int:
        """A number that is known while compiling."""
        typed = self.number(node, what)
        if not isinstance(typed.constant, int):
            raise refuse(node.span, f"{what} is known while compiling", "Write a number, or `$1`.")
        return typed.constant

    def known_text(self, node: tree.Expression, what: str) -> bytes:
        """A text that is known while compiling."""
        typed = self.value(node)
        if not isinstance(typed.constant, bytes):
            raise refuse(node.span, f"{what} is a text in quotes", 'Write it out: `"..."`.')
        return typed.constant

    def wait_for(self, facts: MapFacts, span: Span) -> None:
        """Leave a statement for a later pass when it needs a map whose value is not known yet."""
        if facts.value is None and not self.known.guessing:
            self.known.waiting = True
            raise Spoiled(Note(span, ""))

    # statements

    def statements(self, nodes: tuple[Any, ...]) -> Done:
        """Several statements; each mistake is kept, and the next one is looked at all the same."""
        from bpfwright.facets.trace.compiling.statements import statement
        done: list[tuple[Span, Done]] = []
        for node in nodes:
            try:
                done.append((node.span, statement(self, node)))
            except Spoiled:
                self._spoil(node)
            except Refused as refused:
                self.mistakes.append(refused.note)
                self._spoil(node)

        def emit(code: Code) -> None:
            for span, one in done:
                code.span = self.place(code, span)
                with code.statement():
                    one(code)
        return emit

    def _spoil(self, node: Any) -> None:
        """A variable whose assignment was refused: that it is not known is said no more."""
        target = node.target if isinstance(node, tree.Assign) else node
        if isinstance(target, (tree.Variable, tree.Let)):
            self.scopes.spoiled.add(target.name)

    def block(self, node: tree.Block) -> Done:
        """A block with variables of its own."""
        from bpfwright.facets.trace.compiling.statements import evaluated
        self.scopes.enter()
        try:
            first = self.statements(node.statements)
            if node.value is None:
                return first
            last = evaluated(self, node.value)

            def emit(code: Code) -> None:
                first(code)
                with code.statement():
                    last(code)
            return emit
        except Refused as refused:
            self.mistakes.append(refused.note)
            return lambda code: None
        finally:
            self.scopes.leave()

    @staticmethod
    def place(code: Code, span: Span) -> Any:
        """A span for line information."""
        from bpfwright.lang import ir
        return ir.Span(span.line, span.column, code.unit.file(span.text.file or "stdin"))

    # variables

    def declare(self, name: str, type: Type, span: Span, *, fixed: bool = False) -> Variable:
        """A new variable of the innermost block; its type grows with what it is given, unless it is fixed. A name that
        is used outside of its block is the whole probe's, and 0 until it is assigned."""
        self.serial += 1
        key = (self.probe, self.serial, span.start)
        kept = self.known.variables.get(key)
        if fixed or kept is None:
            kept = self.known.variables[key] = type
        made = Variable(name, kept)
        made.key = None if fixed else key
        if not fixed and (self.probe, name) in self.known.loose:
            self.scopes.declare_outside(name, made)
            self.late.append(made)
        else:
            self.scopes.declare(name, made)
        return made

    @staticmethod
    def result_of(name: str, type: Type) -> Variable:
        """Where a call's result stands."""
        return Variable(f"{name}()", type)

    def widen(self, variable: Variable, typed: Typed) -> None:
        """Let a variable hold one more value."""
        both = join(variable.type, typed.type)
        if both is None or (variable.key is None and not self.fits(typed, variable.type, both)):
            cure = "Use another variable." if variable.key is not None else "It was declared with that type."
            raise refuse(typed.span, f"${variable.name} holds `{variable.type}`, not `{typed.type}`", cure)
        if both != variable.type and variable.key is not None:
            if isinstance(both, Integer) and both.bytes == 8 and both.signed and any(
                    part == Integer(8, False) for part in (variable.type, typed.type)):
                self.known.warn(typed.span, f"${variable.name} holds signed and unsigned numbers of 64 bits",
                                "Cast one of them: `(int64)...`.")
            variable.type = self.known.variables[variable.key] = both
            self.known.changed = True

    @staticmethod
    def fits(typed: Typed, wanted: Type, both: Type) -> bool:
        """Whether a value may be put into a variable of a declared type."""
        if both == wanted:
            return True
        if isinstance(typed.constant, int) and isinstance(wanted, Integer):
            bits = wanted.bytes * 8
            low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if wanted.signed else (0, (1 << bits) - 1)
            return low <= typed.constant <= high
        return isinstance(wanted, Integer) and is_number(typed.type) and wanted.bytes >= typed.type.size

    def unknown_variable(self, node: tree.Variable) -> Refused:
        """The exception for a name that no block declares."""
        if node.name in self.scopes.spoiled:
            return Spoiled(Note(node.span, ""))
        if node.name in self.scopes.left and (self.probe, node.name) not in self.known.loose:
            self.known.loose.add((self.probe, node.name))
            self.known.changed = True
        close = nearest(node.name, self.scopes.names())
        cure = f"Did you mean `${close}`?" if close else f"Give it a value first: `${node.name} = ...`."
        return refuse(node.span, f"there is no variable `${node.name}` here", cure)

    # types as they are written

    def type(self, name: tree.TypeName) -> Type:
        """The type that is written."""
        match name:
            case tree.Pointer():
                return Pointer(self.type(name.of), "")
            case tree.Array():
                of = self.type(name.of)
                if isinstance(of, Text):
                    return Text(name.size or of.length)
                return Array(of, name.size or 0)
            case tree.TypeOf():
                inner = name.of
                return self.type(inner) if isinstance(inner, tree.TypeName) else self.expression(inner).type
            case tree.NamedType():
                return self._named(name)
        raise AssertionError(name)

    def _named(self, name: tree.NamedType) -> Type:
        if not name.kind:
            plain = {"bool": Boolean(), "void": Nothing(), "string": Text(self.host.text_room)}.get(name.name)
            plain = plain or _INTEGERS.get(name.name) or _C_TYPES.get(name.name)
            if plain is not None:
                return plain
        found = self.host.layouts.named(name.kind, name.name)
        if found is None and not name.kind:
            found = self.host.layouts.named("struct", name.name)
        if found is None:
            shown = f"{name.kind} {name.name}".strip()
            raise refuse(name.span, f"there is no type `{shown}`",
                         f"Define it: `struct {name.name} {{ ... }}`, or take a type of the kernel's.")
        return found

    def text_parameter(self, node: tree.Positional) -> Typed:
        """A positional parameter as a text."""
        words = self.host.words
        return literal(words[node.number - 1].encode() if node.number <= len(words) else b"", node.span)

    # operands

    @staticmethod
    def nothing(span: Span, emit: Done) -> Typed:
        """An expression that only does something."""
        def run(code: Code) -> Operand:
            emit(code)
            return Operand()
        return Typed(Nothing(), span, run)

    def space(self) -> str:
        """The space that plain numbers point into, at this kind of probe."""
        return "user" if self.site.space == "user" else "kernel"

    def enumerators(self, type: Enumeration) -> dict[str, int]:
        return {name: value for value, name in type.values}

    def default(self) -> Type:
        """What a map holds that is only read."""
        return INT64
