"""An event's record as the kernel's type information has it, so that an object finds the fields on other kernels.

Tracefs says where an event's fields are on this kernel. The same record is a struct in BTF: `trace_event_raw_NAME`,
where NAME is the event's or, for events declared alike, that of their DECLARE_EVENT_CLASS
(include/trace/trace_events.h).
"""
from __future__ import annotations

from enum import EnumMeta, IntEnum

from bpfwright._typing import Any, Iterable
from bpfwright.formats.btf import Btf, Kind
from bpfwright.types.ctype import ArrayType, CType, EnumType, Int, Pointer, RecordType
from bpfwright.types.structs import Field, Layout

__all__ = ["Drawing", "class_of", "draw", "member_of"]

_PREFIX = "trace_event_raw_"
_LEFT_OUT = frozenset(("ent", "__data"))

Drawing = tuple[str, tuple[tuple[str, str, int, int], ...]]
"""A struct's name, and of each member its name, kind (`u32`, `i8[16]`, `ptr`, `enum NAME`, `struct`), offset and size.

Plain tuples, since a program's facts are part of its key in the cache.
"""
_classes: dict[Drawing, type[Any]] = {}


def member_of(name: str, dynamic: bool) -> str:
    """What a field is called in the record: a text of any length is held by a number that says where it stands."""
    return f"__data_loc_{name}" if dynamic else name


def draw(kernels: Iterable[Btf], event: str, places: dict[str, Any]) -> Drawing | None:
    """The record of an event whose fields tracefs puts at `places`; None where no struct has the same members."""
    wanted = {(member_of(name, place.dynamic), place.offset) for name, place in places.items()}
    for btf in kernels:
        found = _search(btf, event, wanted)
        if found:
            return btf.name(found), tuple(_members(btf, found))
    return None


def _search(btf: Btf, event: str, wanted: set[tuple[str, int]]) -> int:
    own = next(btf.find_all(_PREFIX + event, Kind.STRUCT), 0)
    if own and _places(btf, own) == wanted:
        return own
    alike = [number for number in btf.ids() if btf.kind(number) == Kind.STRUCT
             and btf.name(number).startswith(_PREFIX) and _places(btf, number) == wanted]
    # A struct that is named after another event is that event's own, though it may look the same today.
    others = [n for n in alike if not _is_event(btf, btf.name(n).removeprefix(_PREFIX))]
    return min(others or alike, key=lambda n: (-_common(btf.name(n).removeprefix(_PREFIX), event),
                                               len(btf.name(n))), default=0)


def _is_event(btf: Btf, name: str) -> bool:
    return next(btf.find_all(f"btf_trace_{name}", Kind.TYPEDEF), 0) > 0


def _places(btf: Btf, number: int) -> set[tuple[str, int]]:
    return {(m.name, m.bit_offset // 8) for m in btf.members(number) if m.name not in _LEFT_OUT}


def _common(a: str, b: str) -> int:
    """How many of their words, from the first, are the same."""
    same = 0
    for x, y in zip(a.split("_"), b.split("_"), strict=False):
        if x != y:
            break
        same += 1
    return same


def _members(btf: Btf, number: int) -> Iterable[tuple[str, str, int, int]]:
    for member in btf.members(number):
        if member.name not in _LEFT_OUT:
            yield member.name, _kind(btf, member.type_id), member.bit_offset // 8, btf.size(member.type_id)


def _kind(btf: Btf, type_id: int) -> str:
    number = btf.resolve(type_id)
    match btf.kind(number):
        case Kind.INT:
            return f"{'i' if btf.int_encoding(number).signed else 'u'}{btf.size(number) * 8}"
        case Kind.PTR:
            return "ptr"
        case Kind.ARRAY:
            array = btf.array(number)
            return f"{_kind(btf, array.type_id)}[{array.count}]"
        case Kind.ENUM | Kind.ENUM64:
            return f"enum {btf.name(number)}"
    return "struct"


def class_of(drawing: Drawing) -> type[Any]:
    """A kernel type that is drawn so; the same one for the same drawing."""
    found = _classes.get(drawing)
    if found is None:
        name, members = drawing
        fields = {m: Field(m, _ctype(kind, size), offset) for m, kind, offset, size in members}
        layout = Layout(max((offset + size for _, _, offset, size in members), default=8), 8, fields)
        found = _classes[drawing] = type(name, (), {"__kernel_name__": name,
                                                    "__layout__": classmethod(lambda cls: layout)})
    return found


def _ctype(kind: str, size: int) -> CType:
    if kind.endswith("]"):
        element, _, count = kind[:-1].rpartition("[")
        length = int(count)
        return ArrayType(_ctype(element, size // max(length, 1)), length)
    if kind == "ptr":
        return Pointer(Int("u8", 1, False))
    if kind.startswith("enum "):
        made: Any = EnumMeta.__call__(IntEnum, kind.removeprefix("enum "), {"NONE": 0})  # told apart by name alone
        return EnumType(made)
    if kind == "struct":
        layout = Layout(size, 1, {})
        return RecordType(type("part", (), {"__layout__": classmethod(lambda cls: layout)}))
    return Int(kind, size, kind[0] == "i")
