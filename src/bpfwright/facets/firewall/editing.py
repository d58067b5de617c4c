"""Elements of named sets that come and go while their tables are live.

What an element changes is found by compiling the neighbourhood alone, as it is and as it will be: the prefixes around
it and within it. Classes that have no vector yet get one behind the others, before anything leads there.

A change is a list of steps that depends on what is in the book alone, and each step gives a value its class: done twice
it is done once. So what a process has begun that died, the next one completes.
"""
from __future__ import annotations

from itertools import pairwise
from struct import pack, unpack

from bpfwright._typing import Any, Callable, Iterator, NamedTuple, Self, Sequence
from bpfwright.datapath.book import Book
from bpfwright.datapath.facet import Edit, Facts
from bpfwright.datapath.parsed import address_text
from bpfwright.datapath.prefixes import Content
from bpfwright.errors import MapFull, SessionError, UsageError
from bpfwright.facets.firewall import elements as e
from bpfwright.facets.firewall import sets as s
from bpfwright.facets.firewall.booking import Ends, Field, Held, held_of, lone_set, table_of
from bpfwright.facets.firewall.classes import Dimension, Layout, endpoint_rows, prefix_dimension, vectors
from bpfwright.facets.firewall.elements import Endpoint as End
from bpfwright.facets.firewall.elements import Ranges
from bpfwright.facets.firewall.matching import behind_none, complement, intersection, merged

__all__ = ["Editor", "elements_of", "members_of", "noted", "placed", "put_endpoint", "put_ports", "write_rows"]

Maps = Callable[[str], Any]
Prefix = tuple[int, int, int]
Members = dict[str, dict[Any, bool]]
"""By set, elements that came (true) and went (false) since it was read; in their order, since ports overlap."""
Step = tuple[Field, str, int]
"""A value of a field, as text, and the class that it gets (0: none)."""
_PORTS = 65537
_PER_LINE = 32
_READ: dict[str, Callable[[str], Any]] = {"networks": e.one_network, "endpoints": e.endpoint, "ports": s.port}


class _Planned(NamedTuple):
    """What is to be done to a field's tables: rows of new classes, and values with their classes (0: none)."""

    field: Field
    rows: list[list[bool]]
    changes: list[tuple[str, int]]


class Editor:
    """Changes sets in tables with what a book holds of them."""

    def __init__(self, book: Book, maps: Maps) -> None:
        self._book = book
        self._maps = maps
        header = book.header()
        self._fields = [Field(**each) for each in header["fields"]]
        self._kinds: dict[str, str] = header["kinds"]
        self._ports: dict[str, Ranges] = {name: tuple((low, high) for low, high in each)
                                          for name, each in header["ports"].items()}
        self._untabled: list[str] = header["untabled"]
        self._layout = Layout(**header["layout"])
        self._earlier = book.edits()
        self._known: dict[str, Held] = {}

    def edit(self, edit: Edit | None) -> None:
        """Make a change; None completes what another process has begun."""
        begun = self._book.announced()
        if begun is not None:
            self._make(begun)
            self._earlier = self._book.edits()
        if edit is not None:
            self._make(edit, self._book.announce)

    def _make(self, edit: Edit, announce: Callable[[Edit], None] | None = None) -> None:
        """UsageError before anything is changed. Where a table is full all is as before, and what is remembered says
        so: `failed`."""
        parse = self._parser(edit.name)
        members = self._members()
        given = {"add": list(edit.add), "remove": list(edit.remove)}
        values = [parse(each) for each in (*edit.add, *edit.remove)]
        self._check(edit.name, values[len(edit.add):], edit.remove, members[edit.name])
        after = {**members, edit.name: dict(members[edit.name])}
        for value, comes in _since(given, parse):
            after[edit.name].pop(value, None)  # the last has the say
            after[edit.name][value] = comes
        plan = [self._planned(field, values, members, after) for field in self._fields if edit.name in field.sets]
        if announce is not None:
            announce(edit)
        with _Writing(self._book, self._layout, self._maps, self._earlier) as writing:
            noted = {"name": edit.name, **given, **writing.write(plan)}
            self._book.commit(noted, writing.state())
        if announce is not None and "failed" in noted:
            raise SessionError(f"{edit.name} was not changed: {noted['failed']}",
                               cure="Give the set more `room`, and apply the configuration again.")

    # what is to be done

    def _parser(self, name: str) -> Callable[[str], Any]:
        kind = self._kinds.get(name)
        if kind is None:
            known = ", ".join(self._kinds) or "none"
            raise UsageError(f"there is no set {name!r} of networks, endpoints or ports", cure=f"There is {known}.")
        if name in self._untabled:
            raise UsageError(f"no table has {name}: rules that name it say the same of every packet",
                             cure="Give the set `room`, and apply the configuration again.")
        return _READ[kind]

    def _members(self) -> Members:
        return members_of(self._kinds, self._earlier)

    def _check(self, name: str, removed: list[Any], texts: Sequence[str], since: dict[Any, bool]) -> None:
        if not removed:
            return
        kind = self._kinds[name]
        ports = ports_of(self._ports[name], since) if kind == "ports" else ()
        held = self._held(name) if kind == "networks" else None
        for value, text in zip(removed, texts, strict=True):
            there = since.get(value) if kind != "ports" else intersection(ports, (value,)) == (value,)
            if there is None:
                there = name in held.sets_at(value) if held is not None else value in self._ends(name)
            if not there:
                around = [each for each in held.around(value) if name in held.sets_at(each)] if held is not None else []
                raise UsageError(f"{text} is no element of {name}", cure="Remove what is an element.",
                                 why=f"{_network_text(around[-1])} holds it" if around else "")

    def _held(self, name: str) -> Held:
        field = next((each for each in self._fields if each.kind == "networks" and name in each.sets), None)
        return self._held_of(field) if field is not None else lone_set(self._book, self._number(name), name)

    def _held_of(self, field: Field) -> Held:
        if field.name not in self._known:
            self._known[field.name] = held_of(self._book, field)
        return self._known[field.name]

    def _ends(self, name: str) -> Ends:
        return Ends(self._book.column(f"set{self._number(name)}.ends"))

    def _number(self, name: str) -> int:
        return list(self._kinds).index(name)

    def _planned(self, field: Field, values: list[Any], before: Members, after: Members) -> _Planned:
        """What a field's values are now and what they will be; classes that have no vector yet get one."""
        compiled = {"networks": self._networks, "endpoints": self._endpoints, "ports": self._port_rows}[field.kind]
        known = [row.tobytes() for row in self._book.column(f"{field.name}.allowed")]
        known += [bytes(row) for row in noted(self._earlier, field.name)[0]]
        first = 0 if field.kind == "ports" else 1  # of others, class 0 is what no set has
        numbers = {row: number for number, row in reversed(list(enumerate(known))) if number >= first}
        now, then = (compiled(field, values, members) for members in (before, after))
        rows: list[list[bool]] = []
        changes: list[tuple[str, int]] = []
        for text, row in then.items():
            if now.get(text) != row:
                if row not in numbers:
                    numbers[row] = len(known) + len(rows)
                    rows.append([bool(each) for each in row])
                changes.append((text, numbers[row]))
        if len(known) + len(rows) > field.most:
            raise UsageError("these elements would need more vectors than there is room for",
                             cure="Give the set more `room`, and apply the configuration again.")
        changes += [(text, 0) for text in now if text not in then]
        return _Planned(field, rows, changes)

    def _networks(self, field: Field, values: list[Any], members: Members) -> dict[str, bytes]:
        """What rules say of each prefix around or within some."""
        held = self._held_of(field)
        found: dict[str, dict[Prefix, bool]] = {name: {} for each in field.holders for name in each}
        found |= {name: {} for name in field.sets}
        for value in values:
            for key, names in held.near(value):
                for name in names:
                    found[name][key] = True
        for name in found.keys() & members.keys():
            found[name] |= {each: there for each, there in members[name].items()
                            if any(_related(each, value) for value in values)}
        sets = {name: e.networks([each for each, there in own.items() if there]) for name, own in found.items()}
        made = prefix_dimension(field.name, field.asked, sets)
        assert made.prefixes is not None
        high, low, length, label = made.prefixes
        keys = zip(high.tolist(), low.tolist(), length.tolist(), strict=True)
        return {_network_text(key): made.allowed[number].tobytes()
                for key, number in zip(keys, label.tolist(), strict=True)}

    def _endpoints(self, field: Field, values: list[Any], members: Members) -> dict[str, bytes]:
        """What rules say of each endpoint that is in a set."""
        ends = {name: self._ends(name) for name in field.sets if name in self._kinds}
        held = {value: [name for name in ends if members[name].get(value, value in ends[name])] for value in values}
        rows = endpoint_rows(field.asked, list(held.values()))
        return {_endpoint_text(value): rows[at].tobytes() for at, (value, names) in enumerate(held.items()) if names}

    def _port_rows(self, field: Field, values: list[Any], members: Members) -> dict[str, bytes]:
        """What rules say of ports, by spans of which all are alike whatever else is said of them."""
        sets = {name: ports_of(own, members[name]) for name, own in self._ports.items()}
        allowed = [_allowed_ports(asked, sets) for asked in field.asked]
        spans = [*values, *((low - 1, high - 1) for asked in field.asked for low, high in _allowed_ports(asked, {})),
                 *(span for name, own in self._ports.items() for span in (*own, *members[name]))]
        edges = sorted({edge for low, high in spans for edge in (low, high + 1)})
        found: dict[str, bytes] = {}
        for low, high in values:
            cuts = [low, *(edge for edge in edges if low < edge <= high), high + 1]
            for first, behind in pairwise(cuts):
                found[f"{first}-{behind - 1}"] = bytes(any(a <= first + 1 <= b for a, b in ranges)
                                                       for ranges in allowed)
        return found


def _allowed_ports(asked: Any, sets: dict[str, Ranges]) -> Ranges:
    """The numbers of a port's field that a rule allows."""
    if asked is None:
        return ((0, _PORTS - 1),)
    if asked and asked[0] == []:
        return tuple((low, high) for low, high in asked[1])
    found: Ranges = ((1, _PORTS - 1),)
    for names, others, wanted in asked:
        ports = merged([*((low, high) for low, high in others),
                        *(each for name in names for each in sets.get(name, ()))])
        found = intersection(found, behind_none(ports) if wanted else complement(behind_none(ports), _PORTS))
    return found


def ports_of(own: Ranges, since: dict[Any, bool]) -> Ranges:
    """The ports of a set after its changes."""
    for span, comes in since.items():
        own = merged([*own, span]) if comes else intersection(own, complement((span,), _PORTS))
    return own


class _Writing:
    """Tables that are being changed, step by step."""

    def __init__(self, book: Book, layout: Layout, maps: Maps, earlier: list[Facts]) -> None:
        self._book = book
        self._layout = layout
        self._maps = maps
        self._earlier = earlier
        self._contents: dict[str, Content] = {}
        self._state, self._progress = book.state()

    def write(self, plan: list[_Planned]) -> Facts:
        """Make the changes, those that are made already once more; what is to be noted of them."""
        befores: list[int] = self._progress.setdefault("befores", [])
        for each in plan:
            self._begin(each)
        steps: list[Step] = [(each.field, *change) for each in plan for change in each.changes]
        for field, text, number in steps[len(befores):] if not self._progress.get("full") else ():
            try:
                before = self._put(field, text, number)
            except MapFull as problem:
                self._progress |= {"full": problem.what, "undone": 0}
                break
            befores.append(before)
        back = [(*step[:2], before) for step, before in reversed(list(zip(steps, befores, strict=False)))]
        for field, text, number in back[self._progress["undone"]:] if self._progress.get("full") else ():
            self._put(field, text, number)  # and noted: how a table is laid out depends on all that was done to it
            self._progress["undone"] += 1
        done = [*steps[:len(befores)], *(back if self._progress.get("full") else ())]
        found: Facts = {"tables": {each.field.name: {
            "rows": each.rows, "changes": [(text, number) for field, text, number in done
                                           if field.name == each.field.name]} for each in plan}}
        return {**found, "failed": self._progress["full"]} if self._progress.get("full") else found

    def state(self) -> Facts:
        """That of all fields' tables."""
        return {**self._state, **{name: content.state() for name, content in self._contents.items()}}

    def _begin(self, planned: _Planned) -> None:
        field, rows, _ = planned
        if field.kind == "networks":
            table = table_of(field)
            opened = {declared: _Opened(self._maps(field.maps[name]), declared.max_entries)
                      for name, declared in table.maps.items()}
            content = self._contents[field.name] = Content(table, opened.__getitem__)
            content.go_on(lambda name: self._book.column(f"{field.name}.{name}"), self._state[field.name],
                          lambda: self._book.halfway(self.state(), self._progress))
        if rows:
            first = len(self._book.column(f"{field.name}.allowed")) + len(noted(self._earlier, field.name)[0])
            write_rows(self._maps(field.vectors), rows, first, self._layout)

    def _put(self, field: Field, text: str, number: int) -> int:
        """Give a value its class (0: none); the one that it had."""
        content = self._contents.get(field.name)
        if content is not None:
            return placed(content, text, number)
        table = self._maps(field.maps["table"])
        return put_ports(table, text, number) if field.kind == "ports" else put_endpoint(table, text, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        for content in self._contents.values():
            content.close()


class _Opened(NamedTuple):
    """A map as `Content` asks for one."""

    handle: Any
    max_entries: int


def placed(content: Content, text: str, number: int) -> int:
    """Give a prefix its class, or take it out (0); the class that it had."""
    before = content.get(text) or 0
    if number:
        content.put(text, number)
    else:
        content.remove(text)
    return before


def put_endpoint(table: Any, text: str, number: int) -> int:
    """Give an endpoint its class, or take it out (0); the class that it had."""
    key = pack("=QQQ", *e.endpoint(text))
    known = table.lookup(key)
    if number:
        table.update(key, pack("=I", number))
    elif known is not None:
        table.delete(key)
    return 0 if known is None else int(unpack("=I", known)[0])


def put_ports(table: Any, text: str, number: int) -> int:
    """Give ports of which all have one class another, a line of 32 at a time; that one. A port's number is written
    whole, whatever is copied with it."""
    first, _, last = text.partition("-")
    low, high = int(first) + 1, int(last) + 1
    before = -1
    for line in range(low // _PER_LINE, high // _PER_LINE + 1):
        key = pack("=I", line)
        classes = list(unpack(f"={_PER_LINE}H", table.lookup(key)))
        begin, end = max(low - line * _PER_LINE, 0), min(high - line * _PER_LINE + 1, _PER_LINE)
        before = classes[begin] if before < 0 else before
        classes[begin:end] = [number] * (end - begin)
        table.update(key, pack(f"={_PER_LINE}H", *classes))
    return before


def write_rows(table: Any, rows: list[list[bool]], first: int, layout: Layout) -> None:
    """Vectors of classes behind others."""
    import numpy as np
    made = vectors(Dimension("", np.array(rows, bool)), layout)
    numbers = np.arange(first, first + len(rows), dtype=np.uint32)
    table.update_batch(numbers, np.ascontiguousarray(made), len(rows))


# what was changed before


def members_of(kinds: dict[str, str], earlier: list[Facts]) -> Members:
    """What came and went of each set since it was read."""
    found: Members = {name: {} for name in kinds}
    for each in earlier:
        if "failed" not in each:
            own = found[each["name"]]
            for value, comes in _since(each, _READ[kinds[each["name"]]]):
                own.pop(value, None)
                own[value] = comes
    return found


def elements_of(kind: str, base: Any, since: dict[Any, bool]) -> Iterator[str]:
    """The elements of a set as text: what it had when it was read, and what came and went since."""
    if kind == "ports":
        return (str(low) if low == high else f"{low}-{high}" for low, high in ports_of(base, since))
    members = dict.fromkeys(base, True) | since
    written: Callable[[Any], str] = _endpoint_text if kind == "endpoints" else _network_text
    return (written(each) for each in sorted(members) if members[each])


def _since(edit: Facts, parse: Callable[[str], Any]) -> list[tuple[Any, bool]]:
    return [*((parse(each), True) for each in edit["add"]), *((parse(each), False) for each in edit["remove"])]


def noted(earlier: list[Facts], field: str) -> tuple[list[list[bool]], list[tuple[str, int]]]:
    """The rows and changes of a field that were noted, all in order."""
    tables = [each["tables"][field] for each in earlier if field in each["tables"]]
    return ([row for table in tables for row in table["rows"]],
            [(text, number) for table in tables for text, number in table["changes"]])


def _related(one: Prefix, two: Prefix) -> bool:
    """Whether one holds the other."""
    short = 128 - min(one[2], two[2])
    return ((one[0] << 64 | one[1]) ^ (two[0] << 64 | two[1])) >> short == 0


def _network_text(key: Prefix) -> str:
    address = address_text(key[0], key[1])
    return f"{address}/{key[2] - (0 if ':' in address else 96)}"


def _endpoint_text(key: End) -> str:
    high, low, port = key
    address = address_text(high, low)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
