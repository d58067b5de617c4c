"""The firewall as a facet of the data path: its section read, its stages built, its tables filled."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Iterable
from bpfwright.datapath.configuration import Section
from bpfwright.datapath.facet import Edit, Facts, Hooked, Part, Scene
from bpfwright.datapath.stage import CONTINUE, Stage, drop
from bpfwright.errors import ConfigurationError, UsageError
from bpfwright.facets.firewall.model import Look, Rule, Settings

if TYPE_CHECKING:
    from bpfwright.datapath.book import Book
    from bpfwright.facets.firewall.filling import Filled
    from bpfwright.facets.firewall.mitigation import Mitigator
    from bpfwright.facets.firewall.telling import Teller

__all__ = ["FACET", "Firewall"]

RANK = 50
"""Before what rewrites and redirects: rules are about packets as they come in."""
_HOOKS = {"in": "xdp", "out": "egress"}
_SOURCES = 65_536


class Firewall:
    """The facet; see the package's README for what its section says."""

    name = "firewall"

    def read(self, section: Section) -> Settings:
        """Settings, checked."""
        from bpfwright.facets.firewall.reading import read
        return read(section)

    def build(self, settings: Settings, scene: Scene) -> Part:
        """Stages at XDP for what comes in, and at tc egress for what goes out if anything asks for it."""
        return _Build(settings, scene).part()

    def edit(self, book: Book, maps: Callable[[str], Any], edit: Edit | None) -> None:
        """Change a named set in the live tables of all fields that rules look it up in."""
        from bpfwright.facets.firewall.editing import Editor
        Editor(book, maps).edit(edit)


class _Reasons:
    """What drops are counted as, numbered."""

    def __init__(self) -> None:
        self.words = ["over a limit", "no room for a flow", "source shut out", "nowhere to go"]

    def number(self, word: str) -> int:
        if word not in self.words:
            self.words.append(word)
        return self.words.index(word)


class _Build:
    """One generation's firewall."""

    def __init__(self, settings: Settings, scene: Scene) -> None:
        from bpfwright.facets.firewall import classes, finding
        self.settings = settings
        self.scene = scene
        interfaces = settings.interfaces or tuple(scene.interfaces)
        _check_interfaces(settings, scene, interfaces)
        self.places = [(interface, direction) for interface in interfaces
                       for direction in classes.needed_directions(settings)]
        self.layout = classes.Layout.of(settings.rules)
        self.dimensions = classes.compiled(settings, self.places)
        self.looks = [each.look for each in self.dimensions if each.look is not None]
        _check_looks(settings, self.looks)
        vector = finding.vector_of(self.layout.all_words)
        self.finders = [finding.finder_of(each, vector, classes.room_of(settings, each.field),
                                          self.looks.index(each.look) if each.look is not None else 0)
                        for each in self.dimensions]
        self.filled: dict[str, Filled] = {}
        self.reasons = _Reasons()
        self.verdicts = [self._verdict(rule) for rule in settings.rules]
        self.tables = self._tables()
        self.mitigator = self._mitigator()
        self.teller = self._teller()
        self.devices: Any = None
        self.targets = {rule.to: _interface(settings, rule) for rule in settings.rules if rule.to}
        if self.targets:
            from bpfwright.maps import DevMapHash
            self.devices = DevMapHash(max_entries=len(self.targets))

    def _verdict(self, rule: Rule) -> int:
        if rule.action == "drop":
            return drop(self.reasons.number(rule.reason or "rule"))
        if rule.action == "continue" and rule.limit is not None and not rule.yields:
            return drop(self.reasons.number(rule.reason or "over a limit"))
        return CONTINUE

    def _teller(self) -> Teller | None:
        if not any(rule.log or rule.sample for rule in self.settings.rules):
            return None
        from bpfwright.facets.firewall.telling import Teller
        return Teller.of(self.layout.all_words * 64, self.settings.log, self.settings.samples)

    def _tables(self) -> Any:
        from bpfwright.datapath.flows import Flows
        from bpfwright.facets.firewall.kernel import Action, Count, Tables
        from bpfwright.facets.firewall.tokens import Tokens
        from bpfwright.maps import Array, PerCpuArray
        room = self.layout.all_words * 64
        limits = [rule.limit for rule in self.settings.rules if rule.limit is not None]
        by_source = any(limit.per == "source" for limit in limits)
        return Tables(Array[Action](max_entries=room), PerCpuArray[Count](max_entries=room),
                      Tokens.of(room, _SOURCES if by_source else 0) if limits else None,
                      Flows.of(max_entries=self.settings.flows) if self.settings.stateful else None)

    def _mitigator(self) -> Mitigator | None:
        settings = self.settings.mitigation
        if settings is None:
            return None
        from bpfwright.facets.firewall.elements import one_network
        from bpfwright.facets.firewall.mitigation import Mitigator
        from bpfwright.kernel.cpus import possible_cpus
        own = [one_network(address.partition("/")[0]) for each in self.scene.interfaces.values()
               for address in getattr(each, "addresses", ())]
        return Mitigator(settings._replace(never=(*settings.never, *own)), possible_cpus())

    def part(self) -> Part:
        """Everything put together."""
        from bpfwright.facets.firewall import kernel
        stages: dict[Any, Stage] = {}
        needs = frozenset(each.needs for each in self.finders)
        if self.settings.stateful or self._answers or self.mitigator is not None or self.tables.tokens is not None:
            needs |= {"network", "transport"}
        hooked = []
        for place in self.places:
            kind = (place[1], self._mtu(place),
                    *(each.places[place] for each in self.dimensions if each.places is not None))
            if kind not in stages:
                find = kernel.rule_of(self.finders, place, self.layout)
                run = kernel.stage_of(find, self.tables, needs, self.layout, self._besides(place),
                                      place[1] == "out")
                stages[kind] = Stage(FACET.name, run, needs, tuple(self.reasons.words), alone=True)
            hooked.append(Hooked(place[0], _HOOKS[place[1]], stages[kind], RANK))
        hooked += self._marks()
        tends = self.mitigator is not None or self.teller is not None
        return Part(hooked, self._kept(), self.fill, self.tend if tends else None, self.rows, book=self.book,
                    redo=self.redo, elements=self.elements)

    def _marks(self) -> list[Hooked]:
        """Where packets that came in get the marks that rules gave them: at the first hook that has marks."""
        if not any(rule.mark and "in" in rule.directions for rule in self.settings.rules):
            return []
        from bpfwright.datapath.handing import take_mark
        stage = Stage("firewall marks", take_mark, frozenset(), alone=True)
        return [Hooked(name, "ingress", stage, 0) for name, direction in self.places if direction == "in"]

    def _besides(self, place: tuple[str, str]) -> Any:
        """What a hook's stage does besides finding the rule."""
        from bpfwright.facets.firewall.cookies import answerer
        from bpfwright.facets.firewall.finding import looker_of
        from bpfwright.facets.firewall.kernel import Parts
        from bpfwright.facets.firewall.marking import marker, sender
        outward, mtu = place[1] == "out", self._mtu(place)
        return Parts(
            looker_of(self.looks, outward) if self.looks else None,
            answerer(mtu) if mtu else None,
            self.mitigator.judged if self.mitigator is not None and not outward else None,
            self.teller.tell(outward) if self.teller is not None else None,
            marker(outward) if any(rule.mark for rule in self.settings.rules) else None,
            sender(outward, self.devices) if self.devices is not None else None)

    def _kept(self) -> dict[str, Any]:
        kept: dict[str, Any] = {} if self.tables.flows is None else {"flows": self.tables.flows.table}
        if self.mitigator is not None:
            kept |= {"blocked": self.mitigator.blocked}
        return kept

    @property
    def _answers(self) -> bool:
        return any(rule.cookies for rule in self.settings.rules)

    def _mtu(self, place: tuple[str, str]) -> int:
        """Of an interface where SYNs may be answered, else 0."""
        if not self._answers or place[1] != "in":
            return 0
        return getattr(self.scene.interfaces[place[0]], "mtu", None) or 1500

    # tables

    def fill(self, maps: Callable[[Any], Any]) -> None:
        """Write all tables."""
        from bpfwright.facets.firewall.filling import fill_finder, seed_connections
        for finder in self.finders:
            filled = fill_finder(finder, self.layout, maps)
            if filled is not None:
                self.filled[finder.dimension.field] = filled
        actions = maps(self.tables.actions)
        for at, rule in enumerate(self.settings.rules):
            actions[self.layout.bits[at]] = self._action(at, rule)
        if self.devices is not None:
            for name, number in self.targets.items():
                maps(self.devices)[number] = name
        if self.tables.flows is not None and "connections" in self.settings.keep:
            seed_connections(maps(self.tables.flows.table))

    def _action(self, at: int, rule: Rule) -> Any:
        from bpfwright.facets.firewall import tokens
        from bpfwright.facets.firewall.kernel import Action
        limit, mark = rule.limit, rule.mark
        flags = 0 if limit is None else limit.bytes * tokens.BYTES | (limit.per == "source") * tokens.PER_SOURCE
        flags |= rule.cookies * tokens.COOKIES | bool(rule.to) * tokens.REDIRECTS | bool(rule.sample) * tokens.SAMPLES
        flags |= rule.yields * tokens.YIELDS | (rule.yields and rule.action != "continue") * tokens.DECIDES
        bucket = (0, 0) if limit is None else tokens.interval_of(limit)
        log = (0, 0) if rule.log is None else tokens.interval_of(rule.log)
        return Action(self.verdicts[at], flags, *bucket, *log, (1 << 32) // rule.sample - 1 if rule.sample else 0,
                      mark.value if mark else 0, mark.mask if mark else 0, self.layout.before[at],
                      self.targets.get(rule.to, 0), 0)

    def book(self, book: Any, name_of: Callable[[Any], str]) -> None:
        """Write what changes of sets in these tables need."""
        from bpfwright.facets.firewall.booking import write_book
        if self.settings.room:
            write_book(book, self.settings, self.finders, self.layout, self.filled, name_of)

    def redo(self, maps: Callable[[Any], Any], earlier: list[Facts]) -> None:
        """What was changed in other tables once more, in these, which were just filled."""
        from bpfwright.datapath.prefixes import Content
        from bpfwright.facets.firewall import editing
        for finder in self.finders:
            dimension = finder.dimension
            rows, changes = editing.noted(earlier, dimension.field)
            if rows:
                editing.write_rows(maps(finder.vectors).handle, rows, len(dimension.allowed), self.layout)
            if dimension.prefixes is not None and changes:
                columns, state = self.filled[dimension.field]
                with Content(finder.table, maps) as content:
                    content.go_on(columns.__getitem__, state, lambda: None)
                    for text, number in changes:
                        editing.placed(content, text, number)
                continue
            put = editing.put_ports if dimension.direct is not None else editing.put_endpoint
            for text, number in changes:
                put(maps(finder.table).handle, text, number)

    def elements(self, name: str, earlier: list[Facts]) -> Iterable[str]:
        """The elements of a named set, as they are now."""
        from bpfwright.facets.firewall.booking import kinds_of
        from bpfwright.facets.firewall.editing import elements_of, members_of
        kinds, settings = kinds_of(self.settings), self.settings
        if name not in kinds:
            raise UsageError(f"there is no set {name!r} of networks, endpoints or ports",
                             cure=f"There is {', '.join(kinds) or 'none'}.")
        base: Any = settings.ports.get(name) or settings.endpoints.get(name) or ()
        if kinds[name] == "networks":
            base = zip(*(column.tolist() for column in settings.networks[name]), strict=True)
        return elements_of(kinds[name], base, members_of(kinds, earlier)[name])

    def tend(self, maps: Callable[[Any], Any]) -> None:
        """Each second while a controller lives: who sends too much, and what rules tell of."""
        if self.mitigator is not None:
            self.mitigator.tend(maps)
        if self.teller is not None:
            self.teller.write(maps, self.settings.rules, self.layout.bits)

    def rows(self, maps: Any) -> list[dict[str, Any]]:
        """What `status` shows: each rule with its counts, each field with what it became."""
        counts = maps(self.tables.counts)
        found: list[dict[str, Any]] = []
        for number, rule in enumerate(self.settings.rules):
            total = counts[self.layout.bits[number]].total()
            found.append({"rule": rule.name, "action": rule.action, "line": rule.line, "packets": total.packets,
                          "bytes": total.bytes, "limited": total.limited})
        if self.mitigator is not None:
            found += self.mitigator.rows(maps)
        if self.teller is not None:
            found.append({"packets not told of": maps.lost(self.teller.ring)})
        return found + [{"field": each.field, "structure": each.structure} for each in self.dimensions]


def _check_looks(settings: Settings, looks: list[Look]) -> None:
    from bpfwright.facets.firewall.finding import MOST_LOOKS
    if len(looks) > MOST_LOOKS:
        rule = next(rule for rule in settings.rules if looks[MOST_LOOKS] in rule.looks)
        raise ConfigurationError(f"rules look at {len(looks)} places in a packet", file=rule.file, line=rule.line,
                                 cure=f"{MOST_LOOKS} are the most: places with the same mask are one.")


def _interface(settings: Settings, rule: Rule) -> int:
    from socket import if_nametoindex
    try:
        return if_nametoindex(rule.to)
    except OSError:
        raise ConfigurationError(f"rule {rule.name!r}: there is no interface {rule.to!r}", file=rule.file,
                                 line=rule.line, cure="Redirect to one that is there.") from None


def _check_interfaces(settings: Settings, scene: Scene, interfaces: tuple[str, ...]) -> None:
    for name in interfaces:
        if name not in scene.interfaces:
            raise ConfigurationError(f"firewall.interfaces: {name} is no interface of this data path",
                                     file=settings.file, line=1, cure="Name it in the section `interfaces` too.")
    for rule in settings.rules:
        for name in rule.interfaces:
            if name not in interfaces:
                raise ConfigurationError(f"rule {rule.name!r}: {name} is no interface of this data path",
                                         file=rule.file, line=rule.line, cure=f"There is {', '.join(interfaces)}.")


FACET = Firewall()
