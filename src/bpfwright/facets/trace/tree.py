"""The syntax tree of bpftrace's language. Every node is frozen, has a span, and equals another one spans aside.

A node is a tuple with names, its span first: making one costs no more than a tuple, and nothing is compiled or imported
for the classes (dataclasses would cost 20 ms of every start). Type checkers see frozen dataclasses.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Iterable
from bpfwright._typing import Iterator as Iterator_
from bpfwright.facets.trace.text import Span

__all__ = [
    "Array", "Assign", "AttachPoint", "Binary", "Block", "Boolean", "BpfProgram", "Branch", "Break", "Call", "Cast",
    "Comptime", "Continue", "Declaration", "Definition", "Discard", "Evaluate", "Event", "Expression", "Field", "For",
    "Function", "If", "Import", "Index", "Integer", "Item", "Iterator", "KernelFunction", "Labelled", "Let", "Macro",
    "MapDeclaration", "MapName", "Member", "Name", "NamedType", "Node", "OffsetOf", "Parameter", "Pointer",
    "Positional", "PositionalCount", "Probe", "Program", "Range", "RawTracepoint", "Record", "Return", "Setting",
    "Signal", "SizeOf", "SourceLine", "Special", "Statement", "String", "Ternary", "Timer", "Tracepoint", "Tuple",
    "TypeInfo", "TypeName", "TypeOf", "Unary", "Unroll", "Update", "Usdt", "UserFunction", "Variable", "Watchpoint",
    "While", "walk",
]

if TYPE_CHECKING:
    from typing import dataclass_transform

    @dataclass_transform(frozen_default=True)
    class _Shape(type):
        pass

    class Node(metaclass=_Shape):
        """Anything with a place."""

        span: Span

        def values(self) -> tuple[object, ...]:
            """What it holds, the span aside."""

        def remade(self, values: Iterable[object], span: Span | None = None) -> Any:
            """The same node with other values."""

        @classmethod
        def fields(cls) -> tuple[str, ...]:
            """The names of its values."""
else:
    from _collections import _tuplegetter

    class _Shape(type):
        """Turns annotations into the tuple's names."""

        def __new__(meta, name, bases, space):
            fields = getattr(bases[0], "__match_args__", ()) + tuple(space.get("__annotations__", ()))
            for index, field in enumerate(fields):
                space[field] = _tuplegetter(index, None)
            return super().__new__(meta, name, bases, space | {"__slots__": (), "__match_args__": fields})

    class Node(tuple, metaclass=_Shape):
        """Anything with a place."""

        span: Span

        def __new__(cls, *values):
            if len(values) != len(cls.__match_args__):
                raise TypeError(f"{cls.__name__}{cls.__match_args__} got {len(values)} values")
            return tuple.__new__(cls, values)

        def __eq__(self, other):
            return type(self) is type(other) and self[1:] == other[1:]

        def __ne__(self, other):
            return not self == other

        def __hash__(self):
            return hash((type(self), self[1:]))

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(map(repr, self[1:]))})"

        def values(self):
            return self[1:]

        def remade(self, values, span=None):
            return tuple.__new__(type(self), (span or self[0], *values))

        @classmethod
        def fields(cls):
            return cls.__match_args__[1:]


def walk(node: Node) -> Iterator_[Node]:
    """The node and all below it, in the order of the text."""
    waiting: list[object] = [node]
    while waiting:
        found = waiting.pop()
        if isinstance(found, Node):
            yield found
            waiting.extend(reversed(found.values()))
        elif isinstance(found, tuple):
            waiting.extend(reversed(found))


# ------------------------------------------------------------------------------------------------------------- types


class TypeName(Node):
    """A type as it is written."""


class NamedType(TypeName):
    """`uint64`, `struct task_struct`: `kind` is `struct`, `union`, `enum` or nothing."""

    kind: str
    name: str


class Pointer(TypeName):
    """`of *`."""

    of: TypeName


class Array(TypeName):
    """`of[size]`; no size where it follows from the value."""

    of: TypeName
    size: int | None


class TypeOf(TypeName):
    """`typeof(of)`."""

    of: TypeName | Expression


# ------------------------------------------------------------------------------------------------------- expressions


class Expression(Node):
    """What has a value."""


class Integer(Expression):
    """A whole number; durations are in nanoseconds."""

    value: int


class String(Expression):
    """Its bytes, escapes resolved."""

    value: bytes


class Boolean(Expression):
    """`true` or `false`."""

    value: bool


class Name(Expression):
    """A bare word: a builtin value, an enumerator, a macro without arguments, a macro's expression parameter."""

    name: str


class Variable(Expression):
    """`$name`."""

    name: str


class MapName(Expression):
    """`@name`; the name may be empty."""

    name: str


class Positional(Expression):
    """`$1`: a positional parameter, from 1."""

    number: int


class PositionalCount(Expression):
    """`$#`."""


class Unary(Expression):
    """`- ! ~ * &` before its operand."""

    operator: str
    operand: Expression


class Update(Expression):
    """`++` or `--` of a variable or map entry, before (`prefix`) or after it."""

    operator: str
    prefix: bool
    target: Expression


class Binary(Expression):
    """An operator between two operands."""

    operator: str
    left: Expression
    right: Expression


class Ternary(Expression):
    """`condition ? then : other`; without `then` the condition's own value stands there."""

    condition: Expression
    then: Expression | None
    other: Expression


class Cast(Expression):
    """`(type) operand`."""

    type: TypeName
    operand: Expression


class Call(Expression):
    """`name(arguments)`."""

    name: str
    arguments: tuple[Expression, ...]


class Index(Expression):
    """`object[keys]`: a map's entry, or an element of an array or tuple."""

    object: Expression
    keys: tuple[Expression, ...]


class Member(Expression):
    """`object.name`, also written `object->name`."""

    object: Expression
    name: str


class Item(Expression):
    """`object.0`: an item of a tuple."""

    object: Expression
    index: int


class Tuple(Expression):
    """`(a, b)`, `(a,)`, `()`."""

    items: tuple[Expression, ...]


class Field(Node):
    """One `name=value` of a record."""

    name: str
    value: Expression


class Record(Expression):
    """`(name=value, ...)`."""

    items: tuple[Field, ...]


class SizeOf(Expression):
    """`sizeof(of)`."""

    of: TypeName | Expression


class OffsetOf(Expression):
    """`offsetof(of, path.to.field)`."""

    of: TypeName | Expression
    path: tuple[str, ...]


class TypeInfo(Expression):
    """`typeinfo(of)`."""

    of: TypeName | Expression


class Comptime(Expression):
    """`comptime operand`: known while compiling."""

    operand: Expression


# -------------------------------------------------------------------------------------------------------- statements


class Statement(Node):
    """What is done."""


class Block(Expression):
    """`{ statements value }`; a block with a value is an expression."""

    statements: tuple[Statement | If | Block, ...]
    value: Expression | None


class Branch(Node):
    """One condition of an `if`, and what is done then."""

    condition: Expression
    body: Block


class If(Expression):
    """`if`, any number of `else if`, `else`; a value where every branch has one."""

    branches: tuple[Branch, ...]
    other: Block | None


class Evaluate(Statement):
    """An expression for its effect."""

    expression: Expression


class Discard(Statement):
    """`_ = value`: on purpose for its effect only."""

    value: Expression


class Let(Statement):
    """`let $name: type = value`; type and value may be missing."""

    name: str
    type: TypeName | None
    value: Expression | None


class Assign(Statement):
    """`target = value`, `target += value`, ...; the operator is as written."""

    operator: str
    target: Expression
    value: Expression


class Range(Node):
    """`start..end`, the end not included."""

    start: Expression
    end: Expression


class For(Statement):
    """`for ($name : over)`: a map's entries, or a range."""

    name: str
    over: Range | Expression
    body: Block


class While(Statement):
    """`while (condition)`."""

    condition: Expression
    body: Block


class Unroll(Statement):
    """`unroll (count)`."""

    count: Expression
    body: Block


class Break(Statement):
    """`break`."""


class Continue(Statement):
    """`continue`."""


class Return(Statement):
    """`return`, with a value or without."""

    value: Expression | None


class Import(Statement):
    """`import "path"`, before the probes or in a body."""

    path: str


# ----------------------------------------------------------------------------------------------------- attach points


class AttachPoint(Node):
    """Where a probe attaches; `label` is what stands before `=`, or nothing."""

    label: str


class Special(AttachPoint):
    """`begin` and `end`."""

    provider: str


class Labelled(AttachPoint):
    """`test:name` and `bench:name`."""

    provider: str
    name: str


class Signal(AttachPoint):
    """`self:signal:NAME`."""

    name: str


class Timer(AttachPoint):
    """`interval` and `profile`; `unit` is `hz`, or the largest of s, ms, us, ns that the period is a whole number of.

    `count` is text where a positional parameter stands.
    """

    provider: str
    unit: str
    count: int | str


class Event(AttachPoint):
    """`software` and `hardware` events, aliases resolved; `count` None is the default."""

    provider: str
    event: str
    count: int | str | None


class Tracepoint(AttachPoint):
    """`tracepoint:category:event`."""

    category: str
    event: str


class RawTracepoint(AttachPoint):
    """`rawtracepoint:[module:]event`."""

    module: str
    event: str


class KernelFunction(AttachPoint):
    """`kprobe`, `kretprobe`, `fentry`, `fexit`: a function, of a module or of any, and an offset (kprobe only)."""

    provider: str
    module: str
    function: str
    offset: int


class BpfProgram(AttachPoint):
    """`fentry:bpf:[id:]name` and `fexit`: a running BPF program."""

    provider: str
    id: int | None
    name: str


class UserFunction(AttachPoint):
    """`uprobe:binary:function+offset`, or an address instead of the function; `language` is `cpp` or nothing.

    The binary is empty where the process given on the command line says it.
    """

    provider: str
    binary: str
    language: str
    function: str
    offset: int


class SourceLine(AttachPoint):
    """`uprobe:binary@file:line:column`; column 0 is none."""

    binary: str
    file: str
    line: int
    column: int


class Usdt(AttachPoint):
    """`usdt:binary:namespace:name`; binary and namespace may be empty."""

    binary: str
    namespace: str
    name: str


class Iterator(AttachPoint):
    """`iter:kind:pin`; the pin may be empty."""

    kind: str
    pin: str


class Watchpoint(AttachPoint):
    """`watchpoint:address:length:mode`, or `function+argN` for the address; `mode` holds some of r, w, x.

    `address` is a number, text where a positional parameter stands in it, and None where a function's argument is.
    """

    provider: str
    address: int | str | None
    function: str
    argument: int
    length: int
    mode: str


# ----------------------------------------------------------------------------------------------------------- program


class Declaration(Node):
    """What stands at the top of a script."""


class Setting(Declaration):
    """One `name = value` of the config block, its name in lower case and without prefix."""

    name: str
    value: Expression


class Definition(Declaration):
    """C: a struct, union, enum or typedef, or a line of the preprocessor, as it was written."""

    text: str


class MapDeclaration(Declaration):
    """`let @name = kind(size)`."""

    name: str
    kind: str
    size: int


class Parameter(Node):
    """A macro's or function's parameter: `kind` is `$`, `@`, or empty for an expression; functions have types."""

    kind: str
    name: str
    type: TypeName | None


class Macro(Declaration):
    """`macro name(parameters) { ... }`."""

    name: str
    parameters: tuple[Parameter, ...]
    body: Block


class Function(Declaration):
    """`fn name($a : type) : result { ... }`."""

    name: str
    parameters: tuple[Parameter, ...]
    result: TypeName
    body: Block


class Probe(Declaration):
    """Attach points, a predicate or none, and what is done."""

    points: tuple[AttachPoint, ...]
    predicate: Expression | None
    body: Block


class Program(Node):
    """A whole script, its declarations by kind and in the order of the text."""

    settings: tuple[Setting, ...]
    imports: tuple[Import, ...]
    definitions: tuple[Definition, ...]
    maps: tuple[MapDeclaration, ...]
    macros: tuple[Macro, ...]
    functions: tuple[Function, ...]
    probes: tuple[Probe, ...]
