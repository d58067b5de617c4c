"""The machine that records: the running kernel, whose programs also write down what they found."""
from __future__ import annotations

import os
from threading import Event, Thread

from bpfwright import _cache
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Collection, Mapping
from bpfwright.errors import NotSupported, UsageError, VerifierError
from bpfwright.formats.recording import Note, Recorded, Recording
from bpfwright.formats.recording.file import MOST_BYTES, read_run
from bpfwright.kernel import Kernel
from bpfwright.kernel.cpus import possible_cpus
from bpfwright.recording.instrument import COUNTER, RING, Plan, instrument
from bpfwright.recording.noting import MapCalls, NotedReader
from bpfwright.recording.helpers import STACK_ID
from bpfwright.spec.objects import Function, MapSpec, ObjectSpec

if TYPE_CHECKING:
    from bpfwright.kernel.journal import Journal
    from bpfwright.kernel.loader import KernelObject
    from bpfwright.kernel.map import KernelMap
    from bpfwright.spec.machine import Link, LoadedMap, LoadedProgram

__all__ = ["Recorder", "described"]

_PAUSE_S = 0.005
_KALLSYMS = "/proc/kallsyms"


class Recorder(Kernel):
    """The running kernel as a machine whose runs are recorded, from `load` until `finish()`.

        with Recorder() as machine, attach(opened, machine=machine) as session:
            ...
        machine.finish().write("opens.rec")

    `limit_bytes` bounds what is kept in memory; runs after that are lost, and counted. Programs take longer meanwhile.
    Needs Linux 5.12. `words` are the arguments of the script that runs on it, for the replay.
    """

    def __init__(self, *, limit_bytes: int = MOST_BYTES // 2, words: list[str] | None = None) -> None:
        if not 0 < limit_bytes <= MOST_BYTES:
            raise UsageError(f"a recording has at most {MOST_BYTES:,} bytes")
        super().__init__()
        self.watch = self
        self._limit = limit_bytes
        self._words = list(words or [])
        self._programs: list[Recorded] = []
        self._notes: list[list[Any]] = []
        self._records: list[bytes] = []
        self._bytes = 0
        self._facts: dict[str, Any] = {"formats": {}, "events": {}, "prototypes": {}, "features": []}
        self._symbols_wanted = False
        self._inside = 0
        self._machinery: dict[str, KernelMap] = {}
        self._counter: Any = None
        self._values: Any = None
        self._reader: Any = None
        self._done = Event()
        self._thread: Thread | None = None
        self._finished: Recording | None = None

    # loading

    def load(self, spec: ObjectSpec, *, programs: frozenset[str] | None = None,
             maps: Mapping[str, LoadedMap] | None = None, pins: str = "",
             replaces: Mapping[str, tuple[LoadedProgram, str]] | None = None,
             journal: Journal | None = None) -> KernelObject:
        """Load recording builds of an object's programs; see spec.machine.Machine.load. Raises NotSupported for
        programs that cannot be recorded."""
        self._start()
        wanted = [p for p in spec.programs if (p.autoload if programs is None else p.name in programs)]
        resolved = self._resolved(spec)
        made, plans = instrument(resolved, possible_cpus(), len(self._programs), wanted)
        names = frozenset(p.name for p in wanted)
        try:
            loaded = super().load(made, programs=names, pins=pins, replaces=replaces, journal=journal,
                                  maps={**(maps or {}), **self._machinery})
        except VerifierError as error:
            super().load(spec, programs=names, maps=maps, pins=pins, replaces=replaces).close()
            raise NotSupported(f"the verifier lets {error.program} pass, and its recording build not", since="5.12",
                               why=error.reason, cure="Recording needs Linux 5.12, and room: 16 bytes of stack and "
                                                      "one more call deep.") from error
        sources = {function.name: function for function in spec.functions}
        codes = {function.name: function for function in resolved.functions}
        self._programs += [described(plan, sources, codes) for plan in plans]
        for name, map_ in list(loaded.maps.items()):
            if name not in self._machinery and not name.startswith("."):
                loaded.maps[name] = _RecordedMap(self, map_)  # type: ignore[assignment]
        return loaded

    def _resolved(self, spec: ObjectSpec) -> ObjectSpec:
        relocator: Any = None
        functions = []
        for function in spec.functions:
            if function.core_relocations:
                if relocator is None:
                    from bpfwright.formats.btf.relocate import Relocator
                    relocator = Relocator(spec.btf, self.types.vmlinux, self.types.modules)
                insns = relocator.apply(function.name, function.insns, function.core_relocations)
                function = function._replace(insns=insns, core_relocations=())
            functions.append(function)
        return spec._replace(functions=tuple(functions))

    def _start(self) -> None:
        if self._thread is not None or self._finished is not None:
            if self._finished is not None:
                raise UsageError("this recorder has finished", cure="Make another one.")
            return
        from bpfwright.events import RingReader
        from bpfwright.kernel.ring import MappedRing
        for spec in (MapSpec(COUNTER, 2, 4, 8, 1, 1 << 10), MapSpec(RING, 27, 0, 0, 1 << 25)):
            self._machinery[spec.name] = Kernel.load(self, ObjectSpec((), (), (spec,))).maps[spec.name]
        self._values = self._machinery[COUNTER].map_values(writable=False)
        self._counter = self._values.view[:8].cast("Q")
        self._reader = RingReader(MappedRing(self._machinery[RING]), 1 << 16)
        self._thread = Thread(target=self._gather, name="bpfwright-recorder", daemon=True)
        self._thread.start()

    def _gather(self) -> None:
        while not self._done.wait(_PAUSE_S):
            self._take()

    def _take(self) -> None:
        for record in self._reader.records():
            if self._bytes + len(record) <= self._limit:
                self._records.append(record)
                self._bytes += len(record)

    def create_map(self, spec: MapSpec) -> KernelMap:
        """One map by itself."""
        made = Kernel.load(self, ObjectSpec((), (), (spec,))).maps[spec.name]
        return _RecordedMap(self, made)  # type: ignore[return-value]

    # what a session tells, and what user space does

    @property
    def begun(self) -> int:
        """How many runs have begun."""
        return int(self._counter[0]) if self._counter is not None else 0

    def compiled_for(self, features: Collection[str]) -> None:
        """See spec.machine.Watch."""
        self._facts["features"] = sorted(features)

    def attach(self, program: str, make: Callable[[], Link]) -> Link:
        """See spec.machine.Watch."""
        link = make()
        self.note("attach", self.begun, [program, link.description])
        return link

    def reader(self, name: str, reader: Any) -> Any:
        """See spec.machine.Watch."""
        def taken(what: str, count: int, first: bool) -> None:
            last = self._notes[-1] if self._notes else None
            if not first and last is not None and last[0] == what and last[3][0] == name:
                last[3][1] += count
                last[2] = self.begun
            else:
                self.note(what, self.begun, [name, count])

        return NotedReader(reader, taken)

    def looked(self, memory: Any) -> None:
        """See spec.machine.Watch."""
        self.note("look", self.begun, [bytes(memory).hex()])

    def note(self, what: str, before: int, data: list[Any]) -> None:
        """User space did something."""
        self._notes.append([what, before, self.begun, data])

    def act(self, what: str, asked: list[Any], do: Callable[[], Any], show: Callable[[Any], Any]) -> Any:
        """See noting.Notary."""
        before = self.begun
        found = do()
        self.note(what, before, [*asked, show(found)])
        return found

    def order(self, name: str, what: str, found: list[Any]) -> list[Any]:
        """As the kernel gives them."""
        return found

    def hear(self, what: str, asked: list[Any], ask: Callable[[], Any]) -> Any:
        """The host tells user space something: the time, a file's number."""
        before = self.begun
        value = ask()
        if asked == [_KALLSYMS]:
            self._symbols_wanted, value = True, None
        self.note(what, before, [*asked, value])
        return value

    def symbols(self) -> None:
        """The host's."""

    # facts

    def event_format(self, category: str, name: str) -> str:
        """The text of a tracepoint's `format` file."""
        text = super().event_format(category, name)
        self._facts["formats"][f"{category}:{name}"] = text
        return text

    def events(self, category: str) -> list[tuple[str, str]]:
        """See spec.machine.Machine."""
        found = super().events(category)
        self._facts["events"][category] = found
        return found

    def prototype(self, kind: str, name: str) -> list[tuple[str, str]] | None:
        """See spec.machine.Machine."""
        found = super().prototype(kind, name)
        self._facts["prototypes"][name] = found
        return found

    # the end

    def finish(self) -> Recording:
        """Stop recording; what was recorded. Sessions are to be closed before, or their last runs are lost."""
        if self._finished is not None:
            return self._finished
        runs = self.begun
        self._stop()
        host = os.uname()
        programs = self._programs
        kept = []
        for record in self._records:
            number = int.from_bytes(record[28:32], "little")
            kept.append(read_run(record, len(programs[number].fields)))
        self._records.clear()
        facts = {**self._facts, "cpus": min(possible_cpus(), 256), "runs": runs, "words": self._words,
                 "kernel": host.release, "machine": host.machine}
        if self._symbols_wanted:
            facts["symbols"] = _symbols({address for run in kept for entry in run.entries
                                         if entry.what == STACK_ID for address in _words(entry.data)})
        self._finished = Recording(facts, programs, kept, [Note(*note) for note in self._notes])
        return self._finished

    def _stop(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._done.set()
        thread.join()
        self._take()
        self._reader.close()
        self._counter.release()
        self._counter = None
        self._values.close()
        for map_ in self._machinery.values():
            map_.close()

    def close(self) -> None:
        """Stop recording, and give back what the machine itself holds."""
        self._stop()
        super().close()


class _RecordedMap(MapCalls):
    """A map of the kernel whose calls from user space are noted."""


def described(plan: Plan, sources: Mapping[str, Function], codes: Mapping[str, Function]) -> Recorded:
    """What a recording says of a program: `sources` are its functions as compiled, `codes` with CO-RE applied."""
    return Recorded(plan.name, plan.kind, plan.fields, plan.loads, plan.functions,
                    {name: codes[name].insns for name in plan.reached},
                    {name: _cache.key_of(sources[name].insns) for name in plan.reached})


def _words(data: bytes) -> list[int]:
    return [int.from_bytes(data[at:at + 8], "little") for at in range(0, len(data) - 7, 8)]


def _symbols(addresses: set[int]) -> list[str]:
    """The lines of kallsyms that say what these addresses are in."""
    from bisect import bisect
    with open(_KALLSYMS, encoding="utf-8", errors="replace") as file:
        lines = sorted((int(line.split(maxsplit=1)[0], 16), line) for line in file)
    starts = [at for at, _ in lines]
    found: set[str] = set()
    for address in addresses:
        place = bisect(starts, address)
        low = place - 1
        while low > 0 and starts[low - 1] == starts[place - 1]:
            low -= 1
        found.update(line for _, line in lines[max(low, 0):place])
    return sorted(found)
