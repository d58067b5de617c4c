"""Whether a rule holds for what a protocol says."""
from __future__ import annotations

from bpfwright._typing import Iterable
from bpfwright.facets.intrusion.signatures.finding import Finder
from bpfwright.facets.intrusion.signatures.matching import Text, matches
from bpfwright.facets.intrusion.signatures.model import Content, Group, Signature, Size, Step, worth
from bpfwright.facets.intrusion.signatures.protocols.message import Message
from bpfwright.facets.intrusion.signatures.spans import holds
from bpfwright.facets.intrusion.signatures.transforms import transformed

__all__ = ["Asked", "Askers"]


class Asked:
    """A rule about messages, with what is asked of it first: the content that is in the fewest of them."""

    __slots__ = ("_grows", "_nocase", "_waits", "buffer", "needle", "number", "rule", "side", "transforms")

    def __init__(self, number: int, rule: Signature) -> None:
        self.number, self.rule = number, rule
        self.side = {"": None, "server": True, "client": False}[rule.side]
        self.buffer, self.needle, self._nocase = "", b"", False
        self.transforms: tuple[str, ...] = ()
        best: Content | None = None
        for group in rule.groups:
            for step in group.steps:
                if isinstance(step, Content) and not step.negated and (best is None or worth(step) > worth(best)):
                    best = step
                    self.buffer, self.transforms, self._nocase = group.buffer, group.transforms, step.nocase
                    self.needle = step.pattern.lower() if step.nocase else step.pattern
        self._grows = {group.buffer for group in rule.groups}
        self._waits = {group.buffer for group in rule.groups if any(map(_until_its_end, group.steps))}

    def may_hold(self, message: Message) -> bool:
        """Whether it is worth a closer look."""
        if self.side is not None and self.side is not message.to_server:
            return False
        if message.changed and not self.rule.steps and self._grows.isdisjoint(message.grows):
            return False  # that was looked at before it grew
        if not self.needle:
            return True
        for text in _texts(message, self.buffer, self.transforms):
            if self.needle in (text.lower if self._nocase else text.data):
                return True
        return False

    def holds(self, message: Message, payload: bytes) -> bool:
        """Whether all of it holds; `payload` is for its steps outside of buffers. TooMuch when that takes too long."""
        rule = self.rule
        if not message.whole and not self._waits.isdisjoint(message.grows):
            return False
        if not all(holds(spans, message.numbers.get(name, -1)) for name, spans in rule.said):
            return False
        return all(_in_one(group, message) for group in rule.groups) and (
            not rule.steps or matches(rule.steps, Text(payload)))


class Askers:
    """Rules about messages of a protocol that one side says: by the buffer that is looked into first."""

    __slots__ = ("_finders", "_others")

    def __init__(self, rules: Iterable[Asked]) -> None:
        by_buffer: dict[tuple[str, tuple[str, ...]], list[Asked]] = {}
        self._others: list[Asked] = []
        for asked in rules:
            if asked.needle:
                by_buffer.setdefault((asked.buffer, asked.transforms), []).append(asked)
            else:
                self._others.append(asked)
        self._finders = [(key, Finder(some)) for key, some in by_buffer.items()]

    def about(self, message: Message) -> list[Asked]:
        """The rules that are worth a closer look, in their order."""
        found = list(self._others)
        for (buffer, transforms), finder in self._finders:
            for text in _texts(message, buffer, transforms):
                found += finder.seen_in(text)
        return sorted(set(found), key=_number) if len(found) > 1 else found


def _until_its_end(step: Step) -> bool:
    """Whether a step may hold in a buffer's beginning and not in all of it."""
    return isinstance(step, Size) or getattr(step, "negated", False) or getattr(step, "ends", False) or (
        getattr(step, "origin", "") == "end")


def _number(asked: Asked) -> int:
    return asked.number


def _in_one(group: Group, message: Message) -> bool:
    return any(matches(group.steps, text) for text in _texts(message, group.buffer, group.transforms))


def _texts(message: Message, buffer: str, transforms: tuple[str, ...]) -> list[Text]:
    key = buffer, transforms
    known = message.looked.get(key)
    if known is None:
        known = message.looked[key] = [Text(transformed(value, transforms) if transforms else value)
                                       for value in message.values(buffer)]
    assert isinstance(known, list)
    return known
