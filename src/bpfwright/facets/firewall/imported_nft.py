"""What `nft -j list ruleset` prints (libnftables-json(5)), as drafts of rules."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple, NoReturn
from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.imported import CURE, Around, Draft, Imported, Rule, Said, Words

__all__ = ["from_nft"]

_HOOKS = {"input": "in", "ingress": "in", "output": "out", "egress": "out"}
_FAMILIES: dict[str, Words] = {"ip": {"family": ["ipv4"]}, "ip6": {"family": ["ipv6"]}, "inet": {}, "netdev": {}}
_PLACE = ("family", "table", "chain", "name", "handle")
_VERDICTS = ("accept", "drop", "return", "continue", "reject", "jump", "goto")
_PORTS = {"sport": "source-port", "dport": "destination-port"}
_PAYLOADS: dict[tuple[str, str], tuple[str, Words]] = {
    ("ip", "saddr"): ("source", {}), ("ip6", "saddr"): ("source", {}), ("ip", "daddr"): ("destination", {}),
    ("ip6", "daddr"): ("destination", {}), ("ip", "protocol"): ("protocol", {"family": ["ipv4"]}),
    ("ip6", "nexthdr"): ("protocol", {"family": ["ipv6"]}), ("ip", "ttl"): ("ttl", {"family": ["ipv4"]}),
    ("ip6", "hoplimit"): ("ttl", {"family": ["ipv6"]}), ("ip", "dscp"): ("dscp", {"family": ["ipv4"]}),
    ("ip6", "dscp"): ("dscp", {"family": ["ipv6"]}), ("ip", "length"): ("length", {"family": ["ipv4"]}),
    ("icmp", "type"): ("icmp-type", {}), ("icmpv6", "type"): ("icmpv6-type", {}),
    ("ether", "saddr"): ("source-mac", {}),
    ("ether", "daddr"): ("destination-mac", {}), ("ether", "type"): ("ethertype", {}), ("vlan", "id"): ("vlan", {}),
    ("tcp", "flags"): ("tcp-flags", {}),
    **{(kind, port): (key, {} if kind == "th" else {"protocol": [kind]}) for kind in ("tcp", "udp", "th")
       for port, key in _PORTS.items()},
}
_METAS = {"l4proto": "protocol", "nfproto": "family", "protocol": "ethertype", "length": "length", "mark": "mark"}
_BOUNDS = {"length": 65535, "ttl": 255, "dscp": 63, "source-port": 65535, "destination-port": 65535, "vlan": 4095}
_ADDRESSES = ("ipv4_addr", "ipv6_addr")
_INLINED = ("inet_service", "inet_proto", "ether_addr", "mark", "icmp_type", "icmpv6_type")
_SET_TYPES = (*_ADDRESSES, *_INLINED)
_SIDES = {("saddr", "sport"): "source-endpoint", ("daddr", "dport"): "destination-endpoint"}
_PERIODS_S = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr")
_ALL_BITS = 0xFFFF_FFFF
_BURST = 5  # NFT_LIMIT_PKT_BURST_DEFAULT
Place = tuple[str, str, str]


class _Chain(NamedTuple):
    """A chain that a hook has, and what holds for its rules."""

    place: Place
    hook: str
    order: tuple[bool, int]  # those of devices come first, then those of small numbers
    policy: str
    around: Around
    where: str

    @property
    def acts(self) -> str:
        """Which packets it may see, `in` or `out`."""
        return _HOOKS[self.hook]


def from_nft(text: str, file: str, said: Said) -> Imported:
    """Drafts; ConfigurationError for what is no such JSON, or has no counterpart."""
    import json
    try:
        objects = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError("this is not what `nft -j list ruleset` prints", file=file, line=1) from None
    reader = _Reader(file, said)
    try:
        for each in objects:
            for kind, value in each.items():
                reader.take(kind, value)
        reader.end()
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        reader.wrong("this is not what nft prints")
    return reader.found


class _Reader:
    """One ruleset."""

    def __init__(self, file: str, said: Said) -> None:
        self.file, self.said = file, said
        self.found = Imported([], [], {}, {})
        self.where = ""
        self.bases: list[_Chain] = []
        self.base: Place = ("", "", "")
        self.chain: Place = ("", "", "")
        self.behind = ""  # a chain to which packets come that the one at hand lets pass
        self.hooks: dict[Place, str] = {}  # of chains that have no counterpart
        self.rules: dict[Place, list[Any]] = {}  # of chains that are read or that others may jump to
        self.left: set[Place] = set()
        self.maps: dict[Place, Any] = {}  # from values to verdicts
        self.entered: set[Place] = set()  # chains that rules jumped to
        self.policies: dict[Place, str] = {}
        self.kinds: dict[Place, str] = {}
        self.ports: dict[Place, list[str]] = {}
        self.timeouts: dict[Place, float] = {}  # of empty sets, which rules may fill
        self.asked: set[Place] = set()  # sets that rules ask for
        self.marking: set[Place] = set()  # base chains of which a rule has given a mark

    def wrong(self, what: str, cure: str = CURE) -> NoReturn:
        raise ConfigurationError(f"{self.where}: {what}" if self.where else what, file=self.file, line=1, cure=cure)

    def take(self, kind: str, value: Any) -> None:
        takers = {"set": self._set, "chain": self._chain, "rule": self._keep_rule, "map": self._map}
        if kind in ("metainfo", "table", "counter") or self._is_left(*(str(value.get(key)) for key in _PLACE[:2])):
            return
        self.where = " ".join(str(value[key]) for key in _PLACE if key in value)
        if kind not in takers:
            self.wrong(f"{kind} has no counterpart")
        takers[kind](value)

    def _is_left(self, *words: str) -> bool:
        return not self.said.leave.isdisjoint(word.lower() for word in words)

    def _keep_rule(self, value: Any) -> None:
        place = value["family"], value["table"], value["chain"]
        if place not in self.left:
            if place not in self.rules:
                self.wrong("rules of this chain have no counterpart", "Those of filter chains at input and output "
                           "have." + self._leave(place))
            self.rules[place].append(value)

    def _leave(self, place: Place) -> str:
        hook = self.hooks.get(place)
        return f" `leave: [{hook}]` beside `file` leaves it to the kernel." if hook else ""

    def _map(self, value: Any) -> None:
        self.maps[value["family"], value["table"], value["name"]] = value

    # sets

    def _set(self, value: Any) -> None:
        key, kind, flags = (value["family"], value["table"], value["name"]), value["type"], set(value.get("flags", []))
        if isinstance(kind, list):
            kind = " . ".join(kind)
        if kind in _ADDRESSES and flags <= {"dynamic", "timeout"} and not value.get("elem"):
            self.timeouts[key] = float(value.get("timeout", 0))  # nft 1.0.6 does not say `dynamic`
            if flags:
                return
        pairs = kind in [f"{address} . inet_service" for address in _ADDRESSES]
        if (kind not in _SET_TYPES and not pairs) or flags - {"interval", "constant"}:
            self.wrong(f"a set of type {kind} with flags {sorted(flags)} has no counterpart",
                       f"There is {', '.join(_SET_TYPES)}, and addresses with ports, without timeouts.")
        self.kinds[key] = kind
        if pairs:
            self.found.endpoints["-".join(key)] = [self._endpoint(each) for each in value.get("elem", [])]
            return
        elements = [text for each in value.get("elem", []) for text in self._element(each)]
        if kind in _ADDRESSES:
            self.found.sets["-".join(key)] = elements
        else:
            self.ports[key] = elements

    def _endpoint(self, value: Any) -> str:
        address, port = _plain(value)["concat"]
        if not isinstance(address, str) or not isinstance(port, int):
            self.wrong("an interval of addresses with ports has no counterpart")
        return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"

    # chains and rules

    def _chain(self, value: Any) -> None:
        place = value["family"], value["table"], value["name"]
        hook, kind, policy = value.get("hook", ""), value.get("type", ""), value.get("policy", "accept")
        if hook and self._is_left(hook, kind):
            self.left.add(place)
        elif not hook:
            self.rules[place] = []
        elif kind != "filter" or hook not in _HOOKS or value["family"] not in _FAMILIES:
            self.hooks[place] = hook
            if policy != "accept":  # its rules are refused, if there are any
                self.wrong(f"hook {hook} of type {kind} has no counterpart", CURE + self._leave(place))
        else:
            self.rules[place] = []
            devices = value.get("dev", ())
            devices = (devices,) if isinstance(devices, str) else tuple(devices)
            around = Around(dict(_FAMILIES[value["family"]]), {}, devices, (value["name"],))
            self.bases.append(_Chain(place, hook, (hook in ("input", "output"), value.get("prio", 0)), policy, around,
                                     self.where))

    def end(self) -> None:
        """Read the rules of all chains that hooks have, in the order in which packets come to them."""
        self.bases.sort(key=lambda each: each.order)
        for number, base in enumerate(self.bases):
            self.direction, self.where = base.acts, base.where
            self.base, self.policies[base.place] = base.place, "drop" if base.policy == "drop" else "allow"
            acts = self.rules[base.place] or base.policy == "drop"
            if acts and base.hook in ("ingress", "egress") and not base.around.interface:
                self.wrong("this nft does not print of which device the chain is",
                           'Write it into the chain, `"dev": "eth0"`, or list the rules by a newer nft.')
            behind = [each.where for each in self.bases[number + 1:] if each.acts == base.acts
                      and (self.rules[each.place] or each.policy == "drop") and _meet(base, each)]
            self.behind = behind[0] if behind else ""
            if base.policy == "drop":
                if self.behind:
                    self.wrong(f"the chain {self.behind} is behind it, and what this one drops comes to it here",
                               "Make one chain of both.")
                self.found.policies.append(Draft(1, self.where, self.direction, "drop", dict(base.around.match), {},
                                                 base.around.interface))
            self._run(base.place, base.around)

    def _run(self, chain: Place, around: Around) -> bool:
        """The rules of a chain. Whether none of what comes there goes on behind it."""
        jumped, ends = (self.where, self.chain), False
        for value in self.rules[chain]:
            self.where = " ".join(str(value[key]) for key in _PLACE if key in value)
            self.key, self.chain, self.around, self.ends = chain[:2], chain, around, False
            self._rule(value)
            around, ends = self.around, ends or self.ends
        self.where, self.chain = jumped
        return ends

    def _new(self, around: Around, number: str = "") -> Rule:
        return Rule(self.file, 1, self.where + number, self.direction, around, self.base in self.marking)

    def _rule(self, value: Any) -> None:
        self.rule = rule = self._new(self.around)
        verdict = ""
        for each in value["expr"]:
            (kind, inner), = each.items()
            if verdict:
                self.wrong(f"{kind} behind a verdict has no counterpart")
            if kind in _VERDICTS:
                self._end(rule, kind, inner)
                verdict = kind
            elif kind == "vmap":
                self._verdicts(rule, inner)
                verdict = kind
            elif kind in _STATEMENTS:
                _STATEMENTS[kind](self, inner)
            elif kind == "xt":
                self.wrong(f"{kind} {inner.get('name', '')} has no counterpart", "It comes from iptables: import what "
                           "iptables-save prints.")
            elif kind not in ("counter", "comment"):
                self.wrong(f"{kind} has no counterpart")
        if not verdict:
            rule.ends("continue")
            self.found.rules.extend(rule.drafts)

    def _end(self, rule: Rule, kind: str, inner: Any) -> None:
        """What becomes of its packets."""
        base = len(rule.around.path) == 1
        plain = not (rule.match or rule.but or rule.interface or rule.does)
        if kind in ("jump", "goto"):
            self._jump(rule, kind == "goto", inner["target"], plain)
            return
        if kind == "return" and not base:
            self.around = rule.leaves()
        else:
            if kind == "reject":
                plain &= self._answered(rule, (inner or {}).get("type", "icmpx"))
            rule.ends(self._verdict(kind))
            self.ends = plain and kind != "continue"
        self.found.rules.extend(rule.drafts)

    def _answered(self, rule: Rule, answer: str) -> bool:
        """What a reject answers with says which packets it is about, and nft prints that no other way. Whether these
        are all."""
        key, value = {"icmp": ("family", "ipv4"), "icmpv6": ("family", "ipv6"), "tcp reset": ("protocol", "tcp")}.get(
            answer, ("", ""))
        asked = rule.asked
        if key and asked is not None and asked[0].get(key) != [value]:
            rule.asks(key, [value], False)
            return False
        return True

    def _jump(self, rule: Rule, goes: bool, name: str, plain: bool) -> None:
        """The rules of another chain, for what this one asks for. Behind a goto, what comes to the end of it comes to
        the end of this one, too."""
        target, around = (*self.key, name), rule.around
        if target not in self.rules:
            self.wrong(f"there is no chain {name}")
        handle = rule.name.partition(" from ")[0].split(" ", 3)[-1]  # and which of a map's verdicts
        inside = rule.towards(name, handle, target in self.entered)
        if not inside.skipped:
            self.entered.add(target)
        ends = self._run(target, inside)
        self.key = target[:2]
        if goes and not ends:
            if len(around.path) > 1:
                around = rule.leaves()
            else:
                rule.draft(self._verdict("return"))
        self.found.rules.extend(rule.drafts)
        self.rule, self.around = rule, around
        self.ends = plain and (ends or (goes and len(rule.around.path) == 1))

    def _verdict(self, kind: str) -> str:
        if kind == "reject":
            if not self.said.rejects_drop:
                self.wrong("reject has no counterpart", "`reject: drop` beside `file` takes it as drop: nothing is "
                           "answered.")
            return "drop"
        found = {"accept": "allow", "drop": "drop", "continue": "continue"}.get(kind) or self.policies[self.base]
        if found == "allow" and self.behind:
            self.wrong(f"what is accepted here comes to the chain {self.behind} there, and nowhere here",
                       "Make one chain of both.")
        return found

    def _verdicts(self, rule: Rule, value: Any) -> None:
        """A verdict for each value of a field: a rule for each."""
        if "limit" in rule.does:
            self.wrong("a map of verdicts behind a limit has no counterpart")
        rule.go_on_with()
        self.found.rules.extend(rule.drafts)
        rule.drafts.clear()
        data, around = value["data"], self.around
        if isinstance(data, str):
            data = {"set": self.maps[(*self.key, data[1:])].get("elem", [])}
        for number, (key, does) in enumerate(data["set"]):
            (kind, inner), = does.items()
            if kind not in _VERDICTS or (kind in ("return", "goto") and len(around.path) > 1):
                self.wrong(f"{kind} has no counterpart in a map")
            if kind != "continue":
                each = self._new(around, f" {number + 1}")
                each.match, each.but, each.interface = dict(rule.match), dict(rule.but), rule.interface
                self.rule = each
                self.match({"op": "==", "left": value["key"], "right": _plain(key)})
                self._end(each, kind, inner)
        self.rule, self.around, self.ends = rule, around, False

    # statements

    def limit(self, value: Any) -> None:
        if not isinstance(value, dict):
            self.wrong("a limit by its name has no counterpart")
        if value.get("rate_unit", "packets") != "packets" or value["per"] not in _PERIODS_S:
            self.wrong("a limit of bytes, or by the week, has no counterpart", "Bytes there are those of IP packets, "
                       "here those of frames.")
        burst = value.get("burst", _BURST)
        self.rule.limited(f"{value['rate']}/{value['per']}", burst, over=bool(value.get("inv")))

    def meter(self, value: Any) -> None:
        """`add @set { ip saddr limit rate ... }`: a limit for each source."""
        statements = value.get("stmt", [])
        name, field = (*self.key, value["set"].removeprefix("@")), value["elem"].get("payload", {})
        limits = [each["limit"] for each in statements if "limit" in each]
        source = {("ip", "saddr"): "ipv4", ("ip6", "saddr"): "ipv6"}.get((field.get("protocol"), field.get("field")))
        if value["op"] not in ("add", "update") or len(statements) != 1 or not limits or source is None:
            self.wrong("a set that rules fill has no counterpart", "A limit for each `ip saddr` or `ip6 saddr` has.")
        if name not in self.timeouts or name in self.asked:
            self.wrong(f"another rule is about {name[2]}, too, or there is no such set", "Give it one of its own.")
        timeout_s, limit = self.timeouts.pop(name), limits[0]
        self.kinds.pop(name, None)
        if limit.get("rate_unit", "packets") != "packets" or limit["per"] not in _PERIODS_S:
            self.wrong("a limit of bytes, or by the week, has no counterpart")
        burst = limit.get("burst", _BURST)
        if timeout_s and (value["op"] == "add" or timeout_s < burst * _PERIODS_S[limit["per"]] / limit["rate"]):
            self.wrong("a source that is forgotten before its burst is full again has no counterpart",
                       "`update` with a timeout that is long enough has, and no timeout.")
        self.rule.asks("family", [source], False)
        self.rule.limited(f"{limit['rate']}/{limit['per']}", burst, "source", over=bool(limit.get("inv")))

    def log(self, value: Any) -> None:
        value = value or {}
        flags = value.get("flags", [])
        if value.keys() - {"prefix", "level", "flags"} or value.get("level") == "audit":
            self.wrong(f"a log with {', '.join(sorted(value))} has no counterpart", "One with a prefix has.")
        self.rule.logs(value.get("prefix", ""), of_users="skuid" in flags or "all" in flags)

    def mangle(self, value: Any) -> None:
        """A mark, whole or some bits of it; nft prints `and`, `or` and `xor`."""
        if value["key"] != {"meta": {"key": "mark"}}:
            self.wrong(f"a change of {value['key']} has no counterpart", "`meta mark set` has.")
        bits = self._bits(value["value"])
        self.marking.add(self.base)
        self.rule.marks(*bits)

    def _bits(self, value: Any) -> tuple[int, int]:
        """(value, mask) of what a mark becomes."""
        if isinstance(value, int):
            return value, _ALL_BITS
        (operator, sides), = value.items()
        if operator == "meta" and sides == {"key": "mark"}:
            return 0, 0
        old, mask = self._bits(sides[0]) if operator in ("|", "&", "^") else (0, -1)
        number = sides[1]
        if mask < 0 or not isinstance(number, int):
            self.wrong(f"a mark by {operator} has no counterpart")
        if operator == "|":
            return old | number, mask | number
        if operator == "&":
            return old & number, mask | (~number & _ALL_BITS)
        if number & ~mask:
            self.wrong("a mark of which bits are turned has no counterpart")
        return old ^ number, mask

    # comparisons

    def match(self, value: Any) -> None:
        """Take one comparison in."""
        left, right, operator = value["left"], value["right"], value["op"]
        kind = next(iter(left))
        if kind == "meta" and left["meta"]["key"] in ("iifname", "oifname", "iif", "oif"):
            if operator not in ("==", "!="):
                self.wrong(f"the operator {operator} has no counterpart with interfaces")
            self.rule.on(self._values(right), operator == "!=")
            return
        if left == {"meta": {"key": "pkttype"}} and operator in ("==", "!=") and self.base[0] != "netdev":
            self.rule.kinds(self._values(right), operator == "!=")
            return
        key, more, values = self._compared(kind, left, right, operator)
        if operator == "!=" and kind == "payload" and key in ("source", "destination"):
            more = {"family": ["ipv4" if left["payload"]["protocol"] == "ip" else "ipv6"]}
        for name, words in more.items():
            self.rule.asks(name, words, False)
        self.rule.asks(key, values, operator == "!=")

    def _compared(self, kind: str, left: Any, right: Any, operator: str) -> tuple[str, Words, list[str]]:
        if kind == "ct" and left["ct"]["key"] == "state" and operator in ("in", "==", "!="):
            return "state", {}, self._values(right)
        if kind == "&" and operator in ("==", "!="):
            return self._masked(left["&"], right)
        if kind == "concat" and operator in ("==", "!="):
            return self._paired(left["concat"], right)
        more: Words = {}
        if kind == "meta" and left["meta"]["key"] in _METAS:
            key = _METAS[left["meta"]["key"]]
        elif kind == "payload" and (at := (left["payload"].get("protocol"), left["payload"].get("field"))) in _PAYLOADS:
            key, more = _PAYLOADS[at]
        else:
            self.wrong(f"{kind} {left[kind]} has no counterpart")
        if key == "tcp-flags":
            return key, more, self._flags(operator, right)
        if operator in ("<", ">", "<=", ">="):
            return key, more, [self._bounded(key, operator, right)]
        if operator not in ("==", "!="):
            self.wrong(f"the operator {operator} has no counterpart with {key}")
        return key, more, [_WORDS.get(each, each) for each in self._values(right)]

    def _flags(self, operator: str, right: Any) -> list[str]:
        """Any of some flags, none of them, or all flags as they are."""
        found = [each for number, each in enumerate(_FLAGS) if right >> number & 1] if isinstance(right, int) \
            else self._values(right)
        if operator == "in":
            return found
        if operator == "!":
            return [" ".join(f"!{each}" for each in found)]
        if operator not in ("==", "!="):
            self.wrong(f"the operator {operator} has no counterpart with tcp-flags")
        return [" ".join(each if each in found else f"!{each}" for each in _FLAGS)]

    def _masked(self, sides: Any, right: Any) -> tuple[str, Words, list[str]]:
        if sides[0] == {"meta": {"key": "mark"}} and isinstance(sides[1], int) and isinstance(right, int):
            return "mark", {}, [f"{right:#x}/{sides[1]:#x}"]
        if sides[0] != {"payload": {"protocol": "tcp", "field": "flags"}}:
            self.wrong(f"bits of {sides[0]} have no counterpart")
        mask = self._values(sides[1])
        wanted = [] if right == 0 else self._values(right)
        return "tcp-flags", {}, [" ".join(each if each in wanted else f"!{each}" for each in mask)]

    def _paired(self, sides: Any, right: Any) -> tuple[str, Words, list[str]]:
        """An address with a port, both of one side."""
        (address, port) = (side["payload"] for side in sides)
        key = _SIDES.get((address["field"], port["field"]))
        if key is None or port["protocol"] not in ("tcp", "udp") or address["protocol"] not in ("ip", "ip6"):
            self.wrong("this concatenation has no counterpart", "An address with the port of its own side has.")
        more = {"protocol": [port["protocol"]], "family": ["ipv4" if address["protocol"] == "ip" else "ipv6"]}
        if isinstance(right, str) and right.startswith("@"):
            name = "-".join((*self.key, right[1:]))
            if name not in self.found.endpoints:
                self.wrong(f"there is no set {right[1:]}")
        else:
            inside = right["set"] if isinstance(right, dict) and "set" in right else [right]
            name = f"{'-'.join(self.chain)}-{self.where.rpartition(' ')[2]}-{key}"
            self.found.endpoints[name] = [self._endpoint(each) for each in inside]
        return key, more, [f"@{name}"]

    def _bounded(self, key: str, operator: str, right: Any) -> str:
        if key not in _BOUNDS or not isinstance(right, int):
            self.wrong(f"{key} {operator} {right} has no counterpart")
        return {"<": f"0-{right - 1}", "<=": f"0-{right}", ">": f"{right + 1}-{_BOUNDS[key]}",
                ">=": f"{right}-{_BOUNDS[key]}"}[operator]

    def _values(self, right: Any) -> list[str]:
        if isinstance(right, dict) and "set" in right:
            right = right["set"]
        if isinstance(right, dict) and "|" in right:
            return [text for each in right["|"] for text in self._values(each)]
        if isinstance(right, list):
            return [text for each in right for text in self._element(each)]
        if isinstance(right, str) and right.startswith("@"):
            key = (*self.key, right[1:])
            if key not in self.kinds:
                self.wrong(f"there is no set {right[1:]}")
            self.asked.add(key)
            return self.ports[key] if key in self.ports else [f"@{'-'.join(key)}"]
        return self._element(right)

    def _element(self, value: Any) -> list[str]:
        value = _plain(value)
        if isinstance(value, dict):
            if "prefix" in value:
                return [f"{value['prefix']['addr']}/{value['prefix']['len']}"]
            if "range" in value:
                first, last = value["range"]
                return [f"{first}-{last}"] if isinstance(first, int) else _networks(str(first), str(last))
            self.wrong(f"the element {next(iter(value))} has no counterpart")
        return [str(value)]


_STATEMENTS = {"match": _Reader.match, "limit": _Reader.limit, "set": _Reader.meter, "log": _Reader.log,
               "mangle": _Reader.mangle}
_WORDS = {"ipv6-icmp": "icmpv6", "ip": "ip", "ip6": "ip6"}


def _meet(one: _Chain, two: _Chain) -> bool:
    """Whether a packet may come to both."""
    families = {one.place[0], two.place[0]}
    devices = set(one.around.interface), set(two.around.interface)
    return families != {"ip", "ip6"} and (not all(devices) or bool(devices[0] & devices[1]))


def _plain(value: Any) -> Any:
    """An element without its comment and counter."""
    if isinstance(value, dict) and "elem" in value and value["elem"].keys() <= {"val", "comment", "counter"}:
        return value["elem"]["val"]
    return value


def _networks(first: str, last: str) -> list[str]:
    """The prefixes that a range of addresses is made of."""
    import ipaddress
    if not first.replace(".", "").replace(":", "").isalnum() or first.isalpha():
        return [f"{first}-{last}"]
    try:
        ends: Any = ipaddress.ip_address(first), ipaddress.ip_address(last)
    except ValueError:
        return [f"{first}-{last}"]
    return [str(each) for each in ipaddress.summarize_address_range(*ends)]
