"""Changes of a data path: prepared beside what is live, made live by one store, taken back the same way.

What keeps forwarding is in the kernel and pinned; a controller may die at any point of any of this. Before the store
nothing has changed for a packet, after it the change is complete, and what a dead controller left is swept by the next.
"""
from __future__ import annotations

from contextlib import ExitStack, contextmanager

from bpfwright._host import now_ns, sleep_s
from bpfwright._typing import Any, Callable, Iterator, Mapping, NamedTuple, Self, Sequence
from bpfwright.datapath import places as interfaces
from bpfwright.datapath.configuration import Section, read
from bpfwright.datapath.facet import Edit, Part, Scene
from bpfwright.datapath.explaining import Explained, explain
from bpfwright.datapath.generation import Counted, Generation, Place, Plan, plan_of
from bpfwright.datapath.ledger import Ledger, Record
from bpfwright.datapath.live import Live, common_pins, detach
from bpfwright.datapath.protocols import own_fields
from bpfwright.datapath.sources import Sources
from bpfwright.errors import ConfigurationError, SessionError, TargetError, UsageError

__all__ = ["Applied", "Controller", "Safety", "Status"]

_OWN_SECTIONS = ("interfaces", "protocols", "safety")


class Safety(NamedTuple):
    """What must hold of a change, or it is taken back: section `safety` of net.yaml.

    `confirm_s`: somebody confirms within so long (0: nobody needs to). `watch_s`: so long the programs are watched:
    at most `most-errors` packets end in an error, a packet takes at most `most-ns` (0: however long).
    """

    confirm_s: float = 0.0
    watch_s: float = 0.0
    most_errors: int = 0
    most_ns: int = 0


class Applied(NamedTuple):
    """What a change came to: `left_s` is the time to confirm it, 0 where it needs none. `modes`: how each root is
    attached. `fresh`: kept tables that began empty, because there was none before or it had another shape. `edits`:
    how many changes in place of the generation before are gone with it."""

    record: Record
    left_s: float
    modes: dict[str, str]
    fresh: list[str]
    edits: int


class Status(NamedTuple):
    """What is live, and what it has done. `expired`: a change was taken back because nobody confirmed it. `missing`:
    interfaces that are gone. `others`: what else is at the hooks. `totals`: [packets, bytes] of generations before.
    `edits`: changes of sets in place since it was applied."""

    record: Record
    previous: Record | None
    left_s: float
    expired: bool
    modes: dict[str, str]
    missing: list[str]
    others: list[interfaces.Other]
    counted: list[Counted]
    totals: dict[str, list[int]]
    rows: dict[str, list[dict[str, Any]]]
    edits: int


class Controller:
    """The data path of a name, with the facets that may stand in its configuration. One at a time changes it."""

    def __init__(self, name: str, facets: Mapping[str, Any], *, machine: Any = None, ledger: Ledger | None = None,
                 ) -> None:
        self.facets = facets
        self._own = machine is None
        if machine is None:
            from bpfwright.kernel import Kernel
            machine = Kernel()
        self.machine = machine
        self.ledger = ledger or Ledger(name)

    def close(self) -> None:
        """Let go; what is live stays live."""
        if self._own:
            self.machine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # reading

    def parts(self, text: str, file: str, sources: Sources | None = None,
              ) -> tuple[dict[str, Part], dict[str, Any], Safety]:
        """What a configuration asks for: facets' parts, interfaces by name, safety. ConfigurationError by line."""
        whole = read(text, file, sources)
        scene = Scene(self._interfaces(whole), self.machine)
        whole.sources.own_fields = own_fields(whole)
        safety = _safety(whole)
        parts = {}
        for key in whole:
            if key in _OWN_SECTIONS:
                continue
            if key not in self.facets:
                known = (*_OWN_SECTIONS, *self.facets)
                whole.wrong("there is no such section", f"There are {', '.join(known)}.", at=key)
            section = whole.section(key)
            if section is None:
                whole.wrong("this section is empty", "Remove it, or say what it is to do.", at=key)
            facet = self.facets[key]
            settings = facet.read(section)
            section.done()
            parts[key] = facet.build(settings, scene)
        whole.done()
        return parts, scene.interfaces, safety

    def _parts_of(self, record: Record) -> dict[str, Part]:
        """What a generation was made of, made again."""
        return self.parts(record.text, record.file, self.ledger.sources(record))[0]

    def _interfaces(self, whole: Section) -> dict[str, interfaces.Interface]:
        found = {}
        given = whole.value("interfaces")
        if given is None:
            whole.wrong("interfaces is missing", "Write `interfaces: [eth0]`.")
        if isinstance(given, Section):
            for name in given:
                inside = given.section(name)
                mode = "auto" if inside is None else inside.choice("mode", ("auto", "native", "generic"), "auto")
                if inside is not None:
                    inside.done()
                found[name] = self._interface(given, name, mode)
        else:
            for scalar in whole.scalars("interfaces"):
                found[scalar.text] = self._interface(scalar, scalar.text, "auto")
        if not found:
            whole.wrong("no interface is named", "Write `interfaces: [eth0]`.", at="interfaces")
        return found

    def _interface(self, where: Any, name: str, mode: str) -> interfaces.Interface:
        try:
            return interfaces.interface(name, mode)
        except TargetError as error:
            if isinstance(where, Section):
                where.wrong(error.what, error.cure, at=name)
            raise ConfigurationError(error.what, file=where.file, line=where.line, cure=error.cure) from None

    def check(self, text: str, file: str = "net.yaml") -> dict[Place, int]:
        """Read, compile, load and fill a configuration beside what is live; the instructions of each hook's program."""
        from bpfwright.kernel import listing
        parts, _, _ = self.parts(text, file)
        with Generation.load(_planned(parts, self.facets), self.machine) as generation:
            generation.fill()
            return {place: listing.program_info(program.fd).translated_bytes // 8
                    for place, program in generation.programs().items()}

    # changing

    def apply(self, text: str, file: str = "net.yaml", *, confirm_s: float | None = None) -> Applied:
        """Make a configuration live. Whatever fails, what was live stays live, and nothing new is left."""
        sources = Sources()
        parts, known, safety = self.parts(text, file, sources)
        if confirm_s is not None:
            safety = safety._replace(confirm_s=confirm_s)
        plan = _planned(parts, self.facets)
        with self._live(make=True) as live:
            self._catch_up(live)
            live.sweep()
            return self._change(live, plan, known, safety, text, file, sources)

    def _change(self, live: Live, plan: Plan, known: dict[str, interfaces.Interface], safety: Safety, text: str,
                file: str, sources: Sources) -> Applied:
        before = live.live()
        kept = live.kept_for(plan, before)
        edits = len(self.ledger.edits(before)) if before is not None else 0
        undo: list[Callable[[], None]] = []
        try:
            given = {**live.common, **{plan.kept[called]: opened for called, opened in kept.items()}}
            number, slot = live.next_number(), live.next_slot()
            with Generation.load(plan, self.machine, maps=given, number=number) as generation:
                generation.fill(slot=slot)
                record = live.prepared(generation, number, slot, before, kept, text, file, sources, undo)
                for name, part in plan.parts.items():
                    if part.book is not None:
                        part.book(self.ledger.book(record, name), generation.name_of)
                live.seated(generation, record, known, undo)
                undo.append(lambda: self._follow(before))
                self._enter(plan.parts)
                window = safety.confirm_s + safety.watch_s
                live.switch(record, now_ns() + int(window * 1e9) if window else 0)
                undo.clear()
                self._watch(generation, live, safety)
        except BaseException:
            for step in reversed(undo):
                step()
            raise
        finally:
            for opened in kept.values():
                opened.close()
        if not safety.confirm_s:
            live.confirm()
            self._settle(plan.parts)
        live.sweep()
        return Applied(record, live.left_s(), {str(place): seat.mode for place, seat in self.ledger.seats().items()},
                       sorted(plan.kept.keys() - kept.keys()), edits)

    def _enter(self, parts: Mapping[str, Part]) -> None:
        """Let facets change what is outside of BPF, and note it at once."""
        facts = self.ledger.facts()
        for name, part in parts.items():
            if part.enter is not None:
                facts[name] = part.enter(facts.get(name, {}))
                self.ledger.write_facts(facts)

    def _settle(self, parts: Mapping[str, Part]) -> None:
        """What is live stays: facets remove what only the generation before needed; all, where they are not in it."""
        facts = self.ledger.facts()
        for name in list(facts):
            if name not in parts:
                self._leave(name, facts.pop(name))
        for name, part in parts.items():
            if part.settled is not None:
                facts[name] = part.settled(facts.get(name, {}))
        self.ledger.write_facts(facts)

    def _leave(self, name: str, facts: dict[str, Any]) -> None:
        leave = getattr(self.facets.get(name), "leave", None)
        if leave is not None:
            leave(facts)

    def _watch(self, generation: Generation, live: Live, safety: Safety) -> None:
        """Look at the new programs at work; take them back when they fail."""
        if not safety.watch_s:
            return
        ends = now_ns() + int(safety.watch_s * 1e9)
        if safety.most_ns:
            self.machine.keep_statistics()
        while now_ns() < ends:
            sleep_s(min(0.1, safety.watch_s))
            problem = _problem(generation, safety)
            if problem:
                self._back(live)
                raise SessionError(f"the change was taken back: {problem}", cure="Look at what it does with a packet: "
                                   "`bpfwright net explain`.")

    def confirm(self) -> Record:
        """The change that is live stays. SessionError when it has been taken back already, or none waits."""
        with self._live() as live:
            if not live.waits():
                raise SessionError("there is no change to confirm",
                                   why="the last one was taken back when its time was over" if live.expired()
                                   else "what is live needs none")
            live.confirm()
            record = live.live_or_fail()
            self._settle(self._parts_of(record))
            return record

    def rollback(self) -> Record | None:
        """Make the generation before the live one live again, all of it in one store; None when there was none."""
        with self._live() as live:
            return self._back(live)

    def _back(self, live: Live) -> Record | None:
        back = live.roll_back()
        self._follow(back)
        return back

    def _follow(self, record: Record | None) -> None:
        """Let what is outside of BPF be as a generation wants it, or as it was before there was any."""
        parts = self._parts_of(record) if record is not None else {}
        self._enter(parts)
        self._settle(parts)

    def _catch_up(self, live: Live) -> None:
        """Where programs went back by themselves, let what is outside of BPF follow."""
        if live.expired():
            live.sweep()
            self._follow(live.live())

    def remove(self) -> None:
        """Take everything from the hooks and forget it: packets pass as if nothing had been there."""
        with self._locked():
            if not self.ledger.exists:
                raise SessionError(f"there is no data path {self.ledger.name!r}")
            detach(list(self.ledger.linked()))
            for name, facts in self.ledger.facts().items():
                self._leave(name, facts)
            self.ledger.remove()

    def edit(self, facet: str, edit: Edit) -> Record:
        """Change a named set of a facet where it is, under traffic; the generation that was changed.

        It holds until the next `apply`, which reads the files. UsageError for what cannot be changed so.
        """
        with self._live() as live:
            record = live.live_or_fail()
            book = self.ledger.book(record, facet)
            if not book.exists:
                raise UsageError(f"nothing of {facet} can be changed in place",
                                 cure="Change the file, and `bpfwright net apply` it.")
            with _named(record.maps) as maps:
                self.facets[facet].edit(book, maps, edit)
            return record

    def elements(self, facet: str, name: str) -> list[str]:
        """The elements of a named set of a facet, as they are now."""
        with self._live() as live:
            record = live.live_or_fail()
            part = self._parts_of(record).get(facet)
            if part is None or part.elements is None:
                raise UsageError(f"{facet} has no sets here")
            return list(part.elements(name, self.ledger.book(record, facet).edits()))

    # looking

    def status(self) -> Status:
        """What is live and what it has done so far."""
        with self._live() as live:
            record = live.live_or_fail()
            seats = self.ledger.seats()
            missing = sorted({place.interface for place in record.places if not live.holds(place)})
            names = sorted({place.interface for place in record.places} - set(missing))
            with self._generation(record) as generation:
                rows = {name: part.rows(generation.maps) for name, part in generation.plan.parts.items() if part.rows}
                counted = generation.counted()
            return Status(record, live.record(record.previous), live.left_s(), live.expired(),
                          {str(place): seats[place].mode for place in record.places if place in seats}, missing,
                          interfaces.others(names, [seat.root for seat in seats.values()]), counted,
                          self.ledger.totals(), rows, len(self.ledger.edits(record)))

    @contextmanager
    def generation(self) -> Iterator[tuple[Record, Generation]]:
        """What is live, for this process to use: its maps are the kernel's, its programs copies."""
        with ExitStack() as stack:
            with self._live() as live:
                record = live.live_or_fail()
                generation = stack.enter_context(self._generation(record))
            yield record, generation

    def live_number(self) -> int:
        """The number of the generation that is live, 0 where none is."""
        with self._live() as live:
            record = live.live()
            return 0 if record is None else record.number

    def explain(self, packet: bytes, interface: str, machines: Sequence[Any]) -> list[Explained]:
        """What the live generation does with a frame that comes in by an interface, in each machine; for nothing."""
        with self._live() as live:
            record = live.live_or_fail()
            wanted = [Place(interface, hook) for hook in ("xdp", "ingress")]
            if not set(wanted) & set(record.places):
                raise UsageError(f"nothing looks at what comes in by {interface}", cure="There are " + ", ".join(
                    sorted({place.interface for place in record.places if place.hook != "egress"})) + ".")
            with _opened(record.kept) as kept:
                edits = self.ledger.edits(record)
                return [explain(lambda: self._parts_of(record), kept, edits, packet, wanted, machine)
                        for machine in machines]

    @contextmanager
    def _generation(self, record: Record) -> Iterator[Generation]:
        plan = plan_of(self._parts_of(record), apart=record.apart)
        with _opened(record.maps) as own, _opened(record.kept) as kept, _opened(common_pins(self.ledger)) as common:
            maps = {**common, **own, **{plan.kept[called]: opened for called, opened in kept.items()}}
            with Generation.load(plan, self.machine, maps=maps, number=record.number) as made:
                yield made

    @contextmanager
    def _live(self, *, make: bool = False) -> Iterator[Live]:
        """The kernel's side, while nobody else changes it."""
        if not make and not self.ledger.exists:
            raise SessionError(f"there is no data path {self.ledger.name!r}", cure="`bpfwright net apply` makes one.")
        with self._locked(), Live(self.ledger, self.machine) as live:
            if not make:
                self._complete()
            yield live

    def _complete(self) -> None:
        """Complete changes of sets that processes have begun which died."""
        for record in self.ledger.records():
            for facet, book in self.ledger.books(record).items():
                if book.announced() is not None:
                    with _named(record.maps) as maps:
                        self.facets[facet].edit(book, maps, None)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self.ledger.locked():
            yield


def _planned(parts: Mapping[str, Part], facets: Mapping[str, Any]) -> Plan:
    plan = plan_of(parts)
    if not plan.made:
        raise UsageError("this configuration does nothing", cure="Add a section: " + ", ".join(facets) + ".")
    return plan


@contextmanager
def _opened(paths: Mapping[Any, str]) -> Iterator[dict[Any, Any]]:
    """Pinned maps by what they are called here."""
    from bpfwright.kernel.map import KernelMap
    found: dict[Any, Any] = {}
    try:
        for name, path in paths.items():
            found[name] = KernelMap.pinned(path)
        yield found
    finally:
        for each in found.values():
            each.close()


@contextmanager
def _named(paths: Mapping[str, str]) -> Iterator[Callable[[str], Any]]:
    """Pinned maps by their names in the object, each opened when it is asked for."""
    from bpfwright.kernel.map import KernelMap
    with ExitStack() as stack:
        found: dict[str, Any] = {}

        def named(name: str) -> Any:
            if name not in found:
                found[name] = stack.enter_context(KernelMap.pinned(paths[name]))
            return found[name]

        yield named


def _safety(whole: Section) -> Safety:
    section = whole.section("safety")
    if section is None:
        return Safety()
    found = Safety(section.seconds("confirm", 0.0, high=86400), section.seconds("watch", 0.0, high=3600),
                   section.number("most-errors", 0), section.number("most-ns", 0))
    section.done()
    return found


def _problem(generation: Generation, safety: Safety) -> str:
    """What a new generation does that it may not; empty when all is well."""
    errors = generation.errors()
    if errors > safety.most_errors:
        return f"{errors} packets ended in an error, {safety.most_errors} were allowed"
    if safety.most_ns:
        for place, program in generation.programs().items():
            runs, spent_ns, _ = program.statistics()
            if runs >= 100 and spent_ns > safety.most_ns * runs:
                return f"a packet takes {spent_ns // runs} ns at {place}, {safety.most_ns} were allowed"
    return ""
