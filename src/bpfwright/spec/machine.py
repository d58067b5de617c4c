"""The protocols that hooks are handed: a machine, what it loaded, and the links that it makes."""
from __future__ import annotations

from bpfwright._typing import Any, Callable, Collection, Mapping, Protocol, Self, TypeVar
from bpfwright.spec.objects import MapSpec, ObjectSpec, ProgramSpec

__all__ = ["Link", "LoadedMap", "LoadedObject", "LoadedProgram", "Machine", "TestRun", "Watch"]


class TestRun(Protocol):
    """What one BPF_PROG_TEST_RUN gave: the program's value, the packet or context afterwards, mean ns per run."""

    value: int
    data: bytes
    context: bytes
    duration_ns: int


class LoadedProgram(Protocol):
    """A program in a machine. `fd` is its descriptor (a handle of its own kind in userspace)."""

    spec: ProgramSpec
    fd: int

    @property
    def id(self) -> int:
        """The machine's number for it."""

    def test_run(self, data: bytes = b"", *, context: bytes = b"", repeat: int = 1, flags: int = 0, cpu: int = 0,
                 ) -> TestRun:
        """Run it once on `data` (a packet) or `context`; `repeat` times for a mean duration."""

    def statistics(self) -> tuple[int, int, int]:
        """(runs, ns in all, recursion misses) since load; the first two stay 0 unless statistics are switched on."""


class LoadedMap(Protocol):
    """A map in a machine, in bytes; types live above it. `value_size` counts the values of all CPUs, where there are
    several."""

    spec: MapSpec

    @property
    def fd(self) -> int:
        """The descriptor that holds it. SessionError when it is closed."""

    @property
    def id(self) -> int:
        """The machine's number for it."""

    value_size: int

    def lookup(self, key: bytes, flags: int = 0) -> bytes | None: ...
    def update(self, key: bytes, value: bytes, flags: int = 0) -> None: ...
    def delete(self, key: bytes) -> bool: ...
    def pop(self, key: bytes) -> bytes | None: ...
    def next_key(self, key: bytes | None) -> bytes | None: ...
    def close(self) -> None: ...


class LoadedObject(Protocol):
    """One object's programs and maps by name; closing it closes them all."""

    spec: ObjectSpec

    @property
    def programs(self) -> Mapping[str, LoadedProgram]:
        """The loaded programs by name."""

    @property
    def maps(self) -> Mapping[str, LoadedMap]:
        """The maps by name."""

    def close(self) -> None: ...


P_contra = TypeVar("P_contra", bound=LoadedProgram, contravariant=True)


class Link(Protocol):
    """An attachment; closing it detaches. `description` is what it is attached to, for people."""

    description: str

    def update(self, program: LoadedProgram) -> None:
        """Replace the program in place: no event is missed and none seen twice."""

    def pin(self, path: str) -> None: ...
    def close(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


class Machine(Protocol):
    """Where programs run. A hook's `attach` calls what it needs; a machine that lacks it raises NotSupported."""

    def load(self, spec: ObjectSpec, *, programs: frozenset[str] | None = None,
             maps: Mapping[str, LoadedMap] | None = None) -> LoadedObject:
        """Create the maps, apply relocations and load the named programs (None: every one with autoload)."""

    def link(self, program: LoadedProgram, attach_type: int, *, target: int = 0, flags: int = 0,
             btf_id: int = 0, iterator_info: bytes = b"", cookie: int = 0, extra: bytes = b"") -> Link:
        """BPF_LINK_CREATE: `target` is an interface index, a cgroup, netns or perf descriptor; `extra` is the attach
        type's own part of the attributes, where no other argument says it."""

    def raw_tracepoint(self, program: LoadedProgram, name: str, cookie: int = 0) -> Link:
        """BPF_RAW_TRACEPOINT_OPEN; `name` is empty for programs that name their target by BTF."""

    def tracepoint(self, program: LoadedProgram, category: str, name: str, cookie: int = 0) -> Link:
        """A perf tracepoint event on every CPU."""

    def kprobe(self, program: LoadedProgram, function: str, *, offset: int = 0, ret: bool = False,
               cookie: int = 0) -> Link: ...

    def uprobe(self, program: LoadedProgram, path: str, offset: int, *, ret: bool = False, pid: int = -1,
               semaphore: int = 0, cookie: int = 0) -> Link:
        """`offset` is in the file, in bytes; `semaphore` a USDT reference counter's offset."""

    def sample(self, program: LoadedProgram, *, hz: int, pid: int = -1) -> Link:
        """A sampling perf event on each CPU: hardware cycles are not needed."""

    def xdp(self, program: LoadedProgram, interface: str, mode: str) -> Link:
        """`mode`: auto, native or generic; the link's description says which one it became."""

    def classifier(self, program: LoadedProgram, interface: str, *, ingress: bool) -> Link:
        """tcx where the kernel has it, a clsact filter otherwise."""

    def cgroup(self, program: LoadedProgram, path: str, attach_type: int) -> Link: ...

    def socket_filter(self, program: LoadedProgram, socket_fd: int) -> Link: ...

    def events(self, category: str) -> list[tuple[str, str]]:
        """(category, name) of the tracepoints of a group; wildcards are allowed."""

    def event_id(self, category: str, name: str) -> int:
        """The number of a tracepoint; TargetError when there is none."""

    def prototype(self, kind: str, name: str) -> list[tuple[str, str]] | None:
        """(name, struct pointed to) of each parameter of a `function`, `lsm` hook or `tp_btf` event; None: unknown."""

    def event_format(self, category: str, name: str) -> str:
        """The text of a tracepoint's `format` file."""

    def close(self) -> None: ...


class Watch(Protocol):
    """What a session tells a machine that records or replays, as its attribute `watch`, and what it takes from it."""

    def compiled_for(self, features: Collection[str]) -> None:
        """What the session's programs are compiled for."""

    def attach(self, program: str, make: Callable[[], Link]) -> Link:
        """Attach a program, by `make`, or act as if."""

    def reader(self, name: str, reader: Any) -> Any:
        """The reader of a ring, or one that stands in front of it."""

    def looked(self, memory: Any) -> None:
        """User space looks at a shared struct."""
