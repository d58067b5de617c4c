"""`ctx.find(Header, ...)`: a walk over the headers' own declarations, bounds checked, as one small state machine."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bpfwright.spec.dialect import Loop, Operation, Value
from bpfwright.spec.header import Header, Link
from bpfwright.spec.meaning import Constant, Meaning, OneOf, Optional, Reference
from bpfwright.types.ctype import BitsType, Int, RecordType

__all__ = ["Bounds", "find", "option_loop", "parents"]

Bounds = Callable[[Any], tuple[int, int]]
"""Given the builder: pointers to the first byte of the packet and behind its last."""


def parents(header: type[Header]) -> list[tuple[type[Header], Link]]:
    """What a header may follow, without entering tunnels."""
    return [(link.parent, link) for link in header.follows if link.parent is not None and not link.tunnel]


def _reach(targets: list[type[Header]]) -> list[type[Header]]:
    """Every header on some way from a root to a target, the roots first."""
    found: dict[type[Header], int] = {}
    work: list[type[Header]] = list(targets)
    while work:
        header = work.pop()
        if header in found:
            continue
        found[header] = len(found)
        work.extend(parent for parent, _ in parents(header))
    return sorted(found, key=lambda h: (not h.root, -found[h]))


def _check(site: Any) -> Meaning:
    site.bind(*(f"header{i}" for i in range(max(1, len(site.args)))))
    choices: list[type[Header]] = []
    for i in range(len(site.args)):
        meaning = site.meaning(f"header{i}")
        header: Any = meaning.value if isinstance(meaning, Constant) else None
        if not isinstance(header, type) or not issubclass(header, Header):
            site.refuse("find() takes header classes", "Write ctx.find(IPv4).")
        choices.append(header)
    site.notes["headers"] = choices
    for header in choices:
        if not any(step.root for step in _reach([header])):
            site.refuse(f"{header.__name__} does not follow from Ethernet", "Declare `follows` in the header.")
    references = tuple(Reference(RecordType(header), "packet") for header in choices)
    return Optional(references[0] if len(references) == 1 else OneOf(references))


def find(bounds: Bounds) -> Operation:
    """The operation, for packets whose bounds a hook knows."""
    def lower(b: Any, site: Any) -> Value:
        return _Walk(b, site, bounds).run()

    return Operation(_check, lower)


class _Walk:
    def __init__(self, b: Any, site: Any, bounds: Bounds) -> None:
        self.b = b
        self.site = site
        self.targets: list[type[Header]] = site.notes["headers"]
        self.reach = _reach(self.targets)
        self.bounds = bounds
        self.repeats = _repeating(self.reach)

    def run(self) -> Value:
        b = self.b
        b.sink.packet_bounds = self.bounds
        start, self.end = self.bounds(b)
        self.at = b.slot(8, 8, "at")
        self.found = b.slot(8, 8, "header")
        self.which = b.slot(8, 8, "which")
        self.steps = b.slot(8, 8, "steps")
        b.store(self.at, start)
        if self.repeats:
            b.store(self.steps, b.number(0))
        self.done, self.missing = b.block(), b.block()
        self.entries = {header: b.block() for header in self.reach}
        root = next(header for header in self.reach if header.root)
        b.goto(self.entries[root])
        for header in self.reach:
            b.at = self.entries[header]
            self.visit(header)
        b.at = self.missing
        b.store(self.found, b.null())
        b.store(self.which, b.number(0))
        b.goto(self.done)
        b.at = self.done
        pointer = b.load("ptr", self.found)
        meaning = self.site.node.meaning
        if len(self.targets) == 1:
            return Value(meaning, pointer)
        return Value(meaning, b.load("i64", self.which), pointer)

    def visit(self, header: type[Header]) -> None:
        b = self.b
        layout = header.__layout__()
        if header in self.repeats:
            steps = b.load("i64", self.steps)
            self.require(b.op("ult", "i1", steps, b.number(header.most)))
            b.store(self.steps, b.op("add", "i64", steps, b.number(1)))
        at = b.load("ptr", self.at)
        self.require(b.op("ule", "i1", b.pointer(at, layout.size), self.end))
        if header in self.targets:
            b.store(self.found, at)
            b.store(self.which, b.number(self.targets.index(header) + 1))
            b.goto(self.done)
            return
        for name, value in header.payload_requires:
            self.require(b.op("eq", "i1", self.field(header, at, name), b.number(value)))
        b.store(self.at, self.behind(header, at))
        self.onward(header, at)

    def require(self, condition: int) -> None:
        b = self.b
        following = b.block()
        b.branch(condition, following, self.missing)
        b.at = following

    def field(self, header: type[Header], at: int, name: str) -> int:
        """A field's value as an i64."""
        field = header.__layout__().fields[name]
        if isinstance(field.type, BitsType):
            value: Value = self.b.read_bits(field.type, at, field.offset, field.shift, field.width, "packet")
        else:
            value = self.b.read(field.type, at, field.offset, "packet")
        return value.only

    def behind(self, header: type[Header], at: int) -> int:
        """Where the next header starts."""
        b = self.b
        size = header.__layout__().size
        rule = header.length_rule
        if rule is None:
            end: int = b.pointer(at, size)
            return end
        total = b.number(rule.bias)
        for name, unit in ((rule.field, rule.unit_bytes), *rule.more):
            part = self.field(header, at, name)
            total = b.op("add", "i64", total, b.op("mul", "i64", part, b.number(unit)))
        if rule.bias < size:
            self.require(b.op("ule", "i1", b.number(size), total))
        length: int = b.op("index", "ptr", at, total, 1)
        return length

    def onward(self, header: type[Header], at: int) -> None:
        """Go to the header that the selector names."""
        b = self.b
        known: dict[str, int] = {}
        for child in self.reach:
            for parent, link in parents(child):
                if parent is not header:
                    continue
                if not link.field:
                    b.goto(self.entries[child])
                    return
                if link.field not in known:
                    known[link.field] = self.selector(header, at, link.field)
                for value in link.values:
                    following = b.block()
                    b.branch(b.op("eq", "i1", known[link.field], self.wire(header, link.field, value)),
                             self.entries[child], following)
                    b.at = following
        b.goto(self.missing)

    def selector(self, header: type[Header], at: int, name: str) -> int:
        """The selecting field as it stands on the wire: constants are swapped instead of the load."""
        field = header.__layout__().fields[name]
        if isinstance(field.type, Int) and field.type.big:
            raw: int = self.b.extend(self.b.load(f"i{field.type.bits}", at, field.offset), f"i{field.type.bits}")
            return raw
        return self.field(header, at, name)

    def wire(self, header: type[Header], name: str, value: int) -> int:
        field = header.__layout__().fields[name]
        if isinstance(field.type, Int) and field.type.big:
            value = int.from_bytes(value.to_bytes(field.type.size, "big"), "little")
        number: int = self.b.number(value)
        return number


def _repeating(reach: list[type[Header]]) -> set[type[Header]]:
    """The headers of a walk that may come again: those that can be reached from themselves."""
    following = {header: {child for child in reach for parent, _ in parents(child) if parent is header}
                 for header in reach}
    repeating = set()
    for header in reach:
        seen: set[type[Header]] = set()
        work = list(following[header])
        while work:
            step = work.pop()
            if step not in seen:
                seen.add(step)
                work.extend(following[step])
        if header in seen:
            repeating.add(header)
    return repeating



# for option in tcp.options


MOST_OPTIONS, WALKED_OPTIONS = 40, 5
"""How many options of one header a loop walks; fewer where the verifier has no iterators (before Linux 6.4)."""
_LONGEST = 256  # bytes of options that a header may have


def option_loop(header: type[Header]) -> Loop:
    """`for option in tcp.options:` each option as one of its declared kinds, bounds checked."""
    options = header.option_list
    assert options is not None
    kinds: list[type[Header]] = [*options.kinds.values(), options.item]
    references = tuple(Reference(RecordType(kind), "packet") for kind in kinds)
    item = references[0] if len(references) == 1 else OneOf(references)

    def check(site: Any) -> Meaning:
        site.bind()
        return item

    def lower(b: Any, site: Any, body: Callable[..., None]) -> None:
        _OptionWalk(b, site, header, kinds, item).run(body)

    return Loop(check, lower)


class _OptionWalk:
    def __init__(self, b: Any, site: Any, header: type[Header], kinds: list[type[Header]], item: Meaning) -> None:
        self.b = b
        self.site = site
        self.header = header
        self.kinds = kinds
        self.item = item

    def run(self, body: Callable[..., None]) -> None:
        """The offset is a number that each round bounds anew, and the pointer made of it: so the verifier settles."""
        b, header = self.b, self.header
        options: Any = header.option_list
        start = b.slot(8, 8, "start")
        b.store(start, self.site.receiver_value().only)
        _, self.end = b.sink.packet_bounds(b)
        offset, length = b.slot(8, 8, "option"), b.slot(8, 8, "options")
        b.store(offset, b.number(header.__layout__().size))
        b.store(length, self.header_length(b.load("ptr", start)))
        with b.rounds(MOST_OPTIONS, WALKED_OPTIONS) as (head, self.after):
            here = b.load("i64", offset)
            self.require(b.op("ult", "i1", here, b.load("i64", length)))
            self.require(b.op("ult", "i1", here, b.number(_LONGEST)))
            at = b.anchor(b.op("index", "ptr", b.load("ptr", start), here, 1))
            self.require(b.op("ule", "i1", b.pointer(at, 1), self.end))
            kind = b.extend(b.load("i8", at, 0, 1), "i8")
            self.skip_singles(options, kind, here, offset, head)
            self.require(b.op("ule", "i1", b.pointer(at, options.item.__layout__().size), self.end))
            size = self.option_size(options, at)
            self.require(b.op("ule", "i1", b.number(options.item.__layout__().size), size))
            b.store(offset, b.op("add", "i64", here, size))
            body(self.choice(at, kind), head, self.after)

    def skip_singles(self, options: Any, kind: int, here: int, offset: int, head: Any) -> None:
        """Options of one byte: the end ends, the others are stepped over."""
        b = self.b
        if options.end is not None:
            self.require(b.op("ne", "i1", kind, b.number(options.end)))
        for single in options.single:
            if single == options.end:
                continue
            one, more = b.block(), b.block()
            b.branch(b.op("eq", "i1", kind, b.number(single)), one, more)
            b.at = one
            b.store(offset, b.op("add", "i64", here, b.number(1)))
            b.goto(head)
            b.at = more

    def option_size(self, options: Any, at: int) -> int:
        """The bytes that the option says it has."""
        b, rule = self.b, options.item.length_rule
        field = options.item.__layout__().fields[rule.field]
        size: int = b.read(field.type, at, field.offset, "packet").only
        if rule.unit_bytes != 1:
            size = b.op("mul", "i64", size, b.number(rule.unit_bytes))
        return b.op("add", "i64", size, b.number(rule.bias)) if rule.bias else size

    def header_length(self, start: int) -> int:
        """The header's bytes, options included."""
        b, rule = self.b, self.header.length_rule
        if rule is None:
            fixed: int = b.number(self.header.__layout__().size)
            return fixed
        field = self.header.__layout__().fields[rule.field]
        if isinstance(field.type, BitsType):
            value = b.read_bits(field.type, start, field.offset, field.shift, field.width, "packet").only
        else:
            value = b.read(field.type, start, field.offset, "packet").only
        length: int = b.op("add", "i64", b.op("mul", "i64", value, b.number(rule.unit_bytes)), b.number(rule.bias))
        return length

    def require(self, condition: int) -> None:
        following = self.b.block()
        self.b.branch(condition, following, self.after)
        self.b.at = following

    def choice(self, at: int, kind: int) -> Value:
        """The option as the kind that it says, where its whole layout is there; else as any option."""
        b = self.b
        if len(self.kinds) == 1:
            return Value(self.item, at)
        which = b.slot(8, 8, "kind")
        b.store(which, b.number(len(self.kinds)))
        for number, cls in enumerate(self.kinds[:-1], 1):
            said = b.op("eq", "i1", kind, b.number(cls.number))  # type: ignore[attr-defined]
            with b.when(said):
                whole = b.op("ule", "i1", b.pointer(at, cls.__layout__().size), self.end)
                with b.when(whole):
                    b.store(which, b.number(number))
        return Value(self.item, b.load("i64", which), at)
