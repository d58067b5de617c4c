"""Machine 2: loads the same objects as the kernel does and runs their programs in this process."""
from __future__ import annotations

from importlib import import_module
from struct import pack_into, unpack_from

from bpfwright._host import native_code_runs
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Mapping, Self
from bpfwright.errors import Fault, NotSupported, SessionError, UsageError
from bpfwright.formats.btf.reader import Btf
from bpfwright.hooks.running import FILES
from bpfwright.maps.stores._header import KIND
from bpfwright.spec.linking import POISON_CALL, Reference, bare_name, link, reachable
from bpfwright.spec.machine import LoadedMap
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec
from bpfwright.spec.page import (ATTACH_TYPE, CPU, HELD_INTERRUPTS, HELD_ITERATORS, HELD_LOCKS, HELD_OBJECTS,
                                 HELD_PREEMPTION, HELD_RCU, HELD_RECORDS, HELD_SOCKETS, PID_TGID, PROGRAM, RANDOM,
                                 REDIRECT, SOCKET, TAIL_CALLS, UID_GID)
from bpfwright.userspace.arena import Arena
from bpfwright.userspace.code import KFUNC, Code, code_of
from bpfwright.userspace.coverage import Report, measuring
from bpfwright.userspace.map import UserMap
from bpfwright.userspace.program import UserProgram
from bpfwright.userspace.stores import store_of
from bpfwright.userspace.unattached import Unattached
from bpfwright.userspace.world import World

if TYPE_CHECKING:
    from bpfwright.userspace.library import Library

__all__ = ["UserObject", "Userspace"]

_PATIENCE = 50_000  # instructions walked, about a second: what takes longer to verify runs checked
_HELD = ((HELD_RECORDS, "a record of a ring"), (HELD_SOCKETS, "a socket"), (HELD_LOCKS, "a lock"),
         (HELD_OBJECTS, "a kernel object"), (HELD_ITERATORS, "an iterator"), (HELD_RCU, "an RCU section"),
         (HELD_PREEMPTION, "preemption switched off"), (HELD_INTERRUPTS, "interrupts switched off"))
_PROG_ARRAY, _TASK_STORAGE, _OF_MAPS = 3, 29, (12, 13)


class UserObject:
    """What load() gives; see spec.machine.LoadedObject."""

    def __init__(self, spec: ObjectSpec, given: frozenset[str]) -> None:
        self.spec = spec
        self.programs: dict[str, UserProgram] = {}
        self.maps: dict[str, UserMap] = {}
        self._given = given

    def close(self) -> None:
        """Give memory back; maps that were handed in stay."""
        for program in self.programs.values():
            program.close()
        for name, map_ in self.maps.items():
            if name not in self._given:
                map_.close()
        self.programs.clear()
        self.maps.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class Userspace(World, Unattached):
    """A machine without a kernel, on any system and without privilege.

    Runs are reproducible bit by bit: randomness comes from `seed`, time stands still between looks at the clock, and
    addresses are the same every time. `cpus` virtual CPUs hold per-CPU maps. `kernel_btf` are the types that CO-RE is
    resolved against (bytes or a Btf); without it every type is what the object itself says. `budget` ends runs that
    were not verified after so many instructions (in native code: rounds of loops). `engine` is `interpreter`, `jit`, or
    `auto`: short runs are interpreted, long ones compiled. `checks`: `auto` checks each access of programs that the
    verifier does not accept, `always` those of all, `strict` holds every access to the one object that its pointer came
    from, and every call to what the helper asks for (interpreter only; see strict.py). `counts` keeps how often each
    instruction ran.
    """

    def __init__(self, *, seed: int = 0, cpus: int = 2, memory_bytes: int = 1 << 30,
                 kernel_btf: Btf | bytes | None = None, budget: int = 10_000_000, engine: str = "auto",
                 checks: str = "auto", counts: bool = False) -> None:
        if checks not in ("auto", "always", "strict"):
            raise UsageError(f"checks={checks!r} means nothing", cure='Choose "auto", "always" or "strict".')
        if checks == "strict" and engine != "interpreter":
            raise UsageError("only the interpreter checks strictly", cure='Say engine="interpreter" too.')
        self.target_features = frozenset(("may_goto", "iter_num", "bpf_loop", "atomics", "ringbuf", "coarse_clock"))
        self.concurrent = False  # programs run when they are asked to, and while nobody waits for their events
        if engine not in ("auto", "interpreter", "jit"):
            raise UsageError(f"{engine!r} is no engine", cure='Choose "auto", "interpreter" or "jit".')
        if not 1 <= cpus <= 256:
            raise UsageError(f"a machine has 1 to 256 CPUs, not {cpus}")
        self.arena = Arena(cpus, memory_bytes)
        self.budget = budget
        # `auto` is the interpreter where native code does not run.
        self.engine = "interpreter" if engine == "auto" and not native_code_runs() else engine
        self.checks = checks
        self.counts = counts or measuring() is not None
        self.kept = Report()
        self.kernel_btf = Btf(kernel_btf) if isinstance(kernel_btf, bytes) else kernel_btf
        self._things: dict[int, UserMap | UserProgram] = {}
        World.__init__(self)
        self._next = 1
        self._closed = False
        self._library: Library | None = None
        self.set_word(RANDOM, seed)
        self.set_word(PID_TGID, 1 << 32 | 1)
        self.set_word(UID_GID, 0)
        self.settle()

    # the machine's page

    def word(self, at: int) -> int:
        """A 64-bit word of memory."""
        found: int = unpack_from("<Q", self.arena.memory, at)[0]
        return found

    def set_word(self, at: int, value: int) -> None:
        """Set a 64-bit word of memory."""
        pack_into("<Q", self.arena.memory, at, value & (1 << 64) - 1)

    def set_cpu(self, number: int) -> None:
        """Which virtual CPU runs what comes next."""
        if not 0 <= number < self.arena.cpus:
            raise UsageError(f"this machine has no CPU {number}", why=f"it has {self.arena.cpus}")
        pack_into("<I", self.arena.memory, CPU, number)

    def begin(self, cpu: int, spec: ProgramSpec) -> None:
        """A run of a program begins on this CPU."""
        self.set_cpu(cpu)
        for word, value in ((TAIL_CALLS, 0), (PROGRAM, spec.type), (ATTACH_TYPE, spec.expected_attach_type),
                            (REDIRECT, 0), *((held, 0) for held, _ in _HELD)):
            self.set_word(word, value)

    def held(self) -> list[str]:
        """What the run took and did not give back, or gave back without having it."""
        return [what for word, what in _HELD if self.word(word)]

    def find_socket(self, sock: bytes | None) -> None:
        """What look-ups of sockets find from now on: a struct bpf_sock (80 bytes, the rest zeros), or nothing."""
        self.set_word(SOCKET, 0 if sock is None else self.place(sock.ljust(80, b"\0")))

    # loading

    def load(self, spec: ObjectSpec, *, programs: frozenset[str] | None = None,
             maps: Mapping[str, LoadedMap] | None = None) -> UserObject:
        """Make the maps, apply relocations and take the programs in; see spec.machine.Machine.load."""
        if self._closed:
            raise SessionError("this machine is closed")
        if spec.big_endian:
            raise NotSupported("the userspace machine runs little-endian objects", cure="Compile it for bpfel.")
        wanted = [p for p in spec.programs if (p.autoload if programs is None else p.name in programs)]
        given = dict(maps or {})
        loaded = UserObject(spec, frozenset(given))
        try:
            for each in spec.maps:
                loaded.maps[each.name] = self._map(each, given.get(each.name))
            self._fill(spec, loaded)
            for program in wanted:
                loaded.programs[program.name] = self._program(spec, program, loaded)
            for each in spec.maps:
                if each.type == _PROG_ARRAY:
                    for slot, name in each.initial:
                        if name in loaded.programs:
                            loaded.maps[each.name].update(slot.to_bytes(4, "little"),
                                                          loaded.programs[name].fd.to_bytes(4, "little"))
        except BaseException:
            loaded.close()
            raise
        return loaded

    def load_code(self, insns: bytes, *, helpers: Mapping[int, Callable[..., int]] | None = None) -> UserProgram:
        """Take in plain bytecode, which refers to nothing. `helpers` answer its calls besides the machine's own."""
        made = UserProgram(self, ProgramSpec("code", "code", "", 0), code_of(insns), 0, helpers=helpers)
        made.fd = self._number(made)
        return made

    def create_map(self, spec: MapSpec) -> UserMap:
        """One map by itself."""
        return self._map(spec, None)

    def _number(self, thing: Any) -> int:
        number = self._next
        self._next += 1
        self._things[number] = thing
        return number

    def things(self) -> list[UserMap | UserProgram]:
        """The maps and programs that are loaded."""
        return list(self._things.values())

    def coverage(self) -> Report:
        """Which lines and branches of its programs ran, closed programs included; empty unless `counts`."""
        found = Report()
        found.merge(self.kept)
        for thing in self.things():
            if isinstance(thing, UserProgram):
                found.add(thing)
        return found

    def forget(self, thing: Any) -> None:
        """A program or map is gone."""
        self._things.pop(thing.fd, None)

    def _map(self, spec: MapSpec, given: LoadedMap | None) -> UserMap:
        if given is not None:
            if not isinstance(given, UserMap) or given.spec[1:5] != spec[1:5]:
                raise UsageError(f"map {spec.name!r} cannot be replaced by {given!r}",
                                 cure="Hand in a map of this machine, of the same type and sizes.")
            return given
        if spec.type == 4 and not spec.max_entries:
            spec = spec._replace(max_entries=self.arena.cpus)
        made = UserMap(self.arena, spec, 0, self._things, self.library if self.engine != "interpreter" else None)
        made.fd = self._number(made)
        if spec.type == _TASK_STORAGE:
            made.owners = self.tasks
        if spec.frozen:
            made.freeze()
        return made

    def _fill(self, spec: ObjectSpec, loaded: UserObject) -> None:
        for each in spec.maps:
            if each.type in _OF_MAPS:
                for slot, name in each.initial:
                    loaded.maps[each.name].update(slot.to_bytes(4, "little"),
                                                  loaded.maps[name].fd.to_bytes(4, "little"))

    def _program(self, spec: ObjectSpec, program: ProgramSpec, loaded: UserObject) -> UserProgram:
        functions = {function.name: function for function in spec.functions}
        references: dict[tuple[str, str], Reference] = {}
        for name, map_ in loaded.maps.items():
            references["map", name] = Reference(0, map_.address, plain=True)
            references["data", name] = Reference(0, map_.values_at, plain=True)
        names = reachable(program.function, functions)
        resolved = {name: self._relocated(spec, functions[name]) for name in names}
        for name in names:
            for relocation in functions[name].relocations:
                if relocation.kind in ("kfunc", "extern"):
                    references[relocation.kind, relocation.name] = self._extern(spec, relocation.kind, relocation.name)
        linked = link(program.function, functions, resolved, references)
        code = code_of(bytes(linked.insns), linked.starts, linked.lines)
        relocated = frozenset(linked.starts[name] + each.index for name in names
                              for each in functions[name].core_relocations)
        made = self.make_program(spec, program, code, linked.starts, lambda: self._judged(spec, program, relocated))
        made.fd = self._number(made)
        made.functions = linked.starts
        made.btf = lambda: Btf(spec.btf) if spec.btf else None
        return made

    def make_program(self, spec: ObjectSpec, program: ProgramSpec, code: Code, starts: Mapping[str, int],
                     judge: Callable[[], tuple[bool, frozenset[int]]]) -> UserProgram:
        """A program out of its linked code, in which functions begin at `starts`."""
        return UserProgram(self, program, code, 0, judge=judge)

    def _judged(self, spec: ObjectSpec, program: ProgramSpec, relocated: frozenset[int]) -> tuple[bool, frozenset[int]]:
        """Whether the program may run unchecked, and which of its loads may find nothing: where no kernel's types are
        known, those by CO-RE."""
        from bpfwright.userspace.verifier import Profile, verify
        from bpfwright.userspace.verifier.kinds import BASE, BTF
        try:
            verdict = verify(spec, program.name, kernel_btf=self.kernel_btf,
                             profile=Profile(limit=_PATIENCE, iterator_at_end=False))
        except NotSupported:
            return False, relocated if self.kernel_btf is None else frozenset()
        probes = frozenset(slot for slot, kind in verdict.aux.items() if kind & BASE == BTF)
        return verdict.accepted and self.checks == "auto", probes

    def _relocated(self, spec: ObjectSpec, function: Function) -> bytes:
        if not function.core_relocations:
            return function.insns
        from bpfwright.formats.btf.relocate import Relocator
        return Relocator(spec.btf, self.kernel_btf or Btf(spec.btf)).apply(function.name, function.insns,
                                                                           function.core_relocations)

    def _extern(self, spec: ObjectSpec, kind: str, name: str) -> Reference:
        weak = any(extern.name == name and extern.weak for extern in spec.externs)
        if kind == "kfunc":
            from bpfwright.userspace.kernel_functions import NUMBERS
            number = NUMBERS.get(bare_name(name))
            if number is None and not weak:
                raise NotSupported(f"the userspace machine does not have the kernel function {name}()")
            return Reference(KFUNC, number) if number is not None else Reference(0, POISON_CALL)
        if not weak:
            raise NotSupported(f"the userspace machine does not have the kernel's symbol {name!r}",
                               cure="Declare it weak, and do without it where its address is 0.")
        return Reference(0, 0)

    def kernel_function(self, number: int, slot: int) -> Any:
        """What a call of a kernel function runs, for the interpreter."""
        from bpfwright.userspace.kernel_functions import body
        found = body(number)
        if found is None:
            raise Fault("call", slot, number)
        return found

    def program_in(self, array: int, index: int) -> UserProgram | None:
        """The program in a slot of the program array at `array`."""
        if unpack_from("<I", self.arena.memory, array + KIND)[0] != _PROG_ARRAY:
            return None
        number = store_of(_PROG_ARRAY).number_at(array, index)
        found = self._things.get(number)
        return found if isinstance(found, UserProgram) else None

    def library(self) -> Library:
        """Stores and helpers as native code, working on this machine's memory."""
        if self._library is None:
            from bpfwright._native import address_of
            from bpfwright.userspace.library import Library
            self._library = Library(address_of(self.arena.memory))
        return self._library

    # running

    def stage_for(self, kind: int, data: bytes, context: bytes) -> Any:
        """The input of a program of bpf_prog_type `kind`, laid out."""
        name = FILES.get(kind)
        if name is None:
            raise NotSupported(f"programs of type {kind} (bpf_prog_type) have no test run in the userspace machine")
        module = import_module(f"bpfwright.hooks.running.{name}")
        return module.Stage(self.arena, data, context, kind)

    def close(self) -> None:
        """Give all memory back."""
        for thing in self.things():
            if isinstance(thing, UserProgram):
                thing.close()  # what it counted is kept
        self._closed = True
        self._things.clear()
        if self._library is not None:
            self._library.close()
        self.arena.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
