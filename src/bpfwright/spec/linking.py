"""Links a program: its function and every function it reaches become one run of instructions with its tables."""
from __future__ import annotations

from struct import Struct, pack

from bpfwright._abi import bpf as B
from bpfwright._typing import NamedTuple
from bpfwright.errors import FormatError, RelocationError
from bpfwright.spec.objects import Function, LineInfo

__all__ = ["POISON_CALL", "UNTYPED_MAPS", "Linked", "Reference", "bare_name", "link"]

# A call that the verifier refuses, if it can be reached: a weak kernel function that is not there.
POISON_CALL = 2002000000
# Map types that refuse BTF of keys and values.
UNTYPED_MAPS = frozenset({B.BPF_MAP_TYPE_PERF_EVENT_ARRAY, B.BPF_MAP_TYPE_CGROUP_ARRAY, B.BPF_MAP_TYPE_STACK_TRACE,
                          B.BPF_MAP_TYPE_ARRAY_OF_MAPS, B.BPF_MAP_TYPE_HASH_OF_MAPS, B.BPF_MAP_TYPE_DEVMAP,
                          B.BPF_MAP_TYPE_DEVMAP_HASH, B.BPF_MAP_TYPE_CPUMAP, B.BPF_MAP_TYPE_XSKMAP,
                          B.BPF_MAP_TYPE_SOCKMAP, B.BPF_MAP_TYPE_SOCKHASH, B.BPF_MAP_TYPE_RINGBUF,
                          B.BPF_MAP_TYPE_USER_RINGBUF, B.BPF_MAP_TYPE_PROG_ARRAY, B.BPF_MAP_TYPE_QUEUE,
                          B.BPF_MAP_TYPE_STACK, B.BPF_MAP_TYPE_BLOOM_FILTER, B.BPF_MAP_TYPE_REUSEPORT_SOCKARRAY})

_CALL = 0x85
_SLOT = Struct("=BBhi")


class Reference(NamedTuple):
    """What a relocated instruction is to hold: `source` its pseudo register number, the immediates, `offset` for
    calls of module kfuncs. `plain`: `imm` is an address of 32 bits, to which the place inside is added."""

    source: int
    imm: int
    high: int = 0
    offset: int = 0
    plain: bool = False


class Linked(NamedTuple):
    """A program as BPF_PROG_LOAD takes it. `lines` are those of all its functions, indexed in the whole."""

    insns: bytearray
    function_info: bytes
    line_info: bytes
    lines: tuple[LineInfo, ...]
    starts: dict[str, int]


def bare_name(name: str) -> str:
    """The kernel's name of what a program may call `name___flavour`."""
    return name.partition("___")[0]


def link(entry: str, functions: dict[str, Function], resolved: dict[str, bytes],
         references: dict[tuple[str, str], Reference]) -> Linked:
    """Link what `entry` reaches.

    `resolved` gives each function's instructions with CO-RE applied; `references` the kernel's side of every
    (kind, name) that is not a function.
    """
    order = reachable(entry, functions)
    starts: dict[str, int] = {}
    insns = bytearray()
    for name in order:
        if len(resolved[name]) % 8 or not resolved[name]:
            raise FormatError(f"function {name!r} is not a whole number of instructions",
                              why=f"it has {len(resolved[name])} bytes")
        starts[name] = len(insns) // 8
        insns += resolved[name]
    for name in order:
        _patch(insns, functions[name], starts, references)
    members = [functions[name] for name in order]
    infos, lines, info = b"", b"", []
    if all(function.type_id for function in members):
        infos = b"".join(pack("=II", starts[function.name], function.type_id) for function in members)
        if all(function.lines and function.lines[0].index == 0 for function in members):
            info = [LineInfo(starts[function.name] + line.index, *line[1:])
                    for function in members for line in function.lines]
            lines = b"".join(pack("=IIII", line.index, line.file_offset, line.source_offset,
                                  line.line << 10 | line.column & 0x3FF) for line in info)
    return Linked(insns, infos, lines, tuple(info), starts)


def reachable(entry: str, functions: dict[str, Function]) -> list[str]:
    """`entry` and what it calls or takes the address of, each once, entry first."""
    order, waiting = [], [entry]
    seen = {entry}
    while waiting:
        name = waiting.pop(0)
        function = functions.get(name)
        if function is None:
            raise RelocationError(f"function {name!r} is called and not there")
        order.append(name)
        for relocation in function.relocations:
            if relocation.kind in ("call", "func") and relocation.name not in seen:
                seen.add(relocation.name)
                waiting.append(relocation.name)
    return order


def _patch(insns: bytearray, function: Function, starts: dict[str, int],
           references: dict[tuple[str, str], Reference]) -> None:
    base = starts[function.name]
    for relocation in function.relocations:
        index = base + relocation.index
        opcode, registers, offset, _ = _SLOT.unpack_from(insns, 8 * index)
        if relocation.kind in ("call", "func"):
            source = B.BPF_PSEUDO_CALL if relocation.kind == "call" else B.BPF_PSEUDO_FUNC
            reference = Reference(source, starts[relocation.name] - index - 1)
        else:
            reference = references[relocation.kind, relocation.name]
        imm, high = reference.imm, reference.high + relocation.offset
        if reference.plain:
            imm, high = _signed(imm + relocation.offset), 0
        _SLOT.pack_into(insns, 8 * index, opcode, registers & 0x0F | reference.source << 4,
                        reference.offset if opcode == _CALL else offset, imm)
        if opcode != _CALL:
            _SLOT.pack_into(insns, 8 * index + 8, 0, 0, 0, _signed(high))


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
