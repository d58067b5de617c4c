"""A program made ready for the walk: linked, decoded, its maps and functions described."""
from __future__ import annotations

from struct import Struct, unpack_from

from bpfwright._abi import bpf as B
from bpfwright._typing import TYPE_CHECKING, Any, NamedTuple
from bpfwright.errors import NotSupported, RelocationError, UsageError
from bpfwright.formats.btf import Btf, Kind
from bpfwright.spec.linking import POISON_CALL, UNTYPED_MAPS, Reference, bare_name, link, reachable
from bpfwright.spec.objects import LineInfo, MapSpec, ObjectSpec, ProgramSpec
from bpfwright.userspace.verifier.values import known

if TYPE_CHECKING:
    from bpfwright.formats.btf import Relocator

__all__ = ["Field", "Insn", "Map", "Program", "Subprogram", "find", "prepare"]

_SLOT = Struct("=BBhi")
_LOCAL_STORES = frozenset({B.BPF_MAP_TYPE_SK_STORAGE, B.BPF_MAP_TYPE_INODE_STORAGE, B.BPF_MAP_TYPE_TASK_STORAGE,
                           B.BPF_MAP_TYPE_CGRP_STORAGE, B.BPF_MAP_TYPE_CGROUP_STORAGE})
_PLAIN = frozenset({B.BPF_MAP_TYPE_HASH, B.BPF_MAP_TYPE_ARRAY})
_TIMED = _PLAIN | {B.BPF_MAP_TYPE_LRU_HASH}
_ANY_STORE = _TIMED | _LOCAL_STORES | {B.BPF_MAP_TYPE_PERCPU_HASH, B.BPF_MAP_TYPE_PERCPU_ARRAY,
                                       B.BPF_MAP_TYPE_LRU_PERCPU_HASH}
# Which kinds of maps may hold which of the kernel's own parts.
_ALLOWS = {"lock": _PLAIN | _LOCAL_STORES, "res_lock": _PLAIN | _LOCAL_STORES, "timer": _TIMED, "wq": _TIMED,
           "task_work": _TIMED, "list": _TIMED, "tree": _TIMED}


class Field(NamedTuple):
    """A part of a map's value that is the kernel's: `kind` is `lock`, `timer`, `wq`, `kptr`, `list`, `tree`, ..."""

    kind: str
    offset: int
    size: int
    type_id: int = 0
    tag: str = ""


_FIELDS = {"bpf_spin_lock": ("lock", 4), "bpf_res_spin_lock": ("res_lock", 8), "bpf_timer": ("timer", 16),
           "bpf_wq": ("wq", 16), "bpf_list_head": ("list", 16), "bpf_rb_root": ("tree", 16),
           "bpf_refcount": ("refcount", 4), "bpf_task_work": ("task_work", 8), "bpf_list_node": ("node", 24),
           "bpf_rb_node": ("node", 32)}


class Map:
    """A map as the verifier sees it."""

    __slots__ = ("btf", "contents", "fields", "flags", "frozen", "index", "inner", "key_size", "kind", "max_entries",
                 "name", "outer", "spec", "value_size", "value_type")

    def __init__(self, spec: MapSpec, index: int, btf: Btf | None, outer: Map | None = None) -> None:
        self.spec = spec
        self.name, self.kind, self.key_size, self.value_size = spec.name, spec.type, spec.key_size, spec.value_size
        self.max_entries, self.flags, self.frozen = spec.max_entries, spec.flags, spec.frozen
        self.contents, self.index = spec.contents, index
        self.outer = outer
        self.btf = btf if btf is not None and spec.type not in UNTYPED_MAPS else None
        self.value_type = spec.value_type_id
        self.fields: tuple[Field, ...] = ()
        if self.btf is not None and self.value_type:
            self.fields = tuple(_special(self.btf, self.value_type))
            if any(spec.type not in _ALLOWS.get(field.kind, _ANY_STORE) for field in self.fields):
                # No kernel makes this map with its types: the loader makes it without.
                self.btf, self.fields = None, ()
        self.inner = Map(spec.inner, -1 - index, btf, self) if spec.inner else None

    def field(self, kind: str) -> Field | None:
        """Its (only) field of a kind."""
        return next((field for field in self.fields if field.kind == kind), None)


def _special(btf: Btf, type_id: int, base: int = 0, depth: int = 0) -> list[Field]:
    type_id = btf.resolve(type_id)
    if btf.kind(type_id) not in Kind.COMPOSITES or depth > 4:
        if btf.kind(type_id) == Kind.DATASEC:
            return [field for variable in btf.variables(type_id)
                    for field in _typed(btf, btf.type_of(variable.type_id), base + variable.offset, depth)]
        return []
    found = []
    for member in btf.members(type_id):
        if not member.bit_size:
            found += _typed(btf, member.type_id, base + member.bit_offset // 8, depth)
    return found


def _typed(btf: Btf, type_id: int, at: int, depth: int) -> list[Field]:
    tag = ""
    if btf.kind(type_id) == Kind.PTR:
        inner = btf.type_of(type_id)
        while inner and btf.kind(inner) in Kind.MODIFIERS:
            if btf.kind(inner) == Kind.TYPE_TAG:
                tag = btf.name(inner)
            inner = btf.type_of(inner)
        if tag in ("kptr", "kptr_untrusted", "percpu_kptr", "uptr"):
            return [Field("kptr", at, 8, inner, tag)]
        return []
    beneath = btf.resolve(type_id)
    if btf.kind(beneath) == Kind.ARRAY:
        element = btf.array(beneath)
        step = btf.size(element.type_id) if element.count else 0
        return [field for index in range(min(element.count, 16))
                for field in _typed(btf, element.type_id, at + index * step, depth)] if step else []
    row = _FIELDS.get(btf.name(beneath)) if btf.kind(beneath) == Kind.STRUCT else None
    if row:
        return [Field(row[0], at, btf.size(beneath), beneath)]
    return _special(btf, beneath, at, depth + 1)


class Insn:
    """One decoded instruction. `wide` is the 64-bit immediate of a load, `target` where a call goes, `number` the
    immediate as a value."""

    __slots__ = ("code", "dst", "imm", "number", "off", "src", "target", "wide")

    def __init__(self, code: int, dst: int, src: int, off: int, imm: int) -> None:
        self.code, self.dst, self.src, self.off, self.imm = code, dst, src, off, imm
        self.wide = 0
        self.target = -1
        self.number = known(imm)


class Subprogram:
    """A function: instructions `start` up to `end`, and what its BTF says."""

    __slots__ = ("calls", "changes_packet", "checked", "end", "has_ld_abs", "index", "is_async", "is_callback",
                 "is_exception", "is_global", "might_sleep", "name", "reads_skb", "start", "stack", "tail_call",
                 "type_id", "used", "arguments")

    def __init__(self, index: int, name: str, start: int, end: int, type_id: int, is_global: bool) -> None:
        self.index, self.name, self.start, self.end = index, name, start, end
        self.type_id, self.is_global = type_id, is_global
        self.stack = 0
        self.tail_call = self.has_ld_abs = self.is_callback = self.is_async = self.used = self.checked = False
        self.changes_packet = self.might_sleep = self.is_exception = self.reads_skb = False
        self.calls: list[int] = []
        self.arguments: Any = None


class Program:
    """What is verified."""

    __slots__ = ("attach_to", "attach_type", "btf", "insns", "kernel", "kind", "license", "lines", "maps", "name",
                 "sleepable", "spec", "subprograms", "at", "flags")

    def __init__(self, spec: ObjectSpec, program: ProgramSpec, insns: list[Insn], maps: list[Map],
                 subprograms: list[Subprogram], lines: tuple[LineInfo, ...], btf: Btf | None,
                 kernel: Btf | None) -> None:
        self.spec, self.name = spec, program.name
        self.kind, self.attach_type = program.type, program.expected_attach_type
        self.attach_to, self.flags = program.attach_to, program.flags
        self.insns, self.maps, self.subprograms = insns, maps, subprograms
        self.lines, self.license, self.kernel = lines, spec.license, kernel
        self.btf = btf
        self.sleepable = bool(program.flags & B.BPF_F_SLEEPABLE)
        self.at = {subprogram.start: subprogram for subprogram in subprograms}

    @property
    def gpl(self) -> bool:
        """Whether the licence lets it call what is for GPL programs."""
        return self.license in ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL",
                                "Dual MPL/GPL")

    def line(self, insn: int) -> LineInfo | None:
        """The source line that an instruction comes from."""
        found = None
        for line in self.lines:
            if line.index > insn:
                break
            found = line
        return found


def prepare(spec: ObjectSpec, name: str, kernel: Btf | None, relocator: Relocator | None = None) -> Program:
    """Link and decode; RelocationError, NotSupported and BtfError for an object that no kernel would be shown."""
    program = next((program for program in spec.programs if program.name == name), None)
    if program is None:
        raise UsageError(f"the object has no program {name!r}")
    functions = {function.name: function for function in spec.functions}
    btf = _own_types(spec.btf)
    maps = [Map(one, index, btf) for index, one in enumerate(spec.maps)]
    references: dict[tuple[str, str], Reference] = {}
    for one in maps:
        references["map", one.name] = Reference(B.BPF_PSEUDO_MAP_FD, one.index)
        references["data", one.name] = Reference(B.BPF_PSEUDO_MAP_VALUE, one.index)
    order = reachable(program.function, functions)
    _externs(spec, [functions[member] for member in order], references, maps, btf, kernel)
    resolved = {}
    for member in order:
        function = functions[member]
        resolved[member] = function.insns
        if function.core_relocations:
            if relocator is None:
                if btf is None or kernel is None:
                    raise NotSupported("this program asks for the kernel's types",
                                       why="its instructions depend on the layout of kernel structs",
                                       cure="Give them: verify(..., kernel_btf=Btf(data)).")
                from bpfwright.formats.btf import Relocator
                relocator = Relocator(btf, kernel)
            resolved[member] = relocator.apply(member, function.insns, function.core_relocations)
    linked = link(program.function, functions, resolved, references)
    insns = [Insn(code, registers & 15, registers >> 4, off, imm)
             for code, registers, off, imm in _SLOT.iter_unpack(bytes(linked.insns))]
    for index, insn in enumerate(insns):
        if insn.code == 0x18 and index + 1 < len(insns):
            insn.wide = insn.imm & 0xFFFFFFFF | (insns[index + 1].imm & 0xFFFFFFFF) << 32
    starts = sorted((start, member) for member, start in linked.starts.items())
    ends = [start for start, _ in starts[1:]] + [len(insns)]
    typed = bool(linked.function_info)
    subprograms = []
    for index, ((start, member), end) in enumerate(zip(starts, ends, strict=True)):
        function = functions[member]
        is_global = bool(typed and btf is not None and btf.linkage(function.type_id) == 1)
        subprograms.append(Subprogram(index, member, start, end, function.type_id if typed else 0, is_global))
    subprograms = _raw_calls(insns, subprograms)
    return Program(spec, program, insns, maps, subprograms, linked.lines, btf, kernel)


def _raw_calls(insns: list[Insn], subprograms: list[Subprogram]) -> list[Subprogram]:
    """Calls by distance inside one function's bytes make subprograms of their own."""
    starts = {subprogram.start: subprogram for subprogram in subprograms}
    size = len(insns)
    for index, insn in enumerate(insns):
        if (insn.code, insn.src) in ((0x85, B.BPF_PSEUDO_CALL), (0x18, B.BPF_PSEUDO_FUNC)):
            target = index + insn.imm + 1
            if 0 <= target < size and target not in starts:
                starts[target] = Subprogram(0, f"function_{target}", target, size, 0, False)
    ordered = [starts[start] for start in sorted(starts)]
    for number, one in enumerate(ordered):
        one.index = number
        one.end = ordered[number + 1].start if number + 1 < len(ordered) else size
    return ordered


def _externs(spec: ObjectSpec, functions: list[Any], references: dict[tuple[str, str], Reference], maps: list[Map],
             btf: Btf | None, kernel: Btf | None) -> None:
    """The kernel's side of functions and symbols; configuration values become unknown read-only bytes."""
    externs = {extern.name: extern for extern in spec.externs}
    wanted = {(one.kind, one.name) for function in functions for one in function.relocations
              if one.kind in ("kfunc", "extern")}
    size = 0
    for kind, name in sorted(wanted):
        extern = externs.get(name)
        if extern is None:
            raise RelocationError(f"nothing is known about {name!r}")
        bare = bare_name(name)
        if extern.kind == "kconfig":
            references[kind, name] = Reference(B.BPF_PSEUDO_MAP_VALUE, len(maps), size)
            size += (btf.size(btf.type_of(extern.type_id)) + 7 & ~7) if btf else 8
            continue
        if kernel is None:
            raise NotSupported(f"{name} is a symbol of the kernel", why="the kernel's types are not known here",
                               cure="Give them: verify(..., kernel_btf=Btf(data)).")
        if kind == "kfunc":
            found = find(kernel, bare, Kind.FUNC)
            if not found and not extern.weak:
                raise NotSupported(f"this kernel has no function {name!r} for programs")
            references[kind, name] = Reference(B.BPF_PSEUDO_KFUNC_CALL, found) if found else Reference(0, POISON_CALL)
            continue
        typed = 0
        if btf and extern.type_id:
            typed = Kind.FUNC if btf.kind(extern.type_id) == Kind.FUNC else \
                Kind.VAR if btf.resolve(btf.type_of(extern.type_id)) else 0
        found = find(kernel, bare, typed) if typed else 0
        references[kind, name] = Reference(B.BPF_PSEUDO_BTF_ID, found) if found else Reference(0, 0)
    if size:
        maps.append(Map(MapSpec(".kconfig", B.BPF_MAP_TYPE_ARRAY, 4, size, 1, flags=B.BPF_F_RDONLY_PROG), len(maps),
                        None))


class _Last:
    """The types that were read last: the programs of one object share them."""

    __slots__ = ("btf", "data")

    def __init__(self) -> None:
        self.data = b""
        self.btf: Btf | None = None


_last = _Last()


def _own_types(data: bytes) -> Btf | None:
    if not data:
        return None
    if _last.data is not data or _last.btf is None:
        _last.data, _last.btf = data, Btf(data)
    return _last.btf


class _Names:
    """Numbers of kernel types by name, of the kernel that was asked last: a search takes a millisecond."""

    __slots__ = ("btf", "found")

    def __init__(self) -> None:
        self.btf: Btf | None = None
        self.found: dict[tuple[str, int], int] = {}


_names = _Names()


def find(kernel: Btf, name: str, kind: int) -> int:
    """The number of a kernel type, 0 when there is none."""
    if _names.btf is not kernel:
        _names.btf, _names.found = kernel, {}
    number = _names.found.get((name, kind))
    if number is None:
        number = _names.found[name, kind] = next(iter(kernel.find_all(name, kind)), 0)
    return number


def word(data: bytes, at: int, size: int) -> int:
    """An unsigned little-endian number inside bytes (the programs' byte order)."""
    return int(unpack_from({1: "<B", 2: "<H", 4: "<I", 8: "<Q"}[size], data, at)[0])
