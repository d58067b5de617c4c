"""Named sets: networks, ports, or addresses with ports; inline, from files, or a label's part of a table."""
from __future__ import annotations

from bpfwright._typing import Iterable, NamedTuple, Sequence
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.errors import ConfigurationError, UsageError
from bpfwright.facets.firewall import elements as e
from bpfwright.facets.firewall.elements import Endpoint, Networks, Ranges
from bpfwright.facets.firewall.words import SERVICES

__all__ = ["EDITABLE", "KINDS", "Sets", "port", "read_sets"]

KINDS = ("networks", "ports", "endpoints", "table")
EDITABLE = ("networks", "endpoints", "ports")
"""Kinds of sets whose elements may come and go while they are live; `room` says how many may come."""


class Sets(NamedTuple):
    """Sets by name; of a table each label is a set `NAME:LABEL`. What rules hold inline is put there too."""

    networks: dict[str, Networks]
    ports: dict[str, Ranges]
    endpoints: dict[str, tuple[Endpoint, ...]]
    kinds: dict[str, str]
    room: dict[str, int] = {}

    def named(self, value: Scalar, kind: str) -> str:
        """The name behind an `@` of a set of that kind; ConfigurationError when there is none."""
        name = value.text[1:]
        there = self.kinds.get(name.partition(":")[0] if name not in self.kinds else name)
        if there is None:
            value.wrong(f"there is no set {name!r}", _near(name, list(self.kinds)))
        if there == "table" and kind == "networks":
            if ":" not in name:
                value.wrong(f"{name} is a table", f"Write @{name}:LABEL.")
            if name not in self.networks:
                value.wrong(f"no network of the table has the label {name.partition(':')[2]!r}")
        elif there != kind:
            value.wrong(f"{name} is a set of {there}, and {kind} are meant here")
        return name

    def inline(self, value: Networks) -> str:
        """A name for networks that a rule holds itself; the same for the same ones."""
        name = "=" + "".join(each.tobytes().hex() for each in value)
        self.networks.setdefault(name, value)
        return name


def read_sets(section: Section | None) -> Sets:
    """The sets that `sets` declares."""
    sets = Sets({}, {}, {}, {}, {})
    for name in section or ():
        assert section is not None
        found = section.section(name)
        if found is None or not all(letter.isalnum() or letter in "-_." for letter in name):
            section.wrong(f"{name!r} is no name of a set", "Letters, digits, - _ and . make a name.", at=name)
        kind = found.choice("kind", KINDS, "networks")
        sets.kinds[name] = kind
        _READERS[kind](sets, name, found)
        if kind in EDITABLE:
            sets.room[name] = found.number("room", 0, high=1 << 24)
        found.done()
    return sets


def _texts(section: Section) -> tuple[list[Scalar], list[Scalar]]:
    """Elements that stand here, and those of the file, each with where it stands."""
    here = section.scalars("elements")
    path, content = _content(section)
    return here, _scalars(path, e.file_lines(content))


def _content(section: Section) -> tuple[str, bytes]:
    """The file of a set and what it holds; nothing when it has none."""
    if "file" in section:
        return section.contents("file")
    if "elements" not in section:
        section.wrong("a set has elements", "Give it `elements:` or `file:`.")
    return "", b""


def _scalars(path: str, lines: Iterable[tuple[int, str]]) -> list[Scalar]:
    return [Scalar(text, path, line, "") for line, text in lines]


def _read_each(values: Sequence[Scalar], parse: object) -> list[object]:
    found = []
    for value in values:
        try:
            found.append(parse(value.text))  # type: ignore[operator]
        except UsageError as error:
            raise ConfigurationError(error.what, file=value.file, line=value.line, cure=error.cure) from None
    return found


def _networks(sets: Sets, name: str, section: Section) -> None:
    from bpfwright.facets.firewall.bulk import plain_networks
    here = section.scalars("elements")
    path, content = _content(section)
    plain, others = plain_networks(content)
    rest = _read_each([*here, *_scalars(path, others)], e.one_network)
    sets.networks[name] = e.joined([plain, e.networks(rest)])  # type: ignore[arg-type]


def port(text: str) -> tuple[int, int]:
    """A port, a service, or a range of them."""
    return e.span(text, SERVICES, 65535, "port")


def _ports(sets: Sets, name: str, section: Section) -> None:
    here, there = _texts(section)
    found = _read_each([*here, *there], port)
    try:
        sets.ports[name] = e.ranges_of(found)  # type: ignore[arg-type]
    except UsageError as error:
        section.wrong(error.what, error.cure, at="elements" if here else "file")


def _endpoints(sets: Sets, name: str, section: Section) -> None:
    here, there = _texts(section)
    found = _read_each([*here, *there], e.endpoint)
    sets.endpoints[name] = tuple(sorted(set(found)))  # type: ignore[arg-type]


def _table(sets: Sets, name: str, section: Section) -> None:
    if "file" not in section:
        section.wrong("a table is read from a file", "Give it `file:` with lines `network label`.")
    path, content = section.contents("file")
    for label, found in e.labelled(content, path).items():
        sets.networks[f"{name}:{label}"] = found


_READERS = {"networks": _networks, "ports": _ports, "endpoints": _endpoints, "table": _table}


def _near(word: str, known: Sequence[str]) -> str:
    import difflib
    close = difflib.get_close_matches(word, known, 1)
    return f"Did you mean @{close[0]}?" if close else "Declare it under `sets`."
