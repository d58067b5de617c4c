"""A function's instructions as text, with the source line that each came from and what each refers to."""
from __future__ import annotations

from bpfwright._typing import Iterator, NamedTuple
from bpfwright.formats.isa import disassemble
from bpfwright.spec.objects import CoreRelocation, Function, LineInfo, Relocation

__all__ = ["Line", "lines", "text"]

# bpf_core_relo_kind, in words.
CORE_KINDS = ("offset of", "size of", "existence of", "sign of", "left shift of", "right shift of", "local id of",
              "kernel id of", "existence of", "size of", "existence of", "value of", "match of")


class Line(NamedTuple):
    """One instruction; `source` stands before it when its line differs from that of the one before."""

    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody misses here
    code: str
    note: str
    source: LineInfo | None


def lines(function: Function, *, big_endian: bool = False) -> Iterator[Line]:
    """Each instruction of a function."""
    sources = {info.index: info for info in function.lines if info.line}  # line 0 is the compiler's own code
    notes: dict[int, list[str]] = {}
    for relocation in function.relocations:
        notes.setdefault(relocation.index, []).append(_reference(relocation))
    for core in function.core_relocations:
        notes.setdefault(core.index, []).append(_core(core))
    shown: LineInfo | None = None
    for index, code in disassemble(function.insns, big_endian):
        source = sources.get(index)
        fresh = source is not None and (shown is None or (source.file, source.line) != (shown.file, shown.line))
        shown = source if fresh else shown
        yield Line(index, code, ", ".join(notes.get(index, ())), source if fresh else None)


def text(function: Function, *, big_endian: bool = False) -> str:
    """The whole function for people."""
    printed = []
    for line in lines(function, big_endian=big_endian):
        if line.source is not None:
            where = f"{line.source.file}:{line.source.line}"
            printed.append(f"; {line.source.source.strip() or '(no source text)'}    @ {where}")
        printed.append(f"{line.index:5}: {line.code:40}{'; ' + line.note if line.note else ''}".rstrip())
    return "\n".join(printed)


def _reference(relocation: Relocation) -> str:
    match relocation.kind:
        case "map" | "func" | "call":
            return f"{relocation.kind} {relocation.name}"
        case "data":
            return f"{relocation.name}+{relocation.offset:#x}"
    return f"{relocation.kind} {relocation.name}"


def _core(relocation: CoreRelocation) -> str:
    kind = CORE_KINDS[relocation.kind] if relocation.kind < len(CORE_KINDS) else f"kind {relocation.kind}"
    return f"CO-RE: {kind} type {relocation.type_id} at {relocation.access}"
