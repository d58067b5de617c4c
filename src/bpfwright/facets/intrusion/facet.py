"""The facet: detectors in one stage a hook, alerts into a ring, a log and, where asked, a block."""
from __future__ import annotations

import json

from bpfwright._host import boot_to_wall_ns, boot_ns, now_ns as host_now_ns
from bpfwright._typing import TYPE_CHECKING, Any, Sequence
from bpfwright.datapath.configuration import Section
from bpfwright.datapath.facet import Hooked, Part, Scene
from bpfwright.datapath.stage import CONTINUE, Stage, drop
from bpfwright.errors import TargetError
from bpfwright.facets.intrusion.blocking import Blocks
from bpfwright.facets.intrusion.detectors import Detector, detectors_of
from bpfwright.facets.intrusion.eve import eve
from bpfwright.facets.intrusion.model import Alert, Kind, Settings
from bpfwright.facets.intrusion.reading import read
from bpfwright.facets.intrusion.watches import detectors_of_watches, kinds_of
from bpfwright.helpers import now_ns
from bpfwright.maps import PerCpuArray, RingBuf
from bpfwright.types import u64

if TYPE_CHECKING:
    from bpfwright.facets.intrusion.signatures.engine import Memory
    from bpfwright.facets.intrusion.signatures.watching import Watching

__all__ = ["FACET", "Intrusion"]

_BLOCK_S = 60.0  # for what rules drop, where the configuration does not say how long
_RANK = 90  # before the firewall: what it drops is looked at too


class Intrusion:
    """The facet."""

    name = "intrusion"

    def __init__(self) -> None:
        self._memory: Memory | None = None  # flows and thresholds go on when rules change

    def read(self, section: Section) -> Settings:
        """Settings; ConfigurationError by line."""
        return read(section)

    def build(self, settings: Settings, scene: Scene) -> Part:
        """One stage a hook; tables that outlive changes."""
        names = settings.interfaces or tuple(scene.interfaces)
        for name in names:
            if name not in scene.interfaces:
                raise TargetError(f"intrusion detection is to look at {name}, which is not among the interfaces",
                                  cure=f"They are {', '.join(scene.interfaces)}.")
        alerts = RingBuf[Alert](size_bytes=1 << 20)
        kinds = kinds_of(settings.watches)
        counts = PerCpuArray[u64](max_entries=len(kinds))
        blocking = Blocks.of(settings.entries)
        detectors = detectors_of(settings) + detectors_of_watches(settings.watches, settings.entries)
        tell = _teller(alerts, counts, blocking, settings.block_s)
        signatures = self._signatures(settings)
        blocks = settings.block_s or (signatures is not None and signatures.drops_on_copies)
        stages = []
        for hook in ("xdp", "egress"):
            chosen = [each for each in detectors if hook in each.hooks]
            if chosen or signatures is not None:
                made = _stage(chosen, tell, blocking if hook == "xdp" and blocks else None,
                              _seen if signatures is None else signatures.kernel.run[hook])
                stages += [Hooked(name, hook, made, _RANK) for name in names]
        kept = {f"detector-{number}": each.table for number, each in enumerate(detectors) if each.table is not None}
        kept |= {**blocking.kept, "counts": counts, "alerts": alerts}
        interfaces = {each.number: name for name, each in scene.interfaces.items()}

        def tend(maps: Any) -> None:
            if settings.log:
                _log(maps, alerts, kinds, interfaces, settings)
            if signatures is not None:
                signatures.tend(maps, lambda high, low, until: blocking.add(maps, high, low, until), settings.log,
                                interfaces)

        def rows(maps: Any) -> list[dict[str, Any]]:
            found = _rows(maps, counts, kinds) if detectors else []
            return found if signatures is None else found + signatures.rows(maps)

        return Part(stages, kept if signatures is None else kept | signatures.kernel.kept,
                    fill=None if signatures is None else signatures.kernel.fill,
                    tend=tend if settings.log or signatures is not None else None, rows=rows)

    def _signatures(self, settings: Settings) -> Watching | None:
        if settings.signatures is None:
            return None
        from bpfwright.facets.intrusion.signatures.engine import Memory
        from bpfwright.facets.intrusion.signatures.watching import Watching
        self._memory = self._memory or Memory()
        return Watching(settings.signatures, self._memory, settings.block_s or _BLOCK_S)


def _teller(alerts: Any, counts: Any, blocking: Blocks, block_s: float) -> Any:
    block_ns, block = int(block_s * 1e9), blocking.block

    def tell(ctx: Any, packet: Any, kind: int, value: Any, limit: Any) -> None:
        counts.increment(kind)
        if block_ns:
            block(packet, now_ns() + block_ns)
        alerts.emit(Alert(now_ns(), value, limit, packet.source_high, packet.source_low, packet.destination_high,
                          packet.destination_low, ctx.ifindex, kind, packet.source_port, packet.destination_port,
                          packet.protocol, packet.family, 1 if block_ns else 0))

    return tell


def _stage(detectors: list[Detector], tell: Any, blocking: Blocks | None, behind: Any) -> Stage:
    whole: Any = behind
    for each in reversed(detectors):
        whole = _and_then(each.make(tell), whole)
    return Stage("intrusion", whole if blocking is None else _unless_blocked(blocking.is_blocked, whole),
                 frozenset({"network", "transport"}), ("blocked", "signature"))


def _seen(ctx: Any, packet: Any) -> int:
    return CONTINUE


def _and_then(look: Any, behind: Any) -> Any:
    def run(ctx: Any, packet: Any) -> Any:
        look(ctx, packet)
        return behind(ctx, packet)

    return run


def _unless_blocked(is_blocked: Any, behind: Any) -> Any:
    def run(ctx: Any, packet: Any) -> Any:
        if packet.family != 0 and is_blocked(packet):
            return drop(0)
        return behind(ctx, packet)

    return run


def _log(maps: Any, alerts: Any, kinds: Sequence[Kind], interfaces: dict[int, str], settings: Settings) -> None:
    """Alerts that came since the last time, as lines of EVE JSON."""
    found = maps.taken(alerts)
    if not found:
        return
    wall = boot_to_wall_ns() + boot_ns() - host_now_ns()  # what to add to the monotonic clock
    with open(settings.log, "a", encoding="utf-8") as log:
        for alert in found:
            log.write(json.dumps(eve(alert, kinds[alert.kind], wall,
                                     interfaces.get(alert.ifindex, str(alert.ifindex)),
                                     settings.block_s)) + "\n")


def _rows(maps: Any, counts: Any, kinds: Sequence[Kind]) -> list[dict[str, Any]]:
    bound = maps(counts)
    return [{"alert": kind.name, "count": total} for number, kind in enumerate(kinds)
            if (total := bound[number].total())]


FACET = Intrusion()
