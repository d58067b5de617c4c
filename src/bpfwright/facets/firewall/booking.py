"""What changes of sets need, in a book: written when the tables are filled, read by parts when a set changes.

Of a field it holds what each rule asks for, the classes that have vectors, and where each of its prefixes stands; of
each set its elements. A change reads the pages around its elements, and none of the configuration.
"""
from __future__ import annotations

from bisect import bisect_left

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterator, Mapping, NamedTuple, Sequence
from bpfwright.datapath.book import Book
from bpfwright.datapath.facet import Facts
from bpfwright.datapath.prefixes import PrefixTable
from bpfwright.datapath.prefixes.spans import Entries
from bpfwright.datapath.prefixes.written import Key, Written, written_of
from bpfwright.facets.firewall.classes import Dimension, Layout, asked_of, names_of
from bpfwright.facets.firewall.finding import Finder
from bpfwright.facets.firewall.model import Rule, Settings

if TYPE_CHECKING:
    import numpy

    from bpfwright.facets.firewall.elements import Endpoint

__all__ = ["Ends", "Field", "Held", "held_of", "kinds_of", "lone_set", "table_of", "write_book"]

_MAPPED = 0xFFFF
Columns = dict[str, "numpy.ndarray"]


class Field(NamedTuple):
    """A field whose tables hold what sets say. `kind` is "networks", "endpoints" or "ports"; `asked` is what each rule
    asks for; `sets` are looked up in it; `most`: vectors; `vectors` and `maps` are names in the object, by what they
    are called here; `table` is of a prefix table; `holders` are the sets that name a prefix, by number."""

    name: str
    kind: str
    asked: list[Any]
    sets: list[str]
    most: int
    vectors: str
    maps: dict[str, str]
    table: list[int]
    holders: list[list[str]]


# writing


def write_book(book: Book, settings: Settings, finders: Sequence[Finder], layout: Layout, filled: Mapping[str, Any],
               name_of: Callable[[Any], str]) -> None:
    """Write it. `filled`: by field, the columns and state of the prefix table that was filled."""
    fields: list[Any] = []
    columns: Columns = {}
    state: Facts = {}
    for finder in finders:
        name, sets = finder.dimension.field, names_of(settings.rules, finder.dimension.field)
        if not any(each in settings.room for each in sets):
            continue
        fields.append(_field(finder, settings.rules, sets, name_of))
        columns[f"{name}.allowed"] = finder.dimension.allowed
        if finder.dimension.prefixes is not None:
            columns |= {f"{name}.{key}": column for key, column in filled[name][0].items()}
            columns |= {f"{name}.own{family}": own for family, own in _own(finder.dimension)}
            state[name] = filled[name][1]
    tabled = {each for field in fields for each in field.sets if field.kind == "networks"}
    for number, (name, kind) in enumerate(kinds_of(settings).items()):
        if kind == "endpoints":
            columns[f"set{number}.ends"] = _ends(settings.endpoints[name])
        elif kind == "networks" and name not in tabled:
            columns |= {f"set{number}.{key}": column
                        for key, column in settings.networks[name]._asdict().items()}
    untabled = {name for rule in settings.rules for name in _asked_for(rule)} - {
        each for field in fields for each in field.sets}
    header = {"fields": [field._asdict() for field in fields], "layout": layout._asdict(), "kinds": kinds_of(settings),
              "untabled": sorted(untabled),
              "ports": {name: settings.ports[name] for name, kind in kinds_of(settings).items() if kind == "ports"}}
    book.make(header, columns, state)


def kinds_of(settings: Settings) -> dict[str, str]:
    """The sets whose elements may come and go, and what they are sets of."""
    return {name: "endpoints" if name in settings.endpoints else "ports" if name in settings.ports else "networks"
            for name in settings.room}


def _asked_for(rule: Rule) -> Iterator[str]:
    for groups in (*rule.networks.values(), *rule.endpoints.values()):
        yield from (*groups[0], *groups[1])
    for asked in rule.ports.values():
        yield from (name for each in asked for name in each.sets)


def _field(finder: Finder, rules: Sequence[Rule], sets: list[str], name_of: Callable[[Any], str]) -> Field:
    dimension, table = finder.dimension, finder.table
    name, vectors = dimension.field, name_of(finder.vectors)
    if dimension.prefixes is not None:
        maps = {called: name_of(declared) for called, declared in table.maps.items()}
        return Field(name, "networks", asked_of(rules, name), sets, finder.vectors.max_entries, vectors, maps,
                     [table.four, table.six, table.hosts, table.highest], [list(each) for each in dimension.holders])
    if dimension.direct is not None:
        asked: list[Any] = [rule.ports[name] if name in rule.ports else rule.ranges.get(name) and
                            [[], rule.ranges[name]] for rule in rules]
        return Field(name, "ports", asked, sets, finder.vectors.max_entries, vectors, {"table": name_of(table)}, [], [])
    return Field(name, "endpoints", asked_of(rules, name), sets, finder.vectors.max_entries, vectors,
                 {"table": name_of(table)}, [], [])


def _own(dimension: Dimension) -> Iterator[tuple[str, numpy.ndarray]]:
    """Which holders name each prefix, in the order of a table's columns."""
    import numpy as np
    assert dimension.prefixes is not None and dimension.own is not None
    high, low, length, _ = dimension.prefixes
    four = (high == 0) & (low >> np.uint64(32) == _MAPPED) & (length >= 96)
    least = np.min_scalar_type(max(len(dimension.holders) - 1, 0))
    yield "4", dimension.own[four].astype(least)
    yield "6", dimension.own[~four].astype(least)


def _ends(found: Sequence[Endpoint]) -> numpy.ndarray:
    import numpy as np
    return np.array(found, np.uint64).reshape(-1, 3)


# reading


class Ends:
    """The endpoints of a set, sorted, as a sequence that is read by parts."""

    def __init__(self, rows: numpy.ndarray) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> tuple[int, ...]:
        return tuple(self._rows[at].tolist())

    def __contains__(self, value: tuple[int, ...]) -> bool:
        at = bisect_left(self, value)
        return at < len(self) and self[at] == value


class Held:
    """The prefixes of one or more sets with the numbers of their holders, by family; `Parsed` has IPv4 mapped."""

    def __init__(self, families: dict[bool, tuple[Written, Any]], holders: Sequence[Sequence[str]]) -> None:
        self._families = families
        self._holders = holders

    def sets_at(self, key: Key) -> Sequence[str]:
        """The sets that name a prefix itself."""
        six, own = _split(key)
        if six not in self._families:
            return ()
        written, holder = self._families[six]
        at = written.place(own)
        return () if at < 0 else self._holders[int(holder[at])]

    def around(self, key: Key) -> list[Key]:
        """The prefixes around one, the shortest first."""
        six, (high, low, length) = _split(key)
        if six not in self._families:
            return []
        written = self._families[six][0]
        masked = [(*_masked(high, low, shorter), shorter) for shorter in range(length)]
        return [_joined(six, each) for each in masked if written.place(each) >= 0]

    def near(self, key: Key) -> Iterator[tuple[Key, Sequence[str]]]:
        """The prefixes around one and within it, itself too, with the sets that name them."""
        yield from ((each, self.sets_at(each)) for each in self.around(key))
        six, (high, low, length) = _split(key)
        if six not in self._families:
            return
        written, holder = self._families[six]
        last = (high << 64 | low) | (1 << 128 - length) - 1
        for at in range(written.from_((high, low, length)), written.from_((last >> 64, last & _LOW, 129))):
            yield _joined(six, written[at]), self._holders[int(holder[at])]


_LOW = (1 << 64) - 1


def _split(key: Key) -> tuple[bool, Key]:
    """Whether a prefix is of IPv6, and what it is in its table."""
    high, low, length = key
    if high == 0 and low >> 32 == _MAPPED and length >= 96:
        return False, (low << 32 & _LOW, 0, length - 96)
    return True, key


def _joined(six: bool, key: Key) -> Key:
    return key if six else (0, _MAPPED << 32 | key[0] >> 32, key[2] + 96)


def _masked(high: int, low: int, length: int) -> tuple[int, int]:
    kept = (high << 64 | low) >> 128 - length << 128 - length
    return kept >> 64, kept & _LOW


def held_of(book: Book, field: Field) -> Held:
    """The prefixes of a field's sets."""
    families = {}
    for six, family in ((False, "4"), (True, "6")):
        if f"cells{family}" in field.maps:
            families[six] = (written_of(_named(book, field.name, family), six),
                             book.column(f"{field.name}.own{family}"))
    return Held(families, field.holders)


def _named(book: Book, field: str, family: str) -> Callable[[str], numpy.ndarray]:
    return lambda name: book.column(f"{field}.{name}{family}")


def table_of(field: Field) -> PrefixTable:
    """The prefix table of a field, declared again."""
    four, six, hosts, highest = field.table
    return PrefixTable(four=four, six=six, hosts=hosts, highest=highest)


def lone_set(book: Book, number: int, name: str) -> Held:
    """The prefixes of a set that no table holds."""
    import numpy as np
    high, low, length = (book.column(f"set{number}.{each}") for each in ("high", "low", "length"))
    four = (high == 0) & (low >> np.uint64(32) == _MAPPED) & (length >= 96)
    families = {}
    for six, chosen in ((False, four), (True, ~four)):
        own_high = high[chosen] if six else low[chosen] << np.uint64(32)
        own_low = low[chosen] if six else np.zeros(int(chosen.sum()), np.uint64)
        own_length = length[chosen] if six else length[chosen] - np.uint8(96)
        families[six] = Written(Entries(own_high, own_low, own_length, own_length)), np.zeros(len(own_high), np.uint8)
    return Held(families, [[name]])
