"""`dw_ustack` while a script runs: tables for processes that are there and for those that come, and their stacks."""
from __future__ import annotations

from struct import Struct

from bpfwright import _host
from bpfwright._typing import Any, Collection, Iterable, NamedTuple
from bpfwright.events import Events, RingReader
from bpfwright.kernel.ring import MappedRing
from bpfwright.stacks import unwinding as u
from bpfwright.stacks.processes import Processes
from bpfwright.stacks.tables import Memory
from bpfwright.stacks.watching import Watch
from bpfwright.symbols import ProcessSymbols

__all__ = ["KeptStack", "Unwinder"]

_HEAD = Struct("<IIII")  # stacks.unwinding.Kept, up to the frames
_PIECE_NS = 5_000_000
_SIGHT_BYTES = 24
_LOADED_NS = (2_000_000, 10_000_000, 50_000_000)  # after so long a new program has mapped its libraries


class KeptStack(NamedTuple):
    """Addresses, innermost first; whose they are, by number and life; why there are no more, if there should be."""

    addresses: list[int]
    pid: int
    life: int
    marks: tuple[str, ...]


class Unwinder:
    """The processes of one script, and the stacks that it keeps. `whole`: of the whole machine."""

    def __init__(self, machine: Any, loaded: Any, programs: Iterable[tuple[str, str]], *, whole: bool) -> None:
        maps = loaded.maps
        self._kept = maps["kept"]
        self._announced = maps["announced"]
        self._links: list[Any] = []
        self._processes = Processes()
        self._ring = MappedRing(maps["sights"])
        self.fd = self._ring.fd
        self._events: Events[u.Sight] = Events(RingReader(self._ring, _SIGHT_BYTES), u.Sight)
        self._watch = Watch(Memory(machine, maps["spans"], maps["chunks"], maps["processes"]), self._events,
                            self._processes, whole=whole)
        self._whole = whole
        self._loading: list[tuple[int, int]] = []
        try:
            for program, tracepoint in programs:
                self._links.append(machine.raw_tracepoint(loaded.programs[program], tracepoint))
        except BaseException:
            self.close()
            raise

    def start(self, pids: Collection[int], paths: Iterable[str]) -> None:
        """Meet the processes that are there (without any, all), and make the tables of files that are about to run."""
        import os
        assert self._watch.tables is not None
        for pid in pids:  # of these, what they become is looked at before they ask
            self._announced.update(pid.to_bytes(4, "little"), b"\1")
        for path in dict.fromkeys(paths):
            self._watch.tables.prepare(path)
        self._watch.meet([int(name) for name in os.listdir("/proc") if name.isdigit()] if self._whole else list(pids))

    def work(self) -> bool:
        """See who has come, and make tables for a few milliseconds; whether there is more to do."""
        now = _host.now_ns()
        self._watch.work(now + _PIECE_NS)
        for due, pid in [each for each in self._loading if each[0] <= now]:
            self._loading.remove((due, pid))
            self._watch.look_again(pid)
        return bool(self._loading) or (self._watch.tables is not None and self._watch.tables.busy)

    def begun(self, pid: int) -> None:
        """A process becomes another program now: what it is looked at for, its libraries, comes a little later."""
        now = _host.now_ns()
        self._loading += [(now + later, pid) for later in _LOADED_NS]

    def stack(self, name: int) -> KeptStack | None:
        """A stack by its name; None when there is none."""
        found = self._kept.lookup(name.to_bytes(8, "little"))
        if found is None:
            return None
        pid, life, count, flags = _HEAD.unpack_from(found)
        frames = memoryview(found)[_HEAD.size:].cast("Q")[:count].tolist()
        return KeptStack(frames, pid, life, tuple(text for bit, text in u.MARKS.items() if flags & bit))

    def symbols(self, pid: int, life: int) -> ProcessSymbols | None:
        """What was seen of a process."""
        return self._processes.get(pid, life)

    def close(self) -> None:
        """Detach, let go."""
        links, self._links = self._links, []
        try:
            for link in links:
                link.close()
        finally:
            self._watch.close()
            self._events.close()
