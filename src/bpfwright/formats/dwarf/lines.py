"""Which source line an address of a program comes from, and through which inlined functions (DWARF 5, 3.3.8 and 6.2).

pyelftools does the reading, one compile unit at a time as addresses of it are asked for. What is kept of a unit is
small and bounded, pyelftools' own entries are let go.
"""
from __future__ import annotations

from bisect import bisect_right

from bpfwright._typing import Any, Callable, Iterator, NamedTuple, Self, TypeVar
from bpfwright.errors import FormatError, NotSupported

__all__ = ["SourceLine", "SourceLines"]

_Result = TypeVar("_Result")
_DEEPEST = 64
_UNITS = 64               # compile units whose lines are kept
_READ_AGAIN = 16          # after so many units pyelftools' tables, which only grow, are made anew
_LARGEST = 1 << 30        # bytes of all DWARF of a file; pyelftools holds them in memory

_BEHIND = 1 << 64         # behind every address


class SourceLine(NamedTuple):
    """A function, and the line of it that is at work: where the address is, or where it calls what is inlined.

    `function` is as the linker knows it (mangled, if it is) where DWARF says that; `line` counts from 1, 0 is unknown.
    """

    function: str
    file: str
    line: int


class _Function(NamedTuple):
    """A function or an inlined copy of one: its ranges, where it is called (if inlined), what is inlined into it."""

    name: str
    ranges: tuple[tuple[int, int], ...]
    call_file: str
    call_line: int
    inner: list[_Function]

    def has(self, address: int) -> bool:
        return any(start <= address < end for start, end in self.ranges)


class _Unit(NamedTuple):
    functions: list[_Function]
    starts: list[int]
    rows: list[tuple[str, int]]  # file and line from each start on; line -1: nothing is there


class SourceLines:
    """The lines of a file with DWARF."""

    __slots__ = ("_dwarf", "_index", "_open", "_ranges", "_since", "_units")

    def __init__(self, opening: Callable[[], Any] | None) -> None:
        self._open = opening
        self._dwarf: Any = None
        self._since = 0
        self._units: dict[int, _Unit] = {}
        self._index: list[tuple[int, int, int]] | None = None
        self._ranges: list[tuple[int, int, int]] | None = None  # start, end, the unit's offset

    @classmethod
    def none(cls) -> Self:
        """Of a file without DWARF."""
        return cls(None)

    @classmethod
    def read(cls, path: str) -> Self:
        """The lines of a file, which is read when an address is asked for.

        `at` raises NotSupported where pyelftools is not installed or there is too much of it, FormatError for damaged
        DWARF, and OSError when the file is gone.
        """
        try:
            from elftools.elf.elffile import ELFFile
        except ImportError:
            raise NotSupported("source lines need pyelftools, which is not installed",
                               cure="Type: pip install pyelftools") from None

        def opened() -> Any:
            with open(path, "rb") as file:
                elf = ELFFile(file)
                if not elf.has_dwarf_info(strict=True):
                    return None
                size = sum(s.data_size for s in elf.iter_sections() if s.name.startswith((".debug_", ".zdebug_")))
                if size > _LARGEST:
                    raise NotSupported(f"{path} has {size:,} bytes of DWARF", why=f"more than {_LARGEST:,}")
                return elf.get_dwarf_info(relocate_dwarf_sections=False, follow_links=False)
        return cls(opened)

    def at(self, address: int) -> list[SourceLine]:
        """The innermost function first; empty where nothing is known."""
        if self._open is None:
            return []
        return _guarded(lambda: self._at(address))

    def _at(self, address: int) -> list[SourceLine]:
        offset = self._unit_at(address)
        if offset < 0:
            return []
        unit = self._units.pop(offset, None)
        if unit is None:
            unit = self._read_unit(offset)
        self._units[offset] = unit  # the newest is the last
        if len(self._units) > _UNITS:
            del self._units[next(iter(self._units))]
        at = bisect_right(unit.starts, address) - 1
        file, line = unit.rows[at] if at >= 0 else ("", 0)
        found: list[SourceLine] = []
        inside, line = unit.functions, max(line, 0)
        while True:
            function = next((f for f in inside if f.has(address)), None)
            if function is None:
                break
            if found:  # what is outside of it stands at the line that calls it
                found[-1] = found[-1]._replace(file=function.call_file, line=function.call_line)
            found.append(SourceLine(function.name, file, line))
            inside = function.inner
        if not found and line:
            found.append(SourceLine("", file, line))
        return found[::-1]

    # reading

    def _info(self) -> Any:
        if self._dwarf is None or self._since >= _READ_AGAIN:
            assert self._open is not None
            self._dwarf, self._since = self._open(), 0
        return self._dwarf

    def _unit_at(self, address: int) -> int:
        """The offset of the compile unit that an address belongs to, -1 for none.

        The index in .debug_aranges says it at once, but compilers may leave it out, of some units too. Then each unit's
        first entry has to be read.
        """
        if self._index is None:
            dwarf = self._info()
            ranges = dwarf.get_aranges() if dwarf is not None else None
            self._index = sorted((entry.begin_addr, entry.begin_addr + entry.length, entry.info_offset)
                                 for entry in ranges.entries if entry.begin_addr) if ranges is not None else []
        at = bisect_right(self._index, (address, _BEHIND, 0)) - 1
        if at >= 0 and address < self._index[at][1]:
            return self._index[at][2]
        if self._ranges is None:
            dwarf = self._info()
            found = [] if dwarf is None else [
                (start, end, unit.cu_offset) for unit in dwarf.iter_CUs()
                for start, end in _Reader(dwarf, unit).ranges(unit.get_top_DIE())]
            self._ranges = sorted(found)
            self._dwarf = None  # it holds an entry of each unit by now
        at = bisect_right(self._ranges, (address, _BEHIND, 0)) - 1
        if at < 0 or address >= self._ranges[at][1]:
            return -1
        return self._ranges[at][2]

    def _read_unit(self, offset: int) -> _Unit:
        dwarf = self._info()
        self._since += 1
        reader = _Reader(dwarf, dwarf.get_CU_at(offset))
        rows = sorted(reader.rows(), key=lambda row: row[0])
        return _Unit(list(reader.functions(reader.unit.get_top_DIE(), 0)), [row[0] for row in rows],
                     [(file, line) for _, file, line in rows])


class _Reader:
    """Entries of one compile unit."""

    def __init__(self, dwarf: Any, unit: Any) -> None:
        self.dwarf = dwarf
        self.unit = unit
        self.names: dict[int, str] = {}
        self.files: list[str] = []

    def rows(self) -> Iterator[tuple[int, str, int]]:
        """Address, file, line; the end of a sequence as line -1, before what begins at the same address."""
        program = self.dwarf.line_program_for_CU(self.unit)
        if program is None:
            return
        self.files = self._file_names(program.header)
        ends, others = [], []
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if state.end_sequence:
                ends.append((state.address, "", -1))
            else:
                others.append((state.address, self.file(state.file), state.line))
        yield from ends
        yield from others

    def file(self, number: int) -> str:
        return self.files[number] if 0 <= number < len(self.files) else ""

    def _file_names(self, header: Any) -> list[str]:
        top = self.unit.get_top_DIE().attributes
        home = _plain(top["DW_AT_comp_dir"].value) if "DW_AT_comp_dir" in top else ""
        folders = [_plain(folder) for folder in header["include_directory"]]
        names = []
        if header["version"] < 5:
            folders.insert(0, home)
            names.append("")  # files are counted from 1
        for each in header["file_entry"]:
            name = _plain(each.name)
            folder = folders[each.dir_index] if each.dir_index < len(folders) else ""
            path = name if name.startswith("/") or not folder else f"{folder}/{name}"
            names.append(path if path.startswith("/") or not home else f"{home}/{path}")
        return names

    def functions(self, entry: Any, depth: int) -> Iterator[_Function]:
        """The functions under an entry that have code, those inlined into them inside."""
        if depth > _DEEPEST:
            raise FormatError("blocks of the file's DWARF are nested too deep")
        for child in entry.iter_children():
            if child.tag in ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine"):
                ranges = tuple(self.ranges(child))
                if ranges:
                    called, line = (child.attributes.get(f"DW_AT_call_{what}") for what in ("file", "line"))
                    yield _Function(self.name(child, 0), ranges, self.file(called.value) if called else "",
                                    line.value if line else 0, list(self.functions(child, depth + 1)))
            elif child.has_children and child.tag not in _NO_CODE:
                yield from self.functions(child, depth + 1)

    def name(self, entry: Any, depth: int) -> str:
        """Its linkage name, else its name, of it or of what it is an instance of."""
        for attribute in ("DW_AT_linkage_name", "DW_AT_MIPS_linkage_name"):
            if attribute in entry.attributes:
                return _plain(entry.attributes[attribute].value)
        for attribute in ("DW_AT_abstract_origin", "DW_AT_specification"):
            if attribute in entry.attributes and depth < _DEEPEST:
                origin = entry.get_DIE_from_attribute(attribute)
                known = self.names.get(origin.offset)
                if known is None:
                    known = self.names[origin.offset] = self.name(origin, depth + 1)
                if known:
                    return known
        return _plain(entry.attributes["DW_AT_name"].value) if "DW_AT_name" in entry.attributes else ""

    def ranges(self, entry: Any) -> Iterator[tuple[int, int]]:
        """Where an entry's code is. A range that begins at 0 is one that the linker threw away."""
        attributes = entry.attributes
        if "DW_AT_ranges" in attributes:
            yield from self._listed(attributes["DW_AT_ranges"])
        elif "DW_AT_low_pc" in attributes and "DW_AT_high_pc" in attributes:
            low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
            end = high.value if high.form == "DW_FORM_addr" else low + high.value
            if low and end > low:
                yield low, end

    def _listed(self, attribute: Any) -> Iterator[tuple[int, int]]:
        from elftools.dwarf.ranges import BaseAddressEntry
        lists = self.dwarf.range_lists()
        if lists is None:
            return
        top = self.unit.get_top_DIE().attributes
        base = top["DW_AT_low_pc"].value if "DW_AT_low_pc" in top else 0
        for each in lists.get_range_list_at_offset(attribute.value, self.unit):
            if isinstance(each, BaseAddressEntry):
                base = each.base_address
                continue
            shift = 0 if getattr(each, "is_absolute", False) else base
            if each.begin_offset + shift and each.end_offset > each.begin_offset:
                yield each.begin_offset + shift, each.end_offset + shift


_NO_CODE = ("DW_TAG_enumeration_type", "DW_TAG_array_type", "DW_TAG_subroutine_type", "DW_TAG_union_type")


def _plain(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _guarded(work: Callable[[], _Result]) -> _Result:
    """What pyelftools raises for damaged DWARF is FormatError's."""
    from elftools.common.exceptions import DWARFError, ELFError
    from elftools.construct import ConstructError
    try:
        return work()
    except (DWARFError, ELFError, ConstructError, ValueError, LookupError, AttributeError, TypeError, AssertionError,
            ArithmeticError, RecursionError, MemoryError) as error:  # pyelftools believes what it reads
        if isinstance(error, (FormatError, NotSupported)):
            raise
        raise FormatError("the file's DWARF is damaged", why=f"{type(error).__name__}: {error}") from error
