"""What `nft -j list ruleset` prints (libnftables-json(5)), as drafts of rules."""
from __future__ import annotations

from bpfwright._typing import Any, NoReturn
from bpfwright.errors import ConfigurationError
from bpfwright.facets.firewall.imported import CURE, Draft, Imported, Rule, Words

__all__ = ["from_nft"]

_HOOKS = {"input": "in", "ingress": "in", "output": "out", "egress": "out"}
_FAMILIES: dict[str, Words] = {"ip": {"family": ["ipv4"]}, "ip6": {"family": ["ipv6"]}, "inet": {}, "netdev": {}}
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


def from_nft(text: str, file: str) -> Imported:
    """Drafts; ConfigurationError for what is no such JSON, or has no counterpart."""
    import json
    try:
        objects = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError("this is not what `nft -j list ruleset` prints", file=file, line=1) from None
    reader = _Reader(file)
    for each in objects:
        try:
            for kind, value in each.items():
                reader.take(kind, value)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, ConfigurationError):
                raise
            reader.wrong("this is not what nft prints")
    return reader.found


class _Reader:
    """One ruleset."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found = Imported([], [], {}, {})
        self.where = ""
        self.hooks: dict[Place, str] = {}
        self.policies: dict[Place, str] = {}
        self.kinds: dict[Place, str] = {}
        self.ports: dict[Place, list[str]] = {}
        self.timeouts: dict[Place, float] = {}  # of empty sets, which rules may fill
        self.asked: set[Place] = set()  # sets that rules ask for
        self.marking: set[Place] = set()  # chains of which a rule has given a mark

    def wrong(self, what: str, cure: str = CURE) -> NoReturn:
        raise ConfigurationError(f"{self.where}: {what}" if self.where else what, file=self.file, line=1, cure=cure)

    def take(self, kind: str, value: Any) -> None:
        takers = {"set": self._set, "chain": self._chain, "rule": self._rule}
        if kind in takers:
            self.where = " ".join(str(value[key]) for key in ("family", "table", "chain", "name", "handle")
                                  if key in value)
            takers[kind](value)
        elif kind not in ("metainfo", "table", "counter"):
            self.where = ""
            self.wrong(f"{kind} has no counterpart")

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
        if "hook" not in value:
            self.wrong("a chain that no hook has is not read", "Write its rules into the chain that jumps there.")
        if value.get("type") != "filter" or value["hook"] not in _HOOKS or value["family"] not in _FAMILIES:
            if value.get("policy", "accept") == "accept":
                return  # its rules are refused, if there are any
            self.wrong(f"hook {value['hook']} of type {value.get('type')} has no counterpart")
        place = value["family"], value["table"], value["name"]
        self.hooks[place] = _HOOKS[value["hook"]]
        self.policies[place] = "drop" if value.get("policy") == "drop" else "allow"
        if value.get("policy") == "drop":
            self.found.policies.append(Draft(1, self.where, _HOOKS[value["hook"]], "drop",
                                             dict(_FAMILIES[value["family"]]), {}))

    def _rule(self, value: Any) -> None:
        chain = value["family"], value["table"], value["chain"]
        if chain not in self.hooks:
            self.wrong("rules of this chain have no counterpart", "Those of filter chains at input and output have.")
        self.key, self.chain = chain[:2], chain
        self.rule = Rule(self.file, 1, self.where, self.hooks[chain], dict(_FAMILIES[value["family"]]),
                         chain in self.marking)
        verdict = ""
        for each in value["expr"]:
            (kind, inner), = each.items()
            if verdict:
                self.wrong(f"{kind} behind a verdict has no counterpart")
            if kind in ("accept", "drop", "return", "continue"):
                verdict = self._verdict(kind)
            elif kind == "vmap":
                self._verdicts(inner)
                verdict = "none"
            elif kind in _STATEMENTS:
                _STATEMENTS[kind](self, inner)
            elif kind not in ("counter", "comment"):
                self.wrong(f"{kind} has no counterpart")
        if verdict != "none":
            self.rule.ends(verdict or "continue")
        self.found.rules.extend(self.rule.drafts)

    def _verdict(self, kind: str) -> str:
        return {"accept": "allow", "drop": "drop", "continue": "continue"}.get(kind) or self.policies[self.chain]

    def _verdicts(self, value: Any) -> None:
        """A verdict for each value of a field: a rule for each."""
        if "limit" in self.rule.does:
            self.wrong("a map of verdicts behind a limit has no counterpart")
        self.rule.go_on_with()
        before, left = (dict(self.rule.match), dict(self.rule.but)), value["key"]
        for key, does in value["data"]["set"]:
            kind, = does
            if kind not in ("accept", "drop", "return", "continue"):
                self.wrong(f"{kind} has no counterpart")
            if kind != "continue":
                self.rule.match, self.rule.but = dict(before[0]), dict(before[1])
                self.match({"op": "==", "left": left, "right": key})
                self.rule.draft(self._verdict(kind))

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
        if value.keys() - {"prefix", "level"} or value.get("level") == "audit":
            self.wrong(f"a log with {', '.join(sorted(value))} has no counterpart", "One with a prefix has.")
        self.rule.logs(value.get("prefix", ""))

    def mangle(self, value: Any) -> None:
        """A mark, whole or some bits of it; nft prints `and`, `or` and `xor`."""
        if value["key"] != {"meta": {"key": "mark"}}:
            self.wrong(f"a change of {value['key']} has no counterpart", "`meta mark set` has.")
        bits = self._bits(value["value"])
        self.marking.add(self.chain)
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
            names = self._values(right)
            if operator != "==" or any("*" in name for name in names):
                self.wrong("interfaces by pattern or by exclusion have no counterpart", "Name the interfaces.")
            self.rule.on(names)
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
