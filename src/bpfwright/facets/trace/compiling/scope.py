"""What is known of maps and variables: found out in passes over the whole script, until nothing changes any more."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.typed import join, refuse
from bpfwright.facets.trace.text import Note, Span
from bpfwright.facets.trace.types import Aggregate, Nothing, Type

__all__ = ["Knowledge", "MapFacts", "Scopes"]


class MapFacts:
    """A map of the script: its keys and value as far as they are known, and where that was said."""

    __slots__ = ("declared", "key_span", "keys", "name", "size", "span", "used", "value", "value_span")

    def __init__(self, name: str, span: Span) -> None:
        self.name = name
        self.span = span
        self.keys: tuple[Type, ...] | None = None
        self.value: Type | None = None
        self.key_span = self.value_span = span
        self.declared = ""
        self.size = 0
        self.used = False


class Knowledge:
    """What passes have found; `changed` says whether another one is needed, `learned` that maps did. `loose` are
    variables (of a probe) that are used outside of the block that assigns them, as older scripts do. `waiting`: a map
    was read before anything said what it holds. When nothing else is left to find out, `guessing` takes such maps to
    hold numbers. `indexed`: a program finds out by a number which of several places it runs at."""

    def __init__(self) -> None:
        self.maps: dict[str, MapFacts] = {}
        self.variables: dict[tuple[int, int, int], Type] = {}
        self.loose: set[tuple[int, str]] = set()
        self.changed = self.learned = self.waiting = self.guessing = False
        self.final = self.indexed = False
        self.warnings: dict[Note, None] = {}

    def map(self, name: str, span: Span) -> MapFacts:
        """A map by its name, where it is used."""
        found = self.maps.get(name)
        if found is None:
            found = self.maps[name] = MapFacts(name, span)
        found.used = True
        return found

    def over(self) -> bool:
        """After a pass: whether it was the last one. Variables that were given less than all their values, or
        guesses, are found out anew."""
        if self.waiting or (self.guessing and self.learned):
            self.guessing = not self.learned
            self.variables.clear()
            return False
        return not self.changed

    def keyed(self, facts: MapFacts, keys: tuple[Type, ...], span: Span) -> None:
        """The map is used with keys of these types (none: without)."""
        if facts.keys is None:
            facts.keys, facts.key_span = keys, span
            self.changed = self.learned = True
            return
        if len(keys) != len(facts.keys):
            raise _other_keys(facts, keys, span)
        joined = []
        for old, new in zip(facts.keys, keys, strict=True):
            both = join(old, new)
            if both is None:
                raise refuse(span, f"@{facts.name} has a key of type `{old}`, not `{new}`",
                             f"It was first used with `{old}` in line {facts.key_span.line}.")
            joined.append(both)
        if tuple(joined) != facts.keys:
            facts.keys = tuple(joined)
            self.changed = self.learned = True

    def valued(self, facts: MapFacts, type: Type, span: Span) -> None:
        """The map holds values of this type."""
        if isinstance(type, Nothing):
            raise refuse(span, "this has no value", "Assign something that has one.")
        if facts.value is None:
            facts.value, facts.value_span = type, span
            self.changed = self.learned = True
            return
        both = _same_aggregate(facts.value, type) if isinstance(type, Aggregate) else join(facts.value, type)
        if both is None:
            raise refuse(span, f"@{facts.name} holds `{facts.value}`, not `{type}`",
                         f"It was first given `{facts.value}` in line {facts.value_span.line}: use another map.")
        if both != facts.value:
            facts.value = both
            self.changed = self.learned = True

    def warn(self, span: Span, what: str, cure: str = "") -> None:
        """Say something once."""
        if self.final:
            self.warnings[Note(span, what, cure)] = None


def _same_aggregate(one: Type, other: Type) -> Type | None:
    if type(one) is not type(other):
        return None
    if one == other:
        return one
    signed = getattr(one, "signed", None) or getattr(other, "signed", None)
    mixed = type(one)(*(signed if field == "signed" else value
                        for field, value in zip(one.fields, one._values, strict=True)))
    again = type(other)(*(signed if field == "signed" else value
                          for field, value in zip(other.fields, other._values, strict=True)))
    return mixed if mixed == again else None


def _other_keys(facts: MapFacts, keys: tuple[Type, ...], span: Span) -> Exception:
    shown = f"({', '.join(map(str, facts.keys or ()))})"
    if not facts.keys:
        return refuse(span, f"@{facts.name} has no keys", f"It is used without in line {facts.key_span.line}: "
                      "use one form throughout.")
    if not keys:
        return refuse(span, f"@{facts.name} has keys: {shown}", f"Write `@{facts.name}[...]`.")
    return refuse(span, f"@{facts.name} has {len(facts.keys)} keys, not {len(keys)}",
                  f"It was first used with {shown} in line {facts.key_span.line}.")


class Scopes:
    """Blocks in one another, and the variables that each declares. `left` are the names of blocks that are over,
    `spoiled` those whose assignment was refused: that was said once."""

    __slots__ = ("_blocks", "left", "spoiled")

    def __init__(self) -> None:
        self._blocks: list[dict[str, Any]] = [{}]
        self.left: set[str] = set()
        self.spoiled: set[str] = set()

    def enter(self) -> None:
        self._blocks.append({})

    def leave(self) -> None:
        self.left.update(self._blocks.pop())

    def find(self, name: str) -> Any:
        """The variable of that name in the nearest block, or None."""
        for block in reversed(self._blocks):
            if name in block:
                return block[name]
        return None

    def here(self, name: str) -> Any:
        """The variable that this very block declares."""
        return self._blocks[-1].get(name)

    def declare(self, name: str, variable: Any) -> None:
        self._blocks[-1][name] = variable

    def declare_outside(self, name: str, variable: Any) -> None:
        """Let the outermost block declare it."""
        self._blocks[0][name] = variable

    def names(self) -> list[str]:
        """All names that are visible."""
        return [name for block in self._blocks for name in block]
