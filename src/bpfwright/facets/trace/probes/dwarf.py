"""What DWARF says of a program's functions and types, and where the calling convention puts arguments."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.facets.trace.layouts import Member
from bpfwright.facets.trace.probes.sites import Argument
from bpfwright.facets.trace.types import (Array, Boolean, Chars, Enumeration, Integer, Nothing, Pointer, Struct, Text,
                                          Type, padded)
from bpfwright.formats.dwarf.entries import DebugInfo, attribute, name_of, type_entry

__all__ = ["DwarfLayouts", "Signature"]

_THROUGH = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type",
            "DW_TAG_atomic_type")
_POINTERS = ("DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type")
_COMPOSITES = {"DW_TAG_structure_type": "struct", "DW_TAG_class_type": "struct", "DW_TAG_union_type": "union"}
_DEEPEST = 32
_BY_REFERENCE = 4  # DW_CC_pass_by_reference


class Signature(NamedTuple):
    """A function's parameters with their places at its entry, and its result (None: nothing that can be read)."""

    arguments: tuple[Argument, ...]
    result: Argument | None


class DwarfLayouts:
    """A Source: the types of one binary; what its pointers point to is user memory."""

    def __init__(self, info: DebugInfo, source: str) -> None:
        self.info = info
        self.source = source
        self._entries: dict[tuple[str, str], Any] = {}

    # a Source

    def named(self, keyword: str, name: str) -> Type | None:
        entry = self.info.type(keyword, name)
        return self.type(entry) if entry is not None else None

    def members(self, struct: Struct) -> list[Member]:
        entry = self._entries.get((struct.keyword, struct.name))
        if entry is None or "DW_AT_declaration" in entry.attributes:
            entry = self.info.type(struct.keyword, struct.name)
        return self._members(entry, 0, 0) if entry is not None else []

    def enumerator(self, name: str) -> tuple[int, Type] | None:
        for entry in self.info.enumerators():
            for child in entry.iter_children():
                if child.tag == "DW_TAG_enumerator" and name_of(child) == name:
                    return int(child.attributes["DW_AT_const_value"].value), self.type(entry)
        return None

    # types

    def type(self, entry: Any, depth: int = 0) -> Type:
        """An entry as a type of the language."""
        while entry is not None and entry.tag in _THROUGH:
            entry = type_entry(entry)
        if entry is None or depth > _DEEPEST:
            return Nothing()
        size = attribute(entry, "DW_AT_byte_size")
        bytes = size.value if size is not None else 0
        if entry.tag == "DW_TAG_base_type":
            return _base(entry.attributes["DW_AT_encoding"].value, bytes)
        if entry.tag in _POINTERS:
            return Pointer(self._target(entry, depth), "user")
        if entry.tag in _COMPOSITES:
            keyword = _COMPOSITES[entry.tag]
            name = name_of(entry) or f"(anonymous {entry.offset:x})"
            self._entries.setdefault((keyword, name), entry)
            return Struct(keyword, name, bytes, self.source, ())
        if entry.tag == "DW_TAG_enumeration_type":
            values = tuple((int(child.attributes["DW_AT_const_value"].value), name_of(child))
                           for child in entry.iter_children() if child.tag == "DW_TAG_enumerator")
            return Enumeration(name_of(entry), bytes or 4, any(value < 0 for value, _ in values), values)
        if entry.tag == "DW_TAG_array_type":
            return self._array(entry, depth)
        return Nothing() if not bytes else Array(Integer(1, False), bytes)

    def _target(self, entry: Any, depth: int) -> Type:
        target = type_entry(entry)
        while target is not None and target.tag in _THROUGH:
            target = type_entry(target)
        if target is not None and target.tag == "DW_TAG_subroutine_type":
            return Nothing()
        return self.type(target, depth + 1)

    def _array(self, entry: Any, depth: int) -> Type:
        of: Type = self.type(type_entry(entry), depth + 1)
        counts = [_count(child) for child in entry.iter_children() if child.tag == "DW_TAG_subrange_type"] or [0]
        element = type_entry(entry)
        for count in reversed(counts):
            of = Chars(count) if count and element is not None and _is_char(element) and of == Integer(1, True) \
                else Array(of, count)
        return of

    def _members(self, entry: Any, base: int, depth: int) -> list[Member]:
        found: list[Member] = []
        for child in entry.iter_children():
            if child.tag == "DW_TAG_inheritance" and depth < _DEEPEST:
                found += self._members(_plain(type_entry(child)), base + _member_offset(child), depth + 1)
            elif child.tag == "DW_TAG_member" and "DW_AT_external" not in child.attributes:
                found += self._member(child, base, depth)
        return found

    def _member(self, child: Any, base: int, depth: int) -> list[Member]:
        name = name_of(child)
        inner = _plain(type_entry(child))
        if not name:
            if inner is None or inner.tag not in _COMPOSITES or depth > _DEEPEST:
                return []
            return self._members(inner, base + _member_offset(child), depth + 1)
        type = self.type(inner)
        width = attribute(child, "DW_AT_bit_size")
        if width is None:
            return [Member(name, base + _member_offset(child), type)]
        unit = type.size * 8 or 8
        if "DW_AT_data_bit_offset" in child.attributes:
            first = child.attributes["DW_AT_data_bit_offset"].value
            return [Member(name, base + first // unit * type.size, type, first % unit, width.value)]
        down = child.attributes["DW_AT_bit_offset"].value if "DW_AT_bit_offset" in child.attributes else 0
        return [Member(name, base + _member_offset(child), type, unit - down - width.value, width.value)]

    # functions

    def signature(self, address: int, architecture: str) -> Signature | None:
        """The function that begins at an address; None where nothing is known of it."""
        entry = self.info.function(address)
        if entry is None:
            return None
        convention = _Convention(architecture)
        returned = _plain(type_entry(entry))
        if returned is not None and _in_memory(returned):
            convention.result_in_memory()
        arguments: list[Argument] = []
        for child in entry.iter_children():
            if child.tag == "DW_TAG_formal_parameter":
                name = name_of(child) or f"arg{len(arguments)}"
                arguments.append(self._placed(convention, name, _plain(type_entry(child))))
        return Signature(tuple(arguments), self._result(convention, returned))

    def _placed(self, convention: _Convention, name: str, entry: Any) -> Argument:
        type = self.type(entry)
        if entry is not None and entry.tag in _COMPOSITES and _by_reference(entry):
            return convention.word(name, Pointer(type, "user"))
        if _is_float(entry):
            return convention.floating(name, type)
        if isinstance(type, (Struct, Array, Text)):
            return convention.struct(name, type, _classes(entry, type.size))
        return convention.word(name, type)

    def _result(self, convention: _Convention, entry: Any) -> Argument | None:
        type = self.type(entry)
        if entry is None or isinstance(type, (Struct, Array, Nothing, Text)):
            return None
        if _is_float(entry):
            return Argument("retval", Integer(8, True), "nowhere",
                            detail="it is a floating-point number, which kernel programs cannot read")
        return Argument("retval", type, "register", convention.result)


class _Convention:
    """Where arguments stand at a function's entry: System V's for x86-64, AAPCS64 for arm64."""

    def __init__(self, architecture: str) -> None:
        self.arm = architecture == "aarch64"
        self.registers = list(range(0, 64, 8)) if self.arm else [112, 104, 96, 88, 72, 64]
        self.result = 0 if self.arm else 80
        self._taken = 0
        self._vectors = 0
        self._stack = 0 if self.arm else 8  # above the returning address

    def result_in_memory(self) -> None:
        """The caller hands a place for the result: in the first register, on arm64 in one of its own."""
        self._taken += not self.arm

    def word(self, name: str, type: Type) -> Argument:
        """A number or pointer."""
        if self._taken < len(self.registers):
            self._taken += 1
            return Argument(name, type, "register", self.registers[self._taken - 1])
        return self._on_stack(name, type)

    def floating(self, name: str, type: Type) -> Argument:
        """A floating-point number."""
        if self._vectors >= 8 or type.size > 8:
            self._on_stack(name, type)
        else:
            self._vectors += 1
        return Argument(name, type, "nowhere",
                        detail="it is a floating-point number, which kernel programs cannot read")

    def struct(self, name: str, type: Type, classes: tuple[str, ...]) -> Argument:
        """A struct by value: in registers where it has up to 16 bytes, else in memory."""
        if not classes and self.arm:
            return self.word(name, Pointer(type, "user"))
        if not classes:
            return self._on_stack(name, type)
        if "float" in classes:
            vectors = classes.count("float")
            if self._vectors + vectors <= 8 and self._taken + len(classes) - vectors <= len(self.registers):
                self._vectors += vectors
                self._taken += len(classes) - vectors
                return Argument(name, type, "nowhere", detail="it is passed in vector registers, which kernel programs "
                                                              "cannot read")
            return self._on_stack(name, type)
        if self._taken + len(classes) <= len(self.registers):
            used = self.registers[self._taken:self._taken + len(classes)]
            self._taken += len(classes)
            return Argument(name, type, "registers", detail=" ".join(map(str, used)))
        if self.arm:
            self._taken = len(self.registers)
        return self._on_stack(name, type)

    def _on_stack(self, name: str, type: Type) -> Argument:
        at = self._stack
        self._stack += padded(max(type.size, 8), 8)
        return Argument(name, type, "stack", at)


def _plain(entry: Any) -> Any:
    while entry is not None and entry.tag in _THROUGH:
        entry = type_entry(entry)
    return entry


def _base(encoding: int, bytes: int) -> Type:
    if encoding == 2:
        return Boolean()
    if encoding in (3, 4) or bytes not in (1, 2, 4, 8):  # floats, and integers of 16 bytes
        return Array(Integer(1, False), bytes)
    return Integer(bytes, encoding in (5, 6, 0xD))


def _is_float(entry: Any) -> bool:
    return entry is not None and entry.tag == "DW_TAG_base_type" and entry.attributes["DW_AT_encoding"].value in (3, 4)


def _is_char(entry: Any) -> bool:
    entry = _plain(entry)
    return entry is not None and entry.tag == "DW_TAG_base_type" and name_of(entry) == "char"


def _by_reference(entry: Any) -> bool:
    convention = attribute(entry, "DW_AT_calling_convention")
    return convention is not None and convention.value == _BY_REFERENCE


def _in_memory(entry: Any) -> bool:
    if entry.tag not in _COMPOSITES:
        return False
    size = attribute(entry, "DW_AT_byte_size")
    return _by_reference(entry) or (size is not None and size.value > 16)


def _classes(entry: Any, size: int) -> tuple[str, ...]:
    """The class of each eight bytes, int or float; none where it is passed in memory."""
    if not 0 < size <= 16:
        return ()
    words = [""] * (-(-size // 8))
    _classify(entry, 0, words, 0)
    return tuple(word or "int" for word in words)


def _classify(entry: Any, at: int, words: list[str], depth: int) -> None:
    entry = _plain(entry)
    if entry is None or depth > _DEEPEST:
        return
    if entry.tag in _COMPOSITES:
        for child in entry.iter_children():
            if child.tag in ("DW_TAG_member", "DW_TAG_inheritance") and "DW_AT_external" not in child.attributes:
                _classify(type_entry(child), at + _member_offset(child), words, depth + 1)
        return
    if entry.tag == "DW_TAG_array_type":
        element = _plain(type_entry(entry))
        size = attribute(element, "DW_AT_byte_size") if element is not None else None
        total = sum(_count(child) for child in entry.iter_children() if child.tag == "DW_TAG_subrange_type")
        for number in range(min(total, 16)):
            _classify(element, at + number * (size.value if size is not None else 8), words, depth + 1)
        return
    place = min(at // 8, len(words) - 1)
    words[place] = "float" if _is_float(entry) and words[place] != "int" else "int"


def _member_offset(entry: Any) -> int:
    found = attribute(entry, "DW_AT_data_member_location")
    if found is not None and isinstance(found.value, int):
        return int(found.value)
    bit = attribute(entry, "DW_AT_data_bit_offset")
    return int(bit.value) // 8 if bit is not None else 0


def _count(entry: Any) -> int:
    for name, more in (("DW_AT_count", 0), ("DW_AT_upper_bound", 1)):
        if name in entry.attributes and isinstance(entry.attributes[name].value, int):
            return max(0, int(entry.attributes[name].value) + more)
    return 0
