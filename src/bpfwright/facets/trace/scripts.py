"""A script's text to what can be run: from the cache where it was compiled before on this kernel, else compiled now."""
from __future__ import annotations

import marshal
import os

from bpfwright import _cache
from bpfwright._typing import TYPE_CHECKING, Any, NamedTuple
from bpfwright.errors import UsageError
from bpfwright.facets.trace import plan as plans
from bpfwright.facets.trace.types import decode, encode
from bpfwright.spec.freezing import freeze, thaw
from bpfwright.spec.objects import ObjectSpec

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.options import Options
    from bpfwright.facets.trace.imports import Disk
    from bpfwright.facets.trace.parser import Parsed
    from bpfwright.lang.target import Target

__all__ = ["Compiled", "compiled", "front", "parameters_of", "host_for", "points_of", "ring_bytes", "unit_of"]

_FORMAT = b"3"
_MARSHAL = 4
_LIBRARIES = "/etc/ld.so.cache"
_BY_FOLDER = ("import", "#", "u:", "ur:", "U:", "uprobe:", "uretprobe:", "usdt:")
"""What a script has that may mean a file by a path from where it is run."""
_ROOMS = ("facets/trace", "facets/trace/compiling", "facets/trace/compiling/functions", "facets/trace/probes", "lang",
          "objfile", "stacks", "helpers")
_LEAST_PAGES, _MOST_PAGES = 64, 4096


class Compiled(NamedTuple):
    """A plan and its object."""

    plan: plans.Plan
    object: ObjectSpec


def compiled(text: str, file: str, options: Options, machine: Any, *, cached: bool = True) -> Compiled:
    """Compile a script for this machine. Raises CompileError (Mistakes), TargetError, NotSupported.

    What was compiled is kept under the text, the options, the environment's settings, the kernel and its modules; what
    the script takes from files (imports, traced binaries) is looked at again: a changed file compiles anew.
    """
    cache = _cache.default()
    key = _key(text, file, options) if cached else ""
    if cached:
        found = cache.get(key)
        if found is not None:
            looked, frozen_plan, frozen = marshal.loads(found)  # private to this user, and whole: see _cache
            if all(_stamp(path) == stamp for path, stamp in looked):
                return Compiled(_thaw_plan(frozen_plan), thaw(frozen))
    from bpfwright import _llvm
    _llvm.start()  # it loads while the script is read
    made, looked = _compile(text, file, options, machine)
    if cached:
        cache.put(key, marshal.dumps((tuple((path, _stamp(path)) for path in looked), encode(_plain(made.plan)),
                                      freeze(made.object)), _MARSHAL))
    return made


def _plain(plan: Any) -> Any:
    """A plan as tuples of plain values and types."""
    return tuple(_plain(part) for part in plan) if isinstance(plan, tuple) else plan


def _thaw_plan(frozen: Any) -> plans.Plan:
    (attachments, maps, messages, texts, probes, begin, end, signals, tests, benches, settings, warnings,
     counters, unwound) = decode(frozen)
    return plans.Plan(tuple(plans.Attachment(*one) for one in attachments), tuple(plans.Map(*one) for one in maps),
                      tuple(plans.Message(*one)
                            for one in messages), texts, probes, begin, end, signals, tests, benches,
                      settings, warnings, tuple(plans.Counter(*one) for one in counters), unwound)


def _stamp(path: str) -> tuple[int, int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def _key(text: str, file: str, options: Options) -> str:
    host = os.uname()
    try:
        with open("/proc/modules", "rb") as modules:
            loaded = b" ".join(line.split(b" ", 1)[0] for line in modules)
    except OSError:
        loaded = b""
    here = f"{os.getcwd()} {os.environ.get('PATH', '')}" if any(word in text for word in _BY_FOLDER) else ""
    settings = repr(sorted((name, value) for name, value in os.environ.items() if name.startswith("BPFTRACE_")))
    return _cache.key_of(_FORMAT, text.encode("utf-8", "surrogateescape"), file.encode("utf-8", "surrogateescape"),
                         options.key().encode(), settings.encode("utf-8", "surrogateescape"), host.release.encode(),
                         host.version.encode(), loaded, str(os.geteuid()).encode(), _version().encode(), _namespace(),
                         _boot(), here.encode("utf-8", "surrogateescape"), _started(options.pid))


def _boot() -> bytes:
    """Which run of the kernel this is: addresses and the numbers of events change with it."""
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _started(pid: int | None) -> bytes:
    """What tells a process from a later one of the same number, and from what it was before it ran another program."""
    if pid is None:
        return b""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19] + os.readlink(f"/proc/{pid}/exe").encode(
                "utf-8", "surrogateescape")
    except OSError:
        return b""


def _namespace() -> bytes:
    try:
        return os.readlink("/proc/self/ns/pid").encode()
    except OSError:
        return b""


def _version() -> str:
    """The version, and the newest file of what compiles scripts."""
    from bpfwright._version import __version__
    home = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    newest = 0
    for room in _ROOMS:
        with os.scandir(os.path.join(home, room)) as entries:
            newest = max(newest, *(entry.stat().st_mtime_ns for entry in entries if entry.name.endswith(".py")))
    return f"{__version__} {newest}"


def front(text: str, file: str, options: Options, files: Disk | None = None) -> Parsed:
    """The tree, with imports in it and macros expanded."""
    from bpfwright.facets.trace.imports import Disk, with_imports
    from bpfwright.facets.trace.macros import expand
    from bpfwright.facets.trace.names import check_calls
    from bpfwright.facets.trace.parser import Parsed, parse
    parsed = with_imports(parse(text, file, words=options.words), files or Disk(), options.include)
    program = expand(parsed.program)
    return Parsed(program, parsed.warnings + check_calls(program))


def _compile(text: str, file: str, options: Options, machine: Any) -> tuple[Compiled, list[str]]:
    from bpfwright.facets.trace.compiling.compile import object_of
    from bpfwright.objfile import read
    asked: list[str] = []
    unit, plan = _lowered(text, file, options, machine, asked)
    asked += {str(each.where[0]): None for each in plan.attachments if each.how in ("uprobe", "usdt")}
    if any(each.how in ("uprobe", "usdt") for each in plan.attachments):
        asked.append(_LIBRARIES)
    return Compiled(plan, read(object_of(unit))), list(dict.fromkeys(asked))


def unit_of(text: str, file: str, options: Options, machine: Any) -> Any:
    """The object in the making, before LLVM."""
    return _lowered(text, file, options, machine, [])[0]


def _lowered(text: str, file: str, options: Options, machine: Any, asked: list[str]) -> tuple[Any, plans.Plan]:
    """The unit and the plan; `asked` gets the files whose change changes them."""
    from bpfwright.facets.trace.compiling.compile import lowered
    from bpfwright.session import target_of
    from bpfwright.facets.trace.imports import Disk
    disk = Disk()
    parsed = front(text, file, options, disk)
    if not parsed.program.probes:
        raise UsageError("there is no probe in the script", cure="Write one: `begin { ... }`, say.")
    host = _host(parsed, options, machine)
    from bpfwright.facets.trace.compiling.programs import bodies_of
    bodies, probes, warnings = bodies_of(parsed.program, host)
    target: Target = target_of(machine)
    unit, plan = lowered(bodies, host, parsed.program, target, ring_bytes(int(host.setting("perf_rb_pages"))))
    _asked_for(options.named, host.parameters, parsed.program)
    said = tuple(str(note.error()) for note in (*parsed.warnings, *warnings))
    asked += disk.asked + host.asked
    return unit, plan._replace(probes=probes, warnings=said + plan.warnings)


def _asked_for(given: dict[str, str], known: dict[str, tuple[Any, bool, str]], program: Any) -> None:
    """Refuse parameters that the script never asks for, not even in a probe that is not there."""
    from bpfwright.facets.trace import tree
    asked = {*known} | {node.arguments[0].value for node in tree.walk(program) if isinstance(node, tree.Call)
                        and node.name == "getopt" and isinstance(node.arguments[0], tree.String)}
    wrong = [name for name in given if name not in asked]
    if wrong:
        have = "It has:\n" + _parameters(known) if known else "It has none: it calls no `getopt`."
        raise UsageError(f"the script has no parameter --{wrong[0]}", cure=have)


def _parameters(known: dict[str, tuple[Any, bool, str]]) -> str:
    lines = []
    for name, (default, is_flag, said) in known.items():
        shown = default.decode("utf-8", "replace") if isinstance(default, bytes) else default
        lines.append("  " + (f"--{name}" if is_flag else f"--{name}={shown}") + (f"  {said}" if said else ""))
    return "\n".join(lines)


def parameters_of(text: str, file: str, options: Options, machine: Any) -> str:
    """The script's named parameters, a line for each: its default, and what it is for."""
    from bpfwright.facets.trace.compiling.compile import checked
    from bpfwright.facets.trace.compiling.programs import bodies_of
    from bpfwright.facets.trace.compiling.scope import Knowledge
    parsed = front(text, file, options)
    host = _host(parsed, options, machine)
    checked(bodies_of(parsed.program, host)[0], host, Knowledge())
    return _parameters(host.parameters)


def host_for(options: Options, machine: Any) -> Host:
    """A host without a script: what lists ask."""
    from bpfwright.facets.trace.parser import parse
    return _host(parse("begin { }", ""), options, machine)


def points_of(text: str, file: str, options: Options, machine: Any) -> list[str]:
    """What a script would attach to, in full."""
    from bpfwright.facets.trace.compiling.programs import bodies_of
    parsed = front(text, file, options)
    _, probes, _ = bodies_of(parsed.program, _host(parsed, options, machine))
    return [name for name, _ in probes]


def _host(parsed: Parsed, options: Options, machine: Any) -> Host:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.compiling.settings import settings_of
    from bpfwright.facets.trace.layouts import BtfLayouts, Layouts, Source
    program = parsed.program
    sources: dict[str, Source] = {}
    kernel = _KernelLayouts(machine, BtfLayouts)
    constants: dict[str, str] = {}
    asked: list[str] = []
    if program.definitions or options.headers:
        from bpfwright.facets.trace.definitions import definitions
        own = definitions(program, kernel, options.include, options.headers)
        sources["script"], constants, asked = own, own.constants, own.asked
    sources["kernel"] = kernel
    made = Host(machine, Layouts(sources), options, settings_of(program))
    made.functions = {function.name: function for function in program.functions}
    made.constants = constants
    made.asked = asked
    return made


class _KernelLayouts:
    """The kernel's types, read when the first one is asked for; none where it has no BTF."""

    def __init__(self, machine: Any, make: Any) -> None:
        self._machine = machine
        self._make = make
        self._found: Any = None

    def _layouts(self) -> Any:
        if self._found is None:
            from bpfwright.errors import NotSupported
            try:
                self._found = self._make(self._machine.types.vmlinux)
            except NotSupported:
                self._found = _NoTypes()
        return self._found

    def named(self, keyword: str, name: str) -> Any:
        return self._layouts().named(keyword, name)

    def members(self, struct: Any) -> Any:
        return self._layouts().members(struct)

    def enumerator(self, name: str) -> Any:
        return self._layouts().enumerator(name)


class _NoTypes:
    """A kernel without BTF."""

    def named(self, keyword: str, name: str) -> None:
        return None

    def members(self, struct: Any) -> list[Any]:
        return []

    def enumerator(self, name: str) -> None:
        return None


def ring_bytes(pages: int) -> int:
    """The ring's size: so many pages, or by the memory there is, as a power of two."""
    page = os.sysconf("SC_PAGE_SIZE")
    if not pages:
        memory = os.sysconf("SC_PHYS_PAGES") * page
        pages = max(_LEAST_PAGES, min(_MOST_PAGES // 2, memory // (1 << 21)))
    size = page
    while size < pages * page:
        size *= 2
    return size
