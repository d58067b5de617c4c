"""A generation: the programs of all hooks and the tables that they read, loaded and filled beside what is live."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING, Any, Callable, Mapping, NamedTuple, Self, Sequence
from bpfwright.datapath.apart import apart
from bpfwright.datapath.facet import Hooked, Part
from bpfwright.datapath.handing import MAGIC, Handed, handing
from bpfwright.datapath.parsed import empty, parser_of
from bpfwright.datapath.stage import ABORT, DROP, REPLY, SENT, Foreign, Stage, composed, reasons_of
from bpfwright.errors import CompileError, UsageError, VerifierError
from bpfwright.hooks import tc, xdp
from bpfwright.helpers import now_ns
from bpfwright.maps import Array, PerCpuArray, RingBuf
from bpfwright.types.config import Config
from bpfwright.types import L, Struct, array, u8, u32, u64

if TYPE_CHECKING:
    from bpfwright.session import Session

__all__ = ["Count", "Counted", "Generation", "Place", "Plan", "Tables", "Dropped", "drops", "plan_of", "watched"]


_RING = 27  # BPF_MAP_TYPE_RINGBUF: the kernel knows nothing of its records


class Place(NamedTuple):
    """A hook of an interface."""

    interface: str
    hook: str

    def __str__(self) -> str:
        return f"{self.interface} {self.hook}"


class Count(Struct):
    """What came to one end."""

    packets: u64
    bytes: u64


class _Ethernet(Struct):
    data: array[u8, L[14]]


class _Network(Struct):
    data: array[u8, L[28]]


class _Rest(Struct):
    data: array[u8, L[22]]


class Dropped(Struct):
    """A packet that was dropped while somebody watched: `program` and `reason` by their numbers in the plan."""

    time_ns: u64
    ifindex: u32
    length: u32
    program: u32
    reason: u32
    generation: u32
    kept: u32  # bytes of the packet that follow
    ethernet: _Ethernet
    network: _Network
    rest: _Rest

    @property
    def data(self) -> bytes:
        """The packet's first bytes."""
        whole = bytes(self.ethernet.data) + bytes(self.network.data) + bytes(self.rest.data)
        return whole[:self.kept]


drops = RingBuf[Dropped](size_bytes=1 << 20)
watched = Array[u32](max_entries=1)
"""1 while somebody watches; both are the same in all generations of a data path."""


class Numbered(Config):
    """The generation's number, for what its programs tell."""

    generation: u32 = 0


numbered = Numbered()


class Counted(NamedTuple):
    """A reason and how much it was given, over all CPUs. `stage` is empty for what no stage decided."""

    program: str
    stage: str
    reason: str
    packets: int
    bytes: int


class _Made(NamedTuple):
    """A program for hooks whose stages are the same, with its counters."""

    program: Any
    counts: Any
    stages: list[Stage]
    places: list[Place]


class Plan(NamedTuple):
    """Parts as programs that can be loaded: on the kernel, or on the userspace machine to explain a packet.

    `kept`: kept maps by what they are called, a declaration or the name of a map of another object. `apart`: stages
    are functions of their own, as is the parse; `wrap` is what was made of each stage before.
    """

    made: list[_Made]
    parts: dict[str, Part]
    kept: dict[str, Any]
    foreign: dict[str, Foreign]
    apart: bool
    wrap: Callable[[Stage], Stage] | None

    def shape(self, called: str) -> tuple[int, int, int, int] | None:
        """(type, key, value, entries) of a kept map; None when the plan has none of that name."""
        declared = self.kept.get(called)
        if isinstance(declared, str):
            return next((spec[1:5] for each in self.foreign.values() for spec in each.object.maps
                         if each.prefix + spec.name == declared), None)
        if declared is None:
            return None
        key, value = (None, None) if declared.kind == _RING else (declared.key, declared.value)
        return declared.kind, key.size if key else 0, value.size if value else 0, declared.max_entries

    def linked(self, compiled: Any) -> Any:
        """What was compiled, with the programs of other objects in their places."""
        from bpfwright.objfile.splicing import spliced
        for each in self.foreign.values():
            compiled = spliced(compiled, each.place, each.object, each.program, each.prefix)
        return compiled


def plan_of(parts: Mapping[str, Part], *, wrap: Callable[[Stage], Stage] | None = None, apart: bool = False) -> Plan:
    """The programs of all hooks that facets have stages for, hooks with the same stages sharing one.

    `wrap` makes another stage of each, as explaining does. `apart`: see apart.py. UsageError for a hook that does not
    exist.
    """
    by_place: dict[Place, list[Hooked]] = {}
    for part in parts.values():
        for hooked in part.stages:
            if hooked.hook not in _MAKERS:
                raise UsageError(f"there is no hook {hooked.hook!r}", cure=f"A stage runs at {', '.join(_MAKERS)}.")
            by_place.setdefault(Place(hooked.interface, hooked.hook), []).append(hooked)
    shared: dict[Any, _Made] = {}
    for place, hooked_here in sorted(by_place.items()):
        stages = [hooked.stage for hooked in sorted(hooked_here, key=lambda each: each.rank)]
        hands = place.hook == "xdp" and Place(place.interface, "ingress") in by_place
        key = (place.hook, hands, *(id(stage.run) for stage in stages))
        if key not in shared:
            chosen = stages if wrap is None else [wrap(stage) for stage in stages]
            shared[key] = _made(f"net_{place.hook}_{len(shared)}", place.hook, chosen, len(shared), hands, apart)
        shared[key].places.append(place)
    kept = {f"{facet}.{name}": declared for facet, part in parts.items() for name, declared in part.kept.items()}
    foreign = {stage.foreign.place: stage.foreign for made in shared.values() for stage in made.stages
               if stage.foreign is not None}
    for each in foreign.values():
        kept.update({f"objects.{each.prefix}{spec.name}": f"{each.prefix}{spec.name}" for spec in each.object.maps
                     if spec.contents is None})
    return Plan(list(shared.values()), dict(parts), kept, foreign, apart, wrap)


def _made(name: str, hook: str, stages: list[Stage], number: int, hands: bool, as_functions: bool) -> _Made:
    errors = len(reasons_of(stages))
    counts = PerCpuArray[Count](max_entries=errors + 1)
    memory = (lambda block: apart(block, hook)) if as_functions else None
    whole = composed(stages, parser_of, empty, _telling(number), memory)
    make = _handing if hands else _MAKERS[hook]
    return _Made(make(name, whole, counts, errors), counts, stages, [])


def _telling(number: int) -> Any:
    """Sends what is dropped to whoever watches."""
    def decided(ctx: Any, verdict: Any) -> None:
        if verdict & 0xFF != DROP:
            return
        on = watched.get(0)
        if on is None or on == 0:
            return
        with drops.reserve() as event:
            if event is not None:
                event.time_ns = now_ns()
                event.ifindex = ctx.ifindex
                event.length = ctx.length
                event.program = number
                event.reason = verdict >> 8
                event.generation = numbered.generation
                event.kept = 0
                ethernet = ctx.read(0, _Ethernet)
                if ethernet is not None:
                    event.ethernet = ethernet
                    event.kept = 14
                network = ctx.read(14, _Network)
                if network is not None:
                    event.network = network
                    event.kept = 42
                rest = ctx.read(42, _Rest)
                if rest is not None:
                    event.rest = rest
                    event.kept = 64

    return decided


def _xdp(name: str, whole: Any, counts: Any, errors: int) -> Any:
    plain = _xdp_run(whole, counts, errors)

    def run(ctx: xdp.Context) -> xdp.Action:
        return plain(ctx)

    run.__name__ = name
    return xdp.program(run)


def _xdp_run(whole: Any, counts: Any, errors: int) -> Callable[[xdp.Context], xdp.Action]:
    def run(ctx: xdp.Context) -> xdp.Action:
        length = ctx.length
        verdict = whole(ctx)
        action = verdict & 0xFF
        count = counts.local(errors if action == ABORT else min(u32(verdict >> 8), errors))
        count.packets += 1
        count.bytes += length
        if action == DROP:
            return xdp.DROP
        if action == REPLY:
            return xdp.TX
        if action == SENT:
            return xdp.Action.REDIRECT
        if action == ABORT:
            return xdp.ABORTED
        return xdp.PASS

    return run


def _handing(name: str, whole: Any, counts: Any, errors: int) -> Any:
    """At XDP, where something waits at tc ingress."""
    plain = _xdp_run(whole, counts, errors)

    def run(ctx: xdp.Context) -> xdp.Action:
        action = plain(ctx)
        handed = handing.local(0)
        if action == xdp.PASS:
            ctx.put_metadata(handed)
        if handed.mask != 0:
            handed.mask = 0
            handed.mark = 0
        return action

    run.__name__ = name
    return xdp.program(run)


def _tc(name: str, whole: Any, counts: Any, errors: int) -> Any:
    def run(ctx: tc.Context) -> tc.Action:
        length = ctx.length
        verdict = whole(ctx)
        action = verdict & 0xFF
        count = counts.local(errors if action == ABORT else min(u32(verdict >> 8), errors))
        count.packets += 1
        count.bytes += length
        if action in (DROP, ABORT):
            return tc.SHOT
        return tc.Action.REDIRECT if action == SENT else tc.NEXT

    run.__name__ = name
    return tc.program(run)


_MAKERS: dict[str, Callable[[str, Any, Any, int], Any]] = {"xdp": _xdp, "ingress": _tc, "egress": _tc}


class Tables:
    """The maps of a generation: `maps(declared)` is a declared map or shared struct answering for it."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._events: dict[int, Any] = {}

    def __call__(self, declared: Any) -> Any:
        return self._session[declared]

    def taken(self, ring: Any) -> list[Any]:
        """What is in a ring now, each record once; nothing when no program sends to it."""
        if id(ring) not in self._session.bindings:
            return []
        if id(ring) not in self._events:
            self._events[id(ring)] = self._session.events(ring)
            self._events[id(ring)].stop()  # wait for nothing
        return list(self._events[id(ring)])

    def lost(self, ring: Any) -> int:
        """Records that found no room in a ring."""
        return int(self._events[id(ring)].lost) if id(ring) in self._events else 0


def _loaded(plan: Plan, machine: Any, maps: Mapping[Any, Any] | None, number: int) -> Session:
    from bpfwright.session import load
    return load(*(made.program for made in plan.made), machine=machine, maps=maps, config=Numbered(generation=number),
                change=plan.linked if plan.foreign else None)


def _too_much(problem: Exception) -> bool:
    """Whether stages as functions of their own would help."""
    from bpfwright.lang.compile import StackExceeded
    from bpfwright.lang.frames import ChainExceeded
    return isinstance(problem, (ChainExceeded, StackExceeded)) or "too large" in str(problem).lower()


class Generation:
    """A plan, loaded; `maps(declared)` is a declared map of it. Close it when the kernel holds what must go on."""

    def __init__(self, plan: Plan, session: Session) -> None:
        self.plan = plan
        self.session = session
        self.maps = Tables(session)

    @classmethod
    def load(cls, plan: Plan, machine: Any, *, maps: Mapping[Any, Any] | None = None, number: int = 0) -> Generation:
        """Compile and load; `maps` are those that go on from before, by declaration or name. Nothing is live yet.

        Stages are inlined, as long as that is not too much for the stack or the verifier.
        """
        try:
            return cls(plan, _loaded(plan, machine, maps, number))
        except (CompileError, VerifierError) as problem:
            if plan.apart or not _too_much(problem):
                raise
        plan = plan_of(plan.parts, wrap=plan.wrap, apart=True)
        return cls(plan, _loaded(plan, machine, maps, number))

    def fill(self, edits: Sequence[Mapping[str, Any]] = (), *, slot: int = 0) -> None:
        """Let every facet fill its tables, and do again what was changed in them since. `slot`: where it will be."""
        if self.name_of(handing):
            rows = self.maps(handing)
            rows[0] = [Handed(MAGIC, slot, 0, 0)] * len(rows[0])
        for name, part in self.plan.parts.items():
            if part.fill is not None:
                part.fill(self.maps)
            own = [dict(each) for each in edits if each["facet"] == name]
            if part.redo is not None and own:
                part.redo(self.maps, own)

    def programs(self) -> dict[Place, Any]:
        """The loaded program of each hook."""
        return {place: self.session.program(made.program) for made in self.plan.made for place in made.places}

    def counted(self) -> list[Counted]:
        """What became of packets, by reason."""
        found = []
        for made in self.plan.made:
            counts = self.maps(made.counts)
            name = ", ".join(map(str, made.places))
            for number, (stage, reason) in enumerate(reasons_of(made.stages)):
                total = counts[number].total()
                found.append(Counted(name, stage, reason, total.packets, total.bytes))
        return found

    def counters(self) -> dict[str, list[Stage]]:
        """The stages that each map of counters counts for, by its name in the object."""
        names = {declared: name for name, declared in self.session.compiled.maps.items()}
        return {names[made.counts]: made.stages for made in self.plan.made}

    def errors(self) -> int:
        """Packets that ended in an error of a stage: their count stands behind the last reason."""
        return sum(self.maps(made.counts)[len(reasons_of(made.stages))].total().packets for made in self.plan.made)

    def name_of(self, declared: Any) -> str:
        """The name of a declared map in the object; empty when no program uses it."""
        return next((name for name, known in self.session.compiled.maps.items() if known is declared), "")

    def names(self) -> dict[str, Any]:
        """Every map of the generation by its name in the object, as the machine has it."""
        return dict(self.session.loaded.maps)

    def kept(self) -> dict[str, str]:
        """The kept maps: what they are called, and their names in the object."""
        names = {declared: name for name, declared in self.session.compiled.maps.items()}
        loaded = self.session.loaded.maps
        found = {called: names.get(key, key) for called, key in self.plan.kept.items()}
        return {called: name for called, name in found.items() if isinstance(name, str) and name in loaded}

    def close(self) -> None:
        """Let go of what this process holds of it."""
        self.session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
