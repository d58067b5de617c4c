"""Which of many rules are worth a closer look at a text: those of whose pattern four bytes are in it."""
from __future__ import annotations

import sys

from bpfwright._typing import Generic, Iterable, Protocol, TypeVar
from bpfwright.facets.intrusion.signatures.matching import Text

__all__ = ["Finder"]

_GRAM = 4
_LONG = 40  # bytes of text for each rule, from which on it is quicker to look for one after the other


class Sought(Protocol):
    """What is sought: its number, which says the order, and a needle."""

    @property
    def number(self) -> int: ...

    @property
    def needle(self) -> bytes: ...


T = TypeVar("T", bound=Sought)


class Finder(Generic[T]):
    """Some rules. `seen_in(text)` holds all whose needle is in it, in any case, and some others, in their order."""

    __slots__ = ("_all", "_by_gram", "_grams", "_others", "longest")

    def __init__(self, rules: Iterable[T]) -> None:
        self._all = [(rule.needle.lower(), rule) for rule in rules]
        self._by_gram: dict[int, list[T]] = {}
        self._others: list[T] = []
        self.longest = max((len(needle) for needle, _ in self._all), default=0)
        for needle, rule in self._all:
            grams = [int.from_bytes(needle[at:at + _GRAM], sys.byteorder) for at in range(len(needle) - _GRAM + 1)]
            if grams:  # the one that the fewest others have
                self._by_gram.setdefault(min(grams, key=lambda gram: len(self._by_gram.get(gram, ()))), []).append(rule)
            else:
                self._others.append(rule)
        self._grams = frozenset(self._by_gram)

    def seen_in(self, text: Text) -> list[T]:
        """The rules that are worth a look."""
        data = text.lower
        if len(data) > _LONG * len(self._all):
            return [rule for needle, rule in self._all if needle in data]
        found = list(self._others)
        if self._grams:
            view = memoryview(data)
            seen: set[int] = set()
            for offset in range(min(_GRAM, max(0, len(data) - _GRAM + 1))):
                words = view[offset:offset + (len(data) - offset) // _GRAM * _GRAM].cast("I")
                seen |= self._grams.intersection(words)
            for gram in seen:
                found += self._by_gram[gram]
        if len(found) > 1:
            found.sort(key=_number)
        return found


def _number(rule: Sought) -> int:
    return rule.number
