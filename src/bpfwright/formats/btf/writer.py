"""Writes BTF: new types, and copies of types from elsewhere with all that they refer to."""
from __future__ import annotations

from array import array
from struct import pack

from bpfwright._typing import Sequence
from bpfwright.errors import BtfError
from bpfwright.formats.btf.reader import Btf, Kind

__all__ = ["BtfBuilder"]

# Words of a record's head, and of each entry, that hold type numbers; names stand in word 0 of both.
HEAD_TYPES = {Kind.PTR: (2,), Kind.TYPEDEF: (2,), Kind.VOLATILE: (2,), Kind.CONST: (2,), Kind.RESTRICT: (2,),
               Kind.FUNC: (2,), Kind.FUNC_PROTO: (2,), Kind.VAR: (2,), Kind.DECL_TAG: (2,), Kind.TYPE_TAG: (2,),
               Kind.ARRAY: (3, 4)}
ENTRIES = {Kind.STRUCT: (3, True, 1), Kind.UNION: (3, True, 1), Kind.ENUM: (2, True, None),
          Kind.FUNC_PROTO: (2, True, 1), Kind.DATASEC: (3, False, 0), Kind.ENUM64: (3, True, None)}


class BtfBuilder:
    """Gathers types; every `add_*` and `copy` gives the new type's number, `build` the bytes in this machine's order.

        builder = BtfBuilder()
        u64 = builder.add_int("u64", 8)
        entry = builder.add_struct("entry", 16, [("packets", u64, 0, 0), ("bytes", u64, 64, 0)])
    """

    def __init__(self) -> None:
        self._records: list[array[int]] = []
        self._strings = bytearray(b"\0")
        self._offsets: dict[str, int] = {"": 0}
        self._same: dict[bytes, int] = {}
        self._copied: dict[tuple[int, int], int] = {}
        self._sources: list[Btf] = []

    def _string(self, text: str) -> int:
        if text not in self._offsets:
            self._offsets[text] = len(self._strings)
            self._strings += text.encode("utf-8", "surrogateescape") + b"\0"
        return self._offsets[text]

    def _add(self, name: str, kind: int, third: int, rest: Sequence[int] = (), *, vlen: int = 0, flag: bool = False,
             unique: bool = False) -> int:
        words = array("I", [self._string(name), int(flag) << 31 | kind << 24 | vlen, third & 0xFFFFFFFF, *rest])
        key = words.tobytes()
        if not unique and key in self._same:
            return self._same[key]
        self._records.append(words)
        self._same[key] = len(self._records)
        return len(self._records)

    def add_int(self, name: str, size: int, *, signed: bool = False, boolean: bool = False) -> int:
        """An integer of `size` bytes."""
        encoding = (1 if signed else 0) | (4 if boolean else 0)
        return self._add(name, Kind.INT, size, [encoding << 24 | 8 * size])

    def add_pointer(self, type_id: int) -> int:
        """A pointer to a type (0: void)."""
        return self._add("", Kind.PTR, type_id)

    def add_array(self, type_id: int, count: int) -> int:
        """An array; its index is a 4-byte int, which is added when there is none."""
        index = self.add_int("__ARRAY_SIZE_TYPE__", 4)
        return self._add("", Kind.ARRAY, 0, [type_id, index, count])

    def add_struct(self, name: str, size: int, members: Sequence[tuple[str, int, int, int]], *,
                   union: bool = False) -> int:
        """A struct: (name, type, bit offset, bit size or 0) each."""
        bits = any(member[3] for member in members)
        words: list[int] = []
        for field, type_id, offset, width in members:
            words += [self._string(field), type_id, width << 24 | offset if bits else offset]
        kind = Kind.UNION if union else Kind.STRUCT
        return self._add(name, kind, size, words, vlen=len(members), flag=bits)

    def add_enum(self, name: str, size: int, values: Sequence[tuple[str, int]]) -> int:
        """An enum; of 64 bits when `size` is 8."""
        words: list[int] = []
        for item, value in values:
            words += [self._string(item), value & 0xFFFFFFFF] + ([value >> 32 & 0xFFFFFFFF] if size == 8 else [])
        kind = Kind.ENUM64 if size == 8 else Kind.ENUM
        return self._add(name, kind, size, words, vlen=len(values), flag=any(value < 0 for _, value in values))

    def add_typedef(self, name: str, type_id: int) -> int:
        """A name for a type."""
        return self._add(name, Kind.TYPEDEF, type_id)

    def add_prototype(self, result: int, parameters: Sequence[tuple[str, int]]) -> int:
        """A function's type."""
        words = [word for name, type_id in parameters for word in (self._string(name), type_id)]
        return self._add("", Kind.FUNC_PROTO, result, words, vlen=len(parameters))

    def add_function(self, name: str, prototype: int, *, linkage: int = 1) -> int:
        """A function: linkage 0 static, 1 global."""
        return self._add(name, Kind.FUNC, prototype, vlen=linkage)

    def add_variable(self, name: str, type_id: int, *, linkage: int = 1) -> int:
        """A variable."""
        return self._add(name, Kind.VAR, type_id, [linkage])

    def add_section(self, name: str, size: int, variables: Sequence[tuple[int, int, int]]) -> int:
        """A data section: (variable, offset, size) each."""
        words = [word for variable in variables for word in variable]
        return self._add(name, Kind.DATASEC, size, words, vlen=len(variables))

    def copy(self, source: Btf, type_id: int) -> int:
        """A type of another BTF with everything it refers to; copied once, however often it is asked for."""
        if not type_id:
            return 0
        if not any(source is known for known in self._sources):
            self._sources.append(source)        # keeps id(source) ours alone
        known = self._copied.get((id(source), type_id))
        if known is not None:
            return known
        # Copied depth first without recursion: structs of the kernel refer to each other in long circles.
        waiting = [type_id]
        places: list[tuple[int, int]] = []
        while waiting:
            current = waiting.pop()
            if not current or (id(source), current) in self._copied:
                continue
            record = array("I", source.words(current))
            self._records.append(record)
            self._copied[id(source), current] = len(self._records)
            places.append((len(self._records) - 1, current))
            waiting += [record[index] for index in _type_places(record)]
        for index, _ in places:
            self._translate(source, self._records[index])
        return self._copied[id(source), type_id]

    def _translate(self, source: Btf, record: array[int]) -> None:
        kind, vlen = record[1] >> 24 & 0x1F, record[1] & 0xFFFF
        record[0] = self._string(source.string(record[0]))
        if kind in ENTRIES and ENTRIES[kind][1]:
            for at in range(3, 3 + vlen * ENTRIES[kind][0], ENTRIES[kind][0]):
                record[at] = self._string(source.string(record[at]))
        for at in _type_places(record):
            record[at] = self._copied[id(source), record[at]] if record[at] else 0

    def build(self) -> bytes:
        """The finished BTF."""
        types = b"".join(record.tobytes() for record in self._records)
        if len(types) >= 1 << 32:
            raise BtfError("too many types")
        header = pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(self._strings))
        return header + types + bytes(self._strings)


def _type_places(record: array[int]) -> list[int]:
    """Which words of a record are numbers of types."""
    kind, vlen = record[1] >> 24 & 0x1F, record[1] & 0xFFFF
    places = list(HEAD_TYPES.get(kind, ()))
    if kind in ENTRIES and ENTRIES[kind][2] is not None:
        size, _, where = ENTRIES[kind]
        places += [at + (where or 0) for at in range(3, 3 + vlen * size, size)]
    return places
