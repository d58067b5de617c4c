"""What a balancer has done, and how its backends stand: as people read it."""
from __future__ import annotations

from bpfwright._host import now_ns
from bpfwright._typing import TYPE_CHECKING, Any, Iterator, Mapping, NamedTuple
from bpfwright.facets.balancer.control import numbers_in, used
from bpfwright.facets.balancer.standing import DOWN, DRAIN, PROBED, TOLD, UP, State, key_of, read, serves

if TYPE_CHECKING:
    from bpfwright.facets.balancer.model import Check, Settings, Vip
    from bpfwright.facets.balancer.tables import Tables

__all__ = ["Stands", "counters", "lines", "rows", "standings"]


def rows(settings: Settings, tables: Tables, maps: Any) -> Iterator[dict[str, Any]]:
    """VIPs with their backends, and what each has done."""
    vips, reals = numbers_in(settings, tables, maps)
    vip_counts, real_counts = maps(tables.vip_counts), maps(tables.real_counts)
    stand = dict(standings(settings, tables, maps))
    for vip in settings.vips:
        total = vip_counts[vips[vip.text]].total()
        yield {"what": vip.text, "state": _vip_state(vip, stand), "packets": total.packets, "bytes": total.bytes}
        for use in vip.uses:
            found = stand[vip.text, use.backend.name]
            yield {"what": f"  {use.backend.name}", "state": f"{found.word}, weight {use.weight}", "packets": "",
                   "bytes": "", **(found.told() if vip.check is not None else {})}
    if settings.translates:
        yield from _forwarding(settings)
    for backend in settings.backends:
        total = real_counts[reals[backend.address]].total()
        yield {"what": backend.name, "state": "all VIPs", "packets": total.packets, "bytes": total.bytes}
    for name, value in counters(tables, maps).items():
        if value:
            yield {"what": name.replace("_", " "), "state": "", "packets": value, "bytes": ""}


_FORWARDS = {4: "/proc/sys/net/ipv4/ip_forward", 16: "/proc/sys/net/ipv6/conf/all/forwarding"}


def _forwarding(settings: Settings) -> Iterator[dict[str, Any]]:
    """Translated packets go by way of the stack: where it does not forward, nothing arrives."""
    for size in sorted({len(vip.address) for vip in settings.vips if vip.translates}):
        try:
            with open(_FORWARDS[size], encoding="ascii") as file:
                off = file.read().strip() == "0"
        except OSError:
            off = True
        if off:
            yield {"what": _FORWARDS[size], "state": "OFF: nothing that is translated is forwarded", "packets": "",
                   "bytes": ""}


def _vip_state(vip: Vip, stand: dict[tuple[str, str], Stands]) -> str:
    uses = [stand[vip.text, use.backend.name] for use in vip.uses]
    serving = sum(each.serves and bool(use.weight) for each, use in zip(uses, vip.uses, strict=True))
    return f"{serving} of {len(uses)} backends" if serving < len(uses) else f"{len(uses)} backends"


def standings(settings: Settings, tables: Tables, maps: Any) -> Iterator[tuple[tuple[str, str], Stands]]:
    """How each backend of each VIP stands, by the VIP's text and the backend's name."""
    vips, reals = numbers_in(settings, tables, maps)
    down, standing = dict(maps(tables.down).items()), used(maps, tables.standing)
    for vip in settings.vips:
        for use in vip.uses:
            key = key_of(vips[vip.text], reals[use.backend.address])
            entry = standing.get(key) if standing is not None and vip.check is not None else None
            yield (vip.text, use.backend.name), Stands(
                _word(down, key, use.weight, entry is not None), serves(down, key), vip.check,
                State() if entry is None else read(entry))


_SAID = {DOWN: "down (told)", DRAIN: "draining (told)", UP: "up (told)"}


def _word(down: Mapping[int, int], key: int, weight: int, known: bool) -> str:
    said = down.get(key | TOLD, 0)
    if said:
        return _SAID[said]
    if key | PROBED in down:
        return "down"
    return "up" if weight else "draining"


class Stands(NamedTuple):
    """How a backend of a VIP stands: in a word, whether it gets new connections, and what checks know."""

    word: str
    serves: bool
    check: Check | None
    state: State

    @property
    def summary(self) -> str:
        """The word, and why where a check failed."""
        return f"{self.word}: {self.state.error}" if self.word == "down" and self.state.error else self.word

    def told(self) -> dict[str, Any]:
        """What checks know, for people to read."""
        state, now = self.state, now_ns()
        if not state.checked_ns:
            why = "" if state.error else ": nobody tends it"
            return {"since": "", "checked": f"never{why}", "latency": "", "error": state.error}
        assert self.check is not None
        age = max(0.0, (now - state.checked_ns) / 1e9)
        late = age > self.check.interval_s * self.check.backoff * 1.2 + self.check.timeout_s + 1
        return {"since": _ago(now - state.since_ns), "checked": _ago(now - state.checked_ns) + (
                    ", late: nobody tends it" if late else ""),
                "latency": f"{state.latency_ns / 1e6:.1f} ms" if state.latency_ns else "", "error": state.error}


    def fields(self) -> dict[str, Any]:
        """The same for programs: times in ns of CLOCK_MONOTONIC, 0: never."""
        state = self.state
        return {"state": self.word, "serves": self.serves, "check": self.check.kind if self.check else None,
                "since_ns": state.since_ns, "checked_ns": state.checked_ns, "latency_ns": state.latency_ns,
                "changes": state.changes, "flaps": state.flaps, "error": state.error}


def lines(found: list[tuple[tuple[str, str], Stands]]) -> Iterator[str]:
    """A table of how backends stand."""
    heads = ("VIP", "BACKEND", "STATE", "SINCE", "CHECKED", "LATENCY", "CHANGES", "LAST ERROR")
    table = [heads]
    for (vip, name), each in found:
        told = each.told() if each.check is not None else dict.fromkeys(("since", "checked", "latency", "error"), "")
        table.append((vip, name, each.word, told["since"], told["checked"], told["latency"],
                      str(each.state.changes) if each.check is not None else "", told["error"]))
    widths = [max(len(row[at]) for row in table) for at in range(len(heads))]
    for row in table:
        yield "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _ago(span_ns: int) -> str:
    seconds = max(0, span_ns) // 10**9
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def counters(tables: Tables, maps: Any) -> dict[str, int]:
    """What the path has counted, all CPUs together. Packets of VIPs are not counted twice: they are summed up."""
    total = maps(tables.totals)[0].total()
    found = {name: int(getattr(total, name)) for name in type(total).__layout__().fields
             if name not in ("new_in_second", "second_began")}
    done = sum(each.total().packets for each in maps(tables.vip_counts))
    return {"packets": done + found["ring_drop"] + found["quic_no_backend"], **found}
