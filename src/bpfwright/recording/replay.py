"""The machine that replays: a userspace machine whose programs meet the world of a recording again.

User space asks the same as it did, and before each of its questions the programs run that had run by then. Where live
several were under way, the answer itself says how many: programs run until the answer is the one that was noted. An
answer that never comes out is an error, so a replay that ends has said what the live run said.
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Collection, Iterator, Mapping
from bpfwright.errors import Fault, ReplayError, UsageError
from bpfwright.formats.recording import Note, Recorded, Recording, Run
from bpfwright.recording.feeding import FIRST_FUNCTION, ReplayProgram, RunStage
from bpfwright.recording.noting import MapCalls
from bpfwright.recording.helpers import WORLD_FUNCTIONS
from bpfwright.spec.linking import Reference
from bpfwright.userspace import Userspace

if TYPE_CHECKING:
    from bpfwright.spec.machine import Link, LoadedMap, LoadedProgram
    from bpfwright.spec.objects import Function, MapSpec, ObjectSpec, ProgramSpec
    from bpfwright.userspace.machine import UserObject
    from bpfwright.userspace.map import UserMap

__all__ = ["Replay"]


class Replay(Userspace):
    """A machine without a kernel on which programs are attached to a recording.

    With `strict` (the usual) anything that goes another way than it did raises ReplayError. Without, a changed program
    runs on what was recorded: it finds the next result of the same helper, and user space may ask anything, which is
    answered when everything has run.
    """

    def __init__(self, recording: Recording, *, strict: bool = True, memory_bytes: int = 1 << 30,
                 counts: bool = False) -> None:
        facts = recording.facts
        super().__init__(cpus=facts["cpus"], engine="interpreter", memory_bytes=memory_bytes, counts=counts)
        self.recording = recording
        self.strict = strict
        self.watch = self
        self.target_features = frozenset(facts.get("features", ()))
        self.formats = dict(facts.get("formats", {}))
        self.prototypes = {name: [(a, b) for a, b in pairs] for name, pairs in facts.get("prototypes", {}).items()
                           if pairs}
        self.function_names = sorted(WORLD_FUNCTIONS)
        self._by_number: dict[int, ReplayProgram] = {}
        self._maps: dict[str, UserMap] = {}
        self._next_run = 0
        self._next_note = 0
        self._ended: list[int] = []  # of each run: the most runs that had begun when it and all before it were over
        most = 0
        for run in recording.runs:
            most = max(most, run.ended)
            self._ended.append(most)

    # loading

    def load(self, spec: ObjectSpec, *, programs: frozenset[str] | None = None,
             maps: Mapping[str, LoadedMap] | None = None) -> UserObject:
        """Load an object whose programs were recorded; see spec.machine.Machine.load."""
        loaded = super().load(spec, programs=programs, maps=maps)
        for name, map_ in list(loaded.maps.items()):
            self._maps[name] = map_
            if not name.startswith("."):
                loaded.maps[name] = _ReplayedMap(self, map_)  # type: ignore[assignment]
        return loaded

    def create_map(self, spec: MapSpec) -> Any:
        """One map by itself."""
        return _ReplayedMap(self, super().create_map(spec))

    def make_program(self, spec: ObjectSpec, program: ProgramSpec, code: Any, starts: Mapping[str, int],
                     judge: Any) -> ReplayProgram:
        """A program, with what is recorded of it: its name counts, of several with one name each in its turn."""
        numbers = [number for number, each in enumerate(self.recording.programs)
                   if each.name == program.name and each.kind == program.type and number not in self._by_number]
        if not numbers:
            if self.strict:
                names = sorted({each.name for each in self.recording.programs})
                raise ReplayError(f"no run of {program.name} is in this recording", why=f"it has {', '.join(names)}")
            return ReplayProgram(self, program, code, None, starts)
        recorded = self.recording.programs[numbers[0]]
        self._check(spec, recorded)
        made = self._by_number[numbers[0]] = ReplayProgram(self, program, code, recorded, starts)
        return made

    def _check(self, spec: ObjectSpec, recorded: Recorded) -> None:
        if not self.strict:
            return
        from bpfwright import _cache
        functions = {function.name: function for function in spec.functions}
        for name, wanted in recorded.source.items():
            if name not in functions or _cache.key_of(functions[name].insns) != wanted:
                raise ReplayError(f"{recorded.name} is not the program that was recorded",
                                  why=f"its function {name} has other instructions",
                                  cure="Replay the source as it was, compiled by the same version; or let the changed "
                                       "program run on what was found then: strict=False.")

    def _relocated(self, spec: ObjectSpec, function: Function) -> bytes:
        """The function as it ran, where it is the same; its types are those of the kernel that it ran on."""
        from bpfwright import _cache
        for recorded in self.recording.programs:
            if function.name in recorded.code \
                    and recorded.source.get(function.name) == _cache.key_of(function.insns) \
                    and len(recorded.code[function.name]) == len(function.insns):
                return recorded.code[function.name]
        return super()._relocated(spec, function)

    def _extern(self, spec: ObjectSpec, kind: str, name: str) -> Reference:
        if kind == "kfunc" and name in WORLD_FUNCTIONS:
            return Reference(2, FIRST_FUNCTION + self.function_names.index(name))
        if kind == "extern":
            return Reference(0, 1)  # a place in the kernel, whose loads are recorded
        return super()._extern(spec, kind, name)

    def stage_for(self, kind: int, data: bytes, context: bytes) -> Any:
        """The input of a program; while `standing_at` a recorded run, that run."""
        if self._standing is not None and self.recording.programs[self._standing.program].kind == kind:
            return RunStage(self, self.recording.programs[self._standing.program], self._standing)
        return super().stage_for(kind, data, context)

    def standing_at(self, run: Run) -> None:
        """Let everything happen that happened before a run, user space's changes of maps too, and lay that run out for
        the next who asks: a debugger."""
        for note in self.recording.notes[self._next_note:]:
            if note.before > run.number:
                break
            self._next_note += 1
            while self._next_run < len(self.recording.runs) and self._run_one(min(note.before, run.number)):
                pass
            self._redo(note)
        while self._run_one(run.number):
            pass
        self._next_run += 1
        self._standing = run

    def _redo(self, note: Note) -> None:
        """What user space did to a map."""
        if note.what not in ("update", "delete", "pop") or not isinstance(note.data, list) or len(note.data) < 2:
            return
        try:
            map_, words = self._maps[note.data[0]], [bytes.fromhex(word) for word in note.data[1:] if word is not None]
        except (KeyError, TypeError, ValueError):
            return  # a map of a program that is not loaded
        getattr(map_, note.what)(*words)

    _standing: Run | None = None

    def plain_stage(self, kind: int, data: bytes, context: bytes) -> Any:
        """What a recorded run is laid out on."""
        return super().stage_for(kind, data, context)

    # running what was recorded

    def runs_of(self, program: LoadedProgram) -> list[Run]:
        """The recorded runs of a loaded program."""
        numbers = {number for number, each in self._by_number.items() if each is program}
        return [run for run in self.recording.runs if run.program in numbers]

    @property
    def replayed(self) -> int:
        """How many runs have run."""
        return self._next_run

    @property
    def ended(self) -> bool:
        """Whether user space has done all that it did."""
        return self._next_note >= len(self.recording.notes)

    def run_all(self) -> int:
        """Let every run that is left run; how many there were."""
        before = self._next_run
        while self._run_one(1 << 64):
            pass
        return self._next_run - before

    def run_until(self, time_ns: int) -> int:
        """Let the runs run that began before this time of the recorded clock; how many there were. From now on nothing
        runs but by this."""
        self._paced = True
        before, runs = self._next_run, self.recording.runs
        while self._next_run < len(runs) and runs[self._next_run].time_ns < time_ns:
            self._run_one(1 << 64)
        return self._next_run - before

    def _run_rest(self) -> None:
        """For who asks what was not asked then."""
        if not self._paced:
            self.run_all()

    _paced = False

    def _run_one(self, most: int) -> bool:
        """The next run, if it began before so many had; whether there was one."""
        runs = self.recording.runs
        if self._next_run >= len(runs) or runs[self._next_run].number >= most:
            return False
        run = runs[self._next_run]
        self._next_run += 1
        program = self._by_number.get(run.program)
        if program is not None and not program.faulted:
            try:
                program.replay(run)
            except Fault as fault:
                raise ReplayError(f"run {run.number} of {program.spec.name} goes another way than it did",
                                  why=str(fault).replace("\n", "; ")) from fault
        return True

    def _catch_up(self, note: Note) -> None:
        """Everything runs that was over when user space asked."""
        while self._next_run < len(self._ended) and self._over(note.before) and self._run_one(note.after):
            pass

    def _over(self, begun: int) -> bool:
        """Whether the next run, or one behind it, was over when so many had begun."""
        runs = self.recording.runs
        place = self._next_run
        while place < len(runs) and runs[place].number < begun:
            if runs[place].ended <= begun:
                return True
            place += 1
        return False

    # what user space asks

    def _peek(self) -> Note | None:
        notes = self.recording.notes
        return notes[self._next_note] if self._next_note < len(notes) else None

    def _note(self, what: str, asked: list[Any]) -> Note | None:
        """The next note, which must be about this."""
        note = self._peek()
        if note is None or note.what != what or not isinstance(note.data, list) \
                or note.data[:len(asked)] != asked or len(note.data) < len(asked):
            if not self.strict:
                return None
            had = "nothing more" if note is None else f"{note.what} {_shown(note.data)}"
            raise ReplayError(f"user space does {what} {_shown(asked)}, where it did {had}",
                              cure="Replay the program with the arguments that it had, or with strict=False.")
        self._next_note += 1
        self._catch_up(note)
        return note

    def act(self, what: str, asked: list[Any], do: Callable[[], Any], show: Callable[[Any], Any]) -> Any:
        """See noting.Notary."""
        note = self._note(what, asked)
        if note is None:
            self._run_rest()
            return do()
        wanted = note.data[len(asked)] if len(note.data) > len(asked) else None
        while True:
            found = do()
            if (wanted is None and what != "lookup") or _same(what, show(found), wanted):
                break
            if not self._run_one(note.after):
                if not self.strict:
                    break
                raise ReplayError(f"{what} {_shown(asked)} gives something else than it did",
                                  why=f"{_shown(show(found))}, and it was {_shown(wanted)}")
        self._order = wanted
        return found

    def order(self, name: str, what: str, found: list[Any]) -> list[Any]:
        """See noting.Notary: as the kernel gave them."""
        order, self._order = self._order, None
        if not isinstance(order, list):
            return found
        places = {str(each): place for place, each in enumerate(order)}

        def place(each: Any) -> int:
            shown = str([each[0].hex(), each[1].hex()] if what == "items" else each.hex())
            return places.get(shown, len(places))

        return sorted(found, key=place)

    _order: Any = None

    def hear(self, what: str, asked: list[Any], ask: Callable[[], Any]) -> Any:
        """What the host told user space then."""
        note = self._note(what, asked)
        if note is None:
            self._run_rest()
            return True if what == "sleep" else ask()
        return note.data[len(asked)] if len(note.data) > len(asked) else None

    def symbols(self) -> str:
        """Of the kernel's symbols those that were asked for."""
        return "".join(str(line) for line in self.recording.facts.get("symbols", ()))

    # what a session tells (spec.machine.Watch)

    def compiled_for(self, features: Collection[str]) -> None:
        """It is what was compiled for then."""

    def attach(self, program: str, make: Callable[[], Link]) -> Link:
        """Attached to the recording, and said to be where it was."""
        note = self._note("attach", [program])
        return _ReplayedLink(str(note.data[1]) if note is not None and len(note.data) > 1 else "a recording")

    def looked(self, memory: Any) -> None:
        """The struct is as it was when it was looked at."""
        self.act("look", [], lambda: memory, lambda found: bytes(found).hex())

    def reader(self, name: str, reader: Any) -> Any:
        """See spec.machine.Watch."""
        return _ReplayedReader(self, name, reader)

    def fill(self, name: str, what: tuple[str, ...], reader: Any) -> int:
        """Let programs run until a ring holds what user space took from it next; how many records that is."""
        note = self._peek()
        if not self.strict and (note is None or note.what not in ("records", "rows")):
            self._run_rest()
            return -1
        if note is None or note.what not in what or not isinstance(note.data, list) or len(note.data) != 2 \
                or note.data[0] != name or not isinstance(note.data[1], int):
            return 0
        self._catch_up(note)
        count = reader.waiting(note.data[1])
        while count < note.data[1] and self._run_one(note.after):
            count = reader.waiting(note.data[1])
        if count < note.data[1] and self.strict:
            raise ReplayError(f"user space took {note.data[1]} records of {name}, and there are {count}")
        return int(note.data[1])

    def taken(self) -> None:
        """What `fill` announced was taken."""
        self._next_note += 1

    def events(self, category: str) -> list[tuple[str, str]]:
        """See spec.machine.Machine."""
        return [(a, b) for a, b in self.recording.facts.get("events", {}).get(category) or ()]

    def keep_statistics(self) -> None:
        """Runs are counted anyway."""

    def iterate(self, link: Link) -> bytes:
        """Iterators are not recorded."""
        raise UsageError("an iterator has no events to replay")


class _ReplayedMap(MapCalls):
    """A map of the machine that user space asks as it did."""


class _ReplayedLink:
    """An attachment to a recording."""

    def __init__(self, description: str) -> None:
        self.description = description

    def update(self, program: LoadedProgram) -> None:
        """The recording has the runs of one program."""
        raise UsageError("a replayed link keeps its program")

    def pin(self, path: str) -> None:
        """Nothing outlives a replay."""
        raise UsageError("a replayed link cannot be pinned")

    def close(self) -> None:
        """Nothing is attached."""

    def __enter__(self) -> _ReplayedLink:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class _ReplayedReader:
    """A ring's reader: user space finds as many records at a time as it did."""

    def __init__(self, machine: Replay, name: str, reader: Any) -> None:
        self._machine = machine
        self._name = name
        self._reader = reader
        self._kept: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reader, name)

    def waiting(self, wanted: int) -> int:
        """How many records are there."""
        if self._reader.pending_bytes:
            self._kept += self._reader.records()
        return len(self._kept)

    @property
    def pending_bytes(self) -> int:
        """Whether user space took something next."""
        return 8 * abs(self._machine.fill(self._name, ("records", "rows"), self))

    def records(self) -> Iterator[bytes]:
        """One by one."""
        while count := self._machine.fill(self._name, ("records",), self):
            if count < 0:
                self.waiting(0)
                taken, self._kept = self._kept, []
                yield from taken
                return
            self._machine.taken()
            taken, self._kept = self._kept[:count], self._kept[count:]
            yield from taken

    def rows(self) -> Any:
        """All at once."""
        import numpy
        from bpfwright.events.ring import Rows
        count = self._machine.fill(self._name, ("rows",), self)
        if count < 0:
            self.waiting(0)
            count = len(self._kept)
        elif count or self._is_next():
            self._machine.taken()
        taken, self._kept = self._kept[:count], self._kept[count:]
        width = self._reader.width
        data = b"".join(record[:width].ljust(width, b"\0") for record in taken)
        return Rows(numpy.frombuffer(bytearray(data), numpy.uint8), len(taken), width, 0)

    def _is_next(self) -> bool:
        note = self._machine._peek()
        return note is not None and note.what == "rows" and note.data == [self._name, 0]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else " ".join(str(each) for each in value) if isinstance(value, list) \
        else str(value)
    return text if len(text) < 100 else f"{text[:97]}..."


def _same(what: str, found: Any, wanted: Any) -> bool:
    if what in ("keys", "items"):
        return isinstance(wanted, list) and sorted(map(str, found)) == sorted(map(str, wanted))
    return bool(found == wanted)
