"""What `iptables-save` and `ip6tables-save` print, as drafts of rules."""
from __future__ import annotations

from bpfwright._typing import Callable, NoReturn
from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.imported import CURE, Around, Draft, Imported, Rule, Said

__all__ = ["from_iptables"]

_CHAINS = {"INPUT": "in", "OUTPUT": "out"}
_MODULES = ("tcp", "udp", "icmp", "icmp6", "multiport", "state", "conntrack", "comment", "mac", "ttl", "hl", "length",
            "dscp", "limit", "hashlimit", "set", "mark", "iprange", "pkttype")
_BUILTIN = ("INPUT", "OUTPUT", "FORWARD", "PREROUTING", "POSTROUTING")
_RESAVE = "Load it with iptables-restore, and import what iptables-save prints."
_PERIODS = {"sec": 1, "second": 1, "s": 1, "min": 60, "minute": 60, "hour": 3600, "day": 86400}
_BURST = 5  # XT_LIMIT's and XT_HASHLIMIT's own


def from_iptables(text: str, file: str, family: str, said: Said) -> Imported:
    """Drafts; ConfigurationError for what is no such text, or has no counterpart."""
    return _Reader(file, family, said).read(text)


class _Reader:
    """One file."""

    def __init__(self, file: str, family: str, said: Said) -> None:
        self.file, self.family, self.said = file, family, said
        self.line = 0
        self.table = ""
        self.policies: dict[str, str] = {}
        self.chains: dict[str, list[tuple[int, list[str]]]] = {}  # rules of the table filter: lines and words
        self.named: set[str] = set()  # what rules of the table filter have for a target
        self.entered: set[str] = set()  # chains that rules jumped to
        self.marking: set[str] = set()  # base chains of which a rule has given a mark
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
                self._no_line(line)
        self._no_one_jumps_to(set(_CHAINS))
        for chain in _CHAINS:
            self._run(chain, Around({"family": [self.family]}, path=(chain,)))
        return self.found

    def _no_one_jumps_to(self, known: set[str]) -> None:
        """Refuse a chain with rules that nothing jumps to, of what is read and what is left."""
        for chain, rules in self.chains.items():
            if rules and chain not in known | self.named:
                self.line = rules[0][0]
                self.wrong(f"no rule of this file jumps to the chain {chain}", f"`leave: [{chain}]` beside `file` "
                           "leaves it out.")

    def _no_line(self, line: str) -> NoReturn:
        self.wrong(f"this is no line of iptables-save: {line[:60]}", _RESAVE)

    def _left(self, chain: str) -> bool:
        """Whether a chain is not read; what it does stays with the kernel then."""
        if {self.table, chain.lower()} & self.said.leave:
            return True
        if self.table != "filter" or (chain in _BUILTIN and chain not in _CHAINS):
            word = "forward" if self.table == "filter" else self.table
            self.wrong(f"chain {chain} of table {self.table} has no counterpart", "INPUT and OUTPUT of filter have. "
                       f"`leave: [{word}]` beside `file` leaves it to the kernel.")
        return False

    def _chain(self, line: str) -> None:
        words = line[1:].split()
        if len(words) < 2:
            self._no_line(line)
        name, policy = words[:2]
        if name not in _BUILTIN:
            if self.table == "filter" and name.lower() not in self.said.leave:
                self.chains.setdefault(name, [])
        elif policy == "ACCEPT":
            self._policy(name, policy)
        elif not self._left(name):
            if policy != "DROP":
                self.wrong(f"policy {policy} has no counterpart")
            self._policy(name, policy)
            self.found.policies.append(Draft(self.line, f"{self.file}:{self.line}", _CHAINS[name], "drop",
                                             {"family": [self.family]}, {}))

    def _policy(self, name: str, policy: str) -> None:
        if self.table == "filter":
            if name in self.policies:
                self.wrong(f"the chain {name} has a policy already", "Keep one of them.")
            self.policies[name] = policy

    def _rule(self, line: str) -> None:
        import shlex
        try:
            words = shlex.split(line)[1:]
        except ValueError:
            self._no_line(line)
        if not words:
            self._no_line(line)
        chain = words.pop(0)
        if self.table == "filter":
            self.named |= {words[at + 1] for at, word in enumerate(words[:-1]) if word in _JUMPS}
        if not self._left(chain):
            if chain not in _BUILTIN and chain not in self.chains:
                self.wrong(f"the chain {chain} is declared nowhere", _RESAVE)
            self.chains.setdefault(chain, []).append((self.line, words))

    def _run(self, chain: str, around: Around) -> bool:
        """The rules of a chain. Whether none of what comes there goes on behind it."""
        jumped, ends = self.line, False
        for line, words in self.chains.get(chain, ()):
            self.line, self.around, self.ends = line, around, False
            try:
                self._words(list(words))
            except ConfigurationError:
                raise
            except (ValueError, IndexError):
                self._no_line(" ".join(words))
            around, ends = self.around, ends or self.ends
        self.line = jumped
        return ends

    def _words(self, words: list[str]) -> None:
        around = self.around
        base = around.path[0]
        self.rule = rule = Rule(self.file, self.line, f"{self.file}:{self.line}", _CHAINS[base], around,
                                base in self.marking)
        self.target, self.goes = "", ""
        self.taken: dict[str, str] = {}  # options of a limit or target, which count together
        self.wants_protocol = ""
        self.either: list[str] = []
        self.of_users = False
        while words:
            words = self._option(words)
        asked = rule.asked
        if self.wants_protocol and asked is not None and asked[0].get("protocol") not in (["tcp"], ["udp"]):
            self.wrong(f"{self.wants_protocol} holds ports, of any protocol here", "Ask for -p tcp or -p udp, too.")
        self._limit()
        self._end(base)
        self.found.rules.extend(rule.drafts)

    def _option(self, words: list[str]) -> list[str]:
        """Take an option with its values in; what is behind them."""
        negated = words[0] == "!"
        option = words.pop(0) if not negated else words.pop(0) and words.pop(0)
        option = _LONG_OPTIONS.get(option, option)
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

    def _end(self, base: str) -> None:
        action = {"ACCEPT": "allow", "DROP": "drop", "RETURN": self._at_end(base)}
        if self.said.rejects_drop:
            action["REJECT"] = "drop"
        elif self.target == "REJECT":
            self.wrong("target REJECT has no counterpart", "`reject: drop` beside `file` takes it as DROP: nothing is "
                       "answered.")
        if self.target in self.chains and self.target not in _BUILTIN:
            return self._jump(self.target, base)
        if self.goes:
            self.wrong(f"the chain {self.target} is declared nowhere", _RESAVE)
        if self.target == "LOG":
            self.rule.logs(self.taken.get("--log-prefix", ""), of_users=self.of_users)
        elif self.target == "MARK":
            self._mark(base)
        elif self.target and self.target not in action:
            self.wrong(f"target {self.target} has no counterpart", "ACCEPT, DROP, RETURN, LOG and MARK have.")
        plain = not (self.rule.match or self.rule.but or self.rule.interface or self.rule.does or self.either)
        self.ends = plain and self.target in action
        if self.target == "RETURN" and len(self.rule.around.path) > 1:
            if self.either:
                self.wrong("such a return from a chain has no counterpart", "Write two rules.")
            self.ends = False
            self.around = self.rule.leaves()
            return None
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
        return None

    def _at_end(self, base: str) -> str:
        return "drop" if self.policies.get(base) == "DROP" else "allow"

    def _jump(self, chain: str, base: str) -> None:
        """The rules of another chain, for what this one asks for. Behind a goto, what comes to the end of it comes to
        the end of this one, too."""
        rule, around = self.rule, self.rule.around
        if self.either:
            self.wrong("ports of either side are for rules that do nothing but decide", "Write two rules.")
        inside = rule.towards(chain, str(self.line), chain in self.entered)
        if not inside.skipped:
            self.entered.add(chain)
        plain, goes = not (rule.match or rule.but or rule.interface), self.goes
        ends = self._run(chain, inside)
        if goes and not ends:
            if len(around.path) > 1:
                around = rule.leaves()
            else:
                rule.draft(self._at_end(base))
        self.rule, self.around = rule, around
        self.ends = plain and (ends or bool(goes and len(rule.around.path) == 1))

    def _mark(self, base: str) -> None:
        exact, given = self.taken.get("--set-mark"), self.taken.get("--set-xmark")
        value, _, bounds = (exact or given or "").partition("/")
        number, mask = int(value, 0), int(bounds or "0xffffffff", 0)
        if exact is not None:
            mask |= number
        elif number & ~mask:
            self.wrong("a mark of which bits are turned has no counterpart")
        self.marking.add(base)
        self.rule.marks(number, mask)

    # options

    def take_interface(self, values: list[str], negated: bool) -> None:
        self.rule.on(values, negated)

    def take_target(self, values: list[str], negated: bool) -> None:
        self.target = values[0]

    def take_goto(self, values: list[str], negated: bool) -> None:
        self.target = self.goes = values[0]

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
        kind = self.said.kinds.get(name)
        if kind is None:
            self.wrong(f"there is no set {name}", "Declare it under `sets`, with what `ipset save` prints of it.")
        key = _SETS.get((kind, sides))
        if key is None:
            self.wrong(f"{name} is a set of {kind}, and has no {sides}")
        if kind != "networks":
            self.wants_protocol = name
        self.asks(key, [f"@{name}"], negated)

    def take_address_range(self, key: str, text: str, negated: bool) -> None:
        """Of the match iprange."""
        import ipaddress
        first, _, last = text.partition("-")
        found = ipaddress.summarize_address_range(ipaddress.ip_address(first), ipaddress.ip_address(last or first))
        self.asks(key, [str(each) for each in found], negated)

    def take_users(self, values: list[str], negated: bool) -> None:
        self.of_users = True

    def take_kind(self, values: list[str], negated: bool) -> None:
        self.rule.kinds(values, negated)

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


def _addressed(key: str) -> _Handler:
    return 1, lambda reader, values, negated: reader.asks(key, [_network(each) for each in values[0].split(",")],
                                                          negated)


def _network(text: str) -> str:
    """With the length of its prefix for a mask of bits, and without what stands behind it."""
    import ipaddress
    try:
        found = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return text  # refused by what reads it
    mask = text.partition("/")[2]
    return str(found) if "." not in mask or mask == str(found.netmask) else text


def _spanned(key: str) -> _Handler:
    return 1, lambda reader, values, negated: reader.take_address_range(key, values[0], negated)


def _ranged(key: str) -> _Handler:
    return 1, lambda reader, values, negated: reader.asks(key, _spans(values[0]), negated)


_KEPT: _Handler = 1, None  # for what comes at the end
_LIMITS = {"--limit", "--hashlimit-upto", "--hashlimit-above"}
_LONG = {"sec": "s", "min": "minute"}
_SETS = {("networks", "src"): "source", ("networks", "dst"): "destination", ("ports", "src"): "source-port",
         ("ports", "dst"): "destination-port", ("endpoints", "src,src"): "source-endpoint",
         ("endpoints", "dst,dst"): "destination-endpoint"}
_OPTIONS: dict[str, _Handler] = {
    "-s": _addressed("source"), "-d": _addressed("destination"), "-p": (1, _Reader.take_protocol),
    "--sport": _ranged("source-port"), "--dport": _ranged("destination-port"), "--sports": _ranged("source-port"),
    "--dports": _ranged("destination-port"), "--ports": (1, _Reader.take_ports),
    "--icmp-type": (1, _Reader.take_icmp),
    "--icmpv6-type": _listed("icmpv6-type"), "--length": _ranged("length"), "--ttl-eq": _listed("ttl"),
    "--ttl-lt": (1, lambda reader, values, negated: reader.asks("ttl", [f"0-{int(values[0]) - 1}"], negated)),
    "--ttl-gt": (1, lambda reader, values, negated: reader.asks("ttl", [f"{int(values[0]) + 1}-255"], negated)),
    "--hl-eq": _listed("ttl"), "--dscp": _listed("dscp"), "--mac-source": _listed("source-mac"),
    "--mark": _listed("mark"), "--match-set": (2, _Reader.take_set),
    "-i": (1, _Reader.take_interface), "-o": (1, _Reader.take_interface),
    "-j": (1, _Reader.take_target), "-g": (1, _Reader.take_goto), "-m": (1, _Reader.take_module),
    "--ctstate": (1, _Reader.take_states), "--state": (1, _Reader.take_states),
    "--tcp-flags": (2, _Reader.take_flags),
    "--syn": (0, lambda reader, values, negated: reader.asks("tcp-flags", ["syn !fin !rst !ack"], negated)),
    "-f": (0, lambda reader, values, negated: reader.asks("fragment", ["later"], negated)),
    "--src-range": _spanned("source"), "--dst-range": _spanned("destination"), "--comment": (1, _Reader.take_nothing),
    **dict.fromkeys(("--limit", "--limit-burst", "--hashlimit-upto", "--hashlimit-above", "--hashlimit-burst",
                     "--hashlimit-mode", "--hashlimit-name", "--hashlimit-srcmask", "--hashlimit-htable-expire",
                     "--log-prefix", "--log-level", "--set-mark", "--set-xmark", "--reject-with"), _KEPT),
    "--log-uid": (0, _Reader.take_users), "--pkt-type": (1, _Reader.take_kind),
    **dict.fromkeys(("--log-tcp-sequence", "--log-tcp-options", "--log-ip-options", "--log-macdecode"),
                    (0, _Reader.take_nothing)),
    **dict.fromkeys(("--hashlimit-htable-size", "--hashlimit-htable-max", "--hashlimit-htable-gcinterval"),
                    (1, _Reader.take_nothing)),
}
_JUMPS = ("-j", "-g", "--jump", "--goto")
_LONG_OPTIONS = {
    "--source": "-s", "--src": "-s", "--destination": "-d", "--dst": "-d", "--protocol": "-p", "--proto": "-p",
    "--in-interface": "-i", "--out-interface": "-o", "--match": "-m", "--jump": "-j", "--goto": "-g",
    "--fragment": "-f", "--source-port": "--sport", "--destination-port": "--dport", "--source-ports": "--sports",
    "--destination-ports": "--dports",
}
