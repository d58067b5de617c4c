"""Rules of others: what `iptables-save` and `nft -j list ruleset` print, as far as it means the same here.

What does not is refused by its line, or for nft's JSON, which is one line, by its table, chain and handle. A rule
becomes words of this section's own keys, so that both are read by the same reader.
"""
from __future__ import annotations

from bpfwright._typing import Any, Mapping, NamedTuple, NoReturn, Sequence
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.errors import ConfigurationError

__all__ = ["CURE", "FORMATS", "Draft", "Imported", "Rule", "Words", "imported", "section_of"]

FORMATS = ("iptables-save", "ip6tables-save", "nft-json")
CURE = "Take it out, or write what it means under `rules`."
Words = dict[str, list[str]]
NO_KINDS: Mapping[str, str] = {}
_WHOLE = ("protocol", "family", "ethertype", "state")  # of which two values are the same or have nothing in common
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


def imported(text: str, format: str, file: str, kinds: Mapping[str, str] = NO_KINDS) -> Imported:
    """Read a file's text; ConfigurationError for the first thing that has no counterpart. `kinds`: those of the sets
    that the configuration has, by name, which rules of iptables may ask for."""
    if format == "nft-json":
        from bpfwright.facets.firewall.imported_nft import from_nft
        return from_nft(text, file)
    from bpfwright.facets.firewall.imported_iptables import from_iptables
    return from_iptables(text, file, "ipv4" if format == "iptables-save" else "ipv6", kinds)


class Rule:
    """A rule of others on its way to drafts: what it asks for, statement by statement, and what it does."""

    def __init__(self, file: str, line: int, name: str, direction: str, match: Words, marked: bool) -> None:
        self.file, self.line, self.name, self.direction = file, line, name, direction
        self.match: Words = match
        self.but: Words = {}
        self.interface: tuple[str, ...] = ()
        self.does: Does = {}
        self.skipped = False
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

    def on(self, names: Sequence[str]) -> None:
        """It is about packets of these interfaces."""
        if names == ["lo"]:
            self.skipped = True  # the data path is not on it: such a rule has nothing to do here
        self.interface = tuple(names)

    def limited(self, rate: str, burst: int, per: str = "rule", *, over: bool = False) -> None:
        """It holds for packets within a rate, or for those over it."""
        if "limit" in self.does:
            self.wrong("two limits of one rule have no counterpart")
        self.go_on_with()
        self.does["limit"] = {"packets": rate, "burst": str(burst), "per": per,
                              "beyond": "drop" if over else "continue"}

    def logs(self, prefix: str) -> None:
        """Its packets are told of."""
        self._not_over("a log")
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
        if not self.skipped:
            self.drafts.append(Draft(self.line, self.name + (name or number), self.direction, action, dict(self.match),
                                     dict(self.but), self.interface, dict(self.does)))
        self.does.clear()


def section_of(draft: Draft, file: str) -> Section:
    """A draft as a section that `reading` reads."""
    def scalar(text: str, name: str) -> Scalar:
        return Scalar(text, file, draft.line, f"{draft.name}: {name}")

    def section(words: Words, name: str) -> Section:
        return Section({key: [scalar(each, key) for each in values] for key, values in words.items()}, file,
                       draft.line, name)

    values: dict[str, Any] = {
        "name": scalar(draft.name, "name"), "direction": scalar(draft.direction, "direction"),
        "action": scalar(draft.action, "action"), "match": section(draft.match, "match"),
        "not": section(draft.but, "not"), "interface": [scalar(each, "interface") for each in draft.interface]}
    for key, does in draft.does.items():
        values[key] = scalar(does, key) if isinstance(does, str) else Section(
            {inner: scalar(text, inner) for inner, text in does.items()}, file, draft.line, key)
    return Section(values, file, draft.line, draft.name)
