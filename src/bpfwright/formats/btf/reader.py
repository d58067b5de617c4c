"""Reads BTF in place: types stay words of the file, and an object is made only for what is asked.

The type section is an array of 32-bit words. Finding a type costs one search of the string section, one search for
its offset in the words, and a walk over the records before it: no dictionary of names is ever built, so the kernel's
126,000 types cost some 20 ms and 10 MiB when the last of them is asked for, less when an early one is.
"""
from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from struct import pack, unpack_from

from bpfwright._typing import Iterator, NamedTuple
from bpfwright.errors import BtfError

__all__ = ["Array", "Btf", "Enumerator", "IntEncoding", "Kind", "Member", "Parameter", "SectionVariable"]

MAGIC = 0xEB9F
_EAGER_WORDS = 1 << 16       # below this the whole section is walked, and so checked, at once
_MAX_DEPTH = 64              # longer chains of modifiers and arrays are cycles, or hostile


class Kind:
    """The numbers of BTF_KIND_*."""

    VOID, INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT = range(12)
    FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(12, 20)
    NAMES = ("void", "int", "ptr", "array", "struct", "union", "enum", "fwd", "typedef", "volatile", "const",
             "restrict", "func", "func_proto", "var", "datasec", "float", "decl_tag", "type_tag", "enum64")
    MODIFIERS = frozenset({TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG})
    COMPOSITES = frozenset({STRUCT, UNION})
    ENUMS = frozenset({ENUM, ENUM64})
    REFERENCES = MODIFIERS | {PTR, FUNC, FUNC_PROTO, VAR, DECL_TAG}


# Words that follow a record's three: a fixed number, and a number for each of its vlen entries.
FIXED_WORDS = {Kind.INT: 1, Kind.ARRAY: 3, Kind.VAR: 1, Kind.DECL_TAG: 1}
ENTRY_WORDS = {Kind.STRUCT: 3, Kind.UNION: 3, Kind.ENUM: 2, Kind.FUNC_PROTO: 2, Kind.DATASEC: 3, Kind.ENUM64: 3}


class Member(NamedTuple):
    """A field of a struct or union; `bit_size` is 0 unless it is a bit field."""

    name: str
    type_id: int
    bit_offset: int
    bit_size: int


class Enumerator(NamedTuple):
    """A named value of an enum, with its sign."""

    name: str
    value: int


class Parameter(NamedTuple):
    """A parameter of a function prototype; a last one of type 0 without a name is `...`."""

    name: str
    type_id: int


class Array(NamedTuple):
    """`count` elements of `type_id`."""

    type_id: int
    index_type_id: int
    count: int  # type: ignore[assignment]  # hides tuple.count, which nobody misses here


class IntEncoding(NamedTuple):
    """How an int is laid out: `bits` wide, `bit_offset` into its storage."""

    bits: int
    bit_offset: int
    signed: bool
    is_char: bool
    is_bool: bool


class SectionVariable(NamedTuple):
    """A variable of a data section, with its place there in bytes."""

    type_id: int
    offset: int
    size: int


class _Steps(dict[int, int]):
    """From an info word to the record's length in words; the few thousand distinct ones fill themselves in."""

    def __missing__(self, info: int) -> int:
        kind = info >> 24 & 0x1F
        if kind == 0 or kind > Kind.ENUM64:
            raise BtfError(f"unknown BTF kind {kind}")
        step = 3 + FIXED_WORDS.get(kind, 0) + ENTRY_WORDS.get(kind, 0) * (info & 0xFFFF)
        self[info] = step
        return step


class Btf:
    """Type information: a file's, a module's (with `base`, the kernel's), or an object's.

    Types are numbers, as in the format; 0 is void. Methods answer questions about a number and raise BtfError when
    there is no such type.

        >>> kernel = Btf.open("/sys/kernel/btf/vmlinux")
        >>> [member.name for member in kernel.members(kernel.find("list_head", Kind.STRUCT))]
        ['next', 'prev']
    """

    __slots__ = ("_data", "_first_string", "_names", "_next_word", "_offsets", "_steps", "_strings", "_words",
                 "_words_at", "base", "big_endian", "first_id")

    def __init__(self, data: bytes, base: Btf | None = None) -> None:
        header = data[:24]
        if len(header) < 24:
            raise BtfError("too short for BTF", why=f"{len(header)} bytes; a header has 24")
        self.big_endian = header[:2] == b"\xeb\x9f"
        if not self.big_endian and header[:2] != b"\x9f\xeb":
            raise BtfError("not BTF", why=f"it begins with {header[:2].hex()}, not 9feb or eb9f", offset=0)
        order = ">" if self.big_endian else "<"
        header_len, type_off, type_len, str_off, str_len = unpack_from(f"{order}5I", header, 4)
        size = len(data)
        types_at, strings_at = header_len + type_off, header_len + str_off
        if header_len < 24 or types_at + type_len > size or strings_at + str_len > size:
            raise BtfError("truncated BTF", why=f"its header speaks of more than its {size} bytes")
        if type_len % 4:
            raise BtfError("malformed BTF", why="the type section is no whole number of words")
        words = array("I")
        words.frombytes(memoryview(data)[types_at:types_at + type_len])
        if self.big_endian != (sys.byteorder == "big"):
            words.byteswap()
            self._data: bytes = words.tobytes()
            self._words_at = 0
        else:
            self._data = data
            self._words_at = types_at
        self._words = words
        self._strings = data[strings_at:strings_at + str_len]
        if self._strings and self._strings[-1]:
            raise BtfError("malformed BTF", why="the string section does not end in NUL")
        self.base = base
        self.first_id = base.count + 1 if base else 1
        self._first_string = base.strings_end if base else 0
        self._offsets = array("I")
        self._steps = _Steps()
        self._next_word = 0
        self._names: dict[int, str] = {}
        if len(words) <= _EAGER_WORDS:
            self._walk(len(words))

    @classmethod
    def open(cls, path: str, base: Btf | None = None) -> Btf:
        """Read a file of raw BTF. Not mapped: Python's mmap would hold a descriptor for as long as the types live."""
        try:
            with open(path, "rb", buffering=0) as file:
                data = file.read()
        except OSError as error:
            raise BtfError(f"cannot read {path}", why=error.strerror or str(error),
                           cure="A kernel without CONFIG_DEBUG_INFO_BTF has none.") from error
        return cls(data, base)

    # Walking

    def _walk(self, until: int) -> None:
        """Note where each record begins, at least as far as word `until`."""
        words, steps, at, end = self._words, self._steps, self._next_word, len(self._words)
        stop = min(max(until + 1, at + _EAGER_WORDS), end)
        starts: list[int] = []
        note = starts.append
        try:
            while at < stop:
                note(at)
                at += steps[words[at + 1]]
        except IndexError:
            at = end + 1
        if at > end:
            raise BtfError("truncated BTF", why="its last type ends outside the type section")
        self._offsets.extend(starts)
        self._next_word = at

    def _walk_all(self) -> None:
        while self._next_word < len(self._words):
            self._walk(len(self._words))

    @property
    def count(self) -> int:
        """The highest type number (void not counted); that of the base included."""
        self._walk_all()
        return self.first_id - 1 + len(self._offsets)

    @property
    def strings_end(self) -> int:
        """Where string offsets end, those of the base included."""
        return self._first_string + len(self._strings)

    @property
    def raw_strings(self) -> bytes:
        """The string section of this BTF alone."""
        return self._strings

    def words(self, type_id: int) -> array[int]:
        """The words of one type's record, in this machine's order."""
        at = self._at(type_id)
        return self._owner(type_id)._words[at:at + self._steps[self._owner(type_id)._words[at + 1]]]

    def _owner(self, type_id: int) -> Btf:
        return self.base if self.base and type_id < self.first_id else self

    def _at(self, type_id: int) -> int:
        """The word where a record begins."""
        if type_id < self.first_id and self.base:
            return self.base._at(type_id)
        index = type_id - self.first_id
        while index >= len(self._offsets) and self._next_word < len(self._words):
            self._walk(self._next_word + 3 * (index - len(self._offsets)))
        if not 0 <= index < len(self._offsets):
            raise BtfError(f"BTF has no type {type_id}")
        return self._offsets[index]

    def word_offset(self, type_id: int) -> int:
        """Where a type's record begins in its type section, in words."""
        return self._at(type_id)

    # Strings and names

    def string(self, offset: int) -> str:
        """The string at an offset of the string section."""
        if offset < self._first_string and self.base:
            return self.base.string(offset)
        known = self._names.get(offset)
        if known is not None:
            return known
        start = offset - self._first_string
        end = self._strings.find(0, start) if 0 <= start < len(self._strings) else -1
        if end < 0:
            if offset == 0:
                return ""
            raise BtfError(f"BTF has no string at {offset}")
        text = self._names[offset] = self._strings[start:end].decode("utf-8", "surrogateescape")
        return text

    def string_offset(self, text: str) -> int:
        """Where a string stands whole, or -1."""
        if not text:
            return 0
        needle = text.encode("utf-8", "surrogateescape")
        at = self._strings.find(b"\0" + needle + b"\0")
        if at >= 0:
            return self._first_string + at + 1
        if self.base:
            if self._strings.startswith(needle + b"\0"):
                return self._first_string
            return self.base.string_offset(text)
        return -1

    def find_all(self, name: str, kind: int | None = None) -> Iterator[int]:
        """Every type of that name (and kind), in order; those of the base first."""
        if self.base:
            yield from self.base.find_all(name, kind)
        offset = self.string_offset(name)
        if offset <= 0:
            return
        needle, begin = pack("=I", offset), self._words_at
        end = begin + 4 * len(self._words)
        at = self._data.find(needle, begin, end)
        while at >= 0:
            word, odd = divmod(at - begin, 4)
            if not odd:
                type_id = self._starting_at(word)
                if type_id and (kind is None or self._words[word + 1] >> 24 & 0x1F == kind):
                    yield type_id
            at = self._data.find(needle, at + 4 - odd, end)

    def _starting_at(self, word: int) -> int:
        """The number of the type whose record begins at a word, or 0."""
        while self._next_word <= word < len(self._words):
            self._walk(word)
        index = bisect_left(self._offsets, word)
        if index < len(self._offsets) and self._offsets[index] == word:
            return self.first_id + index
        return 0

    def find(self, name: str, kind: int | None = None) -> int:
        """The first type of that name (and kind); BtfError when there is none."""
        for type_id in self.find_all(name, kind):
            return type_id
        wanted = Kind.NAMES[kind] if kind is not None else "type"
        raise BtfError(f"no {wanted} {name!r} in the type information")

    # Questions about one type

    def kind(self, type_id: int) -> int:
        """One of Kind."""
        return self._owner(type_id)._words[self._at(type_id) + 1] >> 24 & 0x1F if type_id else Kind.VOID

    def name(self, type_id: int) -> str:
        """Its name; empty for pointers, arrays and what is anonymous."""
        return self.string(self._owner(type_id)._words[self._at(type_id)]) if type_id else ""

    def vlen(self, type_id: int) -> int:
        """How many members, enumerators, parameters or variables it has."""
        return self._word(type_id, 1) & 0xFFFF

    def kind_flag(self, type_id: int) -> bool:
        """The kind's flag: bit fields in a struct, signed enumerators, a forward declaration of a union."""
        return bool(self._word(type_id, 1) >> 31)

    def _word(self, type_id: int, index: int) -> int:
        if not type_id:
            raise BtfError("void has no parts")
        return self._owner(type_id)._words[self._at(type_id) + index]

    def type_of(self, type_id: int) -> int:
        """What a pointer, modifier, variable, function (its prototype) or prototype (its result) refers to."""
        if self.kind(type_id) not in Kind.REFERENCES:
            raise BtfError(f"type {type_id} refers to no other type")
        return self._word(type_id, 2)

    def resolve(self, type_id: int) -> int:
        """The type beneath typedefs and qualifiers."""
        for _ in range(_MAX_DEPTH):
            if self.kind(type_id) not in Kind.MODIFIERS:
                return type_id
            type_id = self._word(type_id, 2)
        raise BtfError(f"type {type_id} is an endless chain of typedefs")

    def size(self, type_id: int) -> int:
        """Its size in bytes; BtfError for what has none (void, functions, forward declarations)."""
        count = 1
        for _ in range(_MAX_DEPTH):
            type_id = self.resolve(type_id)
            kind = self.kind(type_id)
            if kind == Kind.ARRAY:
                element = self.array(type_id)
                count *= element.count
                type_id = element.type_id
            elif kind == Kind.PTR:
                return 8 * count
            elif kind in (Kind.INT, Kind.STRUCT, Kind.UNION, Kind.ENUM, Kind.ENUM64, Kind.FLOAT, Kind.DATASEC):
                return self._word(type_id, 2) * count
            elif kind == Kind.VAR:
                type_id = self._word(type_id, 2)
            else:
                raise BtfError(f"a {Kind.NAMES[kind]} has no size")
        raise BtfError("an array of itself")

    def alignment(self, type_id: int) -> int:
        """The alignment that a C compiler gives it, in bytes."""
        for _ in range(_MAX_DEPTH):
            type_id = self.resolve(type_id)
            kind = self.kind(type_id)
            if kind == Kind.ARRAY:
                type_id = self.array(type_id).type_id
            elif kind in Kind.COMPOSITES:
                return self._struct_alignment(type_id)
            else:
                return min(8, self.size(type_id)) or 1
        raise BtfError("an array of itself")

    def _struct_alignment(self, type_id: int, depth: int = 0) -> int:
        best, size = 1, self.size(type_id)
        for member in self.members(type_id) if depth < _MAX_DEPTH else ():
            inner = self.resolve(member.type_id)
            while self.kind(inner) == Kind.ARRAY:
                inner = self.resolve(self.array(inner).type_id)
            if self.kind(inner) in Kind.COMPOSITES:
                wanted = self._struct_alignment(inner, depth + 1)
            else:
                wanted = min(8, self.size(inner)) or 1
            if not member.bit_size and (member.bit_offset % (8 * wanted) or size % wanted):
                return 1        # packed
            best = max(best, wanted)
        return best

    def members(self, type_id: int) -> list[Member]:
        """The fields of a struct or union."""
        words, at, count = self._entries(type_id, Kind.COMPOSITES)
        bits = bool(words[at + 1] >> 31)
        result = []
        for entry in range(at + 3, at + 3 + 3 * count, 3):
            place = words[entry + 2]
            result.append(Member(self.string(words[entry]), words[entry + 1],
                                 place & 0xFFFFFF if bits else place, place >> 24 if bits else 0))
        return result

    def member_at(self, type_id: int, index: int) -> Member:
        """One field by its position."""
        words, at, count = self._entries(type_id, Kind.COMPOSITES)
        if not 0 <= index < count:
            raise BtfError(f"type {type_id} ({self.name(type_id)}) has no member {index}")
        entry = at + 3 + 3 * index
        place = words[entry + 2]
        if words[at + 1] >> 31:
            return Member(self.string(words[entry]), words[entry + 1], place & 0xFFFFFF, place >> 24)
        return Member(self.string(words[entry]), words[entry + 1], place, 0)

    def enumerators(self, type_id: int) -> list[Enumerator]:
        """The names and values of an enum of 32 or 64 bits."""
        words, at, count = self._entries(type_id, Kind.ENUMS)
        signed = bool(words[at + 1] >> 31)
        wide = words[at + 1] >> 24 & 0x1F == Kind.ENUM64
        result, entry = [], at + 3
        for _ in range(count):
            value = words[entry + 1] | (words[entry + 2] << 32 if wide else 0)
            if wide:
                value -= (value >> 63 << 64) if signed else 0
            elif signed:
                value -= value >> 31 << 32
            result.append(Enumerator(self.string(words[entry]), value))
            entry += 3 if wide else 2
        return result

    def find_enumerator(self, name: str) -> tuple[int, int] | None:
        """(enum, value) of the first enumerator of that name; None when no enum of this BTF has it."""
        offset = self.string_offset(name)
        if offset <= 0:
            return None
        needle, begin = pack("=I", offset), self._words_at
        end = begin + 4 * len(self._words)
        at = self._data.find(needle, begin, end)
        while at >= 0:
            word, odd = divmod(at - begin, 4)
            type_id = 0 if odd else self._holding(word)
            if type_id and self.kind(type_id) in Kind.ENUMS:
                for entry in self.enumerators(type_id):
                    if entry.name == name:
                        return type_id, entry.value
            at = self._data.find(needle, at + 4 - odd, end)
        return None

    def _holding(self, word: int) -> int:
        """The type whose record a word belongs to."""
        while self._next_word <= word < len(self._words):
            self._walk(word)
        return self.first_id + bisect_right(self._offsets, word) - 1

    def parameters(self, type_id: int) -> list[Parameter]:
        """The parameters of a prototype, or of a function."""
        if self.kind(type_id) == Kind.FUNC:
            type_id = self._word(type_id, 2)
        words, at, count = self._entries(type_id, frozenset({Kind.FUNC_PROTO}))
        return [Parameter(self.string(words[entry]), words[entry + 1])
                for entry in range(at + 3, at + 3 + 2 * count, 2)]

    def result_of(self, type_id: int) -> int:
        """What a prototype returns; 0 is void."""
        return self._entries(type_id, frozenset({Kind.FUNC_PROTO}))[0][self._at(type_id) + 2]

    def variables(self, type_id: int) -> list[SectionVariable]:
        """The variables of a data section."""
        words, at, count = self._entries(type_id, frozenset({Kind.DATASEC}))
        return [SectionVariable(words[entry], words[entry + 1], words[entry + 2])
                for entry in range(at + 3, at + 3 + 3 * count, 3)]

    def _entries(self, type_id: int, kinds: frozenset[int]) -> tuple[array[int], int, int]:
        if self.kind(type_id) not in kinds:
            wanted = " or ".join(Kind.NAMES[kind] for kind in sorted(kinds))
            raise BtfError(f"type {type_id} is a {Kind.NAMES[self.kind(type_id)]}, not a {wanted}")
        at, words = self._at(type_id), self._owner(type_id)._words
        return words, at, words[at + 1] & 0xFFFF

    def array(self, type_id: int) -> Array:
        """Element type and count of an array."""
        words, at, _ = self._entries(type_id, frozenset({Kind.ARRAY}))
        return Array(words[at + 3], words[at + 4], words[at + 5])

    def int_encoding(self, type_id: int) -> IntEncoding:
        """How an int is laid out."""
        words, at, _ = self._entries(type_id, frozenset({Kind.INT}))
        word = words[at + 3]
        flags = word >> 24 & 0xF
        return IntEncoding(word & 0xFF, word >> 16 & 0xFF, bool(flags & 1), bool(flags & 2), bool(flags & 4))

    def linkage(self, type_id: int) -> int:
        """Of a function or variable: 0 static, 1 global, 2 extern."""
        if self.kind(type_id) == Kind.FUNC:
            return self.vlen(type_id)
        return self._entries(type_id, frozenset({Kind.VAR}))[0][self._at(type_id) + 3]

    def tag_component(self, type_id: int) -> int:
        """Which member or parameter a declaration tag marks; -1: the whole."""
        words, at, _ = self._entries(type_id, frozenset({Kind.DECL_TAG}))
        return -1 if words[at + 3] == 0xFFFFFFFF else words[at + 3]

    def ids(self) -> range:
        """The numbers of this BTF's own types."""
        return range(self.first_id, self.count + 1)
