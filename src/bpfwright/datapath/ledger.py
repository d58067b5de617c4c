"""What a data path has on this machine, so that any process can go on with it: files in /run, pins in bpffs.

A generation's record is written before it becomes live and holds all that is needed to load it again. Which generation
is live stands in one place only, the pointer in the kernel; a record whose slot the pointer does not name is history,
or was never finished.
"""
from __future__ import annotations

import json
import os
from contextlib import contextmanager
from fcntl import LOCK_EX, flock

from bpfwright._typing import Any, Iterator, Mapping, NamedTuple, TextIO
from bpfwright.datapath.book import Book
from bpfwright.datapath.generation import Place
from bpfwright.datapath.sources import Sources

__all__ = ["Ledger", "Record", "Seated", "unlink"]


class Record(NamedTuple):
    """A generation: `kept` are names of kept maps and the pins that hold them, `maps` the other maps by object name.

    `reasons` are the (stage, reason) that counters count by, by the counters' object name. `sources` are the files that
    the configuration read, by their paths: the names of the ledger's copies. `apart`: how its plan was made.
    """

    number: int
    slot: int
    previous: int
    file: str
    text: str
    time_ns: int
    places: tuple[Place, ...]
    kept: dict[str, str]
    maps: dict[str, str]
    reasons: dict[str, list[list[str]]]
    sources: dict[str, str] = {}
    apart: bool = False


class Seated(NamedTuple):
    """Where in every slot a hook's program stands, how its root is attached, and the root program's number."""

    number: int
    mode: str
    root: int


class Ledger:
    """The files of a data path by its name; `state` and `pins` are its folders."""

    def __init__(self, name: str, *, state: str = "/run/bpfwright", pins: str = "") -> None:
        if not pins:
            from bpfwright.kernel.mounts import bpffs
            pins = bpffs()
        self.name = name
        self.state = f"{state}/{name}"
        self.pins = f"{pins}/bpfwright-{name}"

    def make(self) -> None:
        """Make the folders: readable and writable by this user only."""
        for folder in (self.state, self.pins, f"{self.pins}/links", f"{self.pins}/kept"):
            os.makedirs(folder, mode=0o700, exist_ok=True)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time: others wait. The lock's file goes with the last that there is of the data path."""
        path = f"{self.state}.lock"
        os.makedirs(os.path.dirname(self.state), mode=0o700, exist_ok=True)
        with _locked(path):
            try:
                yield
            finally:
                if not os.path.exists(self.pins) and not os.path.exists(self.state):
                    unlink(path)

    @property
    def exists(self) -> bool:
        """Whether the data path has anything on this machine."""
        return os.path.isdir(self.pins)

    # records

    def write(self, record: Record) -> None:
        """Put a record on disk; whole, or not at all."""
        self._write(f"generation-{record.number}.json", record._asdict())

    def records(self) -> list[Record]:
        """All records, the oldest first; one that cannot be read was never finished."""
        found = []
        for name in _listed(self.state):
            if name.startswith("generation-") and name.endswith(".json"):
                raw = self._read(name)
                if raw is not None:
                    raw["places"] = tuple(Place(*place) for place in raw["places"])
                    found.append(Record(**raw))
        return sorted(found)

    def forget(self, record: Record) -> None:
        """Remove a record and the pins of its own maps."""
        for path in record.maps.values():
            unlink(path)
        folder = self.folder(record.number)
        for name in _listed(folder):
            unlink(f"{folder}/{name}")
        if os.path.isdir(folder):
            os.rmdir(folder)
        unlink(f"{self.state}/generation-{record.number}.json")
        for name in record.sources.values():
            unlink(f"{self.state}/{name}")
        _emptied(f"{self.state}/{_books(record)}")

    # what a generation was made of

    def keep_sources(self, number: int, files: Mapping[str, bytes]) -> dict[str, str]:
        """Keep copies of the files that a generation was made of; by their paths, what the copies are called."""
        import zlib
        names = {path: f"generation-{number}.source-{at}" for at, path in enumerate(files)}
        for path, name in names.items():
            with open(f"{self.state}/{name}", "wb") as file:
                file.write(zlib.compress(files[path], 1))
        return names

    def sources(self, record: Record) -> Sources:
        """The files that a generation was made of, as they were."""
        import zlib
        found = {}
        for path, name in record.sources.items():
            with open(f"{self.state}/{name}", "rb") as file:
                found[path] = zlib.decompress(file.read())
        return Sources(found)

    def book(self, record: Record, facet: str) -> Book:
        """What a facet's tables of a generation need to be changed."""
        return Book(f"{self.state}/{_books(record)}/{facet}")

    def books(self, record: Record) -> dict[str, Book]:
        """All of these that there are, by facet."""
        return {facet: self.book(record, facet) for facet in _listed(f"{self.state}/{_books(record)}")}

    def edits(self, record: Record) -> list[dict[str, Any]]:
        """What was changed in a generation's tables since it was made, in order, facet by facet."""
        return [{**each, "facet": facet} for facet, book in self.books(record).items() for each in book.edits()]

    def folder(self, number: int) -> str:
        """Where the pins of a generation's own maps are."""
        return f"{self.pins}/{number}"

    # what else is remembered

    def seats(self) -> dict[Place, Seated]:
        """The seat of each hook: it stays the same while the hook's root program is attached."""
        return {Place(*key.split(" ")): Seated(*seat) for key, seat in (self._read("seats.json") or {}).items()}

    def write_seats(self, seats: dict[Place, Seated]) -> None:
        """Remember seats."""
        self._write("seats.json", {str(place): seat for place, seat in seats.items()})

    def facts(self) -> dict[str, dict[str, Any]]:
        """What facets have changed outside of BPF, by facet."""
        return self._read("facts.json") or {}

    def write_facts(self, facts: dict[str, dict[str, Any]]) -> None:
        """Remember facts."""
        self._write("facts.json", facts)

    def totals(self) -> dict[str, list[int]]:
        """[packets, bytes] by "stage reason" of the generations that are gone."""
        return self._read("totals.json") or {}

    def write_totals(self, totals: dict[str, list[int]]) -> None:
        """Remember totals."""
        self._write("totals.json", totals)

    def link(self, place: Place) -> str:
        """Where the link of a hook is pinned; bpffs allows no dots in names."""
        return f"{self.pins}/links/{place.interface.replace('.', '@')}-{place.hook}"

    def linked(self) -> Iterator[str]:
        """The pins of links that there are."""
        folder = f"{self.pins}/links"
        return (f"{folder}/{name}" for name in _listed(folder))

    def kept_pins(self) -> Iterator[str]:
        """The pins of kept maps that there are."""
        folder = f"{self.pins}/kept"
        return (f"{folder}/{name}" for name in _listed(folder))

    def remove(self) -> None:
        """Remove every file and pin."""
        _emptied(self.pins)
        _emptied(self.state)

    def _write(self, name: str, value: Any) -> None:
        path = f"{self.state}/{name}"
        with open(f"{path}.new", "w", encoding="utf-8") as file:
            json.dump(value, file)  # no fsync: a reboot takes the pins too
        os.replace(f"{path}.new", path)

    def _read(self, name: str) -> Any:
        try:
            with open(f"{self.state}/{name}", encoding="utf-8") as file:
                return json.load(file)
        except (FileNotFoundError, ValueError):
            return None


def _books(record: Record) -> str:
    return f"generation-{record.number}.books"


def _emptied(top: str) -> None:
    """Remove a folder with all that is in it; none is no error."""
    for folder, below, files in os.walk(top, topdown=False):
        for name in files:
            unlink(f"{folder}/{name}")
        for name in below:
            os.rmdir(f"{folder}/{name}")
    if os.path.isdir(top):
        os.rmdir(top)


def _locked(path: str) -> TextIO:
    """The file at a path, locked: who held it before may have removed it, and others locked another since."""
    while True:
        file = open(path, "w", encoding="ascii")  # noqa: SIM115  # it is given back open
        try:
            flock(file, LOCK_EX)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def unlink(path: str) -> None:
    """Remove a file or pin that may be gone."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
