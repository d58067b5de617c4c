"""Programs to one object file: captured, looked up in the cache, or checked, lowered, emitted and sent to LLVM."""
from __future__ import annotations

import marshal
import os

from bpfwright import _cache, _llvm
from bpfwright._typing import Any, Callable
from bpfwright.errors import CompileError, CompilerCrash, UsageError
from bpfwright.lang.capture import Captures
from bpfwright.lang.target import Target
from bpfwright.spec.freezing import freeze, thaw
from bpfwright.spec.objects import ObjectSpec
from bpfwright.spec.program import Program
from bpfwright.types import is_shared
from bpfwright.types.config import Config

__all__ = ["Compiled", "compiler_version", "compile_programs", "llvm_text"]

FORMAT = 3  # of what is cached
_MARSHAL = 4  # its format that every Python since 3.4 reads
_ROOMS = ("", "lang", "lang/passes", "hooks", "maps", "maps/stores", "helpers", "headers", "spec", "types",
          "objfile", "formats/elf", "formats/btf")


class Compiled:
    """An object file and what its names stand for on the Python side.

    `maps`: declarations by their name in the object; `shared`: (struct, offset in the shared data); `lost`: offsets
    of the counters by map name; `logs`: forms of log lines; `object`: the ELF file as its reader gave it.
    """

    __slots__ = ("elf", "logs", "lost", "maps", "object", "programs", "shared")

    def __init__(self, elf: bytes, programs: dict[str, str], maps: dict[str, Any], shared: list[tuple[Any, int]],
                 lost: dict[str, int], logs: list[Any], object: ObjectSpec | None) -> None:
        self.elf = elf
        self.object = object
        self.programs = programs
        self.maps = maps
        self.shared = shared
        self.lost = lost
        self.logs = logs


def compile_programs(programs: list[Program[Any, Any, Any]], target: Target,
                     config: dict[type[Config], Config] | None = None, *, cached: bool = True,
                     reader: Callable[[bytes], ObjectSpec] | None = None, variables: bool = False) -> Compiled:
    """Compile programs into one object. Raises CompileError with line and caret.

    `reader` turns the file into what a machine loads; that is kept beside the file. With `variables` the object's
    DWARF says where each variable is, for debuggers; the code is the same.
    """
    captures = Captures([program.function for program in programs])
    captures.configs.update(config or {})
    cache = _cache.default()
    key = ""
    if cached:
        hooks = "\n".join(f"{p.name} {p.hook.section(p)} {p.facts} "
                          f"{sorted((k, repr(v)) for k, v in p.options.items())}" for p in programs)
        configs = "\n".join(sorted(repr(c) for c in captures.configs.values()))
        key = captures.digest(str(FORMAT), hooks, configs, repr((target.cpu, sorted(target.features), target.opt)),
                              compiler_version(), _llvm.version(), "read" if reader else "",
                              "variables" if variables else "")
        found = cache.get(key)
        if found is not None:
            return _thaw(found, captures)
    unit, names = _lower(programs, target, captures)
    elf = _assemble(unit.text(variables=variables), target, programs)
    if len(unit.module.functions) > len(programs):
        from bpfwright.lang import frames
        frames.check(unit.module, elf, [(program, names[program.name]) for program in programs])
    facts = {
        "programs": names,
        "maps": {name: captures.objects.index(declared) for name, declared in unit.maps.items()},
        "shared": [[captures.objects.index(o), unit.shared.known[id(o)]] for o in captures.objects
                   if is_shared(o) and id(o) in unit.shared.known],
        "lost": unit.lost,
        "logs": unit.logs,
    }
    frozen = marshal.dumps((facts, elf, freeze(reader(elf)) if reader else None), _MARSHAL)
    if cached:
        cache.put(key, frozen)
    return _thaw(frozen, captures)


def llvm_text(programs: list[Program[Any, Any, Any]], target: Target) -> str:
    """LLVM's text of the programs, for people."""
    captures = Captures([program.function for program in programs])
    text: str = _lower(programs, target, captures)[0].text()
    return text


def compiler_version() -> str:
    """The version, and the newest file of the rooms that make the object: a changed compiler finds nothing cached."""
    from bpfwright._version import __version__
    home = os.path.dirname(os.path.dirname(__file__))
    newest = 0
    for room in _ROOMS:
        with os.scandir(os.path.join(home, room)) as entries:
            newest = max(newest, *(e.stat().st_mtime_ns for e in entries if e.name.endswith(".py")))
    return f"{__version__} {newest}"


def _thaw(frozen: bytes, captures: Captures) -> Compiled:
    facts, elf, parts = marshal.loads(frozen)  # private to this user, and whole: see _cache
    objects = captures.objects
    return Compiled(elf, facts["programs"], {name: objects[i] for name, i in facts["maps"].items()},
                    [(objects[i], offset) for i, offset in facts["shared"]], facts["lost"], facts["logs"], thaw(parts))


def _lower(programs: list[Program[Any, Any, Any]], target: Target, captures: Captures) -> tuple[Any, dict[str, str]]:
    from bpfwright.lang.check import Checker, Job
    from bpfwright.lang.scope import MISSING, Scope
    from bpfwright.lang.shapes import shape_of
    from bpfwright.lang.unit import Unit
    unit = Unit(target, captures.names, captures.configs, shape_of)
    names: dict[str, str] = {}
    for program in programs:
        job = Job(target, program)
        job.names = unit.taken
        checker = Checker(job, program.function)
        scope = Scope(program.function)
        code = program.function.__code__
        parameters = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
        if not parameters:
            checker.refuse(_head(checker), f"{program.name} takes no context", "Write `def name(ctx: ...Context)`.")
        annotations = [scope.annotation(name) for name in parameters]
        for name, annotation in zip(parameters, annotations, strict=True):
            if annotation is MISSING:
                checker.refuse(_head(checker), f"the parameter {name!r} of {program.name} has no type",
                               "Annotate it, as in `ctx: xdp.Context`.")
        try:
            meanings = program.hook.parameters(program, annotations)
            result = program.hook.result(program)
        except UsageError as error:
            checker.refuse(_head(checker), error.what, error.cure)
        name = unit.fresh(program.name)
        body = checker.run(list(zip(parameters, meanings, strict=True)), result, name)
        unit.scratch_allowed = not program.options.get("sleepable", False)
        unit.moves_packet = job.moves_packet
        unit.default_return = getattr(program.hook, "default_return", 0)
        unit.separate_results = getattr(program.hook, "separate_results", False)
        try:
            unit.lower_program(body, name, program.hook.section(program), [],
                               lambda lowering, p=program, m=meanings: p.hook.enter(lowering, p, m))
        except UsageError as error:
            checker.refuse(_head(checker), error.what, error.cure)
        names[program.name] = name
    return unit, names


class _Head:
    """The place of a function's first line."""

    def __init__(self, line: int, column: int, end_column: int) -> None:
        self.line = line
        self.column = column
        self.end_column = end_column


def _head(checker: Any) -> _Head:
    source = checker.source
    for offset, text in enumerate(source.lines):
        if text.lstrip().startswith("def "):
            column = len(text) - len(text.lstrip())
            return _Head(source.first + offset, column, len(text.rstrip()))
    return _Head(source.first, 0, 1)


def _assemble(text: str, target: Target, programs: list[Program[Any, Any, Any]]) -> bytes:
    try:
        return _llvm.compile_bpf(text, cpu=target.cpu, opt=target.opt)
    except CompilerCrash as crash:
        import re
        said = crash.diagnostics
        place = re.search(r"error: (.+?):(\d+):(\d+): in function", said)
        if "stack limit" in said and place is not None:
            file, line, column = place[1], int(place[2]), max(0, int(place[3]) - 1)
            import linecache
            source = linecache.getline(file, line).rstrip("\n")
            raise CompileError("this program needs more than 512 bytes of stack", file=file, line=line, column=column,
                               end_column=len(source), source=source,
                               cure="Use shorter texts, or build records in the ring: `with ring.reserve() as e:`.",
                               ) from crash
        raise
