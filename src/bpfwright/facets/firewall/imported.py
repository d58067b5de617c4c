"""Rules of others: what `iptables-save` and `nft -j list ruleset` print, as far as it means the same here.

What does not is refused by its line, or for nft's JSON, which is one line, by its table, chain and handle. A rule
becomes words of this section's own keys, so that both are read by the same reader.
"""
from __future__ import annotations

from bpfwright._typing import Any, Mapping, NamedTuple, NoReturn, Sequence
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.errors import ConfigurationError, UsageError
from bpfwright.facets.firewall.joining import both, none_left

__all__ = ["CURE", "FORMATS", "REJECTS", "Around", "Draft", "Imported", "Rule", "Said", "Words", "imported",
           "section_of"]

FORMATS = ("iptables-save", "ip6tables-save", "nft-json")
REJECTS = ("refuse", "drop")
CURE = "Take it out, or write what it means under `rules`."
Words = dict[str, list[str]]
_WHOLE = ("protocol", "family", "ethertype", "state")  # of which two values are the same or have nothing in common
_SURE = (*_WHOLE, "source", "destination", "mark", "source-mac", "destination-mac")
# what each packet has, so that it is of some values or of none of them
_TO_ALL = "ff:ff:ff:ff:ff:ff"
Does = dict[str, str | dict[str, str]]


class Draft(NamedTuple):
    """A rule before it is read: words by key, asked for and excluded; `does` is what it does besides, by key."""

    line: int
    name: str
    direction: str
    action: str
    match: Words
    but: Words
    interface: tuple[str, ...] = ()
    does: Does = {}


class Imported(NamedTuple):
    """What a file holds: rules in their order, what chains do with the rest, networks and endpoints by name."""

    rules: list[Draft]
    policies: list[Draft]
    sets: dict[str, list[str]]
    endpoints: dict[str, list[str]]


class Said(NamedTuple):
    """What the configuration says of a file: the `kinds` of its own sets, by name, which rules of iptables may ask for;
    what it leaves (`leave`: chains, tables, hooks), and whether a reject is taken as a drop."""

    kinds: Mapping[str, str] = {}
    leave: frozenset[str] = frozenset()
    rejects_drop: bool = False


_NOTHING = Said()


def imported(text: str, format: str, file: str, said: Said = _NOTHING) -> Imported:
    """Read a file's text; ConfigurationError for the first thing that has no counterpart."""
    if format == "nft-json":
        from bpfwright.facets.firewall.imported_nft import from_nft
        return from_nft(text, file, said)
    from bpfwright.facets.firewall.imported_iptables import from_iptables
    return from_iptables(text, file, "ipv4" if format == "iptables-save" else "ipv6", said)


class Around(NamedTuple):
    """What holds for all rules of a chain: what those asked for that jump there. `path`: the chains on the way, the
    base chain first; `names`: where the jumps stand; `again`: rules jumped to it before."""

    match: Words
    but: Words = {}
    interface: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    skipped: bool = False
    again: bool = False


class Rule:
    """A rule of others on its way to drafts: what it asks for, statement by statement, and what it does."""

    def __init__(self, file: str, line: int, name: str, direction: str, around: Around, marked: bool) -> None:
        self.file, self.line, self.direction, self.around = file, line, direction, around
        self.name = " from ".join((name, *around.names))
        self.match: Words = {}
        self.but: Words = {}
        self.interface: tuple[str, ...] = ()
        self.does: Does = {}
        self.skipped = around.skipped
        self.marked = marked  # rules before have given marks
        self.drafts: list[Draft] = []

    def wrong(self, what: str, cure: str = CURE) -> NoReturn:
        """Refuse it."""
        where = "" if self.name.startswith(self.file) else f"{self.name}: "
        raise ConfigurationError(where + what, file=self.file, line=self.line, cure=cure)

    def asks(self, key: str, values: list[str], negated: bool) -> None:
        """It is about packets of which a field is, or is not, one of these."""
        if self.does:
            self.wrong(f"{key} is asked for behind a limit or what a rule does", "Move it before.")
        if key == "mark" and self.marked:
            self.wrong("rules before this one give marks", "The mark that packets come with is what is asked for here.")
        where = self.but if negated else self.match
        if key in where and where[key] != values:
            same = [each for each in where[key] if each in values]
            if negated or not same or key not in _WHOLE:
                self.wrong(f"{key} is asked for twice")
            values = same
        where[key] = values

    def on(self, names: Sequence[str], negated: bool = False) -> None:
        """It is about packets of these interfaces."""
        others = tuple(name for name in names if name != "lo")  # the data path is not on it
        if any(name.endswith(("*", "+")) for name in names) or (negated and others):
            self.wrong("interfaces by pattern or by exclusion have no counterpart", "Name the interfaces.")
        if not negated:
            if self.does:
                self.wrong("an interface is asked for behind a limit or what a rule does", "Move it before.")
            if self.interface and others:
                self.wrong("interfaces are asked for twice")
            self.skipped |= not others  # such a rule has nothing to do here
            self.interface = others

    @property
    def asked(self) -> tuple[Words, Words, tuple[str, ...]] | None:
        """What it asks for with what those ask for that jump to it: wanted, excluded, interfaces; None when no packet
        can have all that."""
        match, but = dict(self.around.match), dict(self.around.but)
        for key, values in self.but.items():
            but[key] = list(dict.fromkeys([*but.get(key, ()), *values]))
        possible = not self.skipped
        try:
            for key, values in self.match.items():
                match[key] = self._both(key, match[key], values) if key in match else values
                possible = possible and bool(match[key])
            if self.around.names:  # what a rule asks for by itself is read as it stands
                possible = possible and not any(key in match and none_left(key, match[key], but[key]) for key in but)
        except UsageError as error:
            self.wrong(error.what, error.cure)
        interface = self.interface or self.around.interface
        if self.interface and self.around.interface:
            interface = tuple(name for name in self.interface if name in self.around.interface)
        return (match, but, interface) if possible and (interface or not self.interface) else None

    def _both(self, key: str, one: list[str], two: list[str]) -> list[str]:
        found = both(key, one, two)
        if found is None:
            self.wrong(f"{key} is asked for here and where a rule jumps to it")
        return found

    def towards(self, chain: str, name: str, again: bool) -> Around:
        """What holds for the rules of a chain that it jumps to."""
        if chain in self.around.path:
            self.wrong(f"the chain {chain} comes back to itself")
        if self.does:
            self.wrong("a limit or what a rule does, before it jumps, has no counterpart", "Write two rules.")
        asked = self.asked
        match, but, interface = asked or (self.around.match, self.around.but, self.around.interface)
        return Around(match, but, interface, (*self.around.path, chain), (name, *self.around.names), asked is None,
                      self.around.again or again)

    def leaves(self) -> Around:
        """It returns from a chain that others jumped to: what holds for the rules behind it."""
        if self.skipped:
            return self.around
        if self.does or self.interface or len(self.match) + len(self.but) > 1 \
                or not {*self.match, *self.but} <= {*_SURE}:
            self.wrong("such a return from a chain has no counterpart",
                       f"One has that asks for nothing, or for one of {', '.join(_SURE)}.")
        if not self.match and not self.but:
            return self.around._replace(skipped=True)
        turned = Rule(self.file, self.line, self.name, self.direction, self.around, self.marked)
        turned.match, turned.but = self.but, self.match
        asked = turned.asked
        return self.around._replace(skipped=True) if asked is None else self.around._replace(match=asked[0],
                                                                                            but=asked[1])

    def limited(self, rate: str, burst: int, per: str = "rule", *, over: bool = False) -> None:
        """It holds for packets within a rate, or for those over it."""
        if "limit" in self.does:
            self.wrong("two limits of one rule have no counterpart")
        if self.around.again and not self.skipped:
            self.wrong("a limit of a chain that rules jump to more than once has no counterpart",
                       "Let one rule jump there.")
        self.go_on_with()
        self.does["limit"] = {"packets": rate, "burst": str(burst), "per": per,
                              "beyond": "drop" if over else "continue"}

    def kinds(self, names: Sequence[str], negated: bool) -> None:
        """It is about packets to this host alone, to many, to all: what stands in a frame's first byte, and a frame to
        all is to many, too."""
        wanted = {"unicast" if name == "host" else name for name in names}
        if negated:
            wanted = {"unicast", "multicast", "broadcast"} - wanted
        if self.direction != "in" or not wanted <= {"unicast", "multicast", "broadcast"} or \
                (len(wanted) == 2 and "unicast" in wanted) or not wanted:
            self.wrong(f"packets by the kind {', '.join(sorted(names))} have no counterpart",
                       "Of what comes in, host, multicast and broadcast have.")
        if wanted == {"broadcast"}:
            self.asks("destination-mac", [_TO_ALL], False)
        elif len(wanted) < 3:
            self.asks("frame+0", ["00/01" if wanted == {"unicast"} else "01/01"], False)
            if wanted == {"multicast"}:
                self.asks("destination-mac", [_TO_ALL], True)

    def logs(self, prefix: str, *, of_users: bool = False) -> None:
        """Its packets are told of; `of_users`: with whose they are, which is known of what goes out alone."""
        self._not_over("a log")
        if of_users and self.direction == "out":
            self.wrong("a log that says whose a packet is has no counterpart", "Log without that.")
        self.does["log"] = {"rate": "all", "prefix": prefix}

    def marks(self, value: int, mask: int) -> None:
        """Its packets get a mark in these bits."""
        self._not_over("a mark")
        if mask:
            if "mark" in self.does:
                self.go_on_with()
            self.does["mark"] = f"{value:#x}/{mask:#x}"

    def _not_over(self, what: str) -> None:
        if self.is_over:
            self.wrong(f"{what} of what is over a limit has no counterpart")

    @property
    def is_over(self) -> bool:
        """Whether it is about what is over a limit."""
        limit = self.does.get("limit")
        return isinstance(limit, dict) and limit["beyond"] == "drop"

    def go_on_with(self) -> None:
        """What it does so far is a rule that goes on."""
        if "limit" in self.does and self.does.keys() & {"log", "mark"}:
            self.wrong("a limit before several things has no counterpart")
        if self.does:
            self.draft("continue")

    def ends(self, action: str) -> None:
        """Its verdict: `allow`, `drop` or `continue`."""
        if self.is_over:
            if action != "drop":
                self.wrong("a limit of which what is over does not drop has no counterpart")
            action = "continue"
        elif action == "continue" and not self.does.keys() & {"log", "mark"}:
            self.does["count"] = "true"
        if action == "drop" and "mark" in self.does:
            del self.does["mark"]  # nobody sees it
        self.draft(action)

    def draft(self, action: str, name: str = "") -> None:
        """A draft of it as it is now; what it does begins anew."""
        number = f" {len(self.drafts) + 1}" if self.drafts else ""
        asked = self.asked
        if asked is not None:
            match, but, interface = asked
            self.drafts.append(Draft(self.line, self.name + (name or number), self.direction, action, match, but,
                                     interface, dict(self.does)))
        self.does.clear()


def section_of(draft: Draft, file: str) -> Section:
    """A draft as a section that `reading` reads."""
    label = draft.name.removeprefix(f"{file}:{draft.line}").strip()  # an error says where anyway

    def scalar(text: str, name: str) -> Scalar:
        return Scalar(text, file, draft.line, f"{label}: {name}" if label else name)

    def section(words: Words, name: str) -> Section:
        found: dict[str, Any] = {key: [scalar(each, key) for each in values] for key, values in words.items()}
        places = {key: found.pop(key) for key in words if "+" in key}
        if places:
            found["bytes"] = Section(places, file, draft.line, "bytes")
        return Section(found, file, draft.line, name)

    values: dict[str, Any] = {
        "name": scalar(draft.name, "name"), "direction": scalar(draft.direction, "direction"),
        "action": scalar(draft.action, "action"), "match": section(draft.match, "match"),
        "not": section(draft.but, "not"), "interface": [scalar(each, "interface") for each in draft.interface]}
    for key, does in draft.does.items():
        values[key] = scalar(does, key) if isinstance(does, str) else Section(
            {inner: scalar(text, inner) for inner, text in does.items()}, file, draft.line, key)
    return Section(values, file, draft.line, draft.name)
