"""What a packet facet gives to the data path: stages for hooks, the maps that it keeps, and what fills them."""
from __future__ import annotations

from contextlib import AbstractContextManager

from bpfwright._typing import Any, Callable, Iterable, NamedTuple, Protocol
from bpfwright.datapath.configuration import Section
from bpfwright.datapath.stage import Stage

__all__ = ["Edit", "Editing", "Facet", "Facts", "Hooked", "Leaver", "Part", "Scene"]

Facts = dict[str, Any]


class Scene(NamedTuple):
    """What a facet may know while it builds: each interface's number, MAC address and addresses as text."""

    interfaces: dict[str, Any]
    machine: Any


class Hooked(NamedTuple):
    """A stage at a hook of an interface. Stages of a hook run in the order of `rank`, the lowest first."""

    interface: str
    hook: str
    stage: Stage
    rank: int = 100


class Edit(NamedTuple):
    """A change of a named set: elements that come in, and elements that go out."""

    name: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Part(NamedTuple):
    """A facet's share of one generation.

    `kept`: maps by name that outlive the generation (connections, counters): the next generation whose map of that
    name has the same kind, key, value and size goes on with the same memory. `fill(maps)` runs before the generation
    is live: `maps(declared)` is a declared map answering for it. `tend(maps)` runs each second while a controller
    lives (expiry, logs), None where there is nothing to do. `beside(maps)` is what a controller enters as long as it
    tends the generation, for work that has times of its own (health checks, in a thread); what that gives is
    called each second and raises what went wrong.
    `rows(maps)` is what `status` shows: dicts. `states(maps)` are words by name; `watch` says when one changes.
    `inside` is for the facet's own commands, to find again what it built.

    What a facet changes outside of BPF (qdiscs, routes) it notes in facts, which JSON can hold and which outlive
    processes: `enter(facts)` before the generation is live (also when one comes back), `settled(facts)` when it stays;
    each gives the new facts.

    Tables that may be changed while they are live: `book(book, name_of)` writes, after `fill`, what changes need;
    `name_of` gives a declared map's name in the object. The facet's own `edit(book, maps, edit)` makes a change with
    that alone, see `Editing`. `redo(maps, earlier)` does what was changed `earlier` again in tables that were filled
    anew; `elements(name, earlier)` are those of a set as it is now.
    """

    stages: list[Hooked]
    kept: dict[str, Any] = {}
    fill: Callable[[Any], None] | None = None
    tend: Callable[[Any], None] | None = None
    rows: Callable[[Any], list[dict[str, Any]]] | None = None
    enter: Callable[[Facts], Facts] | None = None
    settled: Callable[[Facts], Facts] | None = None
    book: Callable[[Any, Callable[[Any], str]], None] | None = None
    redo: Callable[[Any, list[Facts]], None] | None = None
    elements: Callable[[str, list[Facts]], Iterable[str]] | None = None
    beside: Callable[[Any], AbstractContextManager[Callable[[], None]]] | None = None
    states: Callable[[Any], dict[str, str]] | None = None
    inside: tuple[Any, ...] = ()


class Facet(Protocol):
    """A packet facet: `name` is its section in net.yaml."""

    name: str

    def read(self, section: Section) -> Any:
        """Its settings, checked; ConfigurationError with file and line."""

    def build(self, settings: Any, scene: Scene) -> Part:
        """Its part of a generation with these settings."""


class Editing(Protocol):
    """A facet whose tables can be changed while they are live."""

    def edit(self, book: Any, maps: Callable[[str], Any], edit: Edit | None) -> None:
        """Change a named set in live tables: `maps(name)` is a map by its name in the object. None: complete what a
        process left that died. UsageError before anything is changed; SessionError where a table was full, and all is
        as it was."""


class Leaver(Protocol):
    """A facet that has something to undo outside of BPF."""

    def leave(self, facts: Facts) -> None:
        """Undo what its parts did: it is in no generation any more. Interfaces may be gone."""
