"""Packets that are alerts by themselves, by conditions of whoever configures: fields of protocols of his own too."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.conditions import all_of, conditions
from bpfwright.datapath.configuration import Section
from bpfwright.datapath.parsed import clock, since
from bpfwright.facets.intrusion.detectors import Detector, Source
from bpfwright.facets.intrusion.model import ALERTS, Kind
from bpfwright.maps import LruHash
from bpfwright.types import u64

__all__ = ["Watch", "detectors_of_watches", "kinds_of", "watches"]

_HOOKS = {"in": ("xdp",), "out": ("egress",), "both": ("xdp", "egress")}
_MOST = 64


class Watch(NamedTuple):
    """What is looked for: `test(ctx, packet)`; it is told of once in `again_s` for each source."""

    name: str
    test: Any
    severity: int
    again_s: float
    hooks: tuple[str, ...]


def watches(section: Section) -> tuple[Watch, ...]:
    """The blocks of `watch`; ConfigurationError by line."""
    found: list[Watch] = []
    for each in section.sections("watch"):
        inside = each.section("match")
        tests = conditions(inside) if inside is not None else []
        if inside is None or not tests:
            each.wrong("a watch says what it looks for", "Give it `match: {protocol: udp, destination-port: 9}`.")
        inside.done()
        made = Watch(each.text("name"), all_of(tests), each.number("severity", 2, low=1, high=3),
                     each.seconds("again", 60.0, low=0.0, high=86400.0),
                     _HOOKS[each.choice("direction", tuple(_HOOKS), "in")])
        each.done()
        if made.name in {known.name for known in found} | {kind.name for kind in ALERTS}:
            each.wrong(f"another alert is named {made.name!r}", "Give it another name.", at="name")
        found.append(made)
    if len(found) > _MOST:
        section.wrong(f"{len(found)} are watched", f"{_MOST} are the most.", at="watch")
    return tuple(found)


def kinds_of(chosen: tuple[Watch, ...]) -> tuple[Kind, ...]:
    """All kinds of alerts by their numbers: those of detectors, and of these."""
    return (*ALERTS, *(Kind(each.name, each.name, "Misc activity", each.severity) for each in chosen))


def detectors_of_watches(chosen: tuple[Watch, ...], entries: int) -> list[Detector]:
    """A detector for each."""
    return [_detector(len(ALERTS) + number, each, entries) for number, each in enumerate(chosen)]


def _detector(kind: int, watch: Watch, entries: int) -> Detector:
    told = LruHash[Source, u64](max_entries=entries)
    test, again = watch.test, int(watch.again_s * 1e9)

    def make(tell: Any) -> Any:
        def look(ctx: Any, packet: Any) -> None:
            if not test(ctx, packet):
                return
            key = Source(packet.source_high, packet.source_low)
            now = clock(packet)
            last = told.get(key)
            if last is not None and since(now, last) < again:
                return
            told.insert(key, now)
            tell(ctx, packet, kind, u64(packet.length), 0)

        return look

    return Detector(make, watch.hooks, told)
