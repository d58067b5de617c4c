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

__all__ = ["Compiled", "ROOMS", "compile_anywhere", "compile_programs", "compiler_version", "key_anywhere", "llvm_text"]

FORMAT = 4  # of what is cached
CONFIG_SECTION = ".rodata.config"
_MARSHAL = 4  # its format that every Python since 3.4 reads
ROOMS = ("", "lang", "lang/passes", "hooks", "maps", "maps/stores", "helpers", "headers", "spec", "types",
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
    if not cached:
        return _thaw(_compile(programs, target, captures, reader, variables), captures)
    cache = _cache.default()
    # What is read is filled in when it is taken out: only an object file by itself depends on the values.
    configs = "" if reader else "\n".join(sorted(repr(c) for c in captures.configs.values()))
    key = captures.digest(str(FORMAT), _hooks(programs, facts=True), configs,
                          repr((target.cpu, sorted(target.features), target.opt)), compiler_version(), _llvm.version(),
                          "read" if reader else "", "variables" if variables else "")
    frozen = cache.get(key)
    if frozen is None:
        ahead = None
        if reader and not variables:
            from bpfwright.lang import ahead as compiled_ahead
            ahead = compiled_ahead.find(programs, target)
        frozen = ahead or _compile(programs, target, captures, reader, variables)
        cache.put(key, frozen)
    return _thaw(frozen, captures)


def compile_anywhere(programs: list[Program[Any, Any, Any]], target: Target,
                     reader: Callable[[bytes], ObjectSpec]) -> tuple[str, bytes]:
    """What `lang.ahead` keeps: a key and an object that are the same in every installation of this version."""
    captures = Captures([program.function for program in programs], anywhere=True)
    return key_anywhere(programs, target, captures), _compile(programs, target, captures, reader, False)


def key_anywhere(programs: list[Program[Any, Any, Any]], target: Target, captures: Captures | None = None) -> str:
    """The key of an object of this package, but for what this kernel has: the features and the programs' facts."""
    captures = captures or Captures([program.function for program in programs], anywhere=True)
    return captures.digest(str(FORMAT), _hooks(programs, facts=False), repr((target.cpu, target.opt)))


def _hooks(programs: list[Program[Any, Any, Any]], *, facts: bool) -> str:
    return "\n".join(f"{p.name} {p.hook.section(p)} {p.facts if facts else ''} "
                     f"{sorted((k, repr(v)) for k, v in p.options.items())}" for p in programs)


def _compile(programs: list[Program[Any, Any, Any]], target: Target, captures: Captures,
             reader: Callable[[bytes], ObjectSpec] | None, variables: bool) -> bytes:
    """What _thaw() takes."""
    unit, names, elf = _fitted(programs, target, captures, variables)
    facts = {
        "programs": names,
        "maps": {name: captures.objects.index(declared) for name, declared in unit.maps.items()},
        "shared": [[captures.objects.index(o), unit.shared.known[id(o)]] for o in captures.objects
                   if is_shared(o) and id(o) in unit.shared.known],
        "lost": unit.lost,
        "logs": unit.logs,
        "config": [[list(captures.configs).index(cls), member, offset]
                   for (cls, member), offset in unit.config.known.items()],
    }
    return marshal.dumps((facts, elf, freeze(reader(elf)) if reader else None), _MARSHAL)


def _fitted(programs: list[Program[Any, Any, Any]], target: Target, captures: Captures, variables: bool,
            ) -> tuple[Any, dict[str, str], bytes]:
    """The object with as many records on the stack as fit there."""
    from bpfwright.lang.build import STACK_BUDGETS
    from bpfwright.lang.frames import ChainExceeded, check
    first: CompileError | None = None
    for budget in STACK_BUDGETS:
        unit, names = _lower(programs, target, captures, budget)
        try:
            elf = _assemble(unit.text(variables=variables), target)
            if len(unit.module.functions) > len(programs):
                check(unit.module, elf, [(program, names[program.name]) for program in programs])
            return unit, names, elf
        except (StackExceeded, ChainExceeded) as error:
            first = first or error
            if not unit.scratch_allowed:
                break
    assert first is not None
    raise first


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
    for room in ROOMS:
        with os.scandir(os.path.join(home, room)) as entries:
            newest = max(newest, *(e.stat().st_mtime_ns for e in entries if e.name.endswith(".py")))
    return f"{__version__} {newest}"


def _thaw(frozen: bytes, captures: Captures) -> Compiled:
    facts, elf, parts = marshal.loads(frozen)  # private to this user, and whole: see _cache
    objects = captures.objects
    read = thaw(parts)
    if read is not None:
        read = _fill_in(read, facts["config"], list(captures.configs.values()))
    return Compiled(elf, facts["programs"], {name: objects[i] for name, i in facts["maps"].items()},
                    [(objects[i], offset) for i, offset in facts["shared"]], facts["lost"], facts["logs"], read)


def _fill_in(read: ObjectSpec, places: list[Any], configs: list[Config]) -> ObjectSpec:
    """The object with these settings, which may be others than those that it was compiled with."""
    if not places:
        return read
    maps = []
    for spec in read.maps:
        if spec.data_section == CONFIG_SECTION and spec.contents is not None:
            contents = bytearray(spec.contents)
            for index, member, offset in places:
                value = type(configs[index]).types()[member].to_bytes(getattr(configs[index], member))
                contents[offset:offset + len(value)] = value
            spec = spec._replace(contents=bytes(contents))
        maps.append(spec)
    return read._replace(maps=tuple(maps))


def _lower(programs: list[Program[Any, Any, Any]], target: Target, captures: Captures, budget: int = 0,
           ) -> tuple[Any, dict[str, str]]:
    from bpfwright.lang.shapes import shape_of
    from bpfwright.lang.unit import Unit
    unit = Unit(target, captures.names, captures.configs, shape_of, anywhere=captures.anywhere)
    unit.stack_budget = budget or unit.stack_budget
    return unit, lower(programs, target, unit)


def lower(programs: list[Program[Any, Any, Any]], target: Target, unit: Any) -> dict[str, str]:
    """Check programs and lower them into a lang.unit.Unit; their names there."""
    from bpfwright.lang.check import Checker, Job
    from bpfwright.lang.scope import MISSING, Scope
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
    return names


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


class StackExceeded(CompileError):
    """LLVM found that a function needs more than the stack has."""


def _assemble(text: str, target: Target) -> bytes:
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
            raise StackExceeded("this program needs more than 512 bytes of stack", file=file, line=line, column=column,
                                end_column=len(source), source=source,
                                cure="Use shorter texts, or build records in the ring: `with ring.reserve() as e:`.",
                                ) from crash
        raise
