"""Show what is in a BPF object, or becomes of a Python file: programs, maps, types, instructions by source line.

Nothing is loaded and no privilege is needed. --only chooses parts; naming programs shows the code of those alone.
"""
from __future__ import annotations


from bpfwright._typing import TYPE_CHECKING, Iterator, TextIO
from bpfwright.cli import listing
from bpfwright.cli.names import kernel_names
from bpfwright.cli.output import Cell, Column, add_options, destination, write
from bpfwright.cli.sources import add_target, compile_file
from bpfwright.errors import ElfError, UsageError
from bpfwright.spec.objects import Function, ObjectSpec

if TYPE_CHECKING:
    import argparse

__all__ = ["EXAMPLES", "arguments", "read_object", "run"]

EXAMPLES = (
    "bpfwright inspect x.bpf.o                  everything",
    "bpfwright inspect x.bpf.o --only code      instructions and source lines",
    "bpfwright inspect x.bpf.o firewall         one program's",
    "bpfwright inspect firewall.py              what the compiler makes of it",
    "bpfwright inspect x.bpf.o -j               the same, for programs",
)

PARTS = ("programs", "maps", "externs", "types", "code")

COLUMNS = {
    "programs": (Column("name", "PROGRAM"), Column("section", "SECTION"), Column("type", "TYPE"),
                 Column("instructions", "INSTRUCTIONS", right=True), Column("flags", "FLAGS", right=True)),
    "maps": (Column("name", "MAP"), Column("type", "TYPE"), Column("key_size", "KEY", right=True),
             Column("value_size", "VALUE", right=True), Column("max_entries", "ENTRIES", right=True, grouped=True),
             Column("flags", "FLAGS", right=True)),
    "externs": (Column("name", "EXTERN"), Column("kind", "KIND"), Column("weak", "WEAK")),
    "types": (Column("id", "ID", right=True), Column("kind", "KIND"), Column("name", "TYPE"),
              Column("size", "SIZE", right=True)),
    "code": (Column("function", "FUNCTION"), Column("index", "AT", right=True), Column("instruction", "INSTRUCTION"),
             Column("refers_to", "REFERS TO"), Column("file", "FILE"), Column("line", "LINE", right=True)),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="an object from bpfwright, clang or anyone, or a Python file")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="show only these")
    parser.add_argument("--only", action="append", choices=PARTS, help="show this part; may be given again")
    add_target(parser)
    add_options(parser)


def read_object(path: str, target: str = "oldest") -> ObjectSpec:
    """The object in a file, or compiled from it."""
    from bpfwright import objfile
    if path.endswith(".py"):
        return objfile.read(compile_file(path, [], target), path)
    with open(path, "rb") as file:
        data = file.read()
    if data[:4] != b"\x7fELF":
        raise ElfError(f"{path} is not an ELF object", why=f"It starts with {data[:4]!r}.",
                       cure="Give a file that `bpfwright build` or `clang -target bpf -c` made.")
    return objfile.read(data, path)


def run(chosen: argparse.Namespace) -> int:
    spec = read_object(chosen.file, chosen.target)
    unknown = set(chosen.programs) - {program.name for program in spec.programs}
    if unknown:
        raise UsageError(f"{chosen.file} has no program {min(unknown)}",
                         cure=f"It has {', '.join(program.name for program in spec.programs) or 'none'}.")
    parts = chosen.only or (["code"] if chosen.programs else list(PARTS))
    with destination(chosen) as to:
        if chosen.format == "json":
            _json(spec, parts, chosen.programs, to)
        elif chosen.format == "table":
            _tables(chosen, spec, parts, to)
        elif len(parts) > 1 and chosen.only:
            raise UsageError(f"-f {chosen.format} is one kind of rows", cure="Name one part by --only, or use -f json.")
        else:
            write(chosen, COLUMNS[parts[0]], _ROWS[parts[0]](spec, chosen.programs), to=to)
    return 0


def _tables(chosen: argparse.Namespace, spec: ObjectSpec, parts: list[str], to: TextIO) -> None:
    """What there is, with an empty line between."""
    between = ""
    for part in parts:
        if part == "code":
            for function in _functions(spec, chosen.programs):
                to.write(f"{between}{function.name}:\n{listing.text(function, big_endian=spec.big_endian)}\n")
                between = "\n"
        elif part == "types":
            for text in _definitions(spec):
                to.write(f"{between}{text}\n")
                between = "\n"
        elif rows := list(_ROWS[part](spec, chosen.programs)):
            to.write(between)
            write(chosen, COLUMNS[part], rows, to=to)
            between = "\n"


def _json(spec: ObjectSpec, parts: list[str], names: list[str], to: TextIO) -> None:
    import json
    content: dict[str, object] = {"license": spec.license, "big_endian": spec.big_endian}
    content |= {part: list(_ROWS[part](spec, names)) for part in parts}
    json.dump(content, to, indent=1)
    to.write("\n")


def _programs(spec: ObjectSpec, names: list[str]) -> Iterator[dict[str, Cell]]:
    kinds = kernel_names("BPF_PROG_TYPE_")
    sizes = {function.name: len(function.insns) // 8 for function in spec.functions}
    for program in spec.programs:
        yield {"name": program.name, "section": program.section, "type": kinds.get(program.type, str(program.type)),
               "instructions": sizes[program.function], "flags": program.flags}


def _maps(spec: ObjectSpec, names: list[str]) -> Iterator[dict[str, Cell]]:
    kinds = kernel_names("BPF_MAP_TYPE_")
    for item in spec.maps:
        yield {"name": item.name, "type": kinds.get(item.type, str(item.type)), "key_size": item.key_size,
               "value_size": item.value_size, "max_entries": item.max_entries, "flags": item.flags}


def _externs(spec: ObjectSpec, names: list[str]) -> Iterator[dict[str, Cell]]:
    for extern in spec.externs:
        yield {"name": extern.name, "kind": extern.kind, "weak": extern.weak}


def _types(spec: ObjectSpec, names: list[str]) -> Iterator[dict[str, Cell]]:
    if not spec.btf:
        return
    from bpfwright.formats.btf import Btf, Kind
    btf = Btf(spec.btf)
    sized = Kind.COMPOSITES | Kind.ENUMS | {Kind.INT, Kind.DATASEC, Kind.FLOAT}
    for number in btf.ids():
        kind, name = btf.kind(number), btf.name(number)
        if name:
            yield {"id": number, "kind": Kind.NAMES[kind], "name": name,
                   "size": btf.size(number) if kind in sized else None}


def _definitions(spec: ObjectSpec) -> Iterator[str]:
    """Structs, unions and enums as C writes them, with the place of each field."""
    if not spec.btf:
        return
    from bpfwright.formats.btf import Btf, Kind
    from bpfwright.formats.btf.printing import definition
    btf = Btf(spec.btf)
    for number in btf.ids():
        if btf.kind(number) in Kind.COMPOSITES | Kind.ENUMS and btf.name(number):
            yield definition(btf, number, offsets=True)


def _code(spec: ObjectSpec, names: list[str]) -> Iterator[dict[str, Cell]]:
    for function in _functions(spec, names):
        where: tuple[str | None, int | None] = (None, None)
        for line in listing.lines(function, big_endian=spec.big_endian):
            if line.source is not None:
                where = line.source.file, line.source.line
            yield {"function": function.name, "index": line.index, "instruction": line.code,
                   "refers_to": line.note or None, "file": where[0], "line": where[1]}


def _functions(spec: ObjectSpec, names: list[str]) -> Iterator[Function]:
    """All functions, or those of the named programs with everything they call."""
    by_name = {function.name: function for function in spec.functions}
    if not names:
        yield from spec.functions
        return
    waiting = [program.function for program in spec.programs if program.name in names]
    done = set()
    while waiting:
        name = waiting.pop(0)
        if name in done or name not in by_name:
            continue
        done.add(name)
        yield by_name[name]
        waiting += [item.name for item in by_name[name].relocations if item.kind in ("call", "func")]


_ROWS = {"programs": _programs, "maps": _maps, "externs": _externs, "types": _types, "code": _code}
