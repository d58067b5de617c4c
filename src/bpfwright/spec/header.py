"""Packet headers as declarations: the compiler reads them to parse, Python builds and takes apart packets with them.

A header is a class with annotated fields, as they stand in RFC diagrams: first declared, first on the wire; bit-fields
fill their storage from the most significant bit. What follows what, how long it is and what is computed are class
attributes.
"""
from __future__ import annotations

import struct

from bpfwright._typing import (TYPE_CHECKING, Any, Callable, ClassVar, Generic, Iterable, NamedTuple, Self, Sequence,
                               TypeVar, overload)
from bpfwright.errors import UsageError, WrongType
from bpfwright.types.ctype import BitsType, CType, Int, caller_namespaces, ctype_of, defining_frame, own_annotations
from bpfwright.types.structs import Field, Layout, Member, Record, put_field

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform

    from bpfwright.spec.packet import Packet
else:
    def dataclass_transform(**_: object):
        return lambda cls: cls

__all__ = ["Carry", "Checksum", "Header", "LengthRule", "Link", "Option", "Options", "Size", "Tail", "children_of",
           "is_shipped", "lay_out_wire", "network_sum", "roots"]


class LengthRule(NamedTuple):
    """A header's length in bytes: field * unit_bytes + bias, plus the same for each pair of `more`."""

    field: str
    unit_bytes: int
    bias: int = 0
    more: tuple[tuple[str, int], ...] = ()


class Link(NamedTuple):
    """This header follows `parent` when parent.field is one of `values`; with no field, whenever there is room.

    `parent` None means the class itself (a tag after a tag). A `tunnel` link leads into another packet: a program
    that looks for a header does not walk it unless asked.
    """

    parent: type[Header] | None
    field: str
    values: tuple[int, ...]
    tunnel: bool = False


class Carry(NamedTuple):
    """The same said by the parent, where the child's file is imported by the parent's: `child` follows this header."""

    child: type[Header]
    field: str
    values: tuple[int, ...]
    tunnel: bool = False


class Size(NamedTuple):
    """The field that counts the bytes from this header to the packet's end, its own header included or not."""

    field: str
    includes_header: bool


class Checksum(NamedTuple):
    """The field that proves the content.

    `covers`: `header`, or `all` up to the packet's end. `pseudo`: the network header's addresses count too. `compute`
    turns the covered bytes, its own field zeroed, into the field's value; by default the Internet checksum (RFC 1071).
    """

    field: str
    covers: str = "all"
    pseudo: bool = False
    compute: Callable[[bytes], int] | None = None
    zero: int = 0


_CHILDREN: dict[type[Any], list[tuple[type[Any], Link]]] = {}
_ROOTS: list[type[Any]] = []


def children_of(parent: type[Header]) -> list[tuple[type[Header], Link]]:
    """What may follow `parent`, among the headers that are imported: the shipped ones first, then the latest declared.

    So a header of one's own takes no shipped one's place where both claim the same number.
    """
    latest = list(reversed(_CHILDREN.get(parent, ())))
    return [link for link in latest if is_shipped(link[0])] + [link for link in latest if not is_shipped(link[0])]


def is_shipped(header: type[Header]) -> bool:
    """Whether a header's file is one of `bpfwright.headers`."""
    return header.__module__.startswith("bpfwright.headers.")


def roots() -> list[type[Header]]:
    """The headers that a frame may start with, among those that are imported."""
    return list(_ROOTS)


def network_sum(data: bytes) -> int:
    """The Internet checksum of `data` (RFC 1071), in host order."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def lay_out_wire(owner: str, members: list[tuple[str, CType]]) -> Layout:
    """Places on the wire: no padding; bit-fields fill their storage unit from the most significant bit."""
    fields: dict[str, Field] = {}
    offset = 0
    unit: Int | None = None
    used = 0
    for name, ctype in members:
        if isinstance(ctype, BitsType):
            if unit is None:
                unit, used = ctype.storage, 0
            if unit != ctype.storage or used + ctype.width > unit.bits:
                raise UsageError(f"{owner}.{name}: the bit-fields before it do not fill their {unit.name}")
            used += ctype.width
            fields[name] = Field(name, ctype, offset, unit.bits - used, ctype.width)
            if used == unit.bits:
                offset += unit.size
                unit = None
            continue
        if unit is not None:
            raise UsageError(f"{owner}.{name}: the bit-fields before it do not fill their {unit.name}")
        if isinstance(ctype, Int) and ctype.size > 1 and not ctype.big:
            raise UsageError(f"{owner}.{name}: {ctype.name} is in this machine's byte order",
                             cure=f"Write be{ctype.bits}: packets are big-endian, and it reads as a plain number.")
        fields[name] = Field(name, ctype, offset)
        offset += ctype.size
    if unit is not None:
        raise UsageError(f"{owner}: the last bit-fields do not fill their {unit.name}")
    return Layout(offset, 1, fields)


class _WireMember(Member):
    """A field; assigning it says that nothing is to be computed for it."""

    __slots__ = ()

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        instance._given |= {self.name}


@dataclass_transform(kw_only_default=True)
class Header(Record):
    """A packet header. Constructors take keywords; what is not given is a default, or computed as the packet is made.

    >>> Ethernet() / IPv4(source="192.0.2.7") / TCP(dport=80, syn=1) / b"payload"

    Class attributes of a declaration: `follows`, `carries`, `root` (a frame may start with it), `length_rule` (None:
    fixed), `payload_requires` (fields and the values without which what follows is not a header), `size_rule`,
    `checksum_rule`; the options, if any, are in `option_list`.
    """

    __slots__ = ("_given", "_rest")
    follows: ClassVar[tuple[Link, ...]] = ()
    carries: ClassVar[tuple[Carry, ...]] = ()
    root: ClassVar[bool] = False
    length_rule: ClassVar[LengthRule | None] = None
    payload_requires: ClassVar[tuple[tuple[str, int], ...]] = ()
    size_rule: ClassVar[Size | None] = None
    checksum_rule: ClassVar[Checksum | None] = None
    option_list: ClassVar[Options[Any] | None] = None
    tail_name: ClassVar[str] = ""
    most: ClassVar[int] = 8  # how many repeating headers a program's look-up walks before it gives up

    def __init_subclass__(cls) -> None:
        cls._declare(caller_namespaces(defining_frame(1)))

    @classmethod
    def _declare(cls, spaces: list[dict[str, Any]]) -> None:
        annotations = own_annotations(cls)
        own = {name: text for name, text in annotations.items() if not str(text).startswith("ClassVar")}
        values = {name: cls.__dict__[name] for name in own if name in cls.__dict__}
        for name, value in values.items():
            if isinstance(value, Options):
                cls.option_list = value
            if isinstance(value, (Options, Tail)):
                cls.tail_name = name
                del own[name]
        for name in own:
            setattr(cls, name, _WireMember(name))
        cls.__own__ = {**cls.__own__, **own}
        cls.__defaults__ = {**cls.__defaults__, **{name: value for name, value in values.items() if name in own}}
        cls.__match_args__ = tuple(cls.__own__)  # type: ignore[misc]
        cls.__laid_out__ = None
        nested = {name: value for name, value in cls.__dict__.items() if isinstance(value, type)}
        cls.__spaces__ = [nested, *spaces, *cls.__spaces__]
        cls._connect()

    @classmethod
    def _connect(cls) -> None:
        """Make what follows what known from both ends."""
        if "follows" in cls.__dict__:
            cls.follows = tuple(link if link.parent else link._replace(parent=cls) for link in cls.follows)
            for link in cls.follows:
                assert link.parent is not None
                _CHILDREN.setdefault(link.parent, []).append((cls, link))
        for child, field, values, tunnel in cls.__dict__.get("carries", ()):
            link = Link(cls, field, values, tunnel)
            child.follows += (link,)
            _CHILDREN.setdefault(cls, []).append((child, link))
        if cls.__dict__.get("root"):
            _ROOTS.append(cls)

    __match_args__: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __layout__(cls) -> Layout:
        """The fields' places on the wire; the size is that of the fixed part."""
        if cls.__laid_out__ is None:
            cls.__laid_out__ = lay_out_wire(
                cls.__name__, [(name, ctype_of(text, cls.__spaces__)) for name, text in cls.__own__.items()])
        return cls.__laid_out__

    def __init__(self, **values: Any) -> None:
        layout = type(self).__layout__()
        self._memory = bytearray(layout.size)
        self._offset = 0
        self._frozen = False
        self._given = frozenset()
        self._rest = b""
        for name, default in type(self).__defaults__.items():
            put_field(layout.fields[name], self._memory, 0, default)
        for name, value in values.items():
            if name not in layout.fields and name != type(self).tail_name:
                raise WrongType(f"{type(self).__name__} has no field {name!r}",
                                cure=f"Its fields: {', '.join(layout.fields)}.")
            setattr(self, name, value)

    _given: frozenset[str]
    _rest: bytes

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """The header at the start of `data`, or None when that is too short or its length field impossible."""
        layout = cls.__layout__()
        if len(data) < layout.size:
            return None
        header = cls.view(bytearray(data[:layout.size]))
        header._given = frozenset(layout.fields)
        header._rest = b""
        length = header.header_length()
        if not layout.size <= length <= len(data):
            return None
        header._rest = bytes(data[layout.size:length])
        return header

    def header_length(self) -> int:
        """The length in bytes that the fields claim."""
        rule = type(self).length_rule
        if rule is None:
            return type(self).__layout__().size
        total = rule.bias
        for name, unit_bytes in ((rule.field, rule.unit_bytes), *rule.more):
            total += getattr(self, name) * unit_bytes
        return total

    @property
    def rest(self) -> bytes:
        """What stands after the fixed fields within the header: options and the like."""
        return self._rest

    @rest.setter
    def rest(self, value: bytes) -> None:
        rule = type(self).length_rule
        if rule is None and value:
            raise UsageError(f"{type(self).__name__} has a fixed length")
        self._rest = bytes(value)

    def pseudo_header(self, protocol: int, length: int) -> bytes:
        """What a transport checksum covers of this network header; nothing when it is none."""
        return b""

    def finished(self, inner: type[Header] | None, body: bytes, around: Sequence[Header]) -> bytes:
        """The header's bytes in front of `body`, with protocol number, lengths and checksum filled in.

        `inner` is the class of the next header, `around` the headers in front of this one, outermost first.
        """
        whole = self.copy()
        cls = type(self)
        rest = self._rest
        if cls.length_rule is not None:
            unit = cls.length_rule.unit_bytes
            rest += bytes(-(cls.__layout__().size + len(rest) - cls.length_rule.bias) % unit)
            if cls.length_rule.field not in self._given and not cls.length_rule.more:
                whole._put(cls.length_rule.field, (cls.__layout__().size + len(rest) - cls.length_rule.bias) // unit)
        if inner is not None:
            whole._select(inner)
        own = cls.__layout__().size + len(rest)
        if cls.size_rule is not None and cls.size_rule.field not in self._given:
            whole._put(cls.size_rule.field, len(body) + (own if cls.size_rule.includes_header else 0))
        rule = cls.checksum_rule
        if rule is not None and rule.field not in self._given:
            whole._put(rule.field, 0)
            covered = bytes(whole._memory) + rest + (body if rule.covers == "all" else b"")
            network = next((header for header in reversed(around) if header.pseudo_header(0, 0)), None)
            if rule.pseudo and network is not None:
                covered = network.pseudo_header(cls._number(), own + len(body)) + covered
            if network is not None or not rule.pseudo:
                whole._put(rule.field, (rule.compute or network_sum)(covered) or rule.zero)
        if cls.length_rule is not None and whole.header_length() != own and not self._given_length():
            raise UsageError(f"{cls.__name__}: its flags claim {whole.header_length()} bytes, its parts are {own}")
        return bytes(whole._memory) + rest

    def _given_length(self) -> bool:
        rule = type(self).length_rule
        return rule is not None and not rule.more and rule.field in self._given

    @classmethod
    def _number(cls) -> int:
        return next((link.values[0] for link in cls.follows if link.values), 0)

    def _put(self, name: str, value: int) -> None:
        put_field(type(self).__layout__().fields[name], self._memory, self._offset, value)

    def _select(self, inner: type[Header]) -> None:
        """Write the number that says `inner` follows."""
        links = [link for link in inner.follows if link.parent is type(self)]
        for link in links:
            if not link.field or link.field in self._given:
                return
        if links:
            self._put(links[0].field, links[0].values[0])
        elif not {link.field for _, link in children_of(type(self))} & self._given:
            raise UsageError(f"{inner.__name__} does not follow {type(self).__name__}",
                             cure="Put the header between them, or give the field that says what follows.")

    def copy(self) -> Self:
        """A copy that may be changed."""
        twin = type(self).view(bytearray(self._memory[self._offset:self._offset + type(self).__layout__().size]))
        twin._given = self._given
        twin._rest = self._rest
        return twin

    @classmethod
    def view(cls, memory: Any, offset: int = 0, frozen: bool = False) -> Self:
        header = super().view(memory, offset, frozen)
        header._given = frozenset(cls.__own__)
        header._rest = b""
        return header

    def __bytes__(self) -> bytes:
        return self.finished(None, b"", ())

    def _compared(self) -> tuple[object, ...]:
        size = type(self).__layout__().size
        return (type(self), bytes(self._memory[self._offset:self._offset + size]), self._rest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Header) and self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash(self._compared())

    def __truediv__(self, upper: Header | Packet | bytes) -> Packet:
        from bpfwright.spec.packet import Packet
        return Packet((self,)) / upper

    def __rtruediv__(self, lower: bytes) -> Packet:
        raise WrongType("bytes come last in a packet")

    def __repr__(self) -> str:
        cls = type(self)
        values = {name: getattr(self, name) for name in cls.__layout__().fields}
        rules = (cls.size_rule, cls.checksum_rule, cls.length_rule)
        computed = self._given & {rule.field for rule in rules if rule is not None}  # given, so it is not computed
        shown = [f"{name}={value if isinstance(value, int) else str(value)!r}"
                 for name, value in values.items() if value != cls.__defaults__.get(name, 0) or (
                     name in computed and not value)]
        if self._rest:
            shown.append(f"{cls.tail_name or 'rest'}={getattr(self, cls.tail_name or 'rest')!r}")
        return f"{cls.__name__}({', '.join(shown)})"


class Tail:
    """The bytes between a header's fixed fields and its end, under a name of their own."""

    if TYPE_CHECKING:
        def __get__(self, instance: object, owner: object) -> bytes: ...
        def __set__(self, instance: object, value: bytes) -> None: ...
    else:
        def __get__(self, instance, owner):
            return self if instance is None else instance.rest

        def __set__(self, instance, value):
            instance.rest = value


O = TypeVar("O", bound="Option")


class Options(Generic[O]):
    """The options of a header: `for option in tcp.options`, on both sides.

    `item` is the class of any option, `kinds` the classes of those that have one of their own. Kinds in `single` are
    one byte, without a length; `end` ends the list; each option starts at a multiple of `align` bytes.
    """

    def __init__(self, item: type[O], *kinds: type[O], single: tuple[int, ...] = (), end: int | None = None,
                 align: int = 1) -> None:
        self.item = item
        self.kinds: dict[int, type[O]] = {kind.number: kind for kind in kinds if kind.number is not None}
        self.single = single
        self.end = end
        self.align = align
        self.name = ""

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type[Any]) -> Options[O]: ...
    @overload
    def __get__(self, instance: Header, owner: type[Any]) -> Sequence[O]: ...
    def __get__(self, instance: Header | None, owner: type[Any]) -> Options[O] | Sequence[O]:
        return self if instance is None else list(self.walk(instance.rest))

    def __set__(self, instance: Header, value: Sequence[O] | bytes) -> None:
        instance.rest = value if isinstance(value, bytes) else self.join(value)

    def join(self, options: Iterable[O]) -> bytes:
        """The options' bytes, each with its length filled in."""
        data = b""
        for option in options:
            if not isinstance(option, self.item):
                raise WrongType(f"{option!r} is not a {self.item.__name__}")
            kind = getattr(option, self.item.kind_field)
            one = bytes([kind]) if kind in self.single else bytes(option)
            data += one + bytes(-len(one) % self.align)
        return data

    def walk(self, data: bytes) -> Iterable[O]:
        """The options in `data`, up to the first that cannot be one."""
        at = 0
        while at < len(data):
            kind = data[at] if self.single else None
            if kind is not None and kind in self.single:
                if kind == self.end:
                    return
                yield self.item.of_kind(kind)
                at += 1
                continue
            option = self.item.parse(data[at:])
            if option is None:
                return
            length = option.header_length()
            special = self.kinds.get(getattr(option, self.item.kind_field))
            yield (special.parse(data[at:at + length]) if special else None) or option
            at += -(-length // self.align) * self.align


class Option(Header):
    """One option or TLV of a header. A subclass with `kind=` is that kind; its fields come after the common ones.

    `data` is what stands after the fields; `kind_field` names the field that tells kinds apart.
    """

    __slots__ = ()
    kind_field: ClassVar[str] = "kind"
    number: ClassVar[int | None] = None
    data: Tail = Tail()

    def __init_subclass__(cls, *, kind: int | None = None) -> None:
        cls._declare(caller_namespaces(defining_frame(1)))
        cls.number = kind
        cls.tail_name = "data"
        if kind is not None:
            cls.__defaults__ = {**cls.__defaults__, cls.kind_field: kind}

    @classmethod
    def of_kind(cls, kind: int) -> Self:
        """An option of this kind, with nothing in it."""
        option = cls()
        setattr(option, cls.kind_field, kind)
        return option
