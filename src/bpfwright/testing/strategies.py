"""Hypothesis strategies: values by their types, packets by their headers, contexts, records, what is in a map.

What is drawn shrinks to the smallest: fewest headers, no payload, fields left at their defaults, numbers at 0.
"""
from __future__ import annotations

from functools import cache
from importlib import import_module
from types import UnionType

from bpfwright._typing import Any, Iterable, Mapping, Sequence, TypeVar, cast
from bpfwright.errors import NotSupported, UsageError
from bpfwright.hooks.tracepoint import Fields
from bpfwright.spec.header import Header, LengthRule, children_of, roots
from bpfwright.spec.map import MapDeclaration
from bpfwright.spec.packet import Packet
from bpfwright.testing.contexts import SkbContext, XdpContext
from bpfwright.types.address import Network
from bpfwright.types.ctype import (AddressType, ArrayType, AtomicType, BitsType, Bool, CharArray, CType, EnumType, Int,
                                   Opaque, Pointer, RecordType, UserPointer, ctype_of)
from bpfwright.types.structs import Field

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise NotSupported("strategies need Hypothesis", cure="pip install 'bpfwright[hypothesis]'") from error

__all__ = ["entries", "packets", "records", "skb_contexts", "values", "xdp_contexts"]

F = TypeVar("F", bound=Fields)
_WRONG = ("checksums", "lengths", "protocols")
_LONGEST_REST = 40  # bytes of options and the like
_SHORTEST = 14  # bytes of a packet that a machine runs

Given = Mapping[type[Header], Mapping[str, Any]]


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type: `values(u32)`, `values(Blocked)`, `values(char[L[16]])`. Numbers are often at an edge.

    UsageError for types whose memory is the kernel's.
    """
    return _of(kind if isinstance(kind, CType) else ctype_of(kind))


@cache  # making a strategy takes longer than drawing from it
def _of(ctype: CType) -> st.SearchStrategy[Any]:
    match ctype:
        case Bool():
            return st.booleans()
        case EnumType(enum=enum):
            return st.sampled_from(sorted(enum, key=lambda member: (abs(member.value), member.value < 0)))
        case AtomicType(element=element):
            return _of(element)
        case Int():
            return _numbers(ctype.low, ctype.high)
        case Pointer() | UserPointer():
            return _numbers(0, (1 << 64) - 1)
        case CharArray(size=size):
            # NUL ends a text, and what is not UTF-8 would not come back as it was.
            return st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=size).map(
                lambda text: text.encode()[:size].decode("utf-8", "ignore"))
        case ArrayType(element=element, length=length):
            return st.lists(_of(element), min_size=length, max_size=length)
        case AddressType(cls=cls, size=size):
            edges = st.sampled_from([bytes(size), b"\xff" * size])
            return (st.binary(min_size=size, max_size=size) | edges).map(cls.from_bytes)
        case RecordType(cls=cls):
            fields = cls.__layout__().fields
            return st.builds(cls, **{name: _of_field(field) for name, field in fields.items()
                                     if not isinstance(field.type, Opaque)})
    raise UsageError(f"nobody can make up a {ctype.name}", why="its memory is the kernel's")


def _of_field(field: Field) -> st.SearchStrategy[Any]:
    if isinstance(field.type, BitsType):
        signed = field.type.storage.signed
        return _numbers(-(1 << field.width - 1) if signed else 0, (1 << field.width - signed) - 1)
    return _of(field.type)


@cache
def _numbers(low: int, high: int) -> st.SearchStrategy[int]:
    """Numbers of a range: any, and those at its edges and at those of narrower types."""
    near = {low, low + 1, high - 1, high}
    for bits in (7, 8, 15, 16, 31, 32, 63):
        near |= {(1 << bits) - 1, 1 << bits, -(1 << bits), -(1 << bits) - 1}
    return st.integers(low, high) | st.sampled_from(sorted((n for n in near if low <= n <= high),
                                                           key=lambda n: (abs(n), n < 0)))


# packets


def packets(*layers: type[Header] | UnionType | None, payload: int = 64, fields: Given | None = None,
            wrong: Iterable[str] = (), truncated: bool = False, most: int = 6, tunnels: bool = False,
            ) -> st.SearchStrategy[Any]:
    """Packets of these headers: `packets(Ethernet, Vlan | None, IPv4 | IPv6, TCP | UDP)`.

    Without layers, any chain of known headers, of at most `most`; `tunnels` lets packets in packets in. Payloads have
    up to `payload` bytes. Fields are left at their defaults or drawn by type; `fields={TCP: {"dport": [23, 80]}}`
    says what of (values, or a strategy). Protocol numbers, lengths and checksums are right, but for those named in
    `wrong`: "checksums", "lengths", "protocols". With `truncated` some are cut, and come as bytes; no fewer than 14 are
    left.
    """
    unknown = set(wrong) - set(_WRONG)
    if unknown:
        raise UsageError(f"nothing known is wrong with {sorted(unknown)[0]!r}", cure=f"Name {', '.join(_WRONG)}.")
    maker = _Packets(payload, fields or {}, frozenset(wrong))
    if layers:
        drawn = maker.along([_choices(layer) for layer in layers])
    else:
        headers = import_module("bpfwright.headers")
        for name in headers.__all__:
            getattr(headers, name)
        drawn = maker.anything(roots(), most, tunnels)
    if not truncated:
        return drawn
    return drawn | drawn.flatmap(_cut)


def _choices(layer: type[Header] | UnionType | None) -> list[type[Header] | None]:
    """The headers of `A | B | None`; nothing comes first, since it is the smallest."""
    found = list(layer.__args__) if isinstance(layer, UnionType) else [layer]
    kinds = [None if each is type(None) else each for each in found]
    for each in kinds:
        if each is not None and not (isinstance(each, type) and issubclass(each, Header)):
            raise UsageError(f"{each!r} is no packet header", cure="Write packets(Ethernet, IPv4 | IPv6, TCP | None).")
    return sorted(kinds, key=lambda kind: kind is not None)


def _cut(packet: Packet) -> st.SearchStrategy[bytes]:
    data = bytes(packet)
    return st.integers(min(_SHORTEST, len(data)), len(data)).map(lambda size: data[:size])


class _Packets:
    """How packets are drawn."""

    def __init__(self, payload: int, fields: Given, wrong: frozenset[str]) -> None:
        self.payload = st.binary(max_size=payload)
        self.fields = fields
        self.wrong = wrong

    def along(self, layers: list[list[type[Header] | None]]) -> st.SearchStrategy[Packet]:
        """One of each layer."""
        @st.composite
        def packet(draw: st.DrawFn) -> Packet:
            parts = []
            for layer in layers:
                kind: type[Header] | None = draw(_one(tuple(layer)))
                if kind is not None:
                    parts.append((kind, self.fields_of(draw, kind)))
            return self.packet(parts, draw(self.payload))

        return packet()

    def anything(self, first: Sequence[type[Header]], most: int, tunnels: bool) -> st.SearchStrategy[Packet]:
        """Any chain that the headers' own rules allow."""
        follows: dict[type[Header], list[type[Header]]] = {}
        waiting = list(first)
        while waiting:
            kind = waiting.pop(0)
            if kind not in follows:
                follows[kind] = list(dict.fromkeys(
                    child for child, link in children_of(kind) if tunnels or not link.tunnel))
                waiting += follows[kind]
        known = list(follows)
        number = st.sampled_from([0] * max(1, len(known) // 3) + list(range(1, len(known) + 1)))  # 0: that is all

        @st.composite
        def packet(draw: st.DrawFn) -> Packet:
            kind: type[Header] = draw(_one(tuple(first)))
            parts = [(kind, self.fields_of(draw, kind))]
            # A number means the same header wherever that may follow, and its fields are drawn next to it: so one in
            # the middle can be shrunk away.
            while len(parts) < most and (following := follows[kind]) and (chosen := draw(number)):
                wanted = known[chosen - 1]
                kind = wanted if wanted in following else following[chosen % len(following)]
                parts.append((kind, self.fields_of(draw, kind)))
            return self.packet(parts, draw(self.payload))

        return packet()

    def packet(self, parts: list[tuple[type[Header], dict[str, Any]]], payload: bytes) -> Packet:
        """A packet of these headers, each with the fields that may be chosen in front of the next."""
        made = []
        for at, (kind, drawn) in enumerate(parts):
            inner = parts[at + 1][0] if at + 1 < len(parts) else None
            left_out = self.decided(kind, inner) - set(self.fields.get(kind, ()))
            header = kind(**{name: value for name, value in drawn.items() if name not in left_out and name != "rest"})
            if _flags(kind.length_rule):
                header.rest = bytes(max(0, header.header_length() - kind.__layout__().size))
            elif "rest" in drawn:
                header.rest = drawn["rest"]
            made.append(header)
        return Packet(made, payload)

    def fields_of(self, draw: st.DrawFn, kind: type[Header]) -> dict[str, Any]:
        """Values of some fields. Which are drawn is drawn too: the smallest has none."""
        layout, given = kind.__layout__(), dict(self.fields.get(kind, {}))
        unknown = set(given) - set(layout.fields)
        if unknown:
            raise UsageError(f"{kind.__name__} has no field {sorted(unknown)[0]!r}",
                             cure=f"Its fields: {', '.join(layout.fields)}.")
        free = [name for name in layout.fields if name not in self.computed(kind) and name not in given]
        if kind.length_rule is not None and not _flags(kind.length_rule):
            free.append("rest")
        names = [*given, *(draw(_some(tuple(free))) if free else ())]
        return {name: draw(_rest(cast(Any, kind)) if name == "rest" else self.field(layout.fields[name],
                                                                                   given.get(name)))
                for name in names}

    def field(self, field: Field, given: Any) -> st.SearchStrategy[Any]:
        if given is None:
            return _of_field(field)
        return given if isinstance(given, st.SearchStrategy) else st.sampled_from(list(given))

    def computed(self, kind: type[Header]) -> set[str]:
        """The fields whose right value follows from the packet."""
        size, check, length = kind.size_rule, kind.checksum_rule, kind.length_rule
        found = {"version"} & set(kind.__layout__().fields)
        if "lengths" not in self.wrong:
            found |= {rule.field for rule in (size, length) if rule is not None and rule.field not in _flags(length)}
        if "checksums" not in self.wrong and check is not None:
            found.add(check.field)
        return found

    def decided(self, kind: type[Header], inner: type[Header] | None) -> set[str]:
        """The fields that say that `inner` follows."""
        if inner is None:
            return set()
        found = {name for name, _ in kind.payload_requires}
        links = [link for link in inner.follows if link.parent is kind]
        if not links:
            raise UsageError(f"{inner.__name__} does not follow {kind.__name__}", cure="Name the header between them.")
        return found if "protocols" in self.wrong else found | {link.field for link in links if link.field}


@cache
def _some(names: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(names), unique=True)


@cache
def _one(kinds: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    return st.sampled_from(kinds)


def _flags(rule: LengthRule | None) -> list[str]:
    """The fields that say part by part what else is in a header."""
    return [rule.field, *(name for name, _ in rule.more)] if rule is not None and rule.more else []


@cache
def _rest(kind: Any) -> st.SearchStrategy[bytes]:
    """What may stand behind the fixed fields: options of the declared kinds, or any bytes."""
    rule = kind.length_rule
    field = kind.__layout__().fields[rule.field]
    width = field.width or field.type.size * 8
    most = max(0, min(_LONGEST_REST, ((1 << width) - 1) * rule.unit_bytes + rule.bias - kind.__layout__().size))
    plain = st.binary(max_size=most)
    options = kind.option_list
    if options is None:
        return plain
    kinds = [options.item.of_kind(each) for each in options.single]
    kinds += [each() for each in (*options.kinds.values(), options.item)]
    lists = st.lists(st.sampled_from(kinds), max_size=4).map(options.join).filter(lambda data: len(data) <= most)
    return lists | plain


# contexts, records, maps


def xdp_contexts(interfaces: Iterable[tuple[int, int]] = ((0, 0),)) -> st.SearchStrategy[XdpContext]:
    """Where a packet came in: pairs of (interface index, how many receive queues it has).

    The kernel runs a program only on interfaces that are there; userspace on any.
    """
    return st.one_of(*(st.builds(XdpContext, st.just(index), st.integers(0, max(0, queues - 1)))
                       for index, queues in interfaces))


def skb_contexts() -> st.SearchStrategy[SkbContext]:
    """Mark, priority and control block of a socket buffer."""
    word = _numbers(0, (1 << 32) - 1)
    return st.builds(SkbContext, word, word, st.tuples(word, word, word, word, word))


def records(event: type[F]) -> st.SearchStrategy[F]:
    """Records of a tracepoint's class: each of its fields by its type."""
    return st.builds(event, **{name: _of(event.field_type(name)) for name in event.__own__})


def entries(declared: MapDeclaration, *, max_size: int = 8) -> st.SearchStrategy[dict[Any, Any]]:
    """What may be in a declared map: a dictionary of up to `max_size` keys and values by its types.

    >>> @given(entries(blocked), packets(Ethernet, IPv4))
    """
    key, value = declared.key, declared.value
    if key is None or value is None:
        raise UsageError(f"a {type(declared).__name__} has no keys and values")
    most = min(max_size, declared.max_entries)
    if declared.fixed_length:
        keys: st.SearchStrategy[Any] = st.integers(0, declared.max_entries - 1)
    elif hasattr(declared, "kernel_key") and isinstance(key, AddressType):
        keys = st.builds(Network, _of(key), st.integers(0, key.size * 8).map(lambda short: key.size * 8 - short))
    else:
        keys = _of(key)
    return st.dictionaries(keys, _of(value), max_size=most)
