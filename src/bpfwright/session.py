"""Recipes: load, attach, run. Compile, load, attach; everything is undone when the session closes."""
from __future__ import annotations

import sys
from _weakref import ref
from types import TracebackType

from bpfwright import _llvm
from bpfwright._host import now_ns, sleep_s
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Generic, Iterable, Mapping, Self, TypeVar, overload
from bpfwright.errors import NotSupported, SessionError, UsageError
from bpfwright.spec.machine import Link, LoadedMap, LoadedObject, LoadedProgram, Machine, Watch
from bpfwright.spec.map import Binding, MapDeclaration
from bpfwright.spec.program import BoundProgram, Program, Result
from bpfwright.types import is_shared
from bpfwright.types.config import Config

if TYPE_CHECKING:
    from bpfwright.events import Events
    from bpfwright.lang.compile import Compiled
    from bpfwright.lang.target import Target
    from bpfwright.maps.perf import PerfEventArray
    from bpfwright.maps.ringbuf import RingBuf
    from bpfwright.spec.objects import ObjectSpec

__all__ = ["Loaded", "Session", "attach", "load", "prepare", "run", "target_of", "using"]

T = TypeVar("T")
I = TypeVar("I")
A = TypeVar("A")
S = TypeVar("S")
M = TypeVar("M")

if TYPE_CHECKING:
    Configs = Config | tuple[Config, ...] | None

_LOG_RING = "bpfwright_log"
_SHARED = ".data.shared"


class Session:
    """What attach, load and run return: everything is undone when it closes."""

    def __init__(self, programs: list[Program[Any, Any, Any]], machine: Machine | None, config: Configs,
                 maps: Mapping[MapDeclaration | str, LoadedMap] | None = None,
                 change: Callable[[ObjectSpec], ObjectSpec] | None = None) -> None:
        self._programs = programs
        self._change = change
        self._given = maps or {}
        chosen = machine if machine is not None else _chosen[-1] if _chosen else None
        self._owned = chosen is None
        self.machine: Machine = chosen if chosen is not None else _kernel()
        self._watch: Watch | None = getattr(self.machine, "watch", None)
        self._links: list[Link] = []
        self._attached: list[tuple[Program[Any, Any, Any], Any]] = []
        self._closers: list[Callable[[], None]] = []
        self._extra: dict[int, Binding] = {}
        self._provided: list[MapDeclaration] = []
        self._deadline_ns: int | None = None
        self._open = False
        self.links: tuple[Link, ...] = ()
        try:
            self._load(config)
        except BaseException:
            self.close()
            raise

    def _load(self, config: Configs) -> None:
        from bpfwright.lang.compile import compile_programs
        given = config if isinstance(config, tuple) else () if config is None else (config,)
        configs = {type(each): each for each in given}
        prepare(self._programs, self.machine)
        target = target_of(self.machine, self._programs)
        if self._watch is not None:
            self._watch.compiled_for(target.features)
        compiled = compile_programs(self._programs, target, configs, reader=_read)
        self.compiled: Compiled = compiled
        assert compiled.object is not None
        if self._change is not None:
            compiled.object = self._change(compiled.object)
        self.loaded: LoadedObject = self.machine.load(compiled.object, maps=self._names_of_given())
        self._closers.append(self.loaded.close)
        self._bind()
        self._open = True
        known = ref(self)  # a session that is forgotten goes: nothing here may hold it

        def provide(declared: MapDeclaration) -> Binding:
            session = known()
            assert session is not None
            return session._provide(declared)

        MapDeclaration.providers.append(provide)
        self._closers.append(lambda: MapDeclaration.providers.remove(provide))

    def _names_of_given(self) -> dict[str, LoadedMap]:
        """The maps that are there already, by their names in the object; those that no program uses are left out."""
        known = {declared: name for name, declared in self.compiled.maps.items()}
        assert self.compiled.object is not None
        names = {spec.name for spec in self.compiled.object.maps}
        found = {known.get(key, "") if isinstance(key, MapDeclaration) else key: given
                 for key, given in self._given.items()}
        return {name: given for name, given in found.items() if name in names}

    def _bind(self) -> None:
        memory = self._shared_memory()
        self._lost = {name: self._counter(memory, offset) for name, offset in self.compiled.lost.items()}
        self.bindings: dict[int, Binding] = {}
        for name, declared in self.compiled.maps.items():
            binding = Binding(self.loaded.maps[name], self._lost.get(name, _nothing))
            self.bindings[id(declared)] = binding
            declared.bindings.append(binding)
            self._closers.append(_remover(declared.bindings, binding))
        self._shared: dict[int, Any] = {}
        for struct, offset in self.compiled.shared:
            size = len(struct.shared_memory.initial)
            view = memoryview(memory)[offset:offset + size]
            self._shared[id(struct)] = view
            struct.shared_memory.bindings.append(view)
            self._closers.append(_releaser(struct.shared_memory.bindings, view))
            if self._watch is not None:
                struct.shared_memory.looked = self._watch.looked
                self._closers.append(_unwatch(struct.shared_memory))
        for program in self._programs:
            loaded = self.program(program)
            program.bindings.append(loaded)
            self._closers.append(_remover(program.bindings, loaded))

    def _shared_memory(self) -> Any:
        data = self.loaded.maps.get(_SHARED)
        if data is None:
            return bytearray(0)
        values = data.map_values()  # type: ignore[attr-defined]
        self._closers.append(values.close)
        return values.view

    def _counter(self, memory: Any, offset: int) -> Callable[[], int]:
        return lambda: int.from_bytes(memory[offset:offset + 8], "little")

    def _provide(self, declared: MapDeclaration) -> Binding:
        """A map that no program names, for use as the inside of another: made when first used."""
        known = self._extra.get(id(declared))
        if known is None:
            from bpfwright.spec.objects import MapSpec
            key, value = declared.key, declared.value
            made = self.machine.create_map(MapSpec(  # type: ignore[attr-defined]
                type(declared).__name__.lower(), declared.kind, key.size if key else 0, value.size if value else 0,
                declared.max_entries, declared.flags))
            known = self._extra[id(declared)] = Binding(made, _nothing)
            self._provided.append(declared)  # or another declaration could come to have its id
            self._closers.append(made.close)
        return known

    def program(self, program: Program[Any, Any, Any]) -> LoadedProgram:
        """The loaded program of this session."""
        name = self.compiled.programs.get(program.name)
        if name is None:
            raise SessionError(f"{program.name} is not in this session")
        return self.loaded.programs[name]

    def _attach(self, program: Program[Any, Any, Any], target: Any) -> None:
        def make() -> Link:
            return program.hook.attach(self.machine, self.program(program), program, target)

        link = make() if self._watch is None else self._watch.attach(program.name, make)
        self._links.append(link)
        self._attached.append((program, target))
        self.links = tuple(self._links)

    # use

    def events(self, ring: RingBuf[S] | PerfEventArray[S]) -> Events[S]:
        """The records of a ring: iterate, `async for`, or `.columns()`; `.lost` says what found no room."""
        declared: Any = ring
        binding = self.bindings.get(id(declared))
        if binding is None:
            raise SessionError("no program of this session sends to this ring")
        from bpfwright.events import Events
        reader = _reader(binding.handle, declared)
        if self._watch is not None:
            reader = self._watch.reader(binding.handle.spec.name, reader)
        made: Events[S] = Events(reader, declared.value.cls, binding.lost)
        if not getattr(self.machine, "concurrent", True):  # nothing more comes while someone waits
            made.stop()
        if self._deadline_ns is not None:
            made.within(max(0.0, (self._deadline_ns - now_ns()) / 1e9))
        self._closers.append(made.close)
        return made

    def log(self) -> list[str]:
        """The lines that programs logged since the last time, oldest first."""
        ring = self.loaded.maps.get(_LOG_RING)
        if ring is None:
            return []
        if not hasattr(self, "_log_reader"):
            self._log_reader = _ring_reader(ring, 1 << 16)
            self._closers.append(self._log_reader.close)
        return [_format(self.compiled.logs, record) for record in self._log_reader.records()]

    @property
    def log_lost(self) -> int:
        """Log lines that found no room."""
        return self._lost.get(_LOG_RING, _nothing)()

    @property
    def unfinished(self) -> int:
        """`while` loops that ended because the kernel's budget for them (may_goto) was used up."""
        return self._lost.get("unfinished", _nothing)()

    def test_of(self, program: Program[T, I, A], given: I, *, repeat: int = 1) -> Result[A]:
        """Run a loaded program on an input of its hook, without attaching it."""
        result = program.hook.test(self.program(program), program, given, repeat)
        result.log = self.log()
        return result

    def statistics(self) -> dict[str, tuple[int, int, int]]:
        """(runs, ns in all, recursion misses) by program; switch them on with `machine.keep_statistics()`."""
        return {program.name: self.program(program).statistics() for program in self._programs}

    def read(self, program: Program[Any, Any, Any], record: type[S]) -> list[S]:
        """Walk an attached iterator once; the records that it wrote."""
        from bpfwright.types.ctype import RecordType
        ctype = RecordType(record)
        for (attached, _), link in zip(self._attached, self._links, strict=True):
            if attached.function is program.function:
                data: bytes = self.machine.iterate(link)  # type: ignore[attr-defined]
                return [ctype.from_bytes(data[at:at + ctype.size]) for at in range(0, len(data), ctype.size)]
        raise SessionError(f"{program.name} is not attached in this session")

    def wait(self) -> None:
        """Sleep until the session's time is over."""
        if self._deadline_ns is not None:
            sleep_s(max(0.0, (self._deadline_ns - now_ns()) / 1e9))

    def __getitem__(self, declared: M) -> M:
        """The declared map or shared struct, answering for this session."""
        if not self._open:
            raise SessionError("this session is closed", cure="Read what you need inside its `with`.")
        if isinstance(declared, MapDeclaration):
            binding = self.bindings.get(id(declared)) or self._extra.get(id(declared))
            if binding is None:
                raise SessionError("no program of this session uses this map")
            return declared.bound(binding)
        if is_shared(declared):
            view = self._shared.get(id(declared))
            if view is None:
                raise SessionError("no program of this session uses this struct")
            if self._watch is not None:
                self._watch.looked(view)
            return type(declared).__mro__[1].view(view)  # type: ignore[attr-defined, no-any-return]
        raise UsageError("a session is indexed by a declared map or shared struct")

    def close(self) -> None:
        """Detach, unload, let go; what fails does not stop the rest."""
        self._open = False
        links, self._links = self._links, []
        problems: list[BaseException] = []
        closers = [link.close for link in reversed(links)] + list(reversed(self._closers))
        self._closers = []
        if self._owned:
            closers.append(self.machine.close)
        for closer in closers:
            try:
                closer()
            except Exception as problem:
                problems.append(problem)
        if problems:
            raise problems[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_open", False):
            try:
                import warnings
            except ImportError:  # the interpreter is ending, and the kernel takes back what it lent
                return
            names = ", ".join(program.name for program in self._programs)
            warnings.warn(f"a session of {names} was forgotten, not closed", ResourceWarning, source=self, stacklevel=1)
            self.close()


class Loaded(Session, Generic[I, A]):
    """A session of one program, which can be tested by itself."""

    def test(self, given: I, *, repeat: int = 1) -> Result[A]:
        """Run it on an input of its hook."""
        return self.test_of(self._programs[0], given, repeat=repeat)


@overload
def attach(program: Program[T, I, A], target: T, /, *, machine: Machine | None = None, config: Configs = None,
           maps: Mapping[Any, LoadedMap] | None = None) -> Session: ...
@overload
def attach(*programs: BoundProgram[Any, Any, Any], machine: Machine | None = None, config: Configs = None,
           maps: Mapping[Any, LoadedMap] | None = None) -> Session: ...
def attach(*programs: Any, machine: Machine | None = None, config: Configs = None,
           maps: Mapping[Any, LoadedMap] | None = None) -> Session:
    """Load programs and attach them: one program and its target, or any number of bound ones, undone together.

    `maps` are those that are there already, as load() takes them.
    Raises CompileError, VerifierError, PrivilegeError, NotSupported, TargetError; then nothing stays attached.
    """
    pairs = _pairs(programs)
    session = Session(list({id(p.function): p for p, _ in pairs}.values()), machine, config, maps)
    try:
        for program, target in pairs:
            session._attach(program, target)
    except BaseException:
        session.close()
        raise
    return session


def _pairs(programs: tuple[Any, ...]) -> list[tuple[Program[Any, Any, Any], Any]]:
    if len(programs) == 2 and isinstance(programs[0], Program) and not isinstance(programs[1], Program):
        return [(programs[0], programs[1])]
    if not programs:
        raise UsageError("attach() takes at least one program")
    for program in programs:
        if not isinstance(program, Program):
            raise UsageError(f"{program!r} is not a program", cure="Decorate a function, as in `@xdp.program`.")
        if not isinstance(program, BoundProgram):
            raise UsageError(f"{program.name} has no target yet", cure=f"Write {program.name}.on(target).")
    return [(program, program.target) for program in programs]


def run(*programs: BoundProgram[Any, Any, Any], duration_s: float | None = None) -> Session:
    """Attach programs; with `duration_s`, iterations over events end after that many seconds."""
    session = attach(*programs)
    if duration_s is not None:
        session._deadline_ns = now_ns() + int(duration_s * 1e9)
    return session


@overload
def load(program: Program[Any, I, A], /, *, machine: Machine | None = None, config: Configs = None,
         maps: Mapping[Any, LoadedMap] | None = None,
         change: Callable[[ObjectSpec], ObjectSpec] | None = None) -> Loaded[I, A]: ...
@overload
def load(first: Program[Any, Any, Any], second: Program[Any, Any, Any], /, *more: Program[Any, Any, Any],
         machine: Machine | None = None, config: Configs = None,
         maps: Mapping[Any, LoadedMap] | None = None,
         change: Callable[[ObjectSpec], ObjectSpec] | None = None) -> Session: ...
def load(*programs: Any, machine: Machine | None = None, config: Configs = None,
         maps: Mapping[Any, LoadedMap] | None = None,
         change: Callable[[ObjectSpec], ObjectSpec] | None = None) -> Any:
    """Load programs without attaching them, to test them or to attach them later.

    `maps`: maps of the machine that are there already (pinned ones, another session's), by their declaration or by
    their name in the object, for the programs to use instead of new ones; the session does not close them. `change`
    may make another object of what was compiled, before it is loaded.
    """
    if not programs:
        raise UsageError("load() takes at least one program")
    for program in programs:
        if not isinstance(program, Program):
            raise UsageError(f"{program!r} is not a program", cure="Decorate a function, as in `@xdp.program`.")
    return (Loaded if len(programs) == 1 else Session)(list(programs), machine, config, maps, change)


def _read(elf: bytes) -> ObjectSpec:
    from bpfwright.objfile import read
    return read(elf)


def _reader(handle: Any, declared: Any) -> Any:
    """What takes records out of a ring buffer, or out of the buffers of every CPU."""
    if hasattr(declared, "pages"):
        from bpfwright.events import PerfReader
        if hasattr(handle, "perf_buffers"):
            return PerfReader(handle.perf_buffers(declared.pages), declared.value.size)
        from bpfwright.kernel.ring import open_perf_buffers
        return PerfReader(open_perf_buffers(handle, declared.pages), declared.value.size)
    return _ring_reader(handle, declared.value.size)


def _ring_reader(handle: Any, width: int) -> Any:
    from bpfwright.events import RingReader
    if hasattr(handle, "ring"):
        return RingReader(handle.ring(), width)
    from bpfwright.kernel.ring import MappedRing
    return RingReader(MappedRing(handle), width)


def prepare(programs: Iterable[Program[Any, Any, Any]], machine: Machine) -> None:
    """Let each program's hook look up what only the machine knows: an event's fields, a function's parameters."""
    for program in programs:
        look_up = getattr(program.hook, "prepare", None)
        program.facts = None if look_up is None else look_up(machine, program)


def _kernel() -> Machine:
    if sys.platform != "linux":
        raise NotSupported(f"there is no Linux kernel here to load programs into ({sys.platform})",
                           cure="Load them into the userspace machine: load(..., machine=Userspace()).")
    from bpfwright.kernel import Kernel
    return Kernel()


def target_of(machine: Machine, programs: list[Program[Any, Any, Any]] | None = None) -> Target:
    """What to compile for: the machine's features, each asked once per kernel and user and kept in the cache.

    `programs` are those that will be compiled, where that is known.
    """
    from bpfwright.lang.target import Target
    known = getattr(machine, "target_features", None)
    if known is not None:
        return Target("v3", known)
    if not hasattr(type(machine), "features"):
        return Target()
    from bpfwright.kernel.known import KnownFeatures
    features = KnownFeatures(machine)
    if features.empty:
        from bpfwright.lang import ahead
        if not programs or not ahead.hoped_for(programs):
            _llvm.start()  # nothing is cached yet, so it will be asked for; it loads while we probe
    return Target("v3", features)


def _format(forms: list[Any], record: bytes) -> str:
    """A log line out of its form and raw parts."""
    number = int.from_bytes(record[:4], "little")
    if number >= len(forms):
        return f"(a log line of unknown form {number})"
    return "".join(part if isinstance(part, str) else _format_part(record, *part) for part in forms[number][1])


def _format_part(record: bytes, kind: str, at: int, size: int, conversion: str, spec: str) -> str:
    raw = record[at:at + size]
    value: Any
    if kind in ("u64", "i64", "bool"):
        value = int.from_bytes(raw, "little", signed=kind == "i64")
        value = bool(value) if kind == "bool" else value
    elif kind == "text":
        value = raw.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    else:
        from importlib import import_module
        module, _, path = kind.partition(":")
        value = import_module(module)
        for name in path.split("."):
            value = getattr(value, name)
        value = str(value.from_bytes(raw))
    if conversion:
        shown: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}
        value = shown[conversion](value)
    return format(value, spec)


def _nothing() -> int:
    return 0


_chosen: list[Machine] = []


class using:
    """Let sessions that name no machine run on this one: `with using(machine): ...`. It stays open afterwards."""

    __slots__ = ("machine",)

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def __enter__(self) -> Machine:
        _chosen.append(self.machine)
        return self.machine

    def __exit__(self, *exc: object) -> None:
        _chosen.pop()


def _unwatch(memory: Any) -> Callable[[], None]:
    def unwatch() -> None:
        memory.looked = None

    return unwatch


def _remover(bindings: list[Any], binding: Any) -> Callable[[], None]:
    return lambda: bindings.remove(binding)


def _releaser(bindings: list[Any], view: memoryview) -> Callable[[], None]:
    def release() -> None:
        bindings[:] = [b for b in bindings if b is not view]
        view.release()

    return release
