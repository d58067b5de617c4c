"""Signatures as tables for the kernel: buckets of rules with like headers, masks by field, patterns by their words."""
from __future__ import annotations

from collections import Counter

from bpfwright._typing import Any, NamedTuple
from bpfwright.facets.intrusion.signatures.model import Content, Flow, Signature
from bpfwright.facets.intrusion.signatures.patterns import COMPARED, Patterns
from bpfwright.facets.intrusion.signatures.prefilter import BY_THE_CLIENT, Wanted, wanted_of
from bpfwright.facets.intrusion.signatures.records import struct_of
from bpfwright.facets.intrusion.signatures.spans import (
    ANY_ADDRESS,
    ANY_PORT,
    Spans,
    holds,
    intersection,
    union,
)

__all__ = ["Compiled", "Head", "Layout", "Placed", "SPREAD", "buckets_of", "compiled", "head_of", "placed", "tables_of"]

BUCKETS = 64
_MERGED = 8   # buckets that take what has none of its own
_SIZES = 4096
SPREAD = 40503
"""What ports are multiplied by, modulo 65536, for their place: verifiers before 6.13 know no bounds of a number whose
bytes were swapped, and the compiler leaves out a mask that changes nothing."""
_ALL = (1 << BUCKETS) - 1
_ALL_PROTOCOLS: Spans = ((0, 255),)
_PROTOCOLS: dict[str, Spans] = {
    "ip": _ALL_PROTOCOLS, "tcp": ((6, 6),), "tcp-pkt": ((6, 6),), "tcp-stream": ((6, 6),), "udp": ((17, 17),),
    "icmp": ((1, 1), (58, 58)), "icmpv6": ((58, 58),), "dns": ((6, 6), (17, 17)),
    **dict.fromkeys(("http", "http1", "tls", "ssh", "ftp", "smtp"), ((6, 6),))}
_BYTES: Spans = ((0, 255),)
_STATES: Spans = ((0, 4),)
_BY_STATE = {"": {0, 1, 2, 3, 4}, "stateless": {0, 1, 2, 3, 4}, "established": {2, 4}, "not_established": {0, 1, 3}}


class Head(NamedTuple):
    """What the kernel looks at in headers: a set for each field. A packet fits when each field is in its set."""

    protocol: Spans
    source: Spans
    source_ports: Spans
    destination: Spans
    destination_ports: Spans
    state: Spans = _STATES
    flags: Spans = _BYTES
    type: Spans = _BYTES
    code: Spans = _BYTES
    ttl: Spans = _BYTES
    size: Spans = ((0, _SIZES - 1),)


class Placed(NamedTuple):
    """One way of a signature: its header, what is looked for, and whether header and pattern say all, so that the
    kernel can decide."""

    number: int
    head: Head
    wanted: Wanted
    whole: bool


class Layout(NamedTuple):
    """The shape of the tables: what programs depend on, by powers of two. `bits`: of each pass's table, 0: none."""

    bits: dict[str, int]
    classes: dict[str, int]
    entries: int
    looks: tuple[str, ...]
    tracks: bool
    streams: bool
    signs: bool
    speaks: bool
    from_nets: bool
    to_nets: bool


class Compiled(NamedTuple):
    """Tables as they are to be. `fields`: numbers of the tables' struct by field. `nets`: classes of source and
    destination addresses but the first, as spans. `decided`: numbers of the signatures that the kernel decides;
    `by_header`: of those that it looks for no pattern of."""

    layout: Layout
    fields: dict[str, Any]
    entries: list[dict[str, Any]]
    nets: tuple[list[Spans], list[Spans]]
    decided: frozenset[int]
    by_header: frozenset[int]


def head_of(rule: Signature, swapped: bool) -> tuple[Head, bool]:
    """A rule's header as sets, and whether they say all that it says about headers."""
    protocol = intersection(_PROTOCOLS[rule.protocol], rule.number("ip_proto") or _ALL_PROTOCOLS)
    if rule.speaks:
        protocol = intersection(protocol, _PROTOCOLS[rule.speaks])
    if rule.flags is not None:
        protocol = intersection(protocol, ((6, 6),))
    if any(rule.number(field) is not None for field in ("itype", "icode")):
        protocol = intersection(protocol, _PROTOCOLS["icmp"])
    ends = (rule.destination, rule.destination_ports, rule.source, rule.source_ports) if swapped else (
        rule.source, rule.source_ports, rule.destination, rule.destination_ports)
    flags = rule.flags
    sizes = rule.number("dsize")
    found = Head(protocol, *ends, state=_states(rule),
                 flags=union((n, n) for n in range(256) if flags.hold(n)) if flags is not None else _BYTES,
                 type=rule.number("itype") or _BYTES, code=rule.number("icode") or _BYTES,
                 ttl=rule.number("ttl") or _BYTES, size=_cut(sizes) if sizes else Head._field_defaults["size"])
    rest = {"tos", "id", "fragoffset", "icmp_id", "icmp_seq", "seq", "ack", "window"}
    whole = not (rest & {name for name, _ in rule.numbers} or rule.fragbits is not None or rule.ipopts or rule.sameip
                 or (sizes and sizes[-1][1] != 65535 and sizes[-1][1] >= _SIZES - 1)
                 or (sizes and sizes[-1][0] >= _SIZES - 1))
    return found, whole


def _states(rule: Signature) -> Spans:
    flow = rule.flow
    if rule.speaks and rule.speaks != "dns":  # streams have sides
        flow = flow or Flow()
        flow = flow._replace(to_server=flow.to_server or rule.side == "server",
                             to_client=flow.to_client or rule.side == "client")
    if flow is None:
        return _STATES
    allowed = set(_BY_STATE[flow.state])
    if flow.to_server:
        allowed &= {1, 2}
    if flow.to_client:
        allowed &= {3, 4}
    return union((n, n) for n in allowed)


def _cut(sizes: Spans) -> Spans:
    """Sizes as the table has them: the last one stands for all above."""
    return union((min(low, _SIZES - 1), min(high, _SIZES - 1)) for low, high in sizes)


def placed(rules: list[Signature]) -> list[Placed]:
    """Every way that a rule can match: two for rules of both directions."""
    found = []
    for number, rule in enumerate(rules):
        wanted = wanted_of(rule)
        for swapped in (False, True)[:1 + rule.both_ways]:
            head, whole = head_of(rule, swapped)
            whole = whole and (not rule.steps or (len(rule.steps) == 1 and _plain(wanted.patterns)))
            whole = whole and rule.threshold is None and not rule.flowbits and not rule.hostbits
            whole = whole and not rule.asks_what_is_spoken
            if head.protocol and head.state:
                found.append(Placed(number, head, wanted, whole))
            if (rule.speaks in BY_THE_CLIENT or rule.unspoken) and head.protocol:
                other, _ = head_of(rule, not swapped)
                found.append(Placed(number, other._replace(state=_STATES), Wanted((), False, openers=wanted.openers),
                                    False))
    return found


def _plain(contents: tuple[Content, ...]) -> bool:
    """Whether comparing words and a place says all about them."""
    return bool(contents) and all(len(content.pattern) <= COMPARED and not content.relative and not content.ends
                                  for content in contents)


def buckets_of(ways: list[Placed]) -> tuple[list[Head], list[int]]:
    """Buckets, and the one of each way: the headers that are most common, and those of rules that are decided here,
    have one of their own; the others share some, which fit whatever fits one of them."""
    weight = Counter(way.head for way in ways)
    for way in ways:
        if way.whole:
            weight[way.head] += 1000
    own = [head for head, _ in weight.most_common(BUCKETS if len(weight) <= BUCKETS else BUCKETS - _MERGED)]
    numbers = {head: number for number, head in enumerate(own)}
    merged: dict[int, list[Head]] = {}
    places = []
    for way in ways:
        number = numbers.get(way.head)
        if number is None:
            number = len(own) + _likeness(way.head)
            merged.setdefault(number, []).append(way.head)
        places.append(number)
    heads = own + [_merged(merged.get(len(own) + n, [])) for n in range(_MERGED if merged else 0)]
    return heads, places


def _likeness(head: Head) -> int:
    """Which of the shared buckets: by protocol and by which end has its ports named."""
    first = {6: 0, 17: 2, 1: 4}.get(head.protocol[0][0], 5)
    if first < 4 and head.protocol[0][0] == head.protocol[-1][1]:
        return first + (1 if head.destination_ports == ANY_PORT else 0)
    return 4 if first == 4 else 6


def _merged(heads: list[Head]) -> Head:
    if not heads:
        return Head((), (), (), (), ())
    return Head(*(union(span for head in heads for span in head[field]) for field in range(len(heads[0]))))


def _mask(heads: list[Head], field: str, number: int) -> int:
    return sum(1 << bucket for bucket, head in enumerate(heads) if holds(getattr(head, field), number))


def classes_of(both: tuple[list[Head], list[Head]], field: str, highest: int) -> list[tuple[int, int, int]]:
    """Where numbers begin that fit other buckets than those below: (number, contents' mask, heads' mask)."""
    edges = {0}
    for heads in both:
        for head in heads:
            for low, high in getattr(head, field):
                edges |= {low, high + 1}
    starts = sorted(edge for edge in edges if edge <= highest)
    return [(start, _mask(both[0], field, start), _mask(both[1], field, start)) for start in starts]


def tables_of(layout: Layout) -> type[Any]:
    """The struct of all tables of a shape."""
    fields: dict[str, Any] = {}
    for name, count in (("protocol", 256), ("state", 8), ("flag", 256), ("type", 256), ("code", 256), ("ttl", 256)):
        fields[{"protocol": "protocols", "state": "states", "flag": "flags", "type": "types", "code": "codes",
                "ttl": "ttls"}[name]] = f"array[u64, L[{count}]]"
        fields[f"{name}_heads"] = f"array[u64, L[{count}]]"
    fields |= {"floating": "u64", "short": "u64", "shortest": "u64", "streams": "u64", "requests": "u64",
               "all_requests": "u64", "escapes": "u64", "folds": "u64", "openers": "array[u64, L[256]]",
               "source_ports": "array[u16, L[65536]]", "destination_ports": "array[u16, L[65536]]",
               "sizes": f"array[u16, L[{_SIZES}]]"}
    for name, count in layout.classes.items():
        fields["size_masks" if name == "size" else f"{name}s"] = f"array[u64, L[{count}]]"
        fields[f"{name}_heads"] = f"array[u64, L[{count}]]"
    for name, heads in (("aligned", "aligned_heads"), ("dense", "dense_heads"), ("pairs", "pair_heads")):
        if layout.bits[name]:
            fields[name] = f"array[u8, L[{1 << layout.bits[name]}]]"
            fields[heads] = f"array[u16, L[{1 << layout.bits[name]}]]"
    return struct_of("Tables", fields)


_DIRECT = (("protocol", "protocols", "protocol_heads", 256), ("state", "states", "state_heads", 8),
           ("flags", "flags", "flag_heads", 256), ("type", "types", "type_heads", 256),
           ("code", "codes", "code_heads", 256), ("ttl", "ttls", "ttl_heads", 256))
_CLASSED = (("source_ports", "source", 65536), ("destination_ports", "destination", 65536), ("size", "size", _SIZES))
_LOOKED = ("state", "flags", "type", "code", "ttl", "size")


def compiled(rules: list[Signature]) -> Compiled:
    """The tables of some rules."""
    ways = placed(rules)
    searched = [way for way in ways if not way.wanted.headed]
    headed = [way for way in ways if way.wanted.headed]
    content_heads, content_places = buckets_of(searched)
    headed_heads, _ = buckets_of(headed)
    both = (content_heads, headed_heads)
    passes = any(rule.action == "pass" for rule in rules)
    exact = dict(enumerate(content_heads))
    patterns = Patterns()
    streams = 0
    asks = _Asks()
    undecided = {rule for rule in range(len(rules)) if rules[rule].action != "drop" or passes}
    undecided |= {way.number for way in ways if not way.whole or way.wanted.headed}
    undecided |= {way.number for way, place in zip(searched, content_places) if exact[place] != way.head}
    for way, place in zip(searched, content_places):
        rule = rules[way.number]
        if rule.on_streams or rule.asks_what_is_spoken:
            streams |= 1 << place
        asks.add(way.wanted, place)
        for pattern in way.wanted.patterns:
            patterns.add(pattern, place, stream=rule.on_streams or rule.asks_what_is_spoken,
                         drop=0 if way.number in undecided else rule.sid)
    late = patterns.settle()
    undecided |= {number for number, rule in enumerate(rules) if rule.sid in late}
    fields, classes = _masks_of(both)
    nets, net_fields = _nets(both)
    bits = patterns.bits()
    fields |= net_fields | patterns.tables(bits) | {"streams": streams} | asks.fields()
    looks = tuple(name for name in _LOOKED if any(getattr(head, name) != Head._field_defaults[name]
                                                  for heads in both for head in heads))
    layout = Layout(bits, {**classes, **{name: _rounded(len(net_fields[name + "s"])) for name in ("from", "to")}},
                    _rounded(len(patterns.entries)), looks,
                    any(rule.flow is not None or rule.flowbits or rule.on_streams or rule.asks_what_is_spoken
                        for rule in rules),
                    bool(streams), asks.signs, asks.speaks, bool(nets[0]), bool(nets[1]))
    return Compiled(layout, fields, patterns.entries, nets, frozenset(range(len(rules))) - undecided,
                    frozenset(way.number for way in headed))


class _Asks:
    """Masks of buckets: whose requests are looked at, all of them or those that are not whole in a segment; which are
    copied for a sign; whose streams are copied from their first byte on, by that byte."""

    def __init__(self) -> None:
        self._masks = {"requests": 0, "all_requests": 0, "escapes": 0, "folds": 0}
        self._openers = [0] * 256

    def add(self, wanted: Wanted, place: int) -> None:
        bit = 1 << place
        for name, there in (("requests", wanted.requests), ("all_requests", wanted.requests and not wanted.patterns),
                            ("escapes", "escape" in wanted.signs), ("folds", "fold" in wanted.signs)):
            self._masks[name] |= bit if there else 0
        for first in wanted.openers:
            self._openers[first] |= bit

    @property
    def signs(self) -> bool:
        return bool(self._masks["escapes"] | self._masks["folds"])

    @property
    def speaks(self) -> bool:
        return bool(self._masks["requests"]) or any(self._openers)

    def fields(self) -> dict[str, Any]:
        return {**self._masks, "openers": self._openers}


def _rounded(count: int) -> int:
    return 1 << max(count - 1, 1).bit_length()


def _masks_of(both: tuple[list[Head], list[Head]]) -> tuple[dict[str, Any], dict[str, int]]:
    """The masks by field; 0 among ports stands for packets without any, which fit all."""
    import numpy as np
    fields: dict[str, Any] = {}
    classes: dict[str, int] = {}
    for field, name, heads, count in _DIRECT:
        rows = classes_of(both, field, count - 1)
        spread = [row for row, (start, *_) in enumerate(rows)
                  for _ in range(start, rows[row + 1][0] if row + 1 < len(rows) else count)]
        fields[name] = [rows[row][1] for row in spread]
        fields[heads] = [rows[row][2] for row in spread]
    for field, name, count in _CLASSED:
        rows = classes_of(both, field, count - 1)
        places = np.zeros(count, np.uint16)
        known: dict[tuple[int, int], int] = {} if name == "size" else {(_ALL, _ALL): 0}
        for row, (start, *masks) in enumerate(rows):
            end = rows[row + 1][0] if row + 1 < len(rows) else count
            places[start:end] = known.setdefault((masks[0], masks[1]), len(known))
        if name != "size":
            places[np.arange(count) * SPREAD % count] = places.copy()
        fields["sizes" if name == "size" else field] = places
        fields["size_masks" if name == "size" else f"{name}s"] = [mask for mask, _ in known]
        fields[f"{name}_heads"] = [mask for _, mask in known]
        classes[name] = _rounded(len(known))
    return fields, classes


def _nets(both: tuple[list[Head], list[Head]]) -> tuple[tuple[list[Spans], list[Spans]], dict[str, Any]]:
    """Classes of addresses: the one of the most addresses is the first, and needs no entry in the prefix table."""
    fields: dict[str, Any] = {}
    found = []
    for field, name in (("source", "from"), ("destination", "to")):
        rows = classes_of(both, field, ANY_ADDRESS[0][1])
        by_masks: dict[tuple[int, int], list[tuple[int, int]]] = {}
        for row, (start, *masks) in enumerate(rows):
            end = rows[row + 1][0] - 1 if row + 1 < len(rows) else ANY_ADDRESS[0][1]
            by_masks.setdefault((masks[0], masks[1]), []).append((start, end))
        order = sorted(by_masks, key=lambda masks: -sum(high - low for low, high in by_masks[masks]))
        fields[f"{name}s"] = [masks[0] for masks in order]
        fields[f"{name}_heads"] = [masks[1] for masks in order]
        found.append([union(by_masks[masks]) for masks in order[1:]])
    return (found[0], found[1]), fields
