"""From the bytes of an object file to an ObjectSpec: functions, programs, maps, externs, type information."""
from __future__ import annotations

from struct import Struct, unpack_from

from bpfwright._typing import Mapping
from bpfwright.errors import BtfError, ElfError, RelocationError
from bpfwright.formats.btf import Btf, Kind
from bpfwright.formats.elf import Elf, ElfRelocation, Section
from bpfwright.objfile.extension import Extension
from bpfwright.objfile.maps import btf_maps, data_map, is_data_section, legacy_maps, values_offset
from bpfwright.objfile.may_goto import rewrite_may_goto
from bpfwright.objfile.sections import section_row
from bpfwright.spec.objects import (
    CoreRelocation,
    Extern,
    Function,
    LineInfo,
    MapSpec,
    ObjectSpec,
    ProgramSpec,
    Relocation,
)

__all__ = ["read"]

LDIMM64, CALL, PSEUDO_CALL = 0x18, 0x85, 1
R_64_64, R_64_32 = 1, 10
STT_NOTYPE, STT_FUNC, STT_SECTION = 0, 2, 3
STB_LOCAL, STB_WEAK = 0, 2


class _Span:
    """A function's place in its section."""

    __slots__ = ("end", "is_global", "name", "section", "start", "weak")

    def __init__(self, name: str, section: Section, start: int, end: int, is_global: bool, weak: bool) -> None:
        self.name, self.section, self.start, self.end = name, section, start, end
        self.is_global, self.weak = is_global, weak


def read(data: bytes, name: str = "", *, types: Mapping[str, tuple[int, int]] | None = None) -> ObjectSpec:
    """Read an object that clang, libbpf's linker or this package's compiler made.

    `name` is for messages. `types` gives (program type, attach type) for sections or programs whose section name says
    nothing. Raises ElfError, BtfError or RelocationError for bytes that are not such an object.
    """
    try:
        return _Reader(Elf(data), types or {}).spec()
    except (ElfError, BtfError, RelocationError) as error:
        if name and name not in error.what:
            error.what = f"{name}: {error.what}"
            error.args = (error.what,)
        raise


class _Reader:
    """What one object's parts need of each other while it is read."""

    def __init__(self, elf: Elf, types: Mapping[str, tuple[int, int]]) -> None:
        self.elf = elf
        self.types = types
        self.order = ">" if elf.big_endian else "<"
        raw = self._contents(".BTF")
        self.raw_btf = _with_section_sizes(elf, raw) if raw else b""
        self.btf = Btf(self.raw_btf) if raw else None
        extension = self._contents(".BTF.ext")
        self.extension = Extension(extension, elf.big_endian) if extension and self.btf else None
        self.spans = self._find_spans()
        self.by_place = {(span.section.index, span.start): span for spans in self.spans.values() for span in spans}
        self.externs: dict[str, Extern] = {}
        self.maps: dict[str, MapSpec] = {}
        self.map_places: dict[tuple[int, int], str] = {}
        self._find_maps()
        self._find_externs()

    def _contents(self, name: str) -> bytes:
        section = self.elf.section(name)
        return self.elf.contents(section) if section else b""

    # What there is

    def _find_spans(self) -> dict[int, list[_Span]]:
        """The functions of each executable section, in order."""
        found: dict[int, list[_Span]] = {}
        names: set[str] = set()
        for section in self.elf.sections:
            if not section.executable or not section.size:
                continue
            if section.size % 8:
                raise ElfError(f"section {section.name} is not a whole number of instructions", offset=section.offset)
            spans = found[section.index] = self._section_spans(section)
            for span in spans:
                if span.name in names:      # static functions of different files may share a name
                    span.name += f".{section.index}.{span.start:x}"
                names.add(span.name)
        return found

    def _section_spans(self, section: Section) -> list[_Span]:
        inside = [symbol for symbol in self.elf.symbols if symbol.section == section.index and symbol.name]
        # Compilers before LLVM 9 gave functions no type.
        symbols = ([symbol for symbol in inside if symbol.type == STT_FUNC]
                   or [symbol for symbol in inside if symbol.type == STT_NOTYPE and symbol.binding != STB_LOCAL])
        starts: dict[int, _Span] = {}
        for symbol in symbols:
            if symbol.value % 8 or symbol.value >= section.size or symbol.value + symbol.size > section.size:
                raise ElfError(f"function {symbol.name} lies outside section {section.name}")
            known = starts.get(symbol.value)
            if known is None or (symbol.binding != STB_LOCAL and not known.is_global):
                hidden = symbol.visibility in (1, 2)
                starts[symbol.value] = _Span(symbol.name, section, symbol.value, symbol.value + symbol.size,
                                             symbol.binding != STB_LOCAL and not hidden, symbol.binding == STB_WEAK)
        spans = sorted(starts.values(), key=lambda span: span.start)
        for index, span in enumerate(spans):
            following = spans[index + 1].start if index + 1 < len(spans) else section.size
            if span.end == span.start:
                span.end = following
            if span.end > following or span.end % 8:
                raise ElfError(f"function {span.name} overlaps another", why=f"in section {section.name}")
        return spans

    def _find_maps(self) -> None:
        referenced = {self.elf.symbols[entry.symbol].section for section in self.elf.sections
                      if section.index in self.spans for entry in self.elf.relocations(section)}
        for section in self.elf.sections:
            if section.name == ".maps" and self.btf:
                self._add_maps(section, btf_maps(self.btf))
                self._fill_initial(section)
            elif section.name == "maps" or section.name.startswith("maps/"):
                self._add_maps(section, legacy_maps(self.elf, section))
            elif is_data_section(section.name) and section.size:
                type_id = next(self.btf.find_all(section.name, Kind.DATASEC), 0) if self.btf else 0
                if section.index in referenced or type_id:
                    self._add_maps(section, [(-1, data_map(self.elf, section, type_id))])

    def _add_maps(self, section: Section, found: list[tuple[int, MapSpec]]) -> None:
        for offset, spec in found:
            if spec.name in self.maps:
                raise ElfError(f"two maps are called {spec.name}")
            self.maps[spec.name] = spec
            self.map_places[section.index, offset] = spec.name

    def _fill_initial(self, section: Section) -> None:
        """Slots of maps of maps and program arrays that the object fills: relocations inside `.maps`."""
        assert self.btf
        for entry in self.elf.relocations(section):
            offset = max((at for index, at in self.map_places if index == section.index and at <= entry.offset),
                         default=-1)
            if offset < 0:
                raise RelocationError("a relocation of .maps outside every map", offset=entry.offset)
            spec = self.maps[self.map_places[section.index, offset]]
            first = offset + values_offset(self.btf, spec.name)
            if first < offset or entry.offset < first:
                raise RelocationError(f"a relocation of map {spec.name} outside its values", offset=entry.offset)
            slot = (entry.offset - first) // 8
            name = self.elf.symbols[entry.symbol].name
            spec = spec._replace(initial=(*spec.initial, (slot, name)), max_entries=max(spec.max_entries, slot + 1))
            self.maps[spec.name] = spec

    def _find_externs(self) -> None:
        kinds: dict[str, tuple[str, int]] = {}
        for section in (".ksyms", ".kconfig") if self.btf else ():
            assert self.btf
            for type_id in self.btf.find_all(section, Kind.DATASEC):
                for variable in self.btf.variables(type_id):
                    function = self.btf.kind(variable.type_id) == Kind.FUNC
                    kind = "kconfig" if section == ".kconfig" else "kfunc" if function else "ksym"
                    kinds[self.btf.name(variable.type_id)] = kind, variable.type_id
        for symbol in self.elf.symbols:
            if symbol.section == 0 and symbol.name:
                kind, type_id = kinds.get(symbol.name, ("ksym", 0))
                self.externs[symbol.name] = Extern(symbol.name, kind, type_id, symbol.binding == STB_WEAK)

    # Functions

    def _function(self, span: _Span, relocations: list[ElfRelocation]) -> Function:
        insns = self.elf.contents(span.section)[span.start:span.end]
        refs: dict[int, Relocation] = {}
        for entry in relocations:
            index, odd = divmod(entry.offset - span.start, 8)
            if odd:
                raise RelocationError("a relocation inside an instruction", offset=entry.offset)
            refs[index] = self._relocation(span, insns, index, entry)
        self._local_calls(span, insns, refs)
        code = rewrite_may_goto(insns)
        return Function(span.name, code, tuple(refs[index] for index in sorted(refs)),
                        is_global=span.is_global, weak=span.weak)

    def _relocation(self, span: _Span, insns: bytes, index: int, entry: ElfRelocation) -> Relocation:
        symbol = self.elf.symbols[entry.symbol]
        opcode, imm = insns[8 * index], unpack_from(self.order + "i", insns, 8 * index + 4)[0]
        where = f"{span.name}, instruction {index}"
        if opcode not in (LDIMM64, CALL):
            raise RelocationError(f"{where}: opcode {opcode:#04x} cannot be relocated")
        if opcode == LDIMM64 and 8 * index + 16 > len(insns):
            raise RelocationError(f"{where}: half a 64-bit load")
        if symbol.section == 0:
            if symbol.name not in self.externs:
                raise RelocationError(f"{where}: refers to a symbol without a name")
            return Relocation(index, "kfunc" if opcode == CALL else "extern", symbol.name)
        if symbol.section in self.spans:
            # A call counts instructions from the next one; an address counts bytes.
            addend = 8 * (imm + 1) if opcode == CALL else imm
            return Relocation(index, "call" if opcode == CALL else "func",
                              self._function_at(symbol.section, symbol.value + addend, where))
        if opcode == CALL:
            raise RelocationError(f"{where}: calls {symbol.name or 'something'}, which is no function")
        return self._map_reference(index, symbol.section, symbol.value, imm, where)

    def _map_reference(self, index: int, section: int, value: int, imm: int, where: str) -> Relocation:
        name = self.map_places.get((section, -1))
        if name is not None:
            offset = value + imm
            if not 0 <= offset <= self.maps[name].value_size:
                raise RelocationError(f"{where}: refers to byte {offset} of {name}")
            return Relocation(index, "data", name, offset)
        name = self.map_places.get((section, value + imm)) or self.map_places.get((section, value))
        if name is None:
            known = section < len(self.elf.sections)
            raise RelocationError(f"{where}: refers to {self.elf.sections[section].name!r}" if known else
                                  f"{where}: refers to a section that is not there",
                                  why="which is neither a map nor data")
        return Relocation(index, "map", name)

    def _function_at(self, section: int, offset: int, where: str) -> str:
        span = self.by_place.get((section, offset))
        if span is None:
            raise RelocationError(f"{where}: refers to byte {offset} of section {self.elf.sections[section].name}, "
                                  "where no function begins")
        return span.name

    def _local_calls(self, span: _Span, insns: bytes, refs: dict[int, Relocation]) -> None:
        """Calls inside one section carry no relocation."""
        index, end = 0, len(insns) // 8
        mask, pseudo = (0x0F, PSEUDO_CALL) if self.elf.big_endian else (0xF0, PSEUDO_CALL << 4)
        while index < end:
            opcode = insns[8 * index]
            if opcode == CALL and index not in refs and insns[8 * index + 1] & mask == pseudo:
                imm = unpack_from(self.order + "i", insns, 8 * index + 4)[0]
                target = span.start + 8 * (index + 1 + imm)
                refs[index] = Relocation(index, "call", self._function_at(
                    span.section.index, target, f"{span.name}, instruction {index}"))
            index += 2 if opcode == LDIMM64 else 1

    def _functions(self) -> list[Function]:
        functions = []
        for index, spans in self.spans.items():
            section = self.elf.sections[index]
            relocations = self.elf.relocations(section)
            notes = _Notes(self, section.name)
            for span in spans:
                mine = [entry for entry in relocations if span.start <= entry.offset < span.end]
                functions.append(notes.annotate(self._function(span, mine), span.start, span.end))
        return functions

    def _programs(self) -> list[ProgramSpec]:
        programs = []
        for index, spans in self.spans.items():
            section = self.elf.sections[index].name
            for span in spans if section != ".text" else ():
                row = section_row(section)
                kind, attach = self.types.get(span.name) or self.types.get(section) or (row.type, row.attach_type)
                if kind == 0 and not span.is_global:
                    continue        # a static function that somebody placed
                programs.append(ProgramSpec(span.name, span.name, section, kind, attach, row.attach_to, row.flags,
                                            not section.startswith("?")))
        return programs

    def spec(self) -> ObjectSpec:
        license_text = self._contents("license").partition(b"\0")[0].decode("ascii", "replace")
        version = self._contents("version")
        return ObjectSpec(tuple(self._programs()), tuple(self._functions()), tuple(self.maps.values()),
                          tuple(self.externs.values()), self.raw_btf, license_text,
                          unpack_from(self.order + "I", version)[0] if len(version) >= 4 else 0, self.elf.big_endian)


class _Notes:
    """What .BTF.ext says about one section."""

    def __init__(self, reader: _Reader, section: str) -> None:
        self.btf = reader.btf
        extension = reader.extension
        offset = self.btf.string_offset(section) if self.btf and extension else -1
        self.functions = extension.functions.get(offset, []) if extension else []
        self.lines = extension.lines.get(offset, []) if extension else []
        self.core = extension.core.get(offset, []) if extension else []

    def annotate(self, function: Function, start: int, end: int) -> Function:
        if not self.btf:
            return function
        string = self.btf.string
        type_id = next((record[1] for record in self.functions if record[0] == start), 0)
        if type_id and self.btf.kind(type_id) != Kind.FUNC:
            raise BtfError(f"function {function.name} is said to be a {Kind.NAMES[self.btf.kind(type_id)]}")
        lines = tuple(LineInfo((record[0] - start) // 8, string(record[1]), string(record[2]), record[3] >> 10,
                               record[3] & 0x3FF, record[1], record[2])
                      for record in self.lines if start <= record[0] < end)
        core = tuple(CoreRelocation((record[0] - start) // 8, record[1], string(record[2]), record[3])
                     for record in self.core if start <= record[0] < end)
        return function._replace(type_id=type_id, lines=lines, core_relocations=core)


def _with_section_sizes(elf: Elf, raw: bytes) -> bytes:
    """BTF whose data sections say their sizes and offsets; compilers leave both to the loader.

    A variable that the compiler moved to another section (constants that it merges) is taken out of the list: the
    kernel refuses all of the type information for one that overlaps another.
    """
    btf = Btf(raw)
    places = {(symbol.section, symbol.name): symbol.value for symbol in elf.symbols if symbol.section}
    order = ">" if elf.big_endian else "<"
    header_len, types_at, types_len, strings_at, strings_len = unpack_from(order + "5I", raw, 4)
    start, done, pieces = header_len + types_at, header_len + types_at, [raw[:header_len + types_at]]
    for type_id in btf.ids():
        section = elf.section(btf.name(type_id)) if btf.kind(type_id) == Kind.DATASEC else None
        if section is None:
            continue
        at = start + 4 * btf.word_offset(type_id)
        size = btf.size(type_id) or section.size
        entries = sorted((places.get((section.index, btf.name(variable.type_id)), variable.offset), variable.type_id,
                          variable.size) for variable in btf.variables(type_id))
        kept, end = [], 0
        for offset, variable_id, length in entries:
            if end <= offset and offset + length <= size:
                kept.append(Struct(order + "III").pack(variable_id, offset, length))
                end = offset + length
        name, info = unpack_from(order + "II", raw, at)
        pieces += [raw[done:at], Struct(order + "III").pack(name, info & ~0xFFFF | len(kept), size), *kept]
        done = at + 12 + 12 * len(entries)
    types_end = start + types_len
    pieces.append(raw[done:types_end])
    shrunk = types_end - sum(map(len, pieces))
    if not shrunk:
        return b"".join(pieces) + raw[types_end:]
    strings = raw[header_len + strings_at:header_len + strings_at + strings_len]
    header = Struct(order + "5I").pack(header_len, types_at, types_len - shrunk, types_at + types_len - shrunk,
                                       strings_len)
    return raw[:4] + header + b"".join(pieces)[24:] + strings
