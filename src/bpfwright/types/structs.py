"""Struct and CUnion: C layout, natural alignment, views over memory that both sides share."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self
from bpfwright.errors import UsageError, WrongType
from bpfwright.types.ctype import (BitsType, CType, Memory, Opaque, RecordType, caller_namespaces, ctype_of,
                                   defining_frame, own_annotations)

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform
else:
    def dataclass_transform(**_: object):
        return lambda cls: cls

__all__ = ["CUnion", "Field", "Layout", "Member", "Record", "Struct", "put_field"]


class Field(NamedTuple):
    """A member's place: byte offset of its storage; for bit-fields also the shift and width in bits in that storage."""

    name: str
    type: CType
    offset: int
    shift: int = 0
    width: int = 0


class Layout(NamedTuple):
    """Size and alignment in bytes, and the members by name in order."""

    size: int
    align: int
    fields: dict[str, Field]


class Member:
    """What a Struct class has in place of an annotated name."""

    __slots__ = ("_known", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        # The layout last met and the member's place in it, as one object: threads may read different subclasses.
        self._known: tuple[object, Any] = (None, None)

    def __get__(self, instance: Any, owner: Any) -> Any:
        if instance is None:
            return self
        layout = owner.__laid_out__ or owner.__layout__()
        known, field = self._known
        if known is not layout:
            field = layout.fields[self.name]
            self._known = layout, field
        if field.width:
            word = field.type.storage.get(instance._memory, instance._offset + field.offset)
            value = (word >> field.shift) & ((1 << field.width) - 1)
            return value - (1 << field.width) if field.type.storage.signed and value >> (field.width - 1) else value
        return field.type.get(instance._memory, instance._offset + field.offset, instance._frozen)

    def __set__(self, instance: Any, value: Any) -> None:
        if instance._frozen:
            raise WrongType(f"{type(instance).__name__}.{self.name}: this is a frozen copy",
                            cure="Assign a new value to the map instead: m[key] = value.")
        put_field(type(instance).__layout__().fields[self.name], instance._memory, instance._offset, value)


def put_field(field: Field, memory: Memory, base: int, value: Any) -> None:
    """Store into one member; bit-fields keep their neighbours."""
    offset = base + field.offset
    if not field.width:
        field.type.put(memory, offset, value)
        return
    assert isinstance(field.type, BitsType)
    storage = field.type.storage
    mask = (1 << field.width) - 1
    low = -(1 << (field.width - 1)) if storage.signed else 0
    if not isinstance(value, int) or not low <= value <= mask:
        raise WrongType(f"{field.name}: {value!r} does not fit {field.width} bits")
    bits = storage.get(memory, offset) & ((1 << storage.bits) - 1)
    bits = bits & ~(mask << field.shift) | (value & mask) << field.shift
    storage.put(memory, offset, storage(bits))


class Record:
    """What structs and unions share: lazy layout, memory, comparison, bytes."""

    __slots__ = ("_frozen", "_memory", "_offset")
    _frozen: bool
    _memory: Memory
    _offset: int
    __own__: ClassVar[dict[str, object]] = {}
    __defaults__: ClassVar[dict[str, Any]] = {}
    __spaces__: ClassVar[list[dict[str, Any]]] = []
    __packed__: ClassVar[bool] = False
    __least_align__: ClassVar[int] = 1
    __union__: ClassVar[bool] = False
    __laid_out__: ClassVar[Layout | None] = None

    @classmethod
    def __collect__(cls, packed: bool, align: int | None) -> None:
        own = {name: text for name, text in own_annotations(cls).items()
               if not (isinstance(text, str) and text.startswith("ClassVar"))}
        cls.__own__ = {**cls.__own__, **own}
        defaults = dict(cls.__defaults__)
        for name in own:
            if name in cls.__dict__:
                defaults[name] = cls.__dict__[name]
            setattr(cls, name, Member(name))
        cls.__defaults__ = defaults
        cls.__packed__ = packed
        cls.__least_align__ = align or 1
        cls.__laid_out__ = None
        late = any(isinstance(text, str) for text in own.values())
        cls.__spaces__ = [*(caller_namespaces(defining_frame(2)) if late else ()), *cls.__spaces__]

    @classmethod
    def __layout__(cls) -> Layout:
        """The members' places, worked out once, when first needed."""
        if cls.__laid_out__ is None:
            spaces = [{cls.__name__: cls}, *cls.__spaces__]
            cls.__laid_out__ = lay_out(cls.__name__, [(n, ctype_of(t, spaces)) for n, t in cls.__own__.items()],
                                       cls.__packed__, cls.__least_align__, cls.__union__)
        return cls.__laid_out__

    @classmethod
    def view(cls, memory: Memory, offset: int = 0, frozen: bool = False) -> Self:
        """The record that stands at `offset` bytes of `memory`; writes go through unless it is frozen."""
        record = object.__new__(cls)
        record._memory = memory
        record._offset = offset
        record._frozen = frozen
        return record

    def copy(self) -> Self:
        """A copy of one's own, which may be written."""
        return type(self).view(bytearray(bytes(self)))

    def __bytes__(self) -> bytes:
        size = type(self).__layout__().size
        return bytes(self._memory[self._offset:self._offset + size])

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and bytes(self) == bytes(other)

    def __hash__(self) -> int:
        return hash((type(self), bytes(self)))

    def __repr__(self) -> str:
        names = (n for n, f in type(self).__layout__().fields.items() if not isinstance(f.type, Opaque))
        return f"{type(self).__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"


@dataclass_transform()
class Struct(Record):
    """A C struct: annotated names are its members, in order, with C's alignment.

    Keywords of the class: `packed=True` leaves no padding, `align=N` asks for at least N bytes. Locks and timers are
    not in the constructor's way. Raises WrongType for a value that does not fit its member.

    >>> class Open(Struct):
    ...     pid: u32
    ...     path: char[L[256]]
    """

    __slots__ = ()

    def __init_subclass__(cls, *, packed: bool = False, align: int | None = None) -> None:
        cls.__collect__(packed, align)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        layout = type(self).__layout__()
        self._memory = bytearray(layout.size)
        self._offset = 0
        self._frozen = False
        names = [name for name, field in layout.fields.items() if not isinstance(field.type, Opaque)]
        if len(args) > len(names):
            raise WrongType(f"{type(self).__name__} takes {len(names)} values, not {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name, value in kwargs.items():
            if name not in names or name in given:
                raise WrongType(f"{type(self).__name__}: unexpected or repeated member {name!r}")
            given[name] = value
        for name in names:
            if name in given:
                put_field(layout.fields[name], self._memory, 0, given[name])
            elif name in type(self).__defaults__:
                put_field(layout.fields[name], self._memory, 0, type(self).__defaults__[name])
            else:
                raise WrongType(f"{type(self).__name__}: member {name!r} is missing")


class CUnion(Record):
    """A C union: all members at offset 0. It takes no constructor arguments; assign one member."""

    __slots__ = ()
    __union__ = True

    def __init_subclass__(cls) -> None:
        cls.__collect__(False, None)

    def __init__(self) -> None:
        self._memory = bytearray(type(self).__layout__().size)
        self._offset = 0
        self._frozen = False


def lay_out(owner: str, members: list[tuple[str, CType]], packed: bool, least_align: int, union: bool) -> Layout:
    """C's layout rules (System V ABI): natural alignment; bit-fields fill their storage unit, low bits first."""
    fields: dict[str, Field] = {}
    bit = 0
    largest = 0
    align = least_align
    for name, ctype in members:
        if isinstance(ctype, RecordType) and ctype.name == owner and ctype.cls.__laid_out__ is None:
            raise UsageError(f"{owner}.{name}: a struct cannot hold itself", cure=f'Write ptr["{owner}"].')
        unit = 1 if packed and not isinstance(ctype, Opaque) else ctype.align
        if union:
            bit = 0
        if isinstance(ctype, BitsType):
            field, bit = _place_bits(name, ctype, bit, packed)
        else:
            offset = -(-((bit + 7) // 8) // unit) * unit
            field, bit = Field(name, ctype, offset), (offset + ctype.size) * 8
        fields[name] = field
        align = max(align, unit)
        largest = max(largest, -(-bit // 8))
    size = max(largest, 1) if members else 0
    return Layout(-(-size // align) * align, align, fields)


def _place_bits(name: str, ctype: BitsType, bit: int, packed: bool) -> tuple[Field, int]:
    unit = ctype.storage.bits
    if bit // unit != (bit + ctype.width - 1) // unit and not packed:
        bit = -(-bit // unit) * unit
    base = bit // unit * unit
    if packed and bit + ctype.width > base + unit:
        base = bit // 8 * 8
    return Field(name, ctype, base // 8, bit - base, ctype.width), bit + ctype.width
