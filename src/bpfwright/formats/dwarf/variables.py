"""What debuggers ask of an object's DWARF: which variables there are at an instruction, of what type, and where.

The reading itself is pyelftools'. Here its entries become small values: types with their fields, and variables with the
ranges of instructions, counted from the function's first, in which an expression says where they are (DWARF 5, 2.5).
"""
from __future__ import annotations

import io

from bpfwright._typing import Any, NamedTuple
from bpfwright.errors import FormatError, NotSupported

__all__ = ["Field", "Place", "Type", "Variable", "read_variables"]

_SLOT = 8  # bytes of an instruction
_DEEPEST = 64


class Type:
    """A C type. `kind` is `int`, `unsigned`, `bool`, `char`, `enum`, `pointer`, `struct`, `array` or `unknown`.

    `target` is what a pointer points to, an array's element, an enum's storage; `fields` those of a struct or union;
    `count` the elements of an array; `members` the names of an enum's values.
    """

    __slots__ = ("count", "fields", "kind", "members", "name", "size", "target")

    def __init__(self, kind: str, name: str = "", size: int = 0) -> None:
        self.kind = kind
        self.name = name
        self.size = size
        self.target: Type | None = None
        self.fields: tuple[Field, ...] = ()
        self.count = 0
        self.members: dict[int, str] = {}

    def __repr__(self) -> str:
        if self.kind == "pointer":
            return f"{self.target!r} *" if self.target is not None else "void *"
        if self.kind == "array":
            return f"{self.target!r}[{self.count}]"
        return self.name or self.kind


class Field(NamedTuple):
    """A member: where it begins in bytes, and for a bit-field how many bits it has and how far up in its type's."""

    name: str
    type: Type
    offset: int
    bits: int = 0
    shift: int = 0


class Place(NamedTuple):
    """Where a variable is from instruction `first` up to `end` of its function: (operation, operands) in order."""

    first: int
    end: int
    expression: tuple[tuple[str, tuple[Any, ...]], ...]


class Variable(NamedTuple):
    """A variable or parameter. `inside` are the ranges of instructions of its block; `depth` how deep that is nested;
    `file` and `line` where it is declared."""

    name: str
    type: Type
    file: str
    line: int
    places: tuple[Place, ...]
    inside: tuple[tuple[int, int], ...]
    depth: int


def read_variables(elf: bytes) -> dict[str, tuple[Variable, ...]]:
    """The variables of each function of an object file, innermost blocks last; empty without DWARF.

    Raises NotSupported where pyelftools is not installed and FormatError for damaged DWARF.
    """
    try:
        from elftools.common.exceptions import DWARFError, ELFError
        from elftools.elf.elffile import ELFFile
    except ImportError:
        raise NotSupported("variables by name need pyelftools, which is not installed",
                           cure="Type: pip install pyelftools") from None
    try:
        file = ELFFile(io.BytesIO(elf))
        if not file.has_dwarf_info():
            return {}
        return _Reader(file.get_dwarf_info()).functions()
    except FormatError:
        raise
    except (DWARFError, ELFError, ValueError, LookupError, AttributeError, TypeError, AssertionError, ArithmeticError,
            RecursionError, MemoryError) as error:  # pyelftools believes what it reads
        raise FormatError("the object's DWARF is damaged", why=f"{type(error).__name__}: {error}") from error


class _Reader:
    def __init__(self, dwarf: Any) -> None:
        from elftools.dwarf.dwarf_expr import DWARFExprParser
        from elftools.dwarf.locationlists import LocationParser
        self.dwarf = dwarf
        self.types: dict[int, Type] = {}
        self.lists = LocationParser(dwarf.location_lists())
        self.expressions: Any = DWARFExprParser
        self.files: dict[int, list[str]] = {}

    def functions(self) -> dict[str, tuple[Variable, ...]]:
        found: dict[str, tuple[Variable, ...]] = {}
        for unit in self.dwarf.iter_CUs():
            self.unit = unit
            self.parser = self.expressions(unit.structs)
            for entry in unit.get_top_DIE().iter_children():
                if entry.tag == "DW_TAG_subprogram" and "DW_AT_low_pc" in entry.attributes:
                    self.start = entry.attributes["DW_AT_low_pc"].value
                    self.frame = entry.attributes.get("DW_AT_frame_base")
                    size = _high(entry) - self.start
                    found[self.text(entry, "DW_AT_name")] = tuple(self.block(entry, ((0, size // _SLOT),), 0))
        return found

    def block(self, entry: Any, inside: tuple[tuple[int, int], ...], depth: int) -> list[Variable]:
        if depth > _DEEPEST:
            raise FormatError("blocks of the object's DWARF are nested too deep")
        found, deeper = [], []
        for child in entry.iter_children():
            if child.tag in ("DW_TAG_variable", "DW_TAG_formal_parameter"):
                found.append(self.variable(child, inside, depth))
            elif child.tag in ("DW_TAG_lexical_block", "DW_TAG_inlined_subroutine"):
                deeper += self.block(child, self.ranges(child) or inside, depth + 1)
        return [variable for variable in found if variable is not None] + deeper

    def variable(self, entry: Any, inside: tuple[tuple[int, int], ...], depth: int) -> Variable | None:
        name = self.text(entry, "DW_AT_name")
        if not name:
            return None
        declared = self.attribute(entry, "DW_AT_decl_file")
        line = self.attribute(entry, "DW_AT_decl_line")
        return Variable(name, self.type_of(entry), self.file(declared.value if declared is not None else 0),
                        line.value if line is not None else 0, tuple(self.places(entry, inside)), inside, depth)

    def places(self, entry: Any, inside: tuple[tuple[int, int], ...]) -> list[Place]:
        constant = entry.attributes.get("DW_AT_const_value")
        if constant is not None and isinstance(constant.value, int):
            return [Place(first, end, (("const", (constant.value,)), ("DW_OP_stack_value", ())))
                    for first, end in inside]
        location = entry.attributes.get("DW_AT_location")
        if location is None:
            return []
        from elftools.dwarf.locationlists import BaseAddressEntry, LocationEntry, LocationExpr
        parsed = self.lists.parse_from_attribute(location, self.unit["version"], entry)
        if isinstance(parsed, LocationExpr):
            expression = self.expression(parsed.loc_expr)
            return [Place(first, end, expression) for first, end in inside]
        places = []
        base = self.unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        origin = base.value if base is not None else 0
        for each in parsed:
            if isinstance(each, BaseAddressEntry):
                origin = each.base_address
            elif isinstance(each, LocationEntry):
                shift = (0 if each.is_absolute else origin) - self.start
                places.append(Place((each.begin_offset + shift) // _SLOT, (each.end_offset + shift) // _SLOT,
                                    self.expression(each.loc_expr)))
        return places

    def expression(self, data: list[int]) -> tuple[tuple[str, tuple[Any, ...]], ...]:
        parsed = []
        for op in self.parser.parse_expr(data):
            if op.op_name == "DW_OP_fbreg":
                # The frame's base is a register: r10 in all that LLVM makes.
                base = self.parser.parse_expr(self.frame.value) if self.frame is not None else []
                if len(base) != 1 or not base[0].op_name.startswith("DW_OP_reg"):
                    return (("unknown", ()),)
                parsed.append((f"DW_OP_breg{base[0].op_name.removeprefix('DW_OP_reg')}", tuple(op.args)))
            elif op.op_name == "DW_OP_convert":
                kind = self.type_at(op.args[0] + self.unit.cu_offset) if op.args[0] else Type("unsigned", "", 8)
                parsed.append(("convert", (kind.size, kind.kind == "int")))
            else:
                parsed.append((op.op_name, tuple(op.args)))
        return tuple(parsed)

    def ranges(self, entry: Any) -> tuple[tuple[int, int], ...]:
        """A block's instructions, from the function's first."""
        if "DW_AT_low_pc" in entry.attributes:
            low = entry.attributes["DW_AT_low_pc"].value
            return (((low - self.start) // _SLOT, (_high(entry) - self.start) // _SLOT),)
        if "DW_AT_ranges" not in entry.attributes:
            return ()
        from elftools.dwarf.ranges import BaseAddressEntry
        listed = self.dwarf.range_lists().get_range_list_at_offset(entry.attributes["DW_AT_ranges"].value, self.unit)
        base = self.unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        origin = base.value if base is not None else 0
        found = []
        for each in listed:
            if isinstance(each, BaseAddressEntry):
                origin = each.base_address
            else:
                shift = (0 if each.is_absolute else origin) - self.start
                found.append(((each.begin_offset + shift) // _SLOT, (each.end_offset + shift) // _SLOT))
        return tuple(found)

    # what an entry, or the one it is an instance of, says

    def attribute(self, entry: Any, name: str) -> Any:
        for _ in range(_DEEPEST):
            found = entry.attributes.get(name)
            if found is not None:
                return found
            if "DW_AT_abstract_origin" not in entry.attributes:
                return None
            entry = entry.get_DIE_from_attribute("DW_AT_abstract_origin")
        raise FormatError("an entry of the object's DWARF is an instance of itself")

    def text(self, entry: Any, name: str) -> str:
        found = self.attribute(entry, name)
        return found.value.decode("utf-8", "surrogateescape") if found is not None else ""

    def file(self, number: int) -> str:
        names = self.files.get(self.unit.cu_offset)
        if names is None:
            names = self.files[self.unit.cu_offset] = self._file_names()
        return names[number] if 0 <= number < len(names) else ""

    def _file_names(self) -> list[str]:
        lines = self.dwarf.line_program_for_CU(self.unit)
        if lines is None:
            return []
        header = lines.header
        top = self.unit.get_top_DIE().attributes
        home = top["DW_AT_comp_dir"].value.decode("utf-8", "surrogateescape") if "DW_AT_comp_dir" in top else ""
        folders = [folder.decode("utf-8", "surrogateescape") for folder in header["include_directory"]]
        names = []
        if self.unit["version"] < 5 and header["version"] < 5:
            folders.insert(0, home)
            names.append("")  # files are counted from 1
        for each in header["file_entry"]:
            name = each.name.decode("utf-8", "surrogateescape")
            folder = folders[each.dir_index] if each.dir_index < len(folders) else ""
            path = name if name.startswith("/") or not folder else f"{folder}/{name}"
            names.append(path if path.startswith("/") or not home else f"{home}/{path}")
        return names

    # types

    def type_of(self, entry: Any) -> Type:
        found = self.attribute(entry, "DW_AT_type")
        if found is None:
            return Type("unknown", "void")
        return self.type_at(found.value + (0 if found.form == "DW_FORM_ref_addr" else self.unit.cu_offset))

    def type_at(self, offset: int) -> Type:
        known = self.types.get(offset)
        if known is None:
            entry = self.unit.get_DIE_from_refaddr(offset)
            if entry.tag in _THROUGH:
                known = self.types[offset] = Type("unknown", self.text(entry, "DW_AT_name"))  # should it name itself
                if "DW_AT_type" in entry.attributes:
                    known = self.types[offset] = self.type_of(entry)
                return known
            known = self.types[offset] = Type(_KINDS.get(entry.tag, "unknown"), self.text(entry, "DW_AT_name"))
            size = entry.attributes.get("DW_AT_byte_size")
            known.size = size.value if size is not None else 0
            self.fill(known, entry)
        return known

    def fill(self, made: Type, entry: Any) -> None:
        if made.kind == "base":
            made.kind = _ENCODINGS.get(entry.attributes["DW_AT_encoding"].value, "unknown")
        elif made.kind == "pointer":
            made.size = made.size or 8
            made.target = self.type_of(entry) if "DW_AT_type" in entry.attributes else None
        elif made.kind == "array":
            made.target = self.type_of(entry)
            made.count = 1
            for child in entry.iter_children():
                if child.tag == "DW_TAG_subrange_type":
                    made.count *= _count(child)
            made.size = made.size or made.count * made.target.size
        elif made.kind == "enum":
            made.members = {child.attributes["DW_AT_const_value"].value: self.text(child, "DW_AT_name")
                            for child in entry.iter_children() if child.tag == "DW_TAG_enumerator"}
        elif made.kind == "struct":
            made.fields = tuple(self.member(child) for child in entry.iter_children() if child.tag == "DW_TAG_member")

    def member(self, entry: Any) -> Field:
        kind = self.type_of(entry)
        offset = entry.attributes.get("DW_AT_data_member_location")
        at = offset.value if offset is not None and isinstance(offset.value, int) else 0
        bits = entry.attributes.get("DW_AT_bit_size")
        if bits is None:
            return Field(self.text(entry, "DW_AT_name"), kind, at)
        if "DW_AT_data_bit_offset" in entry.attributes:
            first = entry.attributes["DW_AT_data_bit_offset"].value
            unit = kind.size * 8 or 8
            return Field(self.text(entry, "DW_AT_name"), kind, first // unit * kind.size, bits.value, first % unit)
        down = entry.attributes["DW_AT_bit_offset"].value if "DW_AT_bit_offset" in entry.attributes else 0
        return Field(self.text(entry, "DW_AT_name"), kind, at, bits.value, kind.size * 8 - down - bits.value)


_THROUGH = ("DW_TAG_typedef", "DW_TAG_const_type", "DW_TAG_volatile_type", "DW_TAG_restrict_type", "DW_TAG_atomic_type")
_KINDS = {"DW_TAG_base_type": "base", "DW_TAG_pointer_type": "pointer", "DW_TAG_array_type": "array",
          "DW_TAG_enumeration_type": "enum", "DW_TAG_structure_type": "struct", "DW_TAG_union_type": "struct"}
_ENCODINGS = {2: "bool", 5: "int", 6: "char", 7: "unsigned", 8: "unsigned"}


def _high(entry: Any) -> int:
    """The address behind an entry's code: given as such, or as a length (DWARF 4)."""
    high = entry.attributes["DW_AT_high_pc"]
    low: int = entry.attributes["DW_AT_low_pc"].value
    value: int = high.value
    return value if high.form == "DW_FORM_addr" else low + value


def _count(entry: Any) -> int:
    """How many elements a dimension of an array has."""
    if "DW_AT_count" in entry.attributes and isinstance(entry.attributes["DW_AT_count"].value, int):
        return max(0, entry.attributes["DW_AT_count"].value)
    if "DW_AT_upper_bound" in entry.attributes and isinstance(entry.attributes["DW_AT_upper_bound"].value, int):
        return max(0, entry.attributes["DW_AT_upper_bound"].value + 1)
    return 0
