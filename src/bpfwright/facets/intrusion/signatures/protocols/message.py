"""What a protocol says in one go: a request, an answer, a query, a hello. Buffers are made when they are asked for."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, Mapping

__all__ = ["Message"]

Values = tuple[bytes, ...]
_NONE: Values = ()
_NOTHING: frozenset[str] = frozenset()
_NO_NUMBERS: dict[str, int] = {}


class Message:
    """`values(name)`: the bytes of a buffer, several where the protocol has several, () where it has none of it. They
    are made of `source` by `makers`, which are the same for all messages of a kind. `told` holds the rules that matched
    already; `grows`: buffers that may get longer, until it is `whole`; `looked` is for whoever looks, by buffer and
    what was made of it."""

    __slots__ = ("_known", "_makers", "changed", "grows", "looked", "numbers", "protocol", "source", "to_server",
                 "told", "whole")

    def __init__(self, protocol: str, *, to_server: bool, source: Any, makers: Mapping[str, Callable[[Any], Values]],
                 numbers: Mapping[str, int] | None = None, grows: frozenset[str] = _NOTHING) -> None:
        self.protocol, self.to_server, self.source = protocol, to_server, source
        self._makers = makers
        self._known: dict[str, Values] = {}
        self.numbers = numbers or _NO_NUMBERS
        self.grows = grows
        self.changed = False
        self.whole = True
        self.told: set[int] = set()
        self.looked: dict[tuple[str, tuple[str, ...]], object] = {}

    def values(self, name: str) -> Values:
        """The bytes of a buffer."""
        known = self._known.get(name)
        if known is None:
            maker = self._makers.get(name)
            known = self._known[name] = maker(self.source) if maker is not None else _NONE
        return known

    def grown(self, *, again: bool) -> None:
        """What grows has grown; `again`: the message was given before, so all else of it was looked at."""
        self.changed |= again
        for name in self.grows:
            self._known.pop(name, None)
        for key in [key for key in self.looked if key[0] in self.grows]:
            del self.looked[key]
