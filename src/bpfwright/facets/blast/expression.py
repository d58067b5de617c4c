"""Header expressions as text: `Ethernet() / IPv4(source="10.0.0.0/16") / UDP(dport=range(1, 100)) / b"payload"`.

The notation is that of `bpfwright.headers`, read by Python's parser and evaluated here: calls of headers, options and
of range(), random() and hold(), constants, lists, nothing else.
"""
from __future__ import annotations

import ast

from bpfwright import headers as shipped
from bpfwright._typing import Any, Callable, NamedTuple, NoReturn
from bpfwright.errors import UsageError
from bpfwright.facets.blast.values import Varying, hold, random, varying
from bpfwright.headers import Ethernet
from bpfwright.spec.header import Header, Option
from bpfwright.spec.packet import Packet

__all__ = ["Expression", "Field", "addressed", "parse_expression", "parse_value", "with_fields"]

_LONGEST_TEXT = 20_000
_LONGEST_BYTES = 65_535


class Field(NamedTuple):
    """A field that varies: of which header, counted from 0, its name, and how."""

    header: int
    name: str
    varying: Varying


class Expression(NamedTuple):
    """A packet with the first value of each field, and the fields that vary."""

    packet: Packet
    fields: tuple[Field, ...] = ()


class _Made(NamedTuple):
    header: Header
    varying: tuple[tuple[str, Varying], ...]


def parse_expression(text: str) -> Expression:
    """Read an expression. Raises UsageError."""
    if len(text) > _LONGEST_TEXT:
        raise UsageError(f"an expression of {len(text)} characters", cure="Send longer packets from a capture.")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"the expression cannot be read: {error}", why=text.strip()[:200],
                         cure='Write Ethernet() / IPv4(destination="198.18.0.1") / UDP(dport=9).') from None
    return _assembled(_Reader(text.strip()).parts(tree.body))


def parse_value(text: str) -> Any:
    """Read one value: `random(range(1, 9))`, `[1, 2]`. Raises UsageError."""
    try:
        tree = ast.parse(text, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{text!r} cannot be read: {error}") from None
    return _Reader(text).value(tree.body)


def _assembled(parts: list[Any]) -> Expression:
    made = [part for part in parts if isinstance(part, _Made)]
    payload = b"".join(part for part in parts if isinstance(part, bytes))
    fields = tuple(Field(place, name, how) for place, each in enumerate(made) for name, how in each.varying)
    return Expression(Packet([each.header for each in made], payload), fields)


def with_fields(expression: Expression, changes: dict[str, Any]) -> Expression:
    """Give fields of the outermost header that has them other values: `{"destination": "198.18.0.9"}`.

    Ethernet's addresses stay: they are not what `source` and `destination` mean here.
    """
    headers = list(expression.packet.headers)
    fields = list(expression.fields)
    for name, value in changes.items():
        place = next((i for i, header in enumerate(headers) if name in type(header).__layout__().fields
                      and type(header).__name__ != "Ethernet"), None)
        if place is None:
            raise UsageError(f"no header of the frame has a field {name!r}", why=repr(expression.packet))
        twin = headers[place].copy()
        how = _set(twin, name, value)
        headers[place] = twin
        fields = [field for field in fields if (field.header, field.name) != (place, name)]
        if how is not None:
            fields.append(Field(place, name, how))
    return Expression(Packet(headers, expression.packet.payload), tuple(fields))


def _set(header: Header, name: str, value: Any) -> Varying | None:
    """Set a field, to its first value where it varies; how it varies."""
    cls = type(header)
    how = varying(f"{cls.__name__}.{name}", cls.__layout__().fields[name].type, value)
    set_number(header, name, value if how is None else how.value(0, 0))
    return how


def set_number(header: Header, name: str, value: Any) -> None:
    """Assign a field; an address may be a number."""
    address = getattr(cls_of(header, name), "cls", None)
    setattr(header, name, address.from_int(value) if address is not None and isinstance(value, int) else value)


def cls_of(header: Header, name: str) -> Any:
    """The type of a header's field."""
    return type(header).__layout__().fields[name].type


class _Reader:
    """Evaluates the tree of an expression."""

    def __init__(self, text: str) -> None:
        self.text = text

    def refuse(self, node: ast.AST, what: str, cure: str = "") -> NoReturn:
        start = getattr(node, "col_offset", 0)
        shown = self.text.encode()[start:getattr(node, "end_col_offset", start + 20)].decode("utf-8", "replace")
        raise UsageError(f"{what}: {shown[:80]}", cure=cure)

    def parts(self, node: ast.expr) -> list[Any]:
        """The headers and bytes that `/` joins, outermost first."""
        chain: list[ast.expr] = []
        while isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            chain.append(node.right)
            node = node.left
        found = [self.value(each) for each in (node, *reversed(chain))]
        for part, each in zip(found, (node, *reversed(chain)), strict=True):
            if not isinstance(part, (_Made, bytes)):
                self.refuse(each, "a frame is made of headers and bytes, which this is not")
        first_bytes = next((i for i, part in enumerate(found) if isinstance(part, bytes)), len(found))
        if any(isinstance(part, _Made) for part in found[first_bytes:]):
            self.refuse(node, "a header cannot follow payload bytes")
        if first_bytes == 0:
            self.refuse(node, "a frame begins with a header", "Write Ethernet() / ...")
        return found

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | str() | bytes() as value):
                return value
            case ast.List(elts=items) | ast.Tuple(elts=items):
                return [self.value(item) for item in items]
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
                return -value
            case ast.BinOp(left=ast.BinOp(op=ast.Div()), op=ast.Mult()):
                self.refuse(node, "`*` takes all that is left of it, as in Python", 'Write / (b"x" * 100).')
            case ast.BinOp(left=left, op=ast.Mult(), right=right):
                return self.repeated(node, self.value(left), self.value(right))
            case ast.Call(func=ast.Name(id=name)):
                return self.call(node, name)
        self.refuse(node, "an expression has no such thing", "It has headers, numbers, text, bytes, lists, range(), "
                                                               "random() and hold().")

    def repeated(self, node: ast.expr, what: Any, times: Any) -> bytes:
        if not isinstance(what, bytes) or not isinstance(times, int) or not 0 <= times * len(what) <= _LONGEST_BYTES:
            self.refuse(node, "only bytes are repeated, up to 65535 of them", 'Write (b"x" * 100).')
        return what * times

    def call(self, node: ast.Call, name: str) -> Any:
        if any(word.arg is None for word in node.keywords):
            self.refuse(node, "arguments are named one by one")
        words = {str(word.arg): self.value(word.value) for word in node.keywords}
        if name in _FUNCTIONS:
            try:
                return _FUNCTIONS[name](*map(self.value, node.args), **words)
            except (TypeError, ValueError) as error:
                if isinstance(error, UsageError):
                    raise
                self.refuse(node, str(error))
        header = getattr(shipped, name) if name in shipped.__all__ else None
        if not isinstance(header, type) or not issubclass(header, Header):
            self.refuse(node, "no header has this name", self.known(name))
        if node.args:
            self.refuse(node, f"{name} takes its fields by name", f"{name}({next(iter(header.__own__), '')}=...)")
        return self.header(header, words)

    def known(self, name: str) -> str:
        from difflib import get_close_matches
        names = [each for each in shipped.__all__ if isinstance(getattr(shipped, each), type)
                 and issubclass(getattr(shipped, each), Header) and not issubclass(getattr(shipped, each), Option)]
        lower = {each.lower(): each for each in names}
        near = get_close_matches(name.lower(), lower, 1)
        return f"Did you mean {lower[near[0]]}?" if near else f"There are: {', '.join(sorted(names))}."

    def header(self, cls: type[Header], words: dict[str, Any]) -> Any:
        """A header with its constants and the first value of what varies; an option as it is."""
        fields = cls.__layout__().fields
        plain = {name: value for name, value in words.items() if name not in fields}
        made = cls(**plain)
        ways = []
        for name, value in words.items():
            if name in fields:
                how = _set(made, name, value)
                if how is not None:
                    ways.append((name, how))
        if not issubclass(cls, Option):
            return _Made(made, tuple(ways))
        if ways:
            raise UsageError(f"{cls.__name__}.{ways[0][0]} cannot vary", why="fields of options have one value")
        return made


_FUNCTIONS: dict[str, Callable[..., Any]] = {"range": range, "random": random, "hold": hold}


def addressed(frames: str | Packet | Header | Expression, source: str, destination: str) -> Expression:
    """The expression with MAC addresses in its first header, where none were given."""
    found = frames if isinstance(frames, Expression) else parse_expression(frames) if isinstance(frames, str) \
        else Expression(frames if isinstance(frames, Packet) else Packet((frames,)))
    headers = list(found.packet.headers)
    if headers and isinstance(headers[0], Ethernet):
        first = headers[0].copy()
        for name, address in (("source", source), ("destination", destination)):
            if address and name not in first._given:
                setattr(first, name, address)
        headers[0] = first
    return Expression(Packet(headers, found.packet.payload, found.packet.padding), found.fields)
