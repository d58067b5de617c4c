"""DWARF looked up: the function at an address, a type by its name, the addresses of a source line.

The reading is pyelftools', whose entries (DIEs) are handed out as they are; it reads a unit when it is asked for.
"""
from __future__ import annotations

import io

from bpfwright._typing import Any, Callable, Iterator, NamedTuple, TypeVar
from bpfwright.errors import FormatError, NotSupported

__all__ = ["DebugInfo", "LineRow", "attribute", "name_of", "type_entry"]

_LARGEST = 1 << 28
_DEEPEST = 32
_Result = TypeVar("_Result")


class LineRow(NamedTuple):
    """A place in the source, and an address of its code."""

    file: str
    line: int
    column: int
    address: int


class DebugInfo:
    """The DWARF of one file. Raises NotSupported without pyelftools or for too much of it, FormatError for damage."""

    def __init__(self, data: bytes) -> None:
        try:
            from elftools.elf.elffile import ELFFile
        except ImportError:
            raise NotSupported("types of a program need pyelftools, which is not installed",
                               cure="Type: pip install pyelftools") from None

        def opened() -> Any:
            elf = ELFFile(io.BytesIO(data))
            if not elf.has_dwarf_info(strict=True):
                return None
            size = sum(s.data_size for s in elf.iter_sections() if s.name.startswith((".debug_", ".zdebug_")))
            if size > _LARGEST:
                raise NotSupported(f"it has {size:,} bytes of DWARF", why=f"more than {_LARGEST:,}")
            return elf.get_dwarf_info(relocate_dwarf_sections=False, follow_links=False)
        self._dwarf = _guarded(opened)
        self._functions: dict[int, dict[int, Any]] = {}
        self._names: dict[tuple[str, str], Any] | None = None

    def __bool__(self) -> bool:
        return self._dwarf is not None

    def function(self, address: int) -> Any:
        """The entry of the function that begins at an address, or None."""
        return _guarded(lambda: self._function(address)) if self else None

    def _function(self, address: int) -> Any:
        for unit in self._units(address):
            functions = self._functions.get(unit.cu_offset)
            if functions is None:
                functions = self._functions[unit.cu_offset] = {
                    low: entry for entry, low in _functions(unit.get_top_DIE(), 0)}
            if address in functions:
                return functions[address]
        return None

    def _units(self, address: int) -> Iterator[Any]:
        """The units that may have an address: the one that an index names, else all."""
        index = self._dwarf.get_aranges()
        offset = index.cu_offset_at_addr(address) if index is not None else None
        if offset is not None:
            yield self._dwarf.get_CU_at(offset)
            return
        for unit in self._dwarf.iter_CUs():
            top = unit.get_top_DIE().attributes
            low, high = top.get("DW_AT_low_pc"), top.get("DW_AT_high_pc")
            if low is not None and high is not None:
                end = high.value if high.form == "DW_FORM_addr" else low.value + high.value
                if not low.value <= address < end:
                    continue
            yield unit

    def type(self, keyword: str, name: str) -> Any:
        """The entry that defines `struct NAME`, `union NAME`, `enum NAME` or (no keyword) a typedef; None without."""
        if not self:
            return None
        if self._names is None:
            self._names = _guarded(self._all_types)
        return self._names.get((keyword, name))

    def _all_types(self) -> dict[tuple[str, str], Any]:
        found: dict[tuple[str, str], Any] = {}
        for unit in self._dwarf.iter_CUs():
            for entry in unit.get_top_DIE().iter_children():
                keyword = KEYWORDS.get(entry.tag)
                if keyword is not None and "DW_AT_declaration" not in entry.attributes:
                    found.setdefault((keyword, name_of(entry)), entry)
        return found

    def enumerators(self) -> Iterator[Any]:
        """The entries of all enums at the outermost level."""
        if self:
            for unit in self._dwarf.iter_CUs():
                yield from (entry for entry in unit.get_top_DIE().iter_children()
                            if entry.tag == "DW_TAG_enumeration_type")

    def lines(self, file: str) -> list[LineRow]:
        """The rows of all source files whose path ends like this, where statements begin."""
        return _guarded(lambda: list(self._rows(file))) if self else []

    def _rows(self, file: str) -> Iterator[LineRow]:
        for unit in self._dwarf.iter_CUs():
            program = self._dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            names = _file_names(program.header)
            wanted = {number for number, name in names.items() if f"/{name}".endswith(f"/{file.lstrip('./')}")}
            before: tuple[int, int] = (0, 0)
            for row in program.get_entries() if wanted else ():
                state = row.state
                if state is None:
                    continue
                here = (state.file, state.line)
                if state.file in wanted and state.is_stmt and not state.end_sequence and here != before:
                    yield LineRow(names[state.file], state.line, state.column, state.address)
                before = (0, 0) if state.end_sequence else here


KEYWORDS = {"DW_TAG_structure_type": "struct", "DW_TAG_class_type": "struct", "DW_TAG_union_type": "union",
            "DW_TAG_enumeration_type": "enum", "DW_TAG_typedef": ""}


def _functions(entry: Any, depth: int) -> Iterator[tuple[Any, int]]:
    for child in entry.iter_children():
        if child.tag == "DW_TAG_subprogram" and "DW_AT_low_pc" in child.attributes:
            yield child, child.attributes["DW_AT_low_pc"].value
        elif child.tag in ("DW_TAG_namespace", "DW_TAG_module") and depth < _DEEPEST:
            yield from _functions(child, depth + 1)


def _file_names(header: Any) -> dict[int, str]:
    folders = [folder.decode("utf-8", "surrogateescape") for folder in header["include_directory"]]
    old = header["version"] < 5  # files and folders are counted from 1, and folder 0 is the unit's
    names = {}
    for number, each in enumerate(header["file_entry"], int(old)):
        name = each.name.decode("utf-8", "surrogateescape")
        at = each.dir_index - int(old)
        folder = folders[at] if 0 <= at < len(folders) else ""
        names[number] = name if name.startswith("/") or not folder else f"{folder}/{name}"
    return names


def attribute(entry: Any, name: str) -> Any:
    """An attribute of an entry, or of the one that it is an instance or the body of; None without."""
    for _ in range(_DEEPEST):
        if name in entry.attributes:
            return entry.attributes[name]
        link = next((link for link in ("DW_AT_abstract_origin", "DW_AT_specification") if link in entry.attributes), "")
        if not link:
            return None
        entry = entry.get_DIE_from_attribute(link)
    raise FormatError("an entry of the DWARF is an instance of itself")


def name_of(entry: Any) -> str:
    """An entry's name, or nothing."""
    found = attribute(entry, "DW_AT_name")
    return found.value.decode("utf-8", "surrogateescape") if found is not None else ""


def type_entry(entry: Any) -> Any:
    """The entry of its type, or None: void."""
    for _ in range(_DEEPEST):
        if "DW_AT_type" in entry.attributes:
            return entry.get_DIE_from_attribute("DW_AT_type")
        link = next((link for link in ("DW_AT_abstract_origin", "DW_AT_specification") if link in entry.attributes), "")
        if not link:
            return None
        entry = entry.get_DIE_from_attribute(link)
    raise FormatError("an entry of the DWARF is an instance of itself")


def _guarded(work: Callable[[], _Result]) -> _Result:
    from elftools.common.exceptions import DWARFError, ELFError
    try:
        return work()
    except FormatError:
        raise
    except (DWARFError, ELFError, ValueError, LookupError, AttributeError, TypeError, AssertionError, ArithmeticError,
            RecursionError, MemoryError) as error:  # pyelftools believes what it reads
        raise FormatError("the DWARF is damaged", why=f"{type(error).__name__}: {error}") from error
