"""Structs, unions, enums and typedefs by name: from the script's own C definitions, else from the kernel's BTF."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, NamedTuple, Protocol
from bpfwright.errors import BtfError
from bpfwright.facets.trace.types import (Array, Boolean, Chars, Enumeration, Integer, Nothing, Pointer, Struct, Tuple,
                                          Type)

if TYPE_CHECKING:
    from bpfwright.formats.btf import Btf

__all__ = ["BtfLayouts", "Layouts", "Member", "Source"]

_QUALIFIERS = (9, 10, 11)  # volatile, const, restrict
_FAR = 8
"""How deep anonymous members are looked into."""


class Member(NamedTuple):
    """A member of a struct: bytes from its start, and for bit-fields the bit in the storage that `type` is, and how
    many there are (0: no bit-field)."""

    name: str
    offset: int
    type: Type
    bit: int = 0
    width: int = 0


class Source(Protocol):
    """Who knows types by name."""

    def named(self, keyword: str, name: str) -> Type | None:
        """`struct NAME`, `union NAME`, `enum NAME`; with no keyword a typedef."""

    def members(self, struct: Struct) -> list[Member]:
        """All members of a struct of this source, anonymous ones' among them."""

    def enumerator(self, name: str) -> tuple[int, Type] | None:
        """The value of an enumerator, and its enum."""


class Layouts:
    """Several sources, the first one that knows a name answers; each struct remembers which."""

    def __init__(self, sources: dict[str, Source]) -> None:
        self.sources = sources
        self._members: dict[Struct, dict[str, Member]] = {}

    def named(self, keyword: str, name: str) -> Type | None:
        """See Source."""
        for source in self.sources.values():
            found = source.named(keyword, name)
            if found is not None:
                return found
        return None

    def members(self, struct: Struct) -> dict[str, Member]:
        """A struct's members by name, in the order of their declaration."""
        known = self._members.get(struct)
        if known is None:
            if struct.members:
                listed = [Member(*entry) for entry in struct.members]
            else:
                source = self.sources.get(struct.source)
                listed = source.members(struct) if source is not None else []
            known = self._members[struct] = {member.name: member for member in listed}
        return known

    def enumerator(self, name: str) -> tuple[int, Type] | None:
        """See Source."""
        for source in self.sources.values():
            found = source.enumerator(name)
            if found is not None:
                return found
        return None

    def whole(self, type: Type, depth: int = 0) -> Type:
        """A type as user space needs it to print values: structs with their members, by value and not by pointer."""
        match type:
            case Struct():
                listed = tuple((m.name, m.offset, self.whole(m.type, depth + 1), m.bit, m.width)
                               for m in self.members(type).values()) if depth < _FAR else ()
                return Struct(type.keyword, type.name, type.bytes, type.source, listed)
            case Array():
                return Array(self.whole(type.of, depth + 1), type.count)
            case Tuple():
                return Tuple(tuple(self.whole(item, depth + 1) for item in type.items), type.names)
        return type


class BtfLayouts:
    """What BTF says: the kernel's, or a program's own."""

    def __init__(self, btf: Btf, source: str = "kernel", space: str = "kernel") -> None:
        self.btf = btf
        self.source = source
        self.space = space
        self._ids: dict[tuple[str, str], int] = {}
        self._named: dict[tuple[str, str], Type | None] = {}

    def named(self, keyword: str, name: str) -> Type | None:
        key = (keyword, name)
        if key not in self._named:
            self._named[key] = self._find(keyword, name)
        return self._named[key]

    def _find(self, keyword: str, name: str) -> Type | None:
        from bpfwright.formats.btf import Kind
        kinds = {"struct": (Kind.STRUCT,), "union": (Kind.UNION,), "enum": (Kind.ENUM, Kind.ENUM64)}
        for kind in kinds.get(keyword, (Kind.TYPEDEF,)):
            try:
                return self.type(self.btf.find(name, kind))
            except BtfError:
                continue
        return None

    def type(self, number: int) -> Type:
        """The type of a BTF number."""
        from bpfwright.formats.btf import Kind
        btf = self.btf
        number = btf.resolve(number) if number else 0
        kind = btf.kind(number)
        if kind == Kind.INT:
            encoding = btf.int_encoding(number)
            return Boolean() if encoding.is_bool else Integer(_width(encoding.bits), encoding.signed)
        if kind == Kind.PTR:
            return Pointer(self._target(btf.type_of(number)), self.space)
        if kind == Kind.ARRAY:
            array = btf.array(number)
            if array.count and self.is_char(array.type_id):
                return Chars(array.count)
            return Array(self.type(array.type_id), array.count)
        if kind in Kind.ENUMS:
            values = tuple((e.value, e.name) for e in btf.enumerators(number))
            return Enumeration(btf.name(number), btf.size(number), any(v < 0 for v, _ in values), values)
        if kind in Kind.COMPOSITES:
            return self._struct(number, "struct" if kind == Kind.STRUCT else "union", btf.size(number))
        return Nothing()

    def is_char(self, number: int) -> bool:
        """Whether a type is C's `char`: arrays of it are texts, those of `u8` are bytes."""
        btf = self.btf
        for _ in range(4):
            if btf.name(number) == "char":
                return True
            if btf.kind(number) not in _QUALIFIERS:
                return False
            number = btf.type_of(number)
        return False

    def _target(self, number: int) -> Type:
        """What a pointer points to; enums stay plain, because a pointer to them is rarely looked through."""
        from bpfwright.formats.btf import Kind
        resolved = self.btf.resolve(number) if number else 0
        kind = self.btf.kind(resolved)
        if kind == Kind.FWD:
            return Struct("union" if self.btf.kind_flag(resolved) else "struct", self.btf.name(resolved), 0,
                          self.source, ())
        if kind == Kind.PTR:
            return Pointer(self._target(self.btf.type_of(resolved)), self.space)
        return self.type(resolved)

    def _struct(self, number: int, keyword: str, size: int) -> Struct:
        name = self.btf.name(number) or f"(anonymous {number})"
        self._ids.setdefault((keyword, name), number)
        return Struct(keyword, name, size, self.source, ())

    def members(self, struct: Struct) -> list[Member]:
        key = (struct.keyword, struct.name)
        if key not in self._ids:
            whole = self.named(struct.keyword, struct.name)
            if not isinstance(whole, Struct) or key not in self._ids:
                return []
        if not struct.bytes and self.btf.name(self._ids[key]) == struct.name:
            self.named(*key)  # a forward declaration's own
        return list(self._members(self._ids[key], 0, 0))

    def _members(self, number: int, base: int, depth: int) -> list[Member]:
        from bpfwright.formats.btf import Kind
        found: list[Member] = []
        for member in self.btf.members(number):
            at = base + member.bit_offset
            inner = self.btf.resolve(member.type_id)
            if not member.name and self.btf.kind(inner) in Kind.COMPOSITES:
                found += self._members(inner, at, depth + 1) if depth < _FAR else []
            elif member.name:
                found.append(self._member(member.name, member.type_id, at, member.bit_size))
        return found

    def _member(self, name: str, number: int, bit: int, width: int) -> Member:
        type = self.type(number)
        if not width:
            return Member(name, bit // 8, type)
        size = type.size * 8
        start = bit - bit % size
        return Member(name, start // 8, type, bit - start, width)

    def enumerator(self, name: str) -> tuple[int, Type] | None:
        found = self.btf.find_enumerator(name)
        return None if found is None else (found[1], self.type(found[0]))


def _width(bits: int) -> int:
    return 1 if bits <= 8 else 2 if bits <= 16 else 4 if bits <= 32 else 8
