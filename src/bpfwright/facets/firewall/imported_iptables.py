"""What `iptables-save` and `ip6tables-save` print, as drafts of rules."""
from __future__ import annotations

from bpfwright._typing import Callable, Mapping, NoReturn
from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.imported import CURE, Draft, Imported, Rule

__all__ = ["from_iptables"]

_CHAINS = {"INPUT": "in", "OUTPUT": "out"}
_MODULES = ("tcp", "udp", "icmp", "icmp6", "multiport", "state", "conntrack", "comment", "mac", "ttl", "hl", "length",
            "dscp", "limit", "hashlimit", "set", "mark")
_PERIODS = {"sec": 1, "second": 1, "s": 1, "min": 60, "minute": 60, "hour": 3600, "day": 86400}
_BURST = 5  # XT_LIMIT's and XT_HASHLIMIT's own


def from_iptables(text: str, file: str, family: str, kinds: Mapping[str, str]) -> Imported:
    """Drafts; ConfigurationError for what is no such text, or has no counterpart."""
    return _Reader(file, family, kinds).read(text)


class _Reader:
    """One file."""

    def __init__(self, file: str, family: str, kinds: Mapping[str, str]) -> None:
        self.file, self.family, self.kinds = file, family, kinds
        self.line = 0
        self.table = ""
        self.policies: dict[str, str] = {}
        self.marking: set[str] = set()  # chains of which a rule has given a mark
        self.tables: set[str] = set()  # names of hashlimit's
        self.found = Imported([], [], {}, {})

    def wrong(self, what: str, cure: str = CURE) -> NoReturn:
        raise ConfigurationError(what, file=self.file, line=self.line, cure=cure)

    def read(self, text: str) -> Imported:
        for self.line, line in enumerate(text.splitlines(), 1):
            line = line.strip()
            if line.startswith("["):  # counters, of iptables-save -c
                line = line.partition("] ")[2]
            if line.startswith("*"):
                self.table = line[1:]
            elif line.startswith(":"):
                self._chain(line)
            elif line.startswith("-A "):
                self._rule(line)
            elif line and not line.startswith("#") and line != "COMMIT":
                self.wrong(f"this is no line of iptables-save: {line[:60]}")
        return self.found

    def _chain(self, line: str) -> None:
        name, policy = line[1:].split()[:2]
        self.policies[name] = policy
        if policy == "ACCEPT":
            return
        if self.table != "filter" or name not in _CHAINS:
            self.wrong(f"chain {name} of table {self.table} has no counterpart", "INPUT and OUTPUT of filter have.")
        if policy != "DROP":
            self.wrong(f"policy {policy} has no counterpart")
        self.found.policies.append(Draft(self.line, f"{self.file}:{self.line}", _CHAINS[name], "drop",
                                         {"family": [self.family]}, {}))

    def _rule(self, line: str) -> None:
        import shlex
        try:
            self._words(shlex.split(line)[1:])
        except ConfigurationError:
            raise
        except (ValueError, IndexError):
            self.wrong(f"this is no line of iptables-save: {line[:60]}")

    def _words(self, words: list[str]) -> None:
        chain = words.pop(0)
        if self.table != "filter" or chain not in _CHAINS:
            self.wrong(f"chain {chain} of table {self.table} has no counterpart", "INPUT and OUTPUT of filter have.")
        self.chain = chain
        self.rule = Rule(self.file, self.line, f"{self.file}:{self.line}", _CHAINS[chain], {"family": [self.family]},
                         chain in self.marking)
        self.target = ""
        self.taken: dict[str, str] = {}  # options of a limit or target, which count together
        self.wants_protocol = ""
        self.either: list[str] = []
        while words:
            words = self._option(words)
        if self.wants_protocol and self.rule.match.get("protocol") not in (["tcp"], ["udp"]):
            self.wrong(f"{self.wants_protocol} holds ports, of any protocol here", "Ask for -p tcp or -p udp, too.")
        self._limit()
        self._end()
        self.found.rules.extend(self.rule.drafts)

    def _option(self, words: list[str]) -> list[str]:
        """Take an option with its values in; what is behind them."""
        negated = words[0] == "!"
        option = words.pop(0) if not negated else words.pop(0) and words.pop(0)
        handler = _OPTIONS.get(option)
        if handler is None:
            self.wrong(f"{option} has no counterpart here")
        count, take = handler
        if len(words) < count:
            self.wrong(f"{option} wants a value")
        values, words = words[:count], words[count:]
        if negated and words[:1] == ["!"]:
            self.wrong("! stands here twice")
        if take is None:
            if negated or option in self.taken:
                self.wrong(f"{option} stands here twice, or behind !")
            self.taken[option] = values[0]
        else:
            take(self, values, negated)
        return words

    def asks(self, key: str, values: list[str], negated: bool) -> None:
        """A field is asked for; what is asked for behind a limit would not count against it."""
        if self.taken.keys() & _LIMITS:
            self.wrong(f"{key} is asked for behind a limit", "Move the limit behind all else.")
        self.rule.asks(key, values, negated)

    # limits and targets

    def _limit(self) -> None:
        given = self.taken.keys() & _LIMITS
        if not given:
            return
        if len(given) > 1:
            self.wrong("two limits of one rule have no counterpart")
        option, = given
        count, slash, period = self.taken[option].partition("/")
        if not slash or period not in _PERIODS or not count.isdigit() or not int(count):
            self.wrong(f"the limit {self.taken[option]} has no counterpart", "Limits of packets, as 10/sec, have.")
        burst = int(self.taken.get("--limit-burst" if option == "--limit" else "--hashlimit-burst", _BURST))
        per = "rule" if option == "--limit" else self._hashed(burst * _PERIODS[period] / int(count), _PERIODS[period])
        self.rule.limited(f"{count}/{_LONG.get(period, period)}", burst, per, over=option == "--hashlimit-above")

    def _hashed(self, full_s: float, period_s: int) -> str:
        """Whose buckets; an entry that is forgotten before its bucket is full again would begin with a full one."""
        name, mode = self.taken.get("--hashlimit-name", ""), self.taken.get("--hashlimit-mode", "")
        if name in self.tables:
            self.wrong(f"another rule counts in {name}, too", "Give it a name of its own.")
        self.tables.add(name)
        if mode not in ("", "srcip") or self.taken.get("--hashlimit-srcmask", "32") not in ("32", "128"):
            self.wrong(f"a hashlimit by {mode} has no counterpart", "`srcip` has, and none at all.")
        if full_s > float(self.taken.get("--hashlimit-htable-expire", period_s * 1000)) / 1000:
            self.wrong("a source that is forgotten before its burst is full again has no counterpart",
                       "Raise --hashlimit-htable-expire, or lower the burst.")
        return "source" if mode else "rule"

    def _end(self) -> None:
        policy = self.policies.get(self.chain, "ACCEPT")
        action = {"ACCEPT": "allow", "DROP": "drop", "RETURN": "allow" if policy == "ACCEPT" else "drop"}
        if self.target == "LOG":
            self.rule.logs(self.taken.get("--log-prefix", ""))
        elif self.target == "MARK":
            self._mark()
        elif self.target and self.target not in action:
            self.wrong(f"target {self.target} has no counterpart", "ACCEPT, DROP, RETURN, LOG and MARK have.")
        verdict = action.get(self.target, "continue")
        for key in self.either:
            if verdict == "continue" or self.rule.does:
                self.wrong("ports of either side are for rules that do nothing but decide", "Write two rules.")
            alone = dict(self.rule.match)
            self.rule.asks(key, self.ports, False)
            self.rule.draft(verdict, " destination" if self.rule.drafts else "")
            self.rule.match = alone
        if not self.either:
            self.rule.ends(verdict)

    def _mark(self) -> None:
        exact, given = self.taken.get("--set-mark"), self.taken.get("--set-xmark")
        value, _, bounds = (exact or given or "").partition("/")
        number, mask = int(value, 0), int(bounds or "0xffffffff", 0)
        if exact is not None:
            mask |= number
        elif number & ~mask:
            self.wrong("a mark of which bits are turned has no counterpart")
        self.marking.add(self.chain)
        self.rule.marks(number, mask)

    # options

    def take_interface(self, values: list[str], negated: bool) -> None:
        if negated or values[0].endswith("+"):
            self.wrong("interfaces by pattern or by exclusion have no counterpart", "Name the interfaces.")
        self.rule.on(values)

    def take_target(self, values: list[str], negated: bool) -> None:
        self.target = values[0]

    def take_module(self, values: list[str], negated: bool) -> None:
        if values[0] not in _MODULES:
            self.wrong(f"match {values[0]} has no counterpart", f"There is {', '.join(_MODULES)}.")

    def take_protocol(self, values: list[str], negated: bool) -> None:
        name = {"ipv6-icmp": "icmpv6", "icmp6": "icmpv6"}.get(values[0], values[0])
        if name != "all":
            if "protocol" in self.rule.match:
                self.wrong("protocol is asked for twice")
            self.asks("protocol", [name], negated)

    def take_states(self, values: list[str], negated: bool) -> None:
        self.asks("state", [each.lower() for each in values[0].split(",")], negated)

    def take_flags(self, values: list[str], negated: bool) -> None:
        mask, wanted = ([] if each == "NONE" else each.lower().split(",") for each in values)
        every = ["fin", "syn", "rst", "psh", "ack", "urg"]
        mask, wanted = (every if each == ["all"] else each for each in (mask, wanted))
        if not set(wanted) <= set(mask):
            self.wrong("flags are wanted that are not looked at")
        if mask:
            self.asks("tcp-flags", [" ".join(each if each in wanted else f"!{each}" for each in mask)], negated)

    def take_icmp(self, values: list[str], negated: bool) -> None:
        if values[0] == "any":
            if negated:
                self.wrong("a type of ICMP that is none has no counterpart")
        else:
            self.asks("icmp-type", values, negated)

    def take_ports(self, values: list[str], negated: bool) -> None:
        """Of either side."""
        self.ports = _spans(values[0])
        if negated:
            for key in ("source-port", "destination-port"):
                self.asks(key, self.ports, True)
        else:
            self.either = ["source-port", "destination-port"]

    def take_set(self, values: list[str], negated: bool) -> None:
        """A set of this section, by its name."""
        name, sides = values
        kind = self.kinds.get(name)
        if kind is None:
            self.wrong(f"there is no set {name}", "Declare it under `sets`, with what `ipset save` prints of it.")
        key = _SETS.get((kind, sides))
        if key is None:
            self.wrong(f"{name} is a set of {kind}, and has no {sides}")
        if kind != "networks":
            self.wants_protocol = name
        self.asks(key, [f"@{name}"], negated)

    def take_nothing(self, values: list[str], negated: bool) -> None:
        return None


_Handler = tuple[int, Callable[[_Reader, list[str], bool], None] | None]


def _spans(text: str) -> list[str]:
    found = []
    for each in text.split(","):
        first, colon, last = each.partition(":")
        found.append(f"{first or 0}-{last or 65535}" if colon else each)
    return found


def _listed(key: str) -> _Handler:
    return 1, lambda reader, values, negated: reader.asks(key, values[0].split(","), negated)


def _ranged(key: str) -> _Handler:
    return 1, lambda reader, values, negated: reader.asks(key, _spans(values[0]), negated)


_KEPT: _Handler = 1, None  # for what comes at the end
_LIMITS = {"--limit", "--hashlimit-upto", "--hashlimit-above"}
_LONG = {"sec": "s", "min": "minute"}
_SETS = {("networks", "src"): "source", ("networks", "dst"): "destination", ("ports", "src"): "source-port",
         ("ports", "dst"): "destination-port", ("endpoints", "src,src"): "source-endpoint",
         ("endpoints", "dst,dst"): "destination-endpoint"}
_OPTIONS: dict[str, _Handler] = {
    "-s": _listed("source"), "-d": _listed("destination"), "-p": (1, _Reader.take_protocol),
    "--sport": _ranged("source-port"), "--dport": _ranged("destination-port"), "--sports": _ranged("source-port"),
    "--dports": _ranged("destination-port"), "--ports": (1, _Reader.take_ports),
    "--icmp-type": (1, _Reader.take_icmp),
    "--icmpv6-type": _listed("icmpv6-type"), "--length": _ranged("length"), "--ttl-eq": _listed("ttl"),
    "--ttl-lt": (1, lambda reader, values, negated: reader.asks("ttl", [f"0-{int(values[0]) - 1}"], negated)),
    "--ttl-gt": (1, lambda reader, values, negated: reader.asks("ttl", [f"{int(values[0]) + 1}-255"], negated)),
    "--hl-eq": _listed("ttl"), "--dscp": _listed("dscp"), "--mac-source": _listed("source-mac"),
    "--mark": _listed("mark"), "--match-set": (2, _Reader.take_set),
    "-i": (1, _Reader.take_interface), "-o": (1, _Reader.take_interface),
    "-j": (1, _Reader.take_target), "-m": (1, _Reader.take_module),
    "--ctstate": (1, _Reader.take_states), "--state": (1, _Reader.take_states),
    "--tcp-flags": (2, _Reader.take_flags),
    "--syn": (0, lambda reader, values, negated: reader.asks("tcp-flags", ["syn !fin !rst !ack"], negated)),
    "-f": (0, lambda reader, values, negated: reader.asks("fragment", ["later"], negated)),
    "--comment": (1, _Reader.take_nothing),
    **dict.fromkeys(("--limit", "--limit-burst", "--hashlimit-upto", "--hashlimit-above", "--hashlimit-burst",
                     "--hashlimit-mode", "--hashlimit-name", "--hashlimit-srcmask", "--hashlimit-htable-expire",
                     "--log-prefix", "--log-level", "--set-mark", "--set-xmark"), _KEPT),
    **dict.fromkeys(("--hashlimit-htable-size", "--hashlimit-htable-max", "--hashlimit-htable-gcinterval"),
                    (1, _Reader.take_nothing)),
}
