"""How a declaration says what a name does inside a program.

A map type, a hook's context or a helper lists its operations: `check` gives the meaning of a use from the meanings of
its arguments, `lower` builds it from the values that the compiler hands over. Both are handed what they need; neither
knows the compiler.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, NoReturn, Protocol
from bpfwright.spec.meaning import Meaning
from bpfwright.types.ctype import CType

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["Builder", "Loop", "Operation", "Property", "Scope", "Site", "Value", "operation_of"]


class Value:
    """A lowered expression: the numbers of the IR values that carry it.

    One for integers, booleans, pointers; a Optional pointer is one (null: None); another Optional is a flag and its
    value; a OneOf is the choice's number (from 1; 0: None) and a pointer; a tuple those of its items.
    """

    __slots__ = ("meaning", "parts", "wire")

    def __init__(self, meaning: Meaning, *parts: int) -> None:
        self.meaning = meaning
        self.parts = parts
        self.wire: tuple[int, str] | None = None  # a number in network order before it was swapped, and its IR type

    @property
    def only(self) -> int:
        """The single IR value."""
        (one,) = self.parts
        return one


class Site(Protocol):
    """One use of an operation in a program: what it is used on, and its arguments."""

    receiver: Meaning
    notes: dict[str, Any]

    def bind(self, *names: str, **defaults: object) -> None:
        """Match the call's arguments to these names; those with defaults may be missing."""

    def given(self, name: str) -> bool: ...

    def meaning(self, name: str) -> Meaning:
        """What the argument is (a Constant of the default when it is missing)."""

    def integer(self, name: str) -> None:
        """Refuse the argument unless it is an integer."""

    def constant(self, name: str) -> Any:
        """The argument's value, which must be known when compiling."""

    def fits(self, name: str, ctype: CType) -> None:
        """Refuse the argument unless a `ctype` can be made of it."""

    def refuse(self, what: str, cure: str = "") -> NoReturn: ...

    def callback(self, name: str, parameters: list[Meaning], *, first: str = "",
                 pointers: list[CType] | None = None) -> None:
        """The argument is a function; compile it with these parameters, as a function of its own.

        With `pointers`, the kernel passes pointers to values of these types (after one of type `first`).
        """

    @property
    def program(self) -> Any:
        """The program that is being compiled."""

    def target(self) -> Any:
        """What the program is compiled for: features, hook, options."""

    def value(self, name: str) -> Value:
        """The argument, lowered (when lowering)."""

    def into(self, name: str, ctype: CType, pointer: int, offset: int = 0) -> None:
        """Lower the argument straight into memory."""

    def address(self, name: str, ctype: CType) -> int:
        """A pointer to the argument's bytes as a `ctype`."""

    def function(self, name: str) -> int:
        """A pointer to the callback that `callback` compiled."""

    def receiver_value(self) -> Value: ...


class Builder(Protocol):
    """What `lower` builds with. IR values are numbers; pointers are of type ptr, integers i64, booleans i1."""

    def number(self, value: int, type: str = "i64") -> int: ...
    def null(self) -> int: ...
    def op(self, name: str, type: str, *args: int | str) -> int: ...
    def effect(self, name: str, *args: int | str) -> None: ...
    def helper(self, number: int, *args: int) -> int: ...
    def kfunc(self, name: str, result: CType | None, arguments: list[tuple[CType, int]]) -> int: ...
    def map(self, declaration: object) -> int: ...
    def slot(self, size: int, align: int = 8, name: str = "") -> int: ...
    def scratch(self, ctype: CType) -> int: ...
    def pointer(self, base: int, offset: int) -> int: ...
    def load(self, type: str, pointer: int, offset: int = 0, align: int = 0) -> int: ...
    def store(self, pointer: int, value: int, offset: int = 0, align: int = 0) -> None: ...
    def fill(self, pointer: int, size: int, byte: int = 0) -> None: ...
    def copy(self, target: int, source: int, size: int, align: int = 1) -> None: ...
    def read(self, ctype: CType, pointer: int, offset: int = 0, space: str = "stack") -> Value: ...
    def write(self, ctype: CType, pointer: int, value: Value, offset: int = 0, space: str = "stack") -> None: ...
    def extend(self, value: int, type: str, signed: bool = False) -> int: ...
    def truncate(self, value: int, type: str) -> int: ...
    def is_null(self, pointer: int) -> int: ...
    def when(self, condition: int) -> AbstractContextManager[None]: ...
    def unless(self, condition: int) -> AbstractContextManager[None]: ...
    def choose(self, type: str, condition: int, then: Callable[[], int], other: Callable[[], int]) -> int: ...
    def integer(self, id: int, meaning: Meaning) -> Value: ...
    def boolean(self, id: int) -> Value: ...
    def some(self, meaning: Meaning, present: int, inner: Callable[[], Value]) -> Value: ...
    def count_lost(self, declaration: object) -> None: ...
    def core_offset(self, cls: type[Any], path: tuple[str, ...], kind: int = 0) -> int: ...
    def context(self) -> int: ...


class Operation:
    """Something that can be called: `check(site) -> Meaning`, `lower(builder, site) -> Value`.

    `moves_packet`: the packet's bounds and headers are not where they were, after it (a function of the site may tell).
    `pure`: it changes nothing, so that it may happen later, or not at all where its value is not wanted. `calls`: it
    calls into the kernel, which nothing may while a spin lock is held. `leaves`: the program ends there (a tail call),
    so nothing may be held.
    """

    __slots__ = ("calls", "check", "leaves", "lower", "moves_packet", "pure")

    def __init__(self, check: Callable[[Any], Meaning], lower: Callable[[Any, Any], Value], *,
                 moves_packet: bool | Callable[[Any], bool] = False, pure: bool = False, calls: bool = True,
                 leaves: bool = False) -> None:
        self.check = check
        self.lower = lower
        self.moves_packet = moves_packet
        self.pure = pure
        self.calls = calls
        self.leaves = leaves


class Property(Operation):
    """An attribute. `write(builder, site, value)` stores into it, `accepts` is the type it takes."""

    __slots__ = ("accepts", "write")

    def __init__(self, check: Callable[[Any], Meaning], lower: Callable[[Any, Any], Value],
                 write: Callable[[Any, Any, Value], None] | None = None, accepts: CType | None = None, *,
                 calls: bool = False) -> None:
        super().__init__(check, lower, calls=calls)
        self.write = write
        self.accepts = accepts


class Scope(Operation):
    """A `with` item: `lower` enters and gives the `as` value; `leave(builder, site, value)` runs on every way out.

    `lock`: "spin" inside which memory is this CPU's alone. `holds`: what must be given back before the program ends, in
    words ("" for nothing).
    """

    __slots__ = ("holds", "leave", "lock")

    def __init__(self, check: Callable[[Any], Meaning], lower: Callable[[Any, Any], Value],
                 leave: Callable[[Any, Any, Value], None], lock: str = "", holds: str = "") -> None:
        super().__init__(check, lower, calls=not lock)
        self.leave = leave
        self.lock = lock
        self.holds = holds


class Loop(Operation):
    """Something that `for` walks. `check` gives an item's meaning; `lower(builder, site, body)` builds the loop.

    `style`: `inline` calls `body(item)` within the same function (it may `break`); `callback` compiles the body as a
    function whose parameters are `parameters(site)`; `run(builder, site, function, frame)` starts it.
    """

    __slots__ = ("parameters", "run", "style")

    def __init__(self, check: Callable[[Any], Meaning], lower: Callable[..., Any], style: str = "inline",
                 parameters: Callable[..., Any] | None = None, run: Callable[..., Any] | None = None) -> None:
        super().__init__(check, lower, calls=style == "callback")
        self.style = style
        self.parameters = parameters
        self.run = run


def operation_of(owner: object, name: str) -> Operation | None:
    """The operation `name` of an object or class that declares `__operations__`, or None."""
    table = getattr(owner, "__operations__", None)
    return table.get(name) if isinstance(table, dict) else None
