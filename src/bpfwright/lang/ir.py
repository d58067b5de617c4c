"""The typed intermediate representation: some forty operations in one table (ir_text prints and parses it).

A function is a list of blocks, a block a list of operations that ends with one of `goto branch return`. Values
are numbered and assigned once; variables live in slots, which LLVM turns into registers. Types are `i1 i8 i16 i32 i64
ptr void`. Passes rewrite functions; `verify` checks the result after each.
"""
from __future__ import annotations

from collections import deque

from bpfwright._typing import Any, Iterator, NamedTuple
from bpfwright.errors import FormatError

__all__ = ["OPERATIONS", "Block", "Function", "Module", "Op", "OpKind", "Span", "Variable", "verify"]

WIDTHS = {"i1": 1, "i8": 8, "i16": 16, "i32": 32, "i64": 64}


class OpKind(NamedTuple):
    """`operands`: v value, n number, s symbol or text, b block, * any number of values. `effect`: pure, read, write,
    call or end. `rule` constrains the operands: same (all values have the result's type), cmp (one type), ptr, any."""

    operands: str
    effect: str
    rule: str = "any"


OPERATIONS: dict[str, OpKind] = {
    "const": OpKind("n", "pure"),
    "null": OpKind("", "pure"),
    "add": OpKind("vv", "pure", "same"), "sub": OpKind("vv", "pure", "same"), "mul": OpKind("vv", "pure", "same"),
    "udiv": OpKind("vv", "pure", "same"), "urem": OpKind("vv", "pure", "same"),
    "floordiv": OpKind("vv", "pure", "same"), "floormod": OpKind("vv", "pure", "same"),
    "and": OpKind("vv", "pure", "same"), "or": OpKind("vv", "pure", "same"), "xor": OpKind("vv", "pure", "same"),
    "shl": OpKind("vv", "pure", "same"), "lshr": OpKind("vv", "pure", "same"), "ashr": OpKind("vv", "pure", "same"),
    "eq": OpKind("vv", "pure", "cmp"), "ne": OpKind("vv", "pure", "cmp"), "ult": OpKind("vv", "pure", "cmp"),
    "ule": OpKind("vv", "pure", "cmp"), "slt": OpKind("vv", "pure", "cmp"), "sle": OpKind("vv", "pure", "cmp"),
    "select": OpKind("vvv", "pure"),
    "zext": OpKind("v", "pure"), "sext": OpKind("v", "pure"), "trunc": OpKind("v", "pure"),
    "bswap": OpKind("v", "pure", "same"), "ctpop": OpKind("v", "pure", "same"), "ctlz": OpKind("v", "pure", "same"),
    "toptr": OpKind("v", "pure"), "toint": OpKind("v", "pure"),
    "slot": OpKind("nns", "pure"),
    "load": OpKind("vnn", "read", "ptr"), "fixed": OpKind("vnn", "pure", "ptr"),
    "volatile": OpKind("vnn", "call", "ptr"),
    "store": OpKind("vnvn", "write", "ptr"),
    "offset": OpKind("vn", "pure", "ptr"), "index": OpKind("vvn", "pure", "ptr"),
    "copy": OpKind("vvnnn", "write", "ptr"), "fill": OpKind("vnnn", "write", "ptr"),
    "arena": OpKind("", "pure"), "move": OpKind("vvv", "call"), "wipe": OpKind("vvv", "call"),
    "differ": OpKind("vvv", "call"),
    "atomic": OpKind("svv", "call"), "cmpxchg": OpKind("vvv", "call"),
    "helper": OpKind("n*", "call"), "kfunc": OpKind("s*", "call"), "call": OpKind("s*", "call"),
    "function": OpKind("s", "pure"), "global": OpKind("s", "pure"),
    "core": OpKind("sns", "pure"), "anchor": OpKind("v", "pure", "ptr"), "opaque": OpKind("v", "call", "same"),
    "held": OpKind("v", "call", "same"),
    "may_goto": OpKind("", "call"),
    "goto": OpKind("b", "end"), "branch": OpKind("vbb", "end"), "return": OpKind("*", "end"),
}


class Span(NamedTuple):
    """Where an operation comes from; `line` counts from 1, `column` from 0, `file` indexes Module.files."""

    line: int
    column: int
    file: int = 0


NOWHERE = Span(0, 0)


class Op:
    """One operation. `id` is its value's number, -1 when it gives none; `type` the value's."""

    __slots__ = ("args", "id", "name", "span", "type")

    def __init__(self, name: str, type: str, args: tuple[int | str, ...], id: int = -1, span: Span = NOWHERE) -> None:
        self.name = name
        self.type = type
        self.args = args
        self.id = id
        self.span = span

    def values(self) -> Iterator[int]:
        """The numbers of the values that it uses."""
        for kind, arg in operand_kinds(self):
            if kind == "v":
                yield int(arg)

    def targets(self) -> Iterator[int]:
        """The blocks that it may go to."""
        for kind, arg in operand_kinds(self):
            if kind == "b":
                yield int(arg)


def operand_kinds(op: Op) -> Iterator[tuple[str, int | str]]:
    """Each argument with its kind letter."""
    pattern = OPERATIONS[op.name].operands
    head = pattern.rstrip("*")
    for index, arg in enumerate(op.args):
        yield (head[index] if index < len(head) else "v"), arg


class Block:
    """A run of operations with one way in."""

    __slots__ = ("id", "ops")

    def __init__(self, id: int) -> None:
        self.id = id
        self.ops: list[Op] = []

    @property
    def ended(self) -> bool:
        return bool(self.ops) and OPERATIONS[self.ops[-1].name].effect == "end"


class Variable(NamedTuple):
    """A variable, or one value of those that it is held in: what it is, and the function it belongs to."""

    name: str
    meaning: Any
    file: int
    line: int


class Function:
    """A function: `params` are (name, type); the first values are the parameters. `section` names a program's ELF
    section and is empty for a subprogram. `variables` says which slots hold a part of a variable of the source.
    `context` is the kernel's struct that the first parameter points to, where that is to be told."""

    __slots__ = ("blocks", "context", "file", "line", "name", "next_id", "params", "result", "section", "static",
                 "types", "variables")

    def __init__(self, name: str, params: list[tuple[str, str]], result: str, *, section: str = "",
                 static: bool = False, line: int = 0, file: int = 0) -> None:
        self.name = name
        self.params = params
        self.result = result
        self.section = section
        self.static = static
        self.line = line
        self.file = file
        self.blocks: list[Block] = []
        self.types: list[str] = [type for _, type in params]
        self.next_id = len(params)
        self.variables: dict[int, Variable] = {}
        self.context = ""

    def block(self) -> Block:
        """A new, empty block."""
        made = Block(len(self.blocks))
        self.blocks.append(made)
        return made

    def value(self, type: str) -> int:
        """The number of a new value."""
        self.types.append(type)
        self.next_id += 1
        return self.next_id - 1

    def ops(self) -> Iterator[Op]:
        for block in self.blocks:
            yield from block.ops


class Module:
    """Functions; the maps, globals and externs that they name are the compiler's tables."""

    __slots__ = ("files", "functions")

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.files: list[str] = []


def verify(function: Function) -> None:
    """Legality: operand kinds and types, one end per block, values defined before use on every path.

    Raises FormatError; a failure is a bug in the pass that ran before.
    """
    types = function.types
    for block in function.blocks:
        if not block.ended:
            raise FormatError(f"{function.name}: block {block.id} has no end")
        for op in block.ops:
            _verify_op(function, block, op, types)
    _verify_order(function)


def _verify_op(function: Function, block: Block, op: Op, types: list[str]) -> None:
    kind = OPERATIONS.get(op.name)
    if kind is None:
        raise FormatError(f"{function.name}: no such operation: {op.name}")
    head = kind.operands.rstrip("*")
    if len(op.args) < len(head) or (len(op.args) > len(head) and not kind.operands.endswith("*")):
        raise FormatError(f"{function.name}: {op.name} takes {len(head)} operands, not {len(op.args)}")
    if kind.effect == "end" and op is not block.ops[-1]:
        raise FormatError(f"{function.name}: {op.name} inside block {block.id}")
    values = list(op.values())
    if any(not 0 <= v < len(types) for v in values):
        raise FormatError(f"{function.name}: {op.name} uses an unknown value")
    used = [types[v] for v in values]
    if kind.rule == "same" and any(t != op.type for t in used):
        raise FormatError(f"{function.name}: {op.name} {op.type} of {used}")
    if kind.rule == "cmp" and (op.type != "i1" or used[0] != used[1]):
        raise FormatError(f"{function.name}: {op.name} compares {used}")
    if kind.rule == "ptr" and used[0] != "ptr":
        raise FormatError(f"{function.name}: {op.name} of {used[0]}, not a pointer")
    if op.id >= 0 and types[op.id] != op.type:
        raise FormatError(f"{function.name}: value {op.id} changes its type")
    for target in op.targets():
        if not 0 <= target < len(function.blocks):
            raise FormatError(f"{function.name}: no block {target}")


def _verify_order(function: Function) -> None:
    """Values as bits of numbers: what a block is sure to find only shrinks while the ways to it are followed."""
    needs, makes, targets = [], [], []
    for block in function.blocks:
        used = made = 0
        for op in block.ops:
            for value in op.values():
                used |= (1 << value) & ~made
            if op.id >= 0:
                made |= 1 << op.id
        needs.append(used)
        makes.append(made)
        targets.append(list(block.ops[-1].targets()))
    defined = {0: (1 << len(function.params)) - 1}
    work = deque([0])
    while work:
        number = work.popleft()
        known = defined[number] | makes[number]
        for target in targets[number]:
            after = defined[target] & known if target in defined else known
            if defined.get(target) != after:
                defined[target] = after
                work.append(target)
    for number, known in defined.items():
        missing = needs[number] & ~known
        if missing:
            value = (missing & -missing).bit_length() - 1
            raise FormatError(f"{function.name}: value {value} used before it is set, in block {number}")
