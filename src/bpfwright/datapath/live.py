"""The kernel's side of a data path: the pointer, the slots and the roots at the hooks, found by their pins."""
from __future__ import annotations

from bpfwright._host import now_ns, wall_ns
from bpfwright._typing import TYPE_CHECKING, Any, Callable, Mapping
from bpfwright.datapath import roots
from bpfwright.datapath.generation import Generation, Place, Plan, drops, watched
from bpfwright.datapath.ledger import Ledger, Record, Seated, unlink
from bpfwright.datapath.sources import Sources
from bpfwright.datapath.stage import reasons_of
from bpfwright.errors import BpfwrightError, KernelError, NotSupported, SessionError, UsageError

if TYPE_CHECKING:
    from bpfwright.datapath.places import Interface
    from bpfwright.kernel.map import KernelMap

__all__ = ["Live", "common_pins", "detach"]

_SHARED = ".data.shared"
_STAGES = {"xdp": "xdp_stages", "ingress": "tc_stages", "egress": "tc_stages"}
_COMMON: dict[Any, str] = {drops: "drops", watched: "watched"}
Undo = list[Callable[[], None]]


class Live:
    """The pinned maps that all generations of a data path hang on; made when they are not there."""

    def __init__(self, ledger: Ledger, machine: Any) -> None:
        self.ledger = ledger
        self.machine = machine
        self.maps: dict[str, KernelMap] = {}
        self.common: dict[Any, KernelMap] = {}
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> None:
        import os

        from bpfwright.kernel.map import KernelMap
        names = {"pointer": _SHARED, "xdp_stages": "xdp_stages", "tc_stages": "tc_stages"}
        self.ledger.make()
        if not all(os.path.exists(f"{self.ledger.pins}/{name}") for name in names):
            self._make(names)
        self.maps = {inside: KernelMap.pinned(f"{self.ledger.pins}/{name}") for name, inside in names.items()}
        self.common = {declared: KernelMap.pinned(path) for declared, path in common_pins(self.ledger).items()}
        self._memory = self.maps[_SHARED].map_values()
        self._words = self._memory.view[:16].cast("I")
        self._long = self._memory.view[8:16].cast("Q")

    def _make(self, names: dict[str, str]) -> None:
        """The maps come with the first root that names them; a set that was made by halves is made anew."""
        from bpfwright.session import load
        for name in names:
            unlink(f"{self.ledger.pins}/{name}")
        with load(roots.root_xdp, machine=self.machine) as xdp:
            shared = xdp.loaded.maps[_SHARED]
            with load(roots.root_ingress, machine=self.machine, maps={_SHARED: shared}) as tc:
                found: dict[str, Any] = {**tc.loaded.maps, **xdp.loaded.maps}
                for name, inside in names.items():
                    found[inside].pin(f"{self.ledger.pins}/{name}")

    def close(self) -> None:
        """Let go; nothing changes for packets."""
        if hasattr(self, "_memory"):
            self._words.release()
            self._long.release()
            self._memory.close()
        for each in (*self.maps.values(), *self.common.values()):
            each.close()

    def __enter__(self) -> Live:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # what is live

    def expired(self) -> bool:
        """Whether a change went back because nobody confirmed it."""
        return 0 < self._long[0] < now_ns()

    def waits(self) -> bool:
        """Whether a change is live that is not confirmed."""
        return bool(self._long[0]) and not self.expired()

    def left_s(self) -> float:
        """The time that is left to confirm."""
        return max(0.0, (self._long[0] - now_ns()) / 1e9) if self._long[0] else 0.0

    def slot(self) -> int:
        """The slot that programs go by now."""
        found: int = self._words[1] if self.expired() else self._words[0]
        return found

    def live(self) -> Record | None:
        """The generation that is live."""
        slot = self.slot()
        return next((record for record in self.ledger.records() if record.slot == slot), None)

    def live_or_fail(self) -> Record:
        """The generation that is live; SessionError when packets pass as if there were none."""
        found = self.live()
        if found is None:
            raise SessionError(f"nothing is live in data path {self.ledger.name!r}",
                               why="the first change was taken back when its time was over" if self.expired() else "",
                               cure="`bpfwright net apply` makes a configuration live.")
        return found

    def holds(self, place: Place) -> bool:
        """Whether the root of a hook is attached: an interface may be gone."""
        return _is_there(self.ledger.link(place))

    def record(self, number: int) -> Record | None:
        """A record by its number."""
        return next((record for record in self.ledger.records() if record.number == number), None)

    # a change, in the order of its steps

    def sweep(self) -> None:
        """Remove what no packet can come to: generations before the previous one, and what a dead controller left."""
        if self.expired():
            self._words[0] = self._words[1]
            self._long[0] = 0
        live = self.live()
        used = {live.number, live.previous} if live is not None else set()
        records = self.ledger.records()
        for record in records:
            if record.number not in used:
                self._forget(record)
        stay = [record for record in records if record.number in used]
        pins = {path for record in stay for path in record.kept.values()}
        for path in self.ledger.kept_pins():
            if path not in pins:
                unlink(path)
        self._leave({place for record in stay for place in record.places})

    def _forget(self, record: Record) -> None:
        self._count(record)
        for place, seated in self.ledger.seats().items():
            self.maps[_STAGES[place.hook]].delete(_index(record.slot, seated.number))
        self.ledger.forget(record)

    def _count(self, record: Record) -> None:
        """Add what a generation counted to the totals."""
        totals = self.ledger.totals()
        for name, reasons in record.reasons.items():
            counted = _totals(record.maps[name], len(reasons))
            for (stage, reason), (packets, octets) in zip(reasons, counted, strict=False):
                if packets:
                    known = totals.setdefault(f"{stage} {reason}", [0, 0])
                    known[0] += packets
                    known[1] += octets
        self.ledger.write_totals(totals)

    def _leave(self, used: set[Place]) -> None:
        """Take the roots from hooks that no generation uses."""
        seats = self.ledger.seats()
        gone = [place for place in seats if place not in used]
        known = {self.ledger.link(place) for place in seats if place in used}
        detach([path for path in self.ledger.linked() if path not in known])
        for place in gone:
            for slot in range(roots.SLOTS):
                self.maps[_STAGES[place.hook]].delete(_index(slot, seats[place].number))
        if gone:
            self.ledger.write_seats({place: seat for place, seat in seats.items() if place in used})

    def kept_for(self, plan: Plan, before: Record | None) -> dict[str, KernelMap]:
        """The kept maps of the generation before that fit the plan, opened, by what they are called."""
        from bpfwright.kernel.map import KernelMap
        found: dict[str, KernelMap] = {}
        for called, path in (before.kept if before else {}).items():
            wanted = plan.shape(called)
            if wanted is not None:
                opened = KernelMap.pinned(path)
                if wanted == opened.spec[1:5]:
                    found[called] = opened
                else:
                    opened.close()
        return found

    def next_number(self) -> int:
        """What the next generation will be called."""
        return max((record.number for record in self.ledger.records()), default=0) + 1

    def next_slot(self) -> int:
        """A slot that no generation has."""
        slots = {self.slot(), *(record.slot for record in self.ledger.records())}
        return next(each for each in range(roots.SLOTS) if each not in slots)

    def prepared(self, generation: Generation, number: int, slot: int, before: Record | None,
                 kept: Mapping[str, KernelMap], text: str, file: str, sources: Sources, undo: Undo) -> Record:
        """Write the generation's record and pin its maps: from here on another process can go on with it."""
        names = generation.kept()
        folder = self.ledger.folder(number)
        pins = {called: before.kept[called] if before and called in kept
                else f"{self.ledger.pins}/kept/{called.replace('.', '-')}-{number}" for called in names}
        common = {generation.name_of(declared) for declared in _COMMON}
        maps = {name: f"{folder}/{name.replace('.', '@')}" for name in generation.names()
                if name not in names.values() and name not in common}
        counts = generation.counters()
        record = Record(number, slot, before.number if before else 0, file, text, wall_ns(),
                        tuple(sorted(generation.programs())), pins, maps,
                        {name: [list(each) for each in reasons_of(stages)] for name, stages in counts.items()},
                        self.ledger.keep_sources(number, sources.files), generation.plan.apart)
        self.ledger.write(record)
        undo.append(lambda: self.ledger.forget(record))
        self._pin(generation, record, kept, undo)
        return record

    def _pin(self, generation: Generation, record: Record, kept: Mapping[str, KernelMap], undo: Undo) -> None:
        import os
        os.mkdir(self.ledger.folder(record.number), 0o700)
        loaded = generation.names()
        for name, path in record.maps.items():
            loaded[name].pin(path)
        for declared, name in _COMMON.items():
            inside = generation.name_of(declared)
            if inside and declared not in self.common:
                undo.append(_unlinker(f"{self.ledger.pins}/{name}"))
                loaded[inside].pin(f"{self.ledger.pins}/{name}")
        for called, name in generation.kept().items():
            if called not in kept:
                undo.append(_unlinker(record.kept[called]))
                loaded[name].pin(record.kept[called])

    def seated(self, generation: Generation, record: Record, known: Mapping[str, Interface], undo: Undo) -> None:
        """Put the generation's programs into its slot, and roots at hooks that have none."""
        seats = self.ledger.seats()
        for place, program in generation.programs().items():
            mode = known[place.interface].mode
            if place in seats and _is_there(self.ledger.link(place)):
                seated = seats[place]
                if place.hook == "xdp" and mode not in ("auto", seated.mode):
                    raise UsageError(f"XDP of {place.interface} is attached in {seated.mode} mode",
                                     cure="Take it off first: `bpfwright net remove`.")
            else:
                seated = self._root(place, mode, seats, undo)
            self.maps[_STAGES[place.hook]].update(_index(record.slot, seated.number), program.fd.to_bytes(4, "little"))

    def _root(self, place: Place, mode: str, seats: dict[Place, Seated], undo: Undo) -> Seated:
        """Attach a root to a hook. Its seat is written down before, so that a sweep knows it."""
        from bpfwright.datapath.places import others
        from bpfwright.hooks import tc, xdp
        from bpfwright.session import attach
        taken = {seat.number for known, seat in seats.items() if known != place}
        number = next((each for each in range(roots.PLACES) if each not in taken), -1)
        if number < 0:
            raise UsageError(f"{roots.PLACES} hooks are in use", cure="Use fewer interfaces.")
        if place.hook == "xdp" and (there := [each for each in others([place.interface], []) if each.hook == "xdp"]):
            raise KernelError(f"XDP of {place.interface} is taken", 16,
                              why=f"program {there[0].program} ({there[0].name}) is there, {there[0].how}",
                              cure="Detach it first, or list it under `objects` so that it runs in this data path.")
        if place.hook != "xdp" and not self.machine.features.named("tcx links").works:
            raise NotSupported(f"stages at {place}", since="6.6",
                               why="only a link of tcx outlives the command that made it",
                               cure="Use what runs at XDP: firewall rules for what comes in, the balancer, objects.")
        root = roots.ROOTS[place.hook]
        target: Any = xdp.Interface(place.interface, mode=mode) if place.hook == "xdp" else \
            tc.Ingress(place.interface) if place.hook == "ingress" else tc.Egress(place.interface)
        maps = {_SHARED: self.maps[_SHARED], _STAGES[place.hook]: self.maps[_STAGES[place.hook]]}
        with attach(root, target, machine=self.machine, config=roots.Seat(number=number), maps=maps) as session:
            link = session.links[0]
            how = link.description.rpartition("(")[2].rstrip(")") if place.hook == "xdp" else "tcx"
            seats[place] = Seated(number, how, _program_id(session.program(root).fd))
            self.ledger.write_seats(seats)
            path = self.ledger.link(place)
            unlink(path)
            undo.append(lambda: detach([path]))
            link.pin(path)
        return seats[place]

    def switch(self, record: Record, deadline_ns: int) -> None:
        """Make a generation live: the last of these stores is the change."""
        self._words[1] = self.slot()
        self._long[0] = deadline_ns
        self._words[0] = record.slot

    def confirm(self) -> None:
        """What is live stays."""
        self._long[0] = 0

    def roll_back(self) -> Record | None:
        """Go back to the generation before; None when there was none: packets pass as if there were no data path."""
        live = self.live_or_fail()
        before = self.record(live.previous)
        if live.previous and before is None:
            raise SessionError(f"generation {live.number} is the oldest that is still here")
        self._words[0] = before.slot if before else (live.slot + 1) % roots.SLOTS
        self._long[0] = 0
        self.sweep()
        return before


def common_pins(ledger: Ledger) -> dict[Any, str]:
    """The maps that all generations share, where they are pinned already."""
    import os
    paths = {declared: f"{ledger.pins}/{name}" for declared, name in _COMMON.items()}
    return {declared: path for declared, path in paths.items() if os.path.exists(path)}


def detach(paths: list[str]) -> None:
    """Take roots from their hooks, by the pins of their links."""
    from bpfwright.kernel.link import open_link
    for path in paths:
        try:
            link = open_link(path)
        except FileNotFoundError:
            continue
        except KernelError as error:
            if error.errno == 2:
                continue
            raise
        try:
            link.detach()
        except KernelError as error:
            if error.errno not in (2, 19, 22, 67):  # the interface is gone, or another took its place
                raise
        finally:
            link.close()
        unlink(path)


def _index(slot: int, seat: int) -> bytes:
    return (slot * roots.PLACES + seat).to_bytes(4, "little")


def _unlinker(path: str) -> Callable[[], None]:
    return lambda: unlink(path)


def _program_id(fd: int) -> int:
    from bpfwright.kernel import listing
    return listing.program_info(fd).id


def _is_there(path: str) -> bool:
    """Whether a pinned link still holds its hook: the interface may be gone."""
    from bpfwright.kernel import listing
    from bpfwright.kernel.link import open_link
    try:
        link = open_link(path)
    except BpfwrightError:
        return False
    try:
        return "gone" not in listing.link_info(link.fd).target
    finally:
        link.close()


def _totals(path: str, count: int) -> list[tuple[int, int]]:
    """(packets, bytes) by reason, over all CPUs, of a pinned map of counters."""
    from struct import iter_unpack

    from bpfwright.kernel.map import KernelMap
    found = []
    try:
        counters = KernelMap.pinned(path)
    except KernelError:
        return []
    with counters:
        for number in range(count):
            pairs = list(iter_unpack("=QQ", counters.lookup(number.to_bytes(4, "little")) or b""))
            found.append((sum(p for p, _ in pairs), sum(b for _, b in pairs)))
    return found
