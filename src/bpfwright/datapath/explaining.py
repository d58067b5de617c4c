"""What the data path does with one packet, stage by stage, in the kernel and in the userspace machine.

The same programs are loaded once more beside what is live, on tables filled as they are and copies of the kept ones,
with a note behind each stage: so nothing that is live is touched, neither connections nor counters.
"""
from __future__ import annotations

from bpfwright._typing import Any, Callable, Mapping, NamedTuple
from bpfwright.datapath.facet import Part
from bpfwright.datapath.handing import without_handed
from bpfwright.datapath.generation import Generation, Place, plan_of
from bpfwright.datapath.parsed import Parsed
from bpfwright.datapath.stage import ABORT, ACCEPT, CONTINUE, DROP, REPLY, SENT, Stage
from bpfwright.maps import Array
from bpfwright.types import Struct, u32, u64

__all__ = ["Explained", "Step", "explain"]

_WORDS = {CONTINUE: "goes on", ACCEPT: "accepts", DROP: "drops", REPLY: "sends it back", SENT: "sends it elsewhere",
          ABORT: "fails"}
_MOST_STAGES = 64
_AT_ONCE = 4096  # entries of a table that is copied
_ENDS = ("drops", "sends it back", "sends it elsewhere", "fails")


class _Note(Struct):
    """What a stage said; `order` is 0 where it was not asked."""

    order: u32
    verdict: u32
    packet: Parsed


class Step(NamedTuple):
    """A stage's answer: `says` in words, `reason` where it has one, `packet` is what the parse found for it."""

    place: str
    stage: str
    says: str
    reason: str
    packet: dict[str, int]


class Explained(NamedTuple):
    """The steps in their order, the action at the last hook, and the packet as it was then."""

    machine: str
    steps: list[Step]
    action: str
    data: bytes


def explain(make: Callable[[], Mapping[str, Part]], kept: Mapping[str, Any], edits: list[dict[str, Any]], packet: bytes,
            places: list[Place], machine: Any) -> Explained:
    """Run a packet through the hooks of `places`, in their order, until a stage ends it.

    `make` builds the parts anew; `kept` are kept maps of the kernel by what they are called, to copy from; `edits` is
    what was changed in tables since they were filled.
    """
    notes = Array[_Note](max_entries=_MOST_STAGES)
    marks = Array[u64](max_entries=1)
    numbers: dict[Any, tuple[int, Stage]] = {}

    def wrap(stage: Stage) -> Stage:
        number, _ = numbers.setdefault(stage.run, (len(numbers), stage))
        return stage._replace(run=_noted(stage.run, number, notes, marks))

    plan = plan_of(make(), wrap=wrap, apart=True)  # what is parsed stands in memory, and notes take no stack
    steps: list[Step] = []
    action, data = "", packet
    with Generation.load(plan, machine) as generation:
        generation.fill(edits)
        for called in plan.kept:
            if called in kept and called in generation.kept():
                _copy(kept[called], generation.names()[generation.kept()[called]])
        programs = {place: made.program for made in plan.made for place in made.places}
        for place in places:
            if place not in programs:
                continue
            generation.maps(marks)[0] = 0
            result = generation.session.test_of(programs[place], data)
            action, data = getattr(result.action, "name", str(result.action)), without_handed(result.data)
            new = _steps(generation.maps(notes), numbers, str(place), generation.maps(marks)[0])
            steps += new
            if new and new[-1].says in _ENDS:
                break
    return Explained(type(machine).__name__.lower(), steps, action, data)


def _noted(run: Any, number: int, notes: Any, marks: Any) -> Any:
    def noted(ctx: Any, packet: Any) -> Any:
        note = notes.get(number)  # in the table's own memory: stages need the stack
        if note is not None:
            note.packet = packet
        verdict = run(ctx, packet)
        mark = marks.get(0)
        order = 1 if mark is None else mark + 1
        marks[0] = order
        if note is not None:
            note.order = order
            note.verdict = verdict
        return verdict

    return noted


def _steps(notes: Any, numbers: dict[Any, tuple[int, Stage]], place: str, count: int) -> list[Step]:
    """The notes of the stages that were asked, in the order in which they were."""
    found = []
    for number, stage in numbers.values():
        note = notes[number]
        if 0 < note.order <= count:
            reason = note.verdict >> 8
            packet = {name: getattr(note.packet, name) for name in Parsed.__layout__().fields}
            found.append((note.order, Step(place, stage.name, _WORDS.get(note.verdict & 0xFF, "?"),
                                           stage.reasons[reason - 1] if 0 < reason <= len(stage.reasons) else "",
                                           packet)))
        notes[number] = _Note(0, 0, note.packet)
    return [step for _, step in sorted(found, key=lambda each: each[0])]


def _copy(source: Any, target: Any) -> None:
    """The entries of a map into another of its shape; what cannot be walked (rings) stays empty."""
    if not source.key_size:
        return
    for keys, values, count in source.lookup_batches(_AT_ONCE):
        target.update_batch(keys, values, count)
