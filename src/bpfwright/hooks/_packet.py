"""`ctx.find(Header, ...)`: a walk over the headers' own declarations, bounds checked, as one small state machine."""
from __future__ import annotations

from bpfwright._typing import Any, Callable
from bpfwright.spec.dialect import Loop, Operation, Value
from bpfwright.spec.header import Header, Link, children_of
from bpfwright.spec.meaning import Constant, Integer, Meaning, OneOf, Optional, Reference
from bpfwright.types.ctype import BitsType, Int, RecordType

__all__ = ["Bounds", "find", "offset_of", "option_loop", "parents"]

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


def _check_offset(site: Any) -> Meaning:
    site.bind("header")
    meaning = site.meaning("header")
    if not isinstance(meaning, Reference) or meaning.space != "packet":
        site.refuse("offset_of() takes a header that find() gave", "Write ctx.offset_of(ip).")
    return Integer(0, 0xFFFF)


def offset_of(bounds: Bounds) -> Operation:
    """Bytes from the packet's start to a header."""
    def lower(b: Any, site: Any) -> Value:
        at = b.op("toint", "i64", site.value("header").only)
        start = b.op("toint", "i64", bounds(b)[0])
        # Opaque, as lengths are: else LLVM may make pointers of it that the verifier does not know.
        return Value(site.node.meaning, b.op("opaque", "i64", b.op("sub", "i64", at, start)))

    return Operation(_check_offset, lower)


class _Walk:
    """One look for headers: a block for each shape of header on the way, and one dispatch for each set of followers."""

    def __init__(self, b: Any, site: Any, bounds: Bounds) -> None:
        self.b = b
        self.site = site
        self.targets: list[type[Header]] = site.notes["headers"]
        self.reach = _reach(self.targets)
        self.bounds = bounds
        self.repeats = _repeating(self.reach)
        self.entries: dict[Any, Any] = {}
        self.dispatches: dict[Any, Any] = {}
        self.pending: list[tuple[Any, Callable[[], None]]] = []

    def run(self) -> Value:
        b = self.b
        b.sink.packet_bounds = self.bounds
        start, self.end = self.bounds(b)
        self.at, self.found = b.slot(8, 8, "at"), b.slot(8, 8, "header")
        self.which = b.slot(8, 8, "which")
        self.steps, self.selected = b.slot(8, 8, "steps"), b.slot(8, 8, "selector")
        self.done, self.missing = b.block(), b.block()
        if self.repeats:
            # Opaque: LLVM would unroll these loops, each round with a dispatch of its own.
            b.store(self.steps, b.op("opaque", "i64", b.number(0)))
        self.start_from_known()
        b.store(self.at, start)
        root = next(header for header in self.reach if header.root)
        b.goto(self.entry(root))
        while self.pending:
            block, build = self.pending.pop(0)
            b.at = block
            build()
        b.at = self.missing
        b.store(self.found, b.null())
        b.store(self.which, b.number(0))
        b.goto(self.done)
        b.at = self.done
        return self.result()

    def result(self) -> Value:
        b = self.b
        pointer, which = b.load("ptr", self.found), b.load("i64", self.which)
        meaning = self.site.node.meaning
        if len(self.targets) > 1:
            return Value(meaning, which, pointer)
        if b.remembered is self.site.node and not b.sink.moves_packet:
            b.known_headers[self.targets[0]] = (self.which, self.found)
        return Value(meaning, b.op("ne", "i1", which, b.number(0)), pointer)

    def start_from_known(self) -> None:
        """Go on behind a header that was looked for before; if it was not there, the ways through it are closed."""
        b = self.b
        known = next((h for h in b.known_headers if h in self.reach and h not in self.targets and not h.root), None)
        if known is None or b.sink.moves_packet:
            return
        which, found = b.known_headers[known]
        here, elsewhere = b.block(), b.block()
        b.branch(b.op("ne", "i1", b.load("i64", which), b.number(0)), here, elsewhere)
        b.at = here
        b.store(self.at, b.load("ptr", found))
        self.walk_on(known, b.load("ptr", self.at))
        b.at = elsewhere
        self.reach = _reach_without(self.targets, known)
        if not any(header.root for header in self.reach):
            b.goto(self.missing)
            b.at = b.block()
            self.reach = _reach(self.targets)

    def entry(self, header: type[Header]) -> Any:
        """The block that looks at a header; headers that are read alike share one."""
        key: Any = header if header in self.targets or header.root else _shape(header)
        if key not in self.entries:
            self.entries[key] = block = self.b.block()
            self.pending.append((block, lambda: self.visit(header)))
        return self.entries[key]

    def comes_again(self, header: type[Header]) -> bool:
        """Whether its block is part of a loop."""
        return header in self.repeats or any(_shape(header) == _shape(other) for other in self.repeats)

    def visit(self, header: type[Header]) -> None:
        b = self.b
        if self.comes_again(header):
            steps = b.load("i64", self.steps)
            self.require(b.op("ult", "i1", steps, b.number(header.most)))
            b.store(self.steps, b.op("add", "i64", steps, b.number(1)))
        at = b.load("ptr", self.at)
        self.require(b.op("ule", "i1", b.pointer(at, _least(header)), self.end))
        if header in self.targets:
            b.store(self.found, at)
            b.store(self.which, b.number(self.targets.index(header) + 1))
            b.goto(self.done)
            return
        self.walk_on(header, at)

    def walk_on(self, header: type[Header], at: int) -> None:
        """Step over a header, to what its selector names."""
        b = self.b
        for name, value in header.payload_requires:
            self.require(b.op("eq", "i1", self.field(header, at, name), b.number(value)))
        following = self.followers(header)
        fields = {field for field, _, _ in following}
        behind = self.behind(header, at)
        if "" in fields:
            b.store(self.at, behind)
            b.goto(self.entry(following[0][2]))
            return
        (name,) = fields or {""}
        if not name:
            b.goto(self.missing)
            return
        if _selector_back(header, name) is None:
            b.store(self.selected, self.selector(header, at, name))
        b.store(self.at, behind)
        b.goto(self.dispatch(header, name, following))

    def followers(self, header: type[Header]) -> list[tuple[str, tuple[int, ...], type[Header]]]:
        """(selecting field, values, header that follows)."""
        return [(link.field, link.values, child) for child in self.reach for parent, link in parents(child)
                if parent is header]

    def dispatch(self, header: type[Header], name: str, following: list[tuple[str, tuple[int, ...], type[Header]]],
                 ) -> Any:
        """The block that tells followers apart; parents with the same followers share one, and the block of one that
        has some more goes on to that of the largest set that it holds."""
        kind = header.__layout__().fields[name].type
        key = (kind, _selector_back(header, name), frozenset((values, child) for _, values, child in following))
        if key not in self.dispatches:
            self.dispatches[key] = block = self.b.block()
            self.pending.append((block, lambda: self.tell_apart(header, name, following)))
        return self.dispatches[key]

    def held(self, header: type[Header], name: str, following: list[tuple[str, tuple[int, ...], type[Header]]]) -> Any:
        """Another header of the way whose followers are fewer of the same: (it, its field, its followers), or None."""
        kind = header.__layout__().fields[name].type
        mine = {(values, child) for _, values, child in following}
        best: Any = None
        for other in self.reach:
            theirs = self.followers(other)
            names = {field for field, _, _ in theirs}
            if len(names) != 1 or "" in names or other.__layout__().fields[theirs[0][0]].type != kind:
                continue
            if _selector_back(other, theirs[0][0]) != _selector_back(header, name):
                continue
            if {(v, c) for _, v, c in theirs} < mine and (best is None or len(theirs) > len(best[2])):
                best = (other, theirs[0][0], theirs)
        return best if best is not None and 2 * len(best[2]) > len(following) else None

    def tell_apart(self, header: type[Header], name: str, following: list[tuple[str, tuple[int, ...], type[Header]]],
                   ) -> None:
        b = self.b
        back = _selector_back(header, name)
        selected = (b.load("i64", self.selected) if back is None else
                    self.extended(header, name, b.load("ptr", self.at), -back))
        held = self.held(header, name, following)
        if held is not None:
            following = [item for item in following if item[1:] not in {other[1:] for other in held[2]}]
        for _, values, child in sorted(following, key=lambda item: item[2] not in self.targets):
            for value in values:
                more = b.block()
                b.branch(b.op("eq", "i1", selected, self.wire(header, name, value)), self.entry(child), more)
                b.at = more
        b.goto(self.missing if held is None else self.dispatch(*held))

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
        # Anchored: added up twice it would be two pointers for the verifier, and only one of them checked.
        length: int = b.anchor(b.op("index", "ptr", at, total, 1))
        return length

    def selector(self, header: type[Header], at: int, name: str) -> int:
        """The selecting field as it stands on the wire: constants are swapped instead of the load."""
        field = header.__layout__().fields[name]
        if isinstance(field.type, Int) and field.type.big:
            return self.extended(header, name, at, field.offset)
        return self.field(header, at, name)

    def extended(self, header: type[Header], name: str, at: int, offset: int) -> int:
        """An integer field's bytes at `at + offset`, as they stand there."""
        kind = f"i{header.__layout__().fields[name].type.size * 8}"
        raw: int = self.b.extend(self.b.load(kind, at, offset), kind)
        return raw

    def wire(self, header: type[Header], name: str, value: int) -> int:
        field = header.__layout__().fields[name]
        if isinstance(field.type, Int) and field.type.big:
            value = int.from_bytes(value.to_bytes(field.type.size, "big"), "little")
        number: int = self.b.number(value)
        return number


def _least(header: type[Header]) -> int:
    """The bytes that a header has at least."""
    rule = header.length_rule
    size: int = header.__layout__().size
    return size if rule is None or rule.more else max(size, rule.bias)


def _selector_back(header: type[Header], name: str) -> int | None:
    """How far the selecting field lies before what follows, if that is one number: then what follows can be told from
    there, and a loop over such headers has one pointer to move.
    """
    field = header.__layout__().fields[name]
    if header.length_rule is not None or not (isinstance(field.type, Int) and field.type.big):
        return None
    return header.__layout__().size - field.offset


def _shape(header: type[Header]) -> Any:
    """How a header is stepped over: equal for headers that one block can do."""
    fields = header.__layout__().fields
    places = {name: (f.offset, f.type, f.shift, f.width) for name, f in fields.items()}
    rule = header.length_rule
    length = rule and (places[rule.field], rule.unit_bytes, rule.bias, rule.more)
    required = tuple((places[name], value) for name, value in header.payload_requires)
    selectors = {link.field for _, link in children_of(header)}
    followers = tuple(sorted((link.values, child.__name__) for child, link in children_of(header) if not link.tunnel))
    return (_least(header), length, required, tuple(places.get(name) for name in sorted(selectors)), followers,
            header.most)


def _reach_without(targets: list[type[Header]], closed: type[Header]) -> list[type[Header]]:
    """The headers on the ways to the targets that do not lead through `closed`."""
    roots = [h for h in _reach(targets) if h.root]
    kept = set(roots)
    work = list(roots)
    everything = _reach(targets)
    while work:
        header = work.pop()
        for child in everything:
            if child is not closed and child not in kept and any(p is header for p, _ in parents(child)):
                kept.add(child)
                work.append(child)
    if not kept & set(targets):
        return []
    return [h for h in everything if h in kept]


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
