"""Rules compiled: for each field, values that all rules treat alike form a class, and a class is a vector of bits.

Bit r of a class says whether rule r lets the field have such a value. A packet's rule is the first bit of the AND of
its classes' vectors, so that what a packet costs depends on the fields in use and not on how many rules there are.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, NamedTuple, Sequence
from bpfwright.datapath.prefixes.spans import Entries, host_bits, parents, sorted_entries
from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.elements import Networks, joined
from bpfwright.facets.firewall.model import DIRECTIONS, DOMAINS, Look, Rule, Settings

if TYPE_CHECKING:
    import numpy

__all__ = ["ADDRESSES", "ENDPOINTS", "MACS", "Dimension", "Layout", "Place", "asked_of", "compiled",
           "endpoint_rows", "names_of", "needed_directions", "prefix_dimension", "room_of", "vectors", "words_for"]

ADDRESSES = ("source", "destination")
ENDPOINTS = ("source-endpoint", "destination-endpoint")
MACS = ("source-mac", "destination-mac")
_STEPS = (1, 2, 4, 8, 16, 32, 64)
Place = tuple[str, str]
"""An interface and a direction."""


class Dimension(NamedTuple):
    """A field in use. `allowed` is (classes, rules). What finds the class is `direct`, a class for each number below
    the field's bound; or `prefixes` with classes as labels (0: none holds the address); or `exact`, values with
    classes (0: others), of a `look` where it is one; or `places`. `own`: of each prefix, which of the `holders` names
    it itself: sets by their names."""

    field: str
    allowed: numpy.ndarray
    direct: numpy.ndarray | None = None
    prefixes: Entries | None = None
    exact: dict[Any, int] | None = None
    places: dict[Place, int] | None = None
    look: Look | None = None
    own: numpy.ndarray | None = None
    holders: tuple[tuple[str, ...], ...] = ()

    @property
    def structure(self) -> str:
        """What became of the field, for `status`."""
        classes = f"{len(self.allowed)} classes"
        if self.prefixes is not None:
            return f"prefix table, {len(self.prefixes.high)} prefixes, {classes}"
        if self.exact is not None:
            return f"hash, {len(self.exact)} values, {classes}"
        if self.direct is not None:
            return f"direct table of {len(self.direct)}, {classes}"
        return f"constant of each hook, {classes}"


class Layout(NamedTuple):
    """Which bit of a vector is a rule's: rules that decide have the `words` that are searched, in their order, and
    those that go on have a word behind them. `before`: of each rule, how many that decide stand before it. `yields`:
    whether any leaves what is beyond its limit to those behind it."""

    words: int
    bits: list[int]
    before: list[int]
    yields: bool = False

    @classmethod
    def of(cls, rules: Sequence[Rule]) -> Layout:
        """The layout of these rules."""
        words = words_for(sum(not rule.goes_on for rule in rules))
        bits: list[int] = []
        before: list[int] = []
        deciding, going_on = 0, words * 64
        for rule in rules:
            before.append(deciding)
            bits.append(going_on if rule.goes_on else deciding)
            going_on += rule.goes_on
            deciding += not rule.goes_on
        return cls(words, bits, before, any(rule.yields for rule in rules))

    @property
    def goes_on(self) -> bool:
        """Whether any rule goes on."""
        return max(self.bits) >= self.words * 64

    @property
    def most_going_on(self) -> int:
        """How many rules go on, at most: few numbers, so that programs are found compiled, and as little to verify."""
        count = sum(bit >= self.words * 64 for bit in self.bits)
        return next(step for step in _STEPS if step >= count)

    @property
    def all_words(self) -> int:
        """Words of a vector."""
        return self.words + self.goes_on


def words_for(rules: int) -> int:
    """Words of 64 rules each: few sizes, so that programs are found compiled."""
    return next(step for step in _STEPS if step * 64 >= rules)


def compiled(settings: Settings, places: Sequence[Place]) -> list[Dimension]:
    """The fields that rules use. ConfigurationError for rules that can match nothing, or that another takes all of."""
    rules = settings.rules
    found = [_place_dimension(rules, places)]
    for field in DOMAINS:
        if any(field in rule.ranges for rule in rules):
            found.append(_direct_dimension(field, rules))
    for field in ADDRESSES:
        if any(field in rule.networks for rule in rules):
            found.append(prefix_dimension(field, asked_of(rules, field), settings.networks))
    for field in ENDPOINTS:
        if any(field in rule.endpoints for rule in rules):
            found.append(_exact_dimension(field, asked_of(rules, field), settings.endpoints))
    for field in MACS:
        if any(field in rule.macs for rule in rules):
            macs = [rule.macs.get(field) for rule in rules]
            names = {mac: (mac,) for each in macs if each for mac in (*each[0], *each[1])}
            found.append(_exact_dimension(field, macs, names))
    for look in dict.fromkeys(look for rule in rules for look in rule.looks):
        looked = [rule.looks.get(look) for rule in rules]
        names = {value: (value,) for each in looked if each for value in (*each[0], *each[1])}
        found.append(_exact_dimension(look.field, looked, names)._replace(look=look))
    _refuse_idle(settings, found)
    return [each for each in found if not _says_nothing(each) or room_of(settings, each.field)]


def room_of(settings: Settings, field: str) -> int:
    """How many values may come to a field while it is live: what its named sets have room for."""
    return sum(settings.room.get(name, 0) for name in names_of(settings.rules, field))


def names_of(rules: Sequence[Rule], field: str) -> list[Any]:
    """The sets that rules look a field up in."""
    ports = [name for rule in rules for each in rule.ports.get(field, ()) for name in each.sets]
    return list(dict.fromkeys([*_groups(asked_of(rules, field)), *ports]))


def asked_of(rules: Sequence[Rule], field: str) -> list[Any]:
    """Which sets of networks or endpoints each rule asks for in a field: (any of these, none of those), or None."""
    return [rule.networks.get(field) or rule.endpoints.get(field) for rule in rules]


def endpoint_rows(asked: Sequence[Any], held: Sequence[Sequence[str]]) -> numpy.ndarray:
    """(values, rules): whether each rule lets a field have a value that these sets hold."""
    import numpy as np
    groups = _groups(asked)
    member = np.zeros((len(held), len(groups)), bool)
    for at, names in enumerate(held):
        member[at, [groups[name] for name in names]] = True
    return _allowed(member, groups, asked)


def vectors(dimension: Dimension, layout: Layout) -> numpy.ndarray:
    """Its classes as rows of u64: which words that are searched are not 0, and the words."""
    import numpy as np
    bits = np.zeros((len(dimension.allowed), layout.all_words * 64), bool)
    bits[:, layout.bits] = dimension.allowed
    packed = np.packbits(bits, axis=1, bitorder="little").view(np.uint64)
    used = np.zeros((len(bits), 64), bool)
    used[:, :layout.words] = packed[:, :layout.words] != 0
    summary = np.packbits(used, axis=1, bitorder="little").view(np.uint64)
    made: numpy.ndarray = np.concatenate([summary, packed], axis=1)
    return made


def _says_nothing(dimension: Dimension) -> bool:
    return bool(dimension.allowed.all())


def _place_dimension(rules: Sequence[Rule], places: Sequence[Place]) -> Dimension:
    import numpy as np
    rows = [[direction in rule.directions and (not rule.interfaces or interface in rule.interfaces) for rule in rules]
            for interface, direction in places]
    allowed, classes = np.unique(np.array(rows, bool), axis=0, return_inverse=True)
    return Dimension("place", allowed, places=dict(zip(places, classes.reshape(-1).tolist(), strict=True)))


def _direct_dimension(field: str, rules: Sequence[Rule]) -> Dimension:
    import numpy as np
    domain = DOMAINS[field]
    edges = sorted({0, domain, *(edge for rule in rules for first, last in rule.ranges.get(field, ())
                                 for edge in (first, last + 1))})
    at = {edge: place for place, edge in enumerate(edges)}
    steps = np.zeros((len(edges), len(rules)), np.int32)
    for number, rule in enumerate(rules):
        for first, last in rule.ranges.get(field, ((0, domain - 1),)):
            steps[at[first], number] += 1
            steps[at[last + 1], number] -= 1
    pieces = np.cumsum(steps, axis=0)[:-1] > 0
    allowed, classes = _classes_of(pieces)
    return Dimension(field, allowed, direct=np.repeat(classes, np.diff(edges)))


def _classes_of(rows: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """The different rows, and which one each is."""
    import numpy as np
    packed = np.ascontiguousarray(np.packbits(rows, axis=1))
    keys = packed.view(np.dtype((np.void, packed.shape[1]))).reshape(-1)
    _, first, classes = np.unique(keys, return_index=True, return_inverse=True)
    return rows[first], classes.reshape(-1)


def _allowed(member: numpy.ndarray, groups: dict[Any, int], asked: Sequence[Any]) -> numpy.ndarray:
    """(classes, rules) out of (classes, groups) and what each rule asks for: one of some groups, none of others."""
    import numpy as np
    allowed = np.ones((len(member), len(asked)), bool)
    for number, each in enumerate(asked):
        if each is not None:
            yes, no = each
            if yes:
                allowed[:, number] = member[:, [groups[name] for name in yes]].any(axis=1)
            if no:
                allowed[:, number] &= ~member[:, [groups[name] for name in no]].any(axis=1)
    return allowed


def _groups(asked: Sequence[Any]) -> dict[Any, int]:
    names = dict.fromkeys(name for each in asked if each for name in (*each[0], *each[1]))
    return {name: number for number, name in enumerate(names)}


def _exact_dimension(field: str, asked: Sequence[Any], sets: dict[Any, Any]) -> Dimension:
    import numpy as np
    groups = _groups(asked)
    values: dict[Any, set[int]] = {}
    for name, number in groups.items():
        for value in sets[name]:
            values.setdefault(value, set()).add(number)
    kinds: dict[frozenset[int], int] = {frozenset(): 0}
    exact = {value: kinds.setdefault(frozenset(those), len(kinds)) for value, those in values.items()}
    member = np.zeros((len(kinds), len(groups)), bool)
    for those, number in kinds.items():
        member[number, list(those)] = True
    return Dimension(field, _allowed(member, groups, asked), exact=exact)


# addresses


def prefix_dimension(field: str, asked: Sequence[Any], sets: dict[str, Networks]) -> Dimension:
    """Every prefix of all sets with the sets that hold it or a prefix around it."""
    import numpy as np
    groups = _groups(asked)
    named = _with_rest_of_tables(groups, sets)
    kinds = _Kinds([name.partition(":")[0] if ":" in name else "" for name, _ in named])
    parts, own = zip(*(_labelled_prefixes([(number, found) for number, (_, found) in enumerate(named)], kinds, four)
                       for four in (True, False)), strict=True)
    member = np.zeros((len(kinds.sets), len(named)), bool)
    for number, those in enumerate(kinds.sets):
        member[number, list(those)] = True
    entries = Entries(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
    used, label = np.unique(np.append(entries.label, np.uint32(0)), return_inverse=True)  # 0 is the first
    allowed, classes = _with_none_first(_allowed(member[used], groups, asked))
    entries = entries._replace(label=classes[label.reshape(-1)[:-1]].astype(np.uint32))
    holders = tuple(tuple(named[each][0] for each in sorted(those)) for those in kinds.sets)
    return Dimension(field, allowed, prefixes=entries, own=np.concatenate(own), holders=holders)


def _with_none_first(allowed: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Equal rows joined; row 0, what no prefix holds, stays the first and is a class of its own."""
    import numpy as np
    rows, classes = _classes_of(allowed[1:]) if len(allowed) > 1 else (allowed[:0], np.zeros(0, np.int64))
    return np.concatenate([allowed[:1], rows]), np.concatenate([np.zeros(1, np.int64), classes + 1])


def _with_rest_of_tables(groups: dict[str, int], sets: dict[str, Networks]) -> list[tuple[str, Networks]]:
    """The sets, and of each table that one is a label of, the networks of all other labels: the longest prefix of a
    table has the say, whatever its label."""
    found = [(name, sets[name]) for name in groups]
    for table in dict.fromkeys(name.partition(":")[0] for name in groups if ":" in name):
        rest = [each for name, each in sets.items() if name.startswith(f"{table}:") and name not in groups]
        if rest:
            found.append((f"{table}:", joined(rest)))
    return found


class _Kinds:
    """Which sets hold an address, numbered; 0 is none. `tables` says of each set which table it is a label of."""

    def __init__(self, tables: list[str]) -> None:
        self._tables = tables
        self.sets: list[frozenset[int]] = [frozenset()]
        self._numbers = {frozenset[int](): 0}

    def number(self, those: frozenset[int]) -> int:
        found = self._numbers.get(those)
        if found is None:
            found = self._numbers[those] = len(self.sets)
            self.sets.append(those)
        return found

    def within(self, around: int, own: int) -> int:
        """What holds for a prefix inside another."""
        mine = self.sets[own]
        decided = {self._tables[each] for each in mine} - {""}
        return self.number(mine | {each for each in self.sets[around] if self._tables[each] not in decided})


def _labelled_prefixes(groups: list[tuple[int, Networks]], kinds: _Kinds, four: bool) -> tuple[Entries, numpy.ndarray]:
    """Prefixes with the number of the sets that hold each or one around it, and of those that name it."""
    import numpy as np
    columns = []
    for number, found in groups:
        mapped = (found.high == 0) & (found.low >> np.uint64(32) == 0xFFFF) & (found.length >= 96)
        chosen = mapped if four else ~mapped
        columns.append((found.high[chosen], found.low[chosen], found.length[chosen],
                        np.full(int(chosen.sum()), number, np.uint32)))
    high, low, length, group = (np.concatenate(each) for each in zip(*columns, strict=True))
    if four:  # where sorting is quick; see spans
        high, low = low << np.uint64(32), np.zeros_like(high)
        length = length - np.uint8(96)
    high, low, length, group = sorted_entries(Entries(high, low, length, group))
    new = np.ones(len(high), bool)
    new[1:] = (high[1:] != high[:-1]) | (low[1:] != low[:-1]) | (length[1:] != length[:-1])
    own = _own(np.flatnonzero(new), group, kinds)
    high, low, length = high[new], low[new], length[new]
    label = _inherited(Entries(high, low, length, own), kinds)
    if four:
        high, low = low, high >> np.uint64(32) | np.uint64(0xFFFF << 32)
        length = length + np.uint8(96)
    return Entries(high, low, length, label), own


def _own(begin: numpy.ndarray, group: numpy.ndarray, kinds: _Kinds) -> numpy.ndarray:
    """The number of the sets that name a prefix itself; most are in one."""
    import numpy as np
    counts = np.diff(np.append(begin, len(group)))
    singles = {int(each): kinds.number(frozenset([int(each)])) for each in np.unique(group)}
    table = np.zeros(max(singles, default=0) + 1, np.uint32)
    for each, number in singles.items():
        table[each] = number
    own = table[group[begin]] if len(begin) else np.zeros(0, np.uint32)
    for at in np.flatnonzero(counts > 1):
        own[at] = kinds.number(frozenset(group[begin[at]:begin[at] + counts[at]].tolist()))
    return own


def _inherited(entries: Entries, kinds: _Kinds) -> numpy.ndarray:
    """Of each prefix, the sets that hold it or one around it: from the outermost inwards, all of a depth at once."""
    import numpy as np
    high, low, length, own = entries
    if not len(high):
        return own
    more_high, more_low = host_bits(length)
    around = parents(high | more_high, low | more_low)
    label = own.copy()
    ready = around < 0
    left = np.flatnonzero(~ready)
    while len(left):
        now = left[ready[around[left]]]
        pairs = label[around[now]].astype(np.uint64) << np.uint64(32) | own[now].astype(np.uint64)
        different, which = np.unique(pairs, return_inverse=True)
        numbers = [kinds.within(int(pair) >> 32, int(pair) & 0xFFFF_FFFF) for pair in different]
        label[now] = np.array(numbers, np.uint32)[which.reshape(-1)]
        ready[now] = True
        left = left[~ready[left]]
    return label


# rules that never act


def _refuse_idle(settings: Settings, dimensions: list[Dimension]) -> None:
    """ConfigurationError for the first rule that can match nothing, or whose packets an earlier rule takes all."""
    import numpy as np
    rules = settings.rules
    own = [number for number, rule in enumerate(rules) if not rule.implied]
    if not own:
        return
    taken = np.ones((len(own), len(own)), bool)
    for dimension in dimensions:
        columns = np.packbits(dimension.allowed[:, own], axis=0).T  # rows are rules, bits are classes
        _, first, which = np.unique(columns, axis=0, return_index=True, return_inverse=True)
        which = which.reshape(-1)
        kinds = columns[first]
        for kind in np.flatnonzero(~kinds.any(axis=1)):
            empty = [rules[own[int(at)]] for at in np.flatnonzero(which == kind)]
            _refuse_empty([rule for rule in empty if not _may_grow(settings, rule, dimension.field)],
                          dimension.field)
        within = np.array([~(each & ~kinds).any(axis=1) for each in kinds])
        taken &= within[which][:, which]
    if not settings.strict:
        return
    taken &= np.tri(len(own), k=-1, dtype=bool)  # earlier rules alone
    taken[:, [rules[number].goes_on for number in own]] = False
    for number in np.flatnonzero(taken.any(axis=1)):
        late, early = rules[own[number]], rules[own[int(np.flatnonzero(taken[number])[0])]]
        raise ConfigurationError(f"rule {late.name!r} never acts", file=late.file, line=late.line,
                                 why=f"rule {early.name!r} at line {early.line} takes all its packets before",
                                 cure=f"Move it before {early.name!r}, or take it out.")


def _may_grow(settings: Settings, rule: Rule, field: str) -> bool:
    """Whether a set that a rule names has room for elements that come later."""
    return any(settings.room.get(name) for name in names_of([rule], field))


def _refuse_empty(rules: Sequence[Rule], field: str) -> None:
    if not rules:
        return
    rule, where = rules[0], "interface or direction" if field == "place" else field
    raise ConfigurationError(f"rule {rule.name!r} can match no packet: nothing is left of {where}", file=rule.file,
                             line=rule.line, cure="Fill the sets that it names, or take the rule out.")


def needed_directions(settings: Settings) -> tuple[str, ...]:
    """Where the firewall has to look: always at what comes in, and at what goes out when a rule, a default or the
    flow table asks for it."""
    out = settings.default["out"] == "drop" or settings.stateful or any(
        "out" in rule.directions and not rule.implied for rule in settings.rules)
    return DIRECTIONS if out else DIRECTIONS[:1]
