"""What the records of a ring look like: the columns of a struct type, nested ones by dotted names."""
from __future__ import annotations

from bpfwright._typing import Any, Iterator, NamedTuple
from bpfwright.types.ctype import (AddressType, ArrayType, AtomicType, BitsType, Bool, CharArray, CType, EnumType, Int,
                                   Opaque, Pointer, RecordType, UserPointer, ctype_of)

__all__ = ["Column", "Schema"]


class Column(NamedTuple):
    """One column: where its value stands in a record (bytes), and its NumPy type there.

    `shift` and `width` are a bit-field's place in bits. `kind` is what the values are: `int`, `bool`, `text`, `bytes`
    or `array` (of `length` ints in a row).
    """

    name: str
    ctype: CType
    offset: int
    kind: str
    dtype: str
    length: int = 1
    shift: int = 0
    width: int = 0
    signed: bool = False


class Schema:
    """The columns of a type: a Struct class, or whatever else may stand in RingBuf[...].

    >>> [column.name for column in Schema(Open).columns]
    ['pid', 'latency', 'path']
    """

    __slots__ = ("_get", "columns", "ctype", "size")

    def __init__(self, record: Any) -> None:
        self.ctype = ctype_of(record)
        self.size = self.ctype.size
        self._get = self.ctype.cls.view if isinstance(self.ctype, RecordType) else self.ctype.get
        if isinstance(self.ctype, RecordType) and not self.ctype.cls.__union__:
            self.columns = tuple(_fields("", self.ctype, 0))
        else:
            self.columns = tuple(_column("value", self.ctype, 0))

    def decode(self, data: bytes) -> Any:
        """The record that these bytes hold, frozen; what is missing at the end reads as zero."""
        if len(data) < self.size:
            data = data.ljust(self.size, b"\0")
        return self._get(data, 0, True)

    def key(self) -> str:
        """What two schemas share when the same code decodes both."""
        return repr([(c.name, *c[2:]) for c in self.columns])


def _fields(prefix: str, record: RecordType, base: int) -> Iterator[Column]:
    for name, field in record.cls.__layout__().fields.items():
        if isinstance(field.type, BitsType) and field.width:
            storage = field.type.storage
            yield Column(prefix + name, field.type, base + field.offset, "int", _integer(storage), 1, field.shift,
                         field.width, storage.signed)
        else:
            yield from _column(prefix + name, field.type, base + field.offset)


def _integer(ctype: Int) -> str:
    return f"{'>' if ctype.big else '<'}{'i' if ctype.signed else 'u'}{ctype.size}"


def _column(name: str, ctype: CType, offset: int) -> Iterator[Column]:
    match ctype:
        case RecordType() if not ctype.cls.__union__:
            yield from _fields(name + ".", ctype, offset)
        case RecordType() | AddressType():
            yield Column(name, ctype, offset, "bytes", f"V{ctype.size}")
        case Int():
            yield Column(name, ctype, offset, "int", _integer(ctype))
        case AtomicType():
            yield Column(name, ctype, offset, "int", _integer(ctype.element))
        case EnumType():
            yield Column(name, ctype, offset, "int", _integer(ctype.storage))
        case Pointer() | UserPointer():
            yield Column(name, ctype, offset, "int", "<u8")
        case Bool():
            yield Column(name, ctype, offset, "bool", "|u1")
        case CharArray():
            yield Column(name, ctype, offset, "text", f"S{ctype.size}")
        case ArrayType(element=Int() as element, length=length):
            yield Column(name, ctype, offset, "array", _integer(element), length)
        case ArrayType(element=element, length=length) if not isinstance(element, Opaque):
            for index in range(length):
                yield from _column(f"{name}.{index}", element, offset + index * element.size)
        case _:  # locks and timers belong to the kernel
            return
