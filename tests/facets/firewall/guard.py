"""A firewall out of text, loaded on a machine: which rule took a packet, and what became of it."""
from __future__ import annotations

from collections.abc import Sequence
from tempfile import TemporaryDirectory
from typing import Any

from bpfwright.datapath.book import Book
from bpfwright.datapath.configuration import read
from bpfwright.datapath.facet import Edit, Part, Scene
from bpfwright.datapath.generation import Generation, plan_of
from bpfwright.datapath.protocols import own_fields
from bpfwright.facets.firewall.facet import FACET
from bpfwright.facets.firewall.model import Settings

__all__ = ["Guard", "part_of", "settings_of"]

_XDP_DROP, _TC_SHOT = 1, 2


def settings_of(text: str, file: str = "net.yaml", own: str = "") -> Settings:
    """What `firewall:` with these lines behind it says; `own` declares protocols."""
    whole = read(own + "firewall:\n" + text, file)
    whole.sources.own_fields = own_fields(whole)
    section = whole.section("firewall")
    assert section is not None
    return FACET.read(section)


def part_of(text: str, interfaces: tuple[str, ...] = ("lo",), own: str = "") -> Part:
    return FACET.build(settings_of(text, own=own), Scene(dict.fromkeys(interfaces), None))


class Guard:
    """Close it when done."""

    def __init__(self, text: str, machine: Any, interfaces: tuple[str, ...] = ("lo",),
                 edits: Sequence[dict[str, Any]] = (), own: str = "") -> None:
        self.part = part_of(text, interfaces, own)
        self.generation = Generation.load(plan_of({"firewall": self.part}), machine)
        self.generation.fill(edits)
        self.folder = TemporaryDirectory()
        self.book = Book(f"{self.folder.name}/book")
        if self.part.book is not None:
            self.part.book(self.book, self.generation.name_of)
        self.programs = {(place.interface, place.hook): program for place, program
                         in self.generation.programs().items()}

    @property
    def maps(self) -> Any:
        """Maps by their names in the object."""
        return self.generation.session.loaded.maps.__getitem__

    def edit(self, name: str, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> None:
        FACET.edit(self.book, self.maps, Edit(name, add, remove))

    @property
    def edits(self) -> list[dict[str, Any]]:
        return [{**each, "facet": "firewall"} for each in self.book.edits()]

    def elements(self, name: str) -> list[str]:
        assert self.part.elements is not None
        return list(self.part.elements(name, self.book.edits()))

    def rows(self) -> list[dict[str, Any]]:
        assert self.part.rows is not None
        return self.part.rows(self.generation.maps)

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in self.rows():
            if "rule" in row:
                found[row["rule"]] = found.get(row["rule"], 0) + row["packets"]
        return found

    def drops(self, packet: Any, hook: str = "xdp", interface: str = "lo") -> bool:
        value = self.programs[interface, hook].test_run(bytes(packet).ljust(14, b"\0")).value
        return bool(value == (_XDP_DROP if hook == "xdp" else _TC_SHOT))

    def rule(self, packet: Any, hook: str = "xdp", interface: str = "lo") -> str:
        """The rule that took a packet."""
        before = self.counts()
        self.drops(packet, hook, interface)
        (name,) = (name for name, count in self.counts().items() if count != before[name])
        return name

    def reasons(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self.generation.counted():
            if each.packets:
                found[each.reason] = found.get(each.reason, 0) + each.packets
        return found

    def close(self) -> None:
        self.folder.cleanup()
        self.generation.close()

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
