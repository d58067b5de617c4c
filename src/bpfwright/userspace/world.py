"""What programs find around them in the userspace machine, and what they leave: tasks, time, stacks, records."""
from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from struct import pack_into, unpack_from

from bpfwright._typing import TYPE_CHECKING, Any, NamedTuple, Sequence
from bpfwright.errors import NotSupported, UsageError
from bpfwright.spec import memory as dialect
from bpfwright.spec.page import ANCESTORS, CGROUP, CLOCK, COMM, CPU, CPUMASKS, PID_TGID, TASK, TASKS, UID_GID

if TYPE_CHECKING:
    from bpfwright.formats.btf.reader import Btf
    from bpfwright.userspace.arena import Arena
    from bpfwright.userspace.map import UserMap
    from bpfwright.userspace.program import UserProgram
    from bpfwright.userspace.routing import Fib

__all__ = ["Redirect", "Timer", "World"]

_KEPT = 10_000  # records of one kind; older ones go
_MOST_ANCESTORS, _MOST_TASKS, _TASK_SIZE = 16, 256, 16384
_MASKS_SIZE = 64 * 64


class Redirect(NamedTuple):
    """Where a packet was sent: `way` is the helper's name, `target` an interface, or the index in map `map`.

    Of a cloned packet `data` are the bytes at that moment, otherwise the run's result has them.
    """

    way: str
    target: int
    flags: int = 0
    map: str = ""
    data: bytes = b""


class Timer:
    """A timer in a map's value: `token` stands in its 16 bytes as long as it lives."""

    __slots__ = ("address", "callback", "due", "map", "program", "token")

    def __init__(self, token: int, address: int, map: UserMap) -> None:
        self.token = token
        self.address = address
        self.map = map
        self.program: UserProgram | None = None
        self.callback = 0
        self.due: int | None = None


class World:
    """A part of Userspace: the surroundings of programs, all of them given by whoever runs them.

    `printed` are the lines of bpf_printk, `redirects` where packets went, `signals` (number, whole process?) that were
    sent, `overridden` values that functions were made to return, `bound` addresses that sockets were bound to and
    `options` (level, name, value) that were set on them. `kernel_stack` and `user_stack` are the addresses, innermost
    first, that stack helpers find. `fib` are routes and neighbours for bpf_fib_lookup().
    """

    if TYPE_CHECKING:
        arena: Arena
        kernel_btf: Btf | None
        _things: dict[int, Any]

    def __init__(self) -> None:
        self.printed: deque[str] = deque(maxlen=_KEPT)
        self.redirects: deque[Redirect] = deque(maxlen=_KEPT)
        self.signals: deque[tuple[int, bool]] = deque(maxlen=_KEPT)
        self.overridden: deque[int] = deque(maxlen=_KEPT)
        self.bound: deque[bytes] = deque(maxlen=_KEPT)
        self.options: deque[tuple[int, int, bytes]] = deque(maxlen=_KEPT)
        self.kernel_stack: Sequence[int] = ()
        self.user_stack: Sequence[int] = ()
        self.fib: Fib | None = None
        self.sequence = bytearray()  # what an iterator writes
        self.formats: dict[str, str] = {}  # of tracepoints by `category:name`, as tracefs has them
        self.prototypes: dict[str, list[tuple[str, str]]] = {}  # (name, struct pointed to) of parameters
        self.tasks: dict[int, int] = {}  # addresses by thread number
        self.timers: dict[int, Timer] = {}
        self.firing: Timer | None = None
        self._due: list[tuple[int, int, int]] = []
        self._tokens = self._order = 0

    def settle(self) -> None:
        """What is there from the start: a task with nothing in it, and room for masks of CPUs."""
        self.become()
        pack_into("<Q", self.arena.memory, CPUMASKS, self.arena.allocate(_MASKS_SIZE, owned=False))

    def become(self, *, pid: int | None = None, tid: int | None = None, uid: int | None = None, gid: int | None = None,
               comm: str | None = None, cgroup_id: int | None = None, ancestors: Sequence[int] | None = None) -> None:
        """Say who runs what comes next: the process and thread, user and group, the thread's name, its cgroup and that
        one's ancestors from the root down. What is not given stays."""
        memory = self.arena.memory
        if pid is not None or tid is not None:
            pid = int(unpack_from("<I", memory, PID_TGID + 4)[0]) if pid is None else pid
            pack_into("<II", memory, PID_TGID, pid if tid is None else tid, pid)
        if uid is not None:
            pack_into("<I", memory, UID_GID, uid)
        if gid is not None:
            pack_into("<I", memory, UID_GID + 4, gid)
        if comm is not None:
            memory[COMM:COMM + 16] = comm.encode("utf-8", "surrogateescape")[:15].ljust(16, b"\0")
        if cgroup_id is not None:
            pack_into("<Q", memory, CGROUP, cgroup_id)
        if ancestors is not None:
            if len(ancestors) > _MOST_ANCESTORS:
                raise UsageError(f"a cgroup with {len(ancestors)} ancestors", why="there is room for 16")
            pack_into("<16Q", memory, ANCESTORS, *ancestors, *[0] * (_MOST_ANCESTORS - len(ancestors)))
        tid = int(unpack_from("<I", memory, PID_TGID)[0])
        pack_into("<Q", memory, TASK, self.tasks.get(tid) or self.add_task(tid))

    # kernel objects and events

    def place(self, value: Any, btf: Btf | None = None) -> int:
        """Lay an object out where programs can read it: Recorded kernel objects, Structs, bytes. Its address.

        The types of Recorded objects are those of the machine's kernel_btf, or else `btf`.
        """
        from bpfwright.userspace.objects import place
        return place(self.arena, value, self.kernel_btf or btf)

    def add_task(self, tid: int, task: Any = None, btf: Btf | None = None) -> int:
        """The task of a thread number, for `current.task` and bpf_task_from_pid(); zeros when none is given."""
        address = self.place(bytes(_TASK_SIZE) if task is None else task, btf)
        memory = self.arena.memory
        table = int(unpack_from("<Q", memory, TASKS)[0])
        if not table:
            table = self.arena.allocate(16 + 16 * _MOST_TASKS, owned=False)
            pack_into("<Q", memory, TASKS, table)
        if tid not in self.tasks and len(self.tasks) == _MOST_TASKS:
            raise UsageError(f"more than {_MOST_TASKS} tasks")
        self.tasks[tid] = address
        pack_into("<I", memory, table, len(self.tasks))
        for index, (number, place) in enumerate(self.tasks.items()):
            pack_into("<QQ", memory, table + 16 + 16 * index, number, place)
        if int(unpack_from("<I", memory, PID_TGID)[0]) == tid:
            pack_into("<Q", memory, TASK, address)
        return address

    def event_format(self, category: str, name: str) -> str:
        """The text of a tracepoint's format file, out of `formats`; hooks know those of system calls themselves."""
        found = self.formats.get(f"{category}:{name}")
        if found is None:
            raise NotSupported(f"the fields of {category}:{name} are not known to this machine",
                               cure=f'Give it the kernel\'s format file: machine.formats["{category}:{name}"] = text.')
        return found

    def prototype(self, kind: str, name: str) -> list[tuple[str, str]] | None:
        """What a function, security hook or trace event takes, out of `prototypes` or the machine's kernel_btf."""
        from bpfwright.userspace.objects import prototype
        return self.prototypes.get(name) or prototype(self.kernel_btf, kind, name)

    # time

    @property
    def now_ns(self) -> int:
        """The clock that programs see."""
        return int(unpack_from("<Q", self.arena.memory, CLOCK)[0])

    @now_ns.setter
    def now_ns(self, value: int) -> None:
        pack_into("<Q", self.arena.memory, CLOCK, value)

    def advance(self, ns: int) -> int:
        """Let time pass: timers that come due fire in their order, at their time. Returns how many did."""
        self.arena.bind()
        until, fired = self.now_ns + ns, 0
        while self._due and self._due[0][0] <= until:
            due, _, token = heappop(self._due)
            timer = self.timers.get(token)
            if timer is None or timer.due != due:
                continue  # it was cancelled, or started again
            timer.due = None
            self.now_ns = max(self.now_ns, due)
            fired += self._fire(timer)
        self.now_ns = max(self.now_ns, until)
        return fired

    def new_timer(self, address: int, map_: UserMap) -> Timer:
        """A timer at an address in a map's value."""
        self._tokens += 1
        made = self.timers[self._tokens] = Timer(self._tokens, address, map_)
        pack_into("<QQ", self.arena.memory, address, made.token, 0)
        return made

    def timer_at(self, address: int) -> Timer | None:
        """The timer at an address, if it was made and its entry was not written anew since."""
        timer = self.timers.get(int(unpack_from("<Q", self.arena.memory, address)[0]))
        return timer if timer is not None and timer.address == address else None

    def schedule(self, timer: Timer, due: int) -> None:
        """Let it fire at a time."""
        timer.due = due
        self._order += 1
        heappush(self._due, (due, self._order, timer.token))

    def _fire(self, timer: Timer) -> bool:
        """Call its callback, unless its entry is gone."""
        from bpfwright.userspace.stores import store_of
        map_, program = timer.map, timer.program
        store = store_of(map_.spec.type)
        cursor = store.holding(map_.address, timer.address) if map_.fd in self._things else 0
        if program is None or not cursor or self.timer_at(timer.address) is not timer:
            del self.timers[timer.token]
            return False
        words = map_.address, store.key_of(map_.address, cursor), store.value_of(map_.address, cursor)
        self.firing = timer
        try:
            program.call_back(timer.callback, words, dialect.load32(CPU))
        finally:
            self.firing = None
        return True
