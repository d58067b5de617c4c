"""Puts a program of another object in the place of a function of ours, with all that it needs.

So a program that somebody compiled runs as a subprogram of one of ours: no tail call that does not come back, no
freplace. Its functions, maps and externs keep their names behind a prefix; its types stand behind ours.
"""
from __future__ import annotations

from bpfwright._typing import Callable, NamedTuple
from bpfwright.errors import NotSupported, UsageError
from bpfwright.formats.btf.joining import joined
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec, Relocation
from bpfwright.spec.linking import reachable

__all__ = ["check", "program_of", "spliced"]

_TAIL_CALL = 12
_GPL = ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL")
_OWN = ("kfunc", "extern")  # what a relocation may name that belongs to the kernel, not to the object


class _Moves(NamedTuple):
    """What changes in the other object's tables."""

    prefix: str
    entry: str
    place: str
    types: int
    strings: int

    def name(self, name: str) -> str:
        """The name of a function or map."""
        return self.place if name == self.entry else self.prefix + name

    def type(self, number: int) -> int:
        """A type's number."""
        return number + self.types if number and self.types >= 0 else 0


def program_of(object: ObjectSpec, name: str, type: int, file: str) -> ProgramSpec:
    """The program of a kernel type by its name or section; the only one, where no name is given. UsageError."""
    found = [program for program in object.programs if program.type == type and name in (
        "", program.name, program.section)]
    if len(found) == 1:
        return found[0]
    there = ", ".join(f"{program.name} ({program.section})" for program in object.programs) or "none"
    raise UsageError(f"{file} has {'several programs' if found else 'no program'} of this kind"
                     + (f" named {name}" if name else ""), why=f"programs: {there}",
                     cure="Name one of them." if found else "")


def spliced(ours: ObjectSpec, place: str, theirs: ObjectSpec, program: ProgramSpec, prefix: str) -> ObjectSpec:
    """`ours` with its function `place` replaced by a program of `theirs`."""
    functions = {function.name: function for function in theirs.functions}
    needed = [functions[name] for name in reachable(program.function, functions)]
    check(theirs, program)
    both = joined(ours.btf, theirs.btf) if ours.btf and theirs.btf else None
    moves = _Moves(prefix, program.function, place, both.types if both else -1, both.strings if both else 0)
    maps = {relocation.name for function in needed for relocation in function.relocations
            if relocation.kind in ("map", "data")}
    known = {extern.name for extern in ours.externs}
    return ours._replace(
        functions=(*(function for function in ours.functions if function.name != place),
                   *(_function(function, moves) for function in needed)),
        maps=(*ours.maps, *(_map(spec, moves) for spec in theirs.maps if spec.name in maps)),
        externs=(*ours.externs, *(extern._replace(type_id=moves.type(extern.type_id)) for extern in theirs.externs
                                  if extern.name not in known)),
        btf=both.data if both else ours.btf,
        license=ours.license if theirs.license in _GPL else theirs.license)


def check(theirs: ObjectSpec, program: ProgramSpec) -> None:
    """NotSupported when a program cannot stand in a function's place."""
    functions = {function.name: function for function in theirs.functions}
    for function in (functions[name] for name in reachable(program.function, functions)):
        calls = (function.insns[at:at + 8] for at in range(0, len(function.insns), 8))
        if any(insn[0] == 0x85 and not insn[1] >> 4 and insn[4:] == _TAIL_CALL.to_bytes(4, "little") for insn in calls):
            raise NotSupported(f"program {program.name!r} makes tail calls",
                               why="what it calls would not come back to the programs behind it")


def _function(function: Function, moves: _Moves) -> Function:
    typed = moves.types >= 0
    return function._replace(
        name=moves.name(function.name), type_id=moves.type(function.type_id),
        relocations=tuple(_relocation(each, moves) for each in function.relocations),
        core_relocations=tuple(each._replace(type_id=moves.type(each.type_id)) for each in function.core_relocations),
        lines=tuple(line._replace(file_offset=line.file_offset + moves.strings,
                                  source_offset=line.source_offset + moves.strings)
                    for line in function.lines) if typed else ())


def _relocation(relocation: Relocation, moves: _Moves) -> Relocation:
    return relocation if relocation.kind in _OWN else relocation._replace(name=moves.name(relocation.name))


def _map(spec: MapSpec, moves: _Moves) -> MapSpec:
    move: Callable[[str], str] = moves.name
    inner = None if spec.inner is None else _map(spec.inner, moves)
    return spec._replace(name=move(spec.name), key_type_id=moves.type(spec.key_type_id),
                         value_type_id=moves.type(spec.value_type_id), inner=inner, pin_by_name=False,
                         initial=tuple((slot, move(name)) for slot, name in spec.initial))
