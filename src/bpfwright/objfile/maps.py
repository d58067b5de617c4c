"""Maps of an object: BTF-defined (`.maps`), legacy (`maps`), and the data sections that become arrays."""
from __future__ import annotations

from struct import unpack_from

from bpfwright._abi import bpf as B
from bpfwright.errors import BtfError, ElfError
from bpfwright.formats.btf import Btf, Kind
from bpfwright.formats.elf import Elf, Section
from bpfwright.spec.objects import MapSpec

__all__ = ["btf_maps", "data_map", "is_data_section", "legacy_maps"]

_DATA_PREFIXES = (".data", ".rodata", ".bss")
_MAX_DATA = 1 << 28


def is_data_section(name: str) -> bool:
    """It becomes a map: `.data`, `.rodata`, `.bss` and `.data.X` and so on."""
    return any(name == prefix or name.startswith(prefix + ".") for prefix in _DATA_PREFIXES)


def data_map(elf: Elf, section: Section, value_type_id: int) -> MapSpec:
    """The array of one value that holds a data section."""
    read_only = section.name.startswith(".rodata")
    bss = section.name.startswith(".bss")
    if section.size > _MAX_DATA:
        raise ElfError(f"section {section.name} of {section.size} bytes is absurd")
    return MapSpec(section.name, B.BPF_MAP_TYPE_ARRAY, 4, section.size, 1,
                   flags=B.BPF_F_MMAPABLE | (B.BPF_F_RDONLY_PROG if read_only else 0), value_type_id=value_type_id,
                   contents=None if bss else elf.contents(section), frozen=read_only, data_section=section.name)


def legacy_maps(elf: Elf, section: Section) -> list[tuple[int, MapSpec]]:
    """`struct bpf_map_def` maps with their offsets: five words, and more where iproute2's or others' fields follow."""
    found = sorted((symbol.value, symbol.name) for symbol in elf.symbols
                   if symbol.section == section.index and symbol.type <= 1 and symbol.name)
    contents, order = elf.contents(section), ">" if elf.big_endian else "<"
    result = []
    for offset, name in found:
        if offset + 20 > len(contents):
            raise ElfError(f"map {name} lies outside its section", offset=section.offset)
        kind, key, value, entries, flags = unpack_from(order + "5I", contents, offset)
        result.append((offset, MapSpec(name, kind, key, value, entries, flags)))
    return result


def btf_maps(btf: Btf) -> list[tuple[int, MapSpec]]:
    """The maps declared in `.maps`, with their offsets there."""
    for section in btf.find_all(".maps", Kind.DATASEC):
        return [(place.offset, _declared(btf, btf.name(place.type_id), btf.resolve(btf.type_of(place.type_id))))
                for place in btf.variables(section)]
    return []


_NUMBERS = {"type": "type", "key_size": "key_size", "value_size": "value_size", "max_entries": "max_entries",
            "map_flags": "flags", "numa_node": "numa_node", "map_extra": "map_extra"}
_OF_MAPS = (B.BPF_MAP_TYPE_ARRAY_OF_MAPS, B.BPF_MAP_TYPE_HASH_OF_MAPS)


def _declared(btf: Btf, name: str, type_id: int, depth: int = 0) -> MapSpec:
    if btf.kind(type_id) != Kind.STRUCT:
        raise BtfError(f"map {name} is declared by a {Kind.NAMES[btf.kind(type_id)]}, not a struct")
    fields: dict[str, int] = {}
    inner: MapSpec | None = None
    pinned = False
    for member in btf.members(type_id):
        if member.name in _NUMBERS:
            fields[_NUMBERS[member.name]] = _number(btf, member.type_id)
        elif member.name in ("key", "value"):
            pointee = btf.type_of(btf.resolve(member.type_id))
            fields[f"{member.name}_type_id"] = pointee
            fields.setdefault(f"{member.name}_size", btf.size(pointee))
        elif member.name == "pinning":
            pinned = _number(btf, member.type_id) == 1
        elif member.name == "values":
            element = btf.resolve(btf.type_of(btf.resolve(btf.array(btf.resolve(member.type_id)).type_id)))
            if btf.kind(element) == Kind.STRUCT:
                if depth:
                    raise BtfError(f"map {name} holds maps of maps of maps")
                inner = _declared(btf, name + ".inner", element, depth + 1)
            fields.setdefault("key_size", 4)
            fields.setdefault("value_size", 4)
        else:
            raise BtfError(f"map {name} has an unknown field {member.name!r}",
                           cure="This reader knows " + ", ".join([*_NUMBERS, "key, value, values and pinning."]))
    kind = fields.pop("type", 0)
    if not kind:
        raise BtfError(f"map {name} does not say its type")
    if kind in _OF_MAPS and inner is None:
        raise BtfError(f"map {name} does not declare what its inner maps are")
    number = fields.get
    return MapSpec(name, kind, number("key_size", 0), number("value_size", 0), number("max_entries", 0),
                   number("flags", 0), number("key_type_id", 0), number("value_type_id", 0), inner=inner,
                   pin_by_name=pinned, numa_node=number("numa_node", -1), map_extra=number("map_extra", 0))


def _number(btf: Btf, type_id: int) -> int:
    """`__uint(x, n)`: a pointer to `int[n]`; `__ulong(x, n)`: an enum of one value."""
    resolved = btf.resolve(type_id)
    if btf.kind(resolved) in Kind.ENUMS:
        values = btf.enumerators(resolved)
        if values:
            return values[0].value
    return btf.array(btf.resolve(btf.type_of(resolved))).count


def values_offset(btf: Btf, name: str) -> int:
    """Where the `values` of a declared map begin in its struct, in bytes; -1 without them."""
    type_id = btf.resolve(btf.type_of(btf.find(name, Kind.VAR)))
    return next((member.bit_offset // 8 for member in btf.members(type_id) if member.name == "values"), -1)
