"""Blueprints of what a kernel loads: frozen, comparable, the same on every machine.

`objfile` reads them out of an ELF object, whoever compiled it; a machine turns them into things that hold descriptors.
"""
from __future__ import annotations

from bpfwright._typing import NamedTuple



__all__ = ["Extern", "FuncInfo", "CoreRelocation", "Function", "LineInfo", "MapSpec", "ObjectSpec", "ProgramSpec",
           "Relocation"]


class Relocation(NamedTuple):
    """What one instruction refers to.

    `index` is the instruction's position in its function, in 8-byte slots. `kind` is one of
    `map` (ld_imm64 of a map), `data` (ld_imm64 of `offset` bytes into a data map), `call` (bpf-to-bpf),
    `func` (ld_imm64 of a function, for callbacks), `kfunc` (call) and `extern` (ld_imm64 of a ksym or kconfig).
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    kind: str
    name: str
    offset: int = 0


class FuncInfo(NamedTuple):
    """The BTF type of the function that starts at instruction `index`."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    type_id: int


class LineInfo(NamedTuple):
    """Where instruction `index` comes from; `line` and `column` count from 1 (0: unknown).

    `file_offset` and `source_offset` say where the two strings stand in the object's BTF, as the kernel wants them.
    """

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    file: str
    source: str
    line: int
    column: int
    file_offset: int = 0
    source_offset: int = 0


class CoreRelocation(NamedTuple):
    """A CO-RE relocation of instruction `index`: local BTF type, access string (`0:4:1`), kind (bpf_core_relo_kind)."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    type_id: int
    access: str
    kind: int


class Function(NamedTuple):
    """A run of instructions with what it refers to; `insns` are 8-byte slots in the object's byte order."""

    name: str
    insns: bytes
    relocations: tuple[Relocation, ...] = ()
    core_relocations: tuple[CoreRelocation, ...] = ()
    type_id: int = 0
    lines: tuple[LineInfo, ...] = ()
    is_global: bool = True
    weak: bool = False


class ProgramSpec(NamedTuple):
    """An entry point.

    `section` is its ELF section name (`xdp`, `tracepoint/sched/sched_switch`), `type` and `expected_attach_type` the
    kernel's numbers (bpf_prog_type, bpf_attach_type), `attach_to` what the section names after its prefix.
    `function` names an entry of ObjectSpec.functions.
    """

    name: str
    function: str
    section: str
    type: int
    expected_attach_type: int = 0
    attach_to: str = ""
    flags: int = 0
    autoload: bool = True


class MapSpec(NamedTuple):
    """A map before it exists. `type` is the kernel's number (bpf_map_type); sizes in bytes.

    `contents` fills a data map (.rodata, .data, .bss) at creation; `frozen` makes it read-only for user space, so that
    the verifier knows its values. `key_type_id` and `value_type_id` are types of the object's BTF, 0 when it has none.
    `inner` describes the maps in a map of maps; `initial` names the maps or programs that fill slots at load.
    """

    name: str
    type: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    key_type_id: int = 0
    value_type_id: int = 0
    inner: "MapSpec | None" = None
    contents: bytes | None = None
    frozen: bool = False
    pin_by_name: bool = False
    numa_node: int = -1
    map_extra: int = 0
    initial: tuple[tuple[int, str], ...] = ()
    data_section: str = ""


class Extern(NamedTuple):
    """A symbol that the running kernel supplies: `kind` is `kfunc`, `ksym` or `kconfig`."""

    name: str
    kind: str
    type_id: int
    weak: bool


class ObjectSpec(NamedTuple):
    """Everything in one object file: programs, their functions, maps, externs and type information (raw BTF)."""

    programs: tuple[ProgramSpec, ...]
    functions: tuple[Function, ...]
    maps: tuple[MapSpec, ...]
    externs: tuple[Extern, ...] = ()
    btf: bytes = b""
    license: str = "GPL"
    kernel_version: int = 0
    big_endian: bool = False
    struct_ops: tuple[tuple[str, str], ...] = ()
