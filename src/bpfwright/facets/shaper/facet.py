"""Section `shaper` of net.yaml: classes, rates that are kept by dropping, and rates that are kept by waiting."""
from __future__ import annotations

from bpfwright._typing import Any, NamedTuple
from bpfwright.datapath.conditions import each_of, first_of
from bpfwright.datapath.configuration import Scalar, Section
from bpfwright.datapath.facet import Facts, Hooked, Part, Scene
from bpfwright.datapath.stage import CONTINUE, Stage, drop
from bpfwright.errors import TargetError
from bpfwright.facets.shaper import htb, roots
from bpfwright.facets.shaper.buckets import EXCESS, PER, TIGHT, Rate, bucket_of, size_of
from bpfwright.facets.shaper.matching import Match, read_match
from bpfwright.facets.shaper.pacing import Pace, counts_of, pacing
from bpfwright.maps import PerCpuArray
from bpfwright.types import Struct, u64

__all__ = ["FACET", "Shaper"]

_UNITS = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
_PACE_RANK, _CLASS_RANK, _RATE_RANK = 320, 310, 300
_MOST = 64  # rules of one kind


class Limit(NamedTuple):
    """A rate that is kept by a bucket."""

    name: str
    direction: str
    match: Match
    rate: Rate
    per: str
    entries: int
    ecn: bool


class Settings(NamedTuple):
    """The section as it was read."""

    interfaces: tuple[str, ...]
    tree: htb.Tree | None
    matches: tuple[Match, ...]
    limits: tuple[Limit, ...]
    paces: tuple[Pace, ...]


class _Count(Struct):
    packets: u64
    bytes: u64
    dropped: u64
    marked: u64


class Shaper:
    """The facet."""

    name = "shaper"

    def read(self, section: Section) -> Settings:
        """Settings; ConfigurationError by line."""
        interfaces = tuple(scalar.text for scalar in section.scalars("interfaces"))
        tree, matches = _tree(section)
        limits = tuple(_limit(inside) for inside in section.sections("limits"))
        _once(section, "limits", [limit.name for limit in limits])
        paces = tuple(_pace(inside) for inside in section.sections("pacing"))
        _once(section, "pacing", [pace.name for pace in paces])
        if tree is None and not limits and not paces:
            section.wrong("neither classes nor limits nor pacing", "Write `classes:`, `limits:` or `pacing:`.")
        return Settings(interfaces, tree, matches, limits, paces)

    def build(self, settings: Settings, scene: Scene) -> Part:
        """Stages at tc; HTB or fq outside of BPF."""
        names = settings.interfaces or tuple(scene.interfaces)
        for name in names:
            if name not in scene.interfaces:
                raise TargetError(f"the shaper is to work at {name}, which is not among the interfaces",
                                  cure=f"They are {', '.join(scene.interfaces)}.")
        stages = []
        counts: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        for direction in ("ingress", "egress"):
            limits = [limit for limit in settings.limits if limit.direction == direction]
            if limits:
                counts[direction] = PerCpuArray[_Count](max_entries=len(limits))
                made = _limiting(limits, counts[direction], kept)
                stages += [Hooked(name, direction, made, _RATE_RANK) for name in names]
        if settings.tree is not None:
            made = _sorting(settings.tree, settings.matches)
            stages += [Hooked(name, "egress", made, _CLASS_RANK) for name in names]
        if settings.paces:
            counts["pacing"] = counts_of(settings.paces)
            made = pacing(settings.paces, counts["pacing"], kept)
            stages += [Hooked(name, "egress", made, _PACE_RANK) for name in names]
        tree, paced = settings.tree, names if settings.paces else ()
        return Part(stages, kept, rows=lambda maps: _rows(settings, names, counts, maps),
                    enter=lambda facts: roots.enter(facts, tree, names, paced),
                    settled=lambda facts: roots.settled(facts, tree, names, paced))

    def leave(self, facts: Facts) -> None:
        """Take HTB and fq from every interface that had them."""
        roots.settled(facts, None, (), ())


# reading

def _bits(scalar: Scalar) -> int:
    """A rate: digits and bit, kbit, Mbit or Gbit."""
    digits = scalar.text.rstrip("abcdefghijklmnopqrstuvwxyzMG")
    unit = _UNITS.get(scalar.text[len(digits):])
    try:
        bits = int(float(digits) * (unit or 0))
    except ValueError:
        unit = None
    if unit is None:
        scalar.wrong(f"{scalar.text!r} is not a rate", "Write digits and a unit, as in 10Mbit.")
    if not 1000 <= bits <= 10**12:
        scalar.wrong(f"{scalar.text} is not between 1kbit and 1000Gbit")
    return bits


def _rate_of(section: Section, key: str, default: int = 0) -> int:
    scalar = section.scalar(key)
    if scalar is None:
        if default:
            return default
        section.wrong(f"{key} is missing", "Write `rate: 10Mbit`.")
    return _bits(scalar)


def _once(section: Section, key: str, names: list[str]) -> None:
    if len(names) > _MOST:
        section.wrong(f"{len(names)} of them", f"{_MOST} are the most.", at=key)
    for name in names:
        if names.count(name) > 1:
            section.wrong(f"{name} stands here twice", at=key)


def _tree(section: Section) -> tuple[htb.Tree | None, tuple[Match, ...]]:
    insides = section.sections("classes")
    whole, default = section.scalar("rate"), section.scalar("default")
    if not insides:
        if whole is not None or default is not None:
            section.wrong("rate and default are for classes", "Write `classes:`, or `limits:` for a rate by a bucket.")
        return None, ()
    if whole is None:
        section.wrong("rate is missing", "Write the interface's own rate, as in `rate: 100Mbit`.")
    most = _bits(whole)
    classes, matches = [], []
    for inside in insides:
        rate = _rate_of(inside, "rate")
        classes.append(htb.Class(inside.text("name"), rate, _rate_of(inside, "ceil", most),
                                 inside.number("priority", 0, high=7), inside.number("burst", 0, high=1 << 30)))
        matches.append(read_match(inside.section("match")))
        if classes[-1].ceil > most or rate > classes[-1].ceil:
            inside.wrong("a class has at least its rate, at most its ceil, and that is within the interface's rate")
        inside.done()
    _once(section, "classes", [each.name for each in classes])
    if sum(each.rate for each in classes) > most:
        section.wrong("the classes are promised more than there is", "Let their rates add up to the interface's.",
                      at="classes")
    names = [each.name for each in classes]
    chosen = default.choice(names) if default is not None else names[-1]
    return htb.Tree(most, tuple(classes), chosen), tuple(matches)


def _limit(inside: Section) -> Limit:
    bits = _rate_of(inside, "rate")
    limit = Limit(inside.text("name"), inside.choice("direction", ("ingress", "egress")),
                  read_match(inside.section("match")),
                  Rate(bits, inside.number("burst", max(15_000, bits // 8 // 20), low=1514, high=1 << 32)),
                  inside.choice("per", PER, "all"), inside.number("entries", 65_536, low=16, high=1 << 24),
                  inside.flag("ecn"))
    if limit.direction == "ingress" and (limit.per == "cgroup" or limit.match.sender):
        inside.wrong("what comes in has no sender here", "Limit it at egress, or by destination port.")
    inside.done()
    return limit


def _pace(inside: Section) -> Pace:
    bits = _rate_of(inside, "rate")
    pace = Pace(inside.text("name"), read_match(inside.section("match")),
                Rate(bits, inside.number("burst", 0, high=1 << 32)), inside.choice("per", PER, "all"),
                inside.number("entries", 65_536, low=16, high=1 << 24), inside.flag("ecn"),
                int(inside.seconds("horizon", 0.5, low=0.001, high=9.0) * 1e9))  # fq's own is ten seconds
    inside.done()
    return pace


# stages

def _limiting(limits: list[Limit], counts: Any, kept: dict[str, Any]) -> Stage:
    choices = []
    for number, limit in enumerate(limits):
        kept[f"{limit.direction}-{limit.name}"], take = bucket_of(limit.rate, limit.per, limit.entries)
        choices.append((limit.match.test, _limited(limit, take, counts, number)))
    return Stage("limits", each_of(choices), frozenset({"network", "transport"}), tuple(limit.name for limit in limits),
                 any(limit.ecn for limit in limits))


def _limited(limit: Limit, take: Any, counts: Any, number: int) -> Any:
    ecn = limit.ecn

    def run(ctx: Any, packet: Any) -> Any:
        said = take(ctx, packet)
        count = counts.local(number)
        if said == EXCESS:
            count.dropped += 1
            return drop(number)
        count.packets += 1
        count.bytes += size_of(ctx)
        if ecn and said == TIGHT and ctx.mark_congestion():
            count.marked += 1
        return CONTINUE

    return run


def _sorting(tree: htb.Tree, matches: tuple[Match, ...]) -> Stage:
    """HTB's own default is none: while no program sorts, packets go out as if there were no classes."""
    choices = [(match.test, _sorted(htb.handle(tree, each.name)))
               for each, match in zip(tree.classes, matches, strict=True) if each.name != tree.default]
    whole = first_of(choices, _sorted(htb.handle(tree, tree.default)))
    return Stage("classes", whole, frozenset({"network", "transport"}))


def _sorted(handle: int) -> Any:
    def run(ctx: Any, packet: Any) -> Any:
        ctx.priority = handle
        return CONTINUE

    return run


def _rows(settings: Settings, names: tuple[str, ...], counts: dict[str, Any], maps: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for number, pace in enumerate(settings.paces):
        total = maps(counts["pacing"])[number].total()
        rows.append({"rule": f"egress {pace.name}", "how": f"paced per {pace.per}", "packets": total.packets,
                     "bytes": total.bytes, "dropped": total.dropped, "marked": total.marked, "waited": total.waited})
    for direction in [name for name in counts if name != "pacing"]:
        declared = counts[direction]
        limits = [limit for limit in settings.limits if limit.direction == direction]
        for number, limit in enumerate(limits):
            total = maps(declared)[number].total()
            rows.append({"rule": f"{direction} {limit.name}", "how": f"token bucket per {limit.per}",
                         "packets": total.packets, "bytes": total.bytes, "dropped": total.dropped,
                         "marked": total.marked})
    if settings.tree is not None:
        rows += htb.rows(settings.tree, names)
    return rows


FACET = Shaper()
