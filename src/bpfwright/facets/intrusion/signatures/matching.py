"""Whether a rule's steps are in a payload: contents with their places, numbers, expressions; later ones may depend on
where earlier ones were found, so other places are tried when they fail."""
from __future__ import annotations

import re

from bpfwright._host import thread_cpu_ns
from bpfwright._typing import Any, Callable, Iterator, Mapping, Sequence
from bpfwright.facets.intrusion.signatures.model import (
    ByteJump,
    ByteMath,
    ByteTest,
    Content,
    DataAt,
    Pattern,
    Size,
    Step,
)
from bpfwright.facets.intrusion.signatures.spans import holds

__all__ = ["BUDGET_NS", "Text", "TooMuch", "matches"]

BUDGET_NS = 20_000_000
"""What a rule may take on a payload, of this thread's time."""
_MOST_TRIES = 20_000
_CLOCKED = 64  # tries between two looks at the clock
_DIGITS = {8: re.compile(rb"\s*([0-7]+)"), 10: re.compile(rb"\s*([0-9]+)"),
           16: re.compile(rb"\s*(?:0[xX])?([0-9a-fA-F]+)")}
_OPERATORS: dict[str, Callable[[int, int], bool]] = {
    "<": lambda a, b: a < b, ">": lambda a, b: a > b, "=": lambda a, b: a == b, "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b, "!=": lambda a, b: a != b, "&": lambda a, b: a & b != 0, "^": lambda a, b: a ^ b != 0}


_MATH: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a // b,
    "<<": lambda a, b: a << min(b, 64), ">>": lambda a, b: a >> min(b, 64)}
_MOST_VALUE = (1 << 64) - 1
_MOST_DIGITS = 23
_NO_VALUES: dict[str, int] = {}


class TooMuch(Exception):
    """A rule wants more tries on a payload than it gets."""


class Text:
    """A payload, and its lower case when somebody asks. `tries` and `until_ns` are of the rule that is looked for."""

    __slots__ = ("_lower", "data", "tries", "until_ns")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._lower: bytes | None = None
        self.tries = self.until_ns = 0

    @property
    def lower(self) -> bytes:
        """All in lower case."""
        if self._lower is None:
            self._lower = self.data.lower()
        return self._lower

    def begin(self) -> None:
        """Another rule is looked for. The clock starts when it turns out to be no matter of a few tries."""
        self.tries = self.until_ns = 0

    def tried(self) -> None:
        """One more try. TooMuch when there were enough."""
        self.tries += 1
        if self.tries > _MOST_TRIES:
            raise TooMuch
        if self.tries % _CLOCKED == 0:
            self.left_s()

    def left_s(self) -> float:
        """What is left of the rule's time. TooMuch when nothing is."""
        now = thread_cpu_ns()
        if self.until_ns == 0:
            self.until_ns = now + BUDGET_NS
        if now >= self.until_ns:
            raise TooMuch
        return (self.until_ns - now) / 1e9


def matches(steps: Sequence[Step], text: Text) -> bool:
    """Whether all steps hold. TooMuch when it takes too long to tell."""
    text.begin()
    return _from(steps, 0, text, 0, _NO_VALUES)


def _from(steps: Sequence[Step], number: int, text: Text, cursor: int, values: Mapping[str, int]) -> bool:
    """Whether the steps from `number` on hold, when the match before ended at `cursor`; `values` are those with names.
    """
    while number < len(steps):
        step = steps[number]
        number += 1
        text.tried()
        if values and not isinstance(step, (Pattern, Size)) and step.named:
            known: dict[str, Any] = {field: values[name] for field, name in step.named}
            step = step._replace(named=(), **known)
        if isinstance(step, (Content, Pattern)) and not step.negated:
            return _found(step, steps, number, text, cursor, values)
        if isinstance(step, Content):
            if next(_places(step, text, cursor), None) is not None:
                return False
        elif isinstance(step, Pattern):
            if next(_ends(step, text, cursor), None) is not None:
                return False
        elif isinstance(step, DataAt):
            there = cursor + step.place <= len(text.data) if step.relative else step.place < len(text.data)
            if there == step.negated:
                return False
        elif isinstance(step, Size):
            if not holds(step.spans, len(text.data)):
                return False
        elif isinstance(step, ByteMath):
            made = _made(step, text.data, cursor)
            if made is None:
                return False
            values, cursor = {**values, step.name: made[0]}, made[1]
        elif isinstance(step, ByteTest):
            value = _number(step, text.data, cursor)
            if value is None or _OPERATORS[step.operator](value[0], step.value) == step.negated:
                return False
        else:
            jumped = _jumped(step, text.data, cursor)
            if jumped is None:
                return False
            cursor = jumped
    return True


def _found(step: Content | Pattern, steps: Sequence[Step], number: int, text: Text, cursor: int,
           values: Mapping[str, int]) -> bool:
    """Whether the rest holds behind one of the places of this."""
    again = number < len(steps) and _depends(steps, number)
    for end in _places(step, text, cursor) if isinstance(step, Content) else _ends(step, text, cursor):
        if _from(steps, number, text, end, values):
            return True
        if not again:
            return False
        text.tried()
    return False


def _depends(steps: Sequence[Step], number: int) -> bool:
    """Whether what comes next asks where this was found, before something else is found."""
    for step in steps[number:]:
        if step.relative:
            return True
        if isinstance(step, (ByteJump, Content, Pattern)) and not getattr(step, "negated", False):
            return False
    return False


def _places(content: Content, text: Text, cursor: int) -> Iterator[int]:
    """Where a content ends, each place where it stands."""
    data = text.lower if content.nocase else text.data
    pattern = content.pattern.lower() if content.nocase else content.pattern
    low, high = 0, len(data)
    if content.relative:
        low = cursor + (content.distance or 0)
        if content.within is not None:
            high = min(high, low + content.within)
    else:
        low = content.first
        if content.starts:
            high = min(high, len(pattern))
        elif content.depth is not None:
            high = min(high, low + content.depth)
    low = max(low, 0)
    if content.ends:
        low = max(low, len(data) - len(pattern))
    at = data.find(pattern, low, high) if high >= low else -1
    while at >= 0:
        yield at + len(pattern)
        at = data.find(pattern, at + 1, high)


def _ends(pattern: Pattern, text: Text, cursor: int) -> Iterator[int]:
    start = cursor if pattern.relative else 0
    try:
        for found in pattern.matcher.finditer(text.data[start:] if start else text.data, timeout=text.left_s()):
            yield found.end() + start
    except TimeoutError:
        text.until_ns = 1
        raise TooMuch from None


def _number(step: ByteTest | ByteJump | ByteMath, data: bytes, cursor: int) -> tuple[int, int] | None:
    """The number that a step reads, and where it ends. As many digits as there are, where its size is 0."""
    at = step.offset + (cursor if step.relative else 0)
    if at < 0 or at + step.size > len(data):
        return None
    raw = data[at:at + (step.size or _MOST_DIGITS)]
    if step.number_base:
        found = _DIGITS[step.number_base].match(raw)
        if found is None:
            return None
        value = int(found[1], step.number_base)
    else:
        value = int.from_bytes(raw, "little" if step.little else "big")
    if not (isinstance(step, ByteMath) and step.operator):  # whose mask is for what comes out of it
        value = _masked(value, step.mask)
    return value, at + step.size


def _masked(value: int, mask: int) -> int:
    return (value & mask) >> (mask & -mask).bit_length() - 1 if mask else value


def _made(step: ByteMath, data: bytes, cursor: int) -> tuple[int, int] | None:
    found = _number(step, data, cursor)
    if found is None or (step.operator == "/" and step.operand == 0):
        return None
    value = found[0] * step.multiplier
    value = -(-value // step.align) * step.align
    if step.operator:
        value = _MATH[step.operator](value, step.operand) & _MOST_VALUE
        value = _masked(value, step.mask)
    return value, found[1]


def _jumped(step: ByteJump, data: bytes, cursor: int) -> int | None:
    found = _number(step, data, cursor)
    if found is None:
        return None
    value, behind = found[0] * step.multiplier, found[1]
    if step.align:
        value = -(-value // 4) * 4
    origin = {"beginning": 0, "end": len(data)}.get(step.origin, behind)
    place = max(0, origin + value + step.post)  # as in Suricata, one cannot jump before the beginning
    return place if place <= len(data) else None
