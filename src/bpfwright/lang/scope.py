"""What a name means: a local of the function, or a Python object that was there when the program was compiled."""
from __future__ import annotations

import builtins
from types import FunctionType

from bpfwright._typing import Any, Iterator
from bpfwright.errors import UsageError
from bpfwright.lang import tree as t
from bpfwright.types.ctype import CType, Maybe, ctype_of

__all__ = ["MISSING", "Scope", "assigned", "names_in"]

MISSING = object()


class Scope:
    """The names around one function: closure cells, module globals, builtins; never its locals."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        self.closure: dict[str, Any] = {}
        for name, cell in cells:
            try:
                self.closure[name] = cell.cell_contents
            except ValueError:
                continue

    def lookup(self, name: str) -> object:
        """The object, or MISSING."""
        for space in (self.closure, self.function.__globals__):
            if name in space:
                return space[name]
        return getattr(builtins, name, MISSING)

    @property
    def spaces(self) -> list[dict[str, Any]]:
        """Where annotations are evaluated."""
        return [self.closure, self.function.__globals__]

    def annotation(self, name: str) -> object:
        """The annotation of a parameter or of `return`: an object, evaluated; MISSING when there is none."""
        found = self.function.__annotations__.get(name, MISSING)
        return self.evaluate(found) if isinstance(found, str) else found

    def evaluate(self, text: str) -> object:
        """What an annotation's text means here. UsageError when it means nothing."""
        merged = {**self.function.__globals__, **self.closure}
        try:
            result: object = eval(text, merged)
            return result
        except Exception as error:  # whatever the user's expression raises
            raise UsageError(f"annotation {text!r}: {str(error).partition(chr(10))[0]}") from None

    def ctype(self, annotation: object) -> CType | Maybe:
        """The C type of an annotation, or a Maybe of one. UsageError when it is none."""
        if isinstance(annotation, Maybe):
            return annotation
        args = getattr(annotation, "__args__", ())
        if len(args) == 2 and type(None) in args:
            (inner,) = (a for a in args if a is not type(None))
            return Maybe(ctype_of(inner, self.spaces))
        return ctype_of(annotation, self.spaces)


def names_in(target: Any) -> Iterator[str]:
    """The local names that an assignment's target sets."""
    if isinstance(target, t.Name):
        yield target.name
    elif isinstance(target, t.Tuple):
        for item in target.items:
            yield from names_in(item)


def assigned(nodes: Any) -> set[str]:
    """Every name that these statements may set."""
    found: set[str] = set()
    work = list(nodes) if isinstance(nodes, list) else [nodes]
    while work:
        node = work.pop()
        if isinstance(node, (list, tuple)):
            work.extend(node)
        elif isinstance(node, dict):
            work.extend(node.values())
        elif isinstance(node, t.Node):
            if isinstance(node, (t.Assign, t.Augmented, t.For, t.Walrus, t.With)):
                found.update(names_in(node.target))
            elif isinstance(node, t.Pattern) and node.kind in ("bind", "as"):
                found.add(node.value)
            work.extend(getattr(node, field) for field in getattr(node, "fields", ()))
    return found


def mentioned(nodes: Any) -> set[str]:
    """Every name that these statements read or set."""
    found = assigned(nodes)
    work = list(nodes) if isinstance(nodes, list) else [nodes]
    while work:
        node = work.pop()
        if isinstance(node, (list, tuple)):
            work.extend(node)
        elif isinstance(node, dict):
            work.extend(node.values())
        elif isinstance(node, t.Node):
            if isinstance(node, t.Name):
                found.add(node.name)
            work.extend(getattr(node, field) for field in getattr(node, "fields", ()))
    return found


def assignments(nodes: Any) -> tuple[dict[str, int], set[str]]:
    """How often each name is set (what stands in a loop counts twice), and every member name that is assigned."""
    counts: dict[str, int] = {}
    members: set[str] = set()
    work: list[tuple[Any, int]] = [(nodes, 1)]
    while work:
        node, weight = work.pop()
        if isinstance(node, (list, tuple)):
            work.extend((item, weight) for item in node)
        elif isinstance(node, dict):
            work.extend((item, weight) for item in node.values())
        elif isinstance(node, t.Node):
            if isinstance(node, (t.For, t.While)):
                weight = 2
            if isinstance(node, (t.Assign, t.Augmented, t.For, t.Walrus, t.With)):
                for name in names_in(node.target):
                    counts[name] = counts.get(name, 0) + weight
                for target in node.target.items if isinstance(node.target, t.Tuple) else [node.target]:
                    if isinstance(target, t.Attribute):
                        members.add(target.name)
            elif isinstance(node, t.Pattern) and node.kind in ("bind", "as"):
                counts[node.value] = counts.get(node.value, 0) + weight
            work.extend((getattr(node, field), weight) for field in getattr(node, "fields", ()))
    return counts, members
