"""Sources that send too much, found and shut out for a while: a sketch in the kernel, decisions in the controller.

The sketch counts packets by source in rows of cells that sources share (count-min: Cormode and Muthukrishnan, 2005); it
never counts a source short, and what it counts too much is bounded by the rows. A source whose share on a CPU is
reached becomes a candidate; each second the controller sums its cells over all CPUs and decides. What is shut out has
an end by the kernel's clock, so that nobody stays out because a controller died.
"""
from __future__ import annotations

from bpfwright import _host
from bpfwright._typing import Any, Callable, NamedTuple
from bpfwright.datapath.parsed import address_text
from bpfwright.helpers import now_ns
from bpfwright.maps import Hash, LruHash, PerCpuArray
from bpfwright.types import Struct, u32, u64

__all__ = ["ROWS", "Mitigation", "Mitigator", "Source", "place_of"]

ROWS, WIDTH = 4, 4096
WINDOW_SHIFT = 30
"""A window is 2 ** 30 ns, little more than a second."""
_CANDIDATES = 4096
_MIX = (0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F, 0x1656_67B1_9E37_79F9, 0x27D4_EB2F_1656_67C5)
_M64 = (1 << 64) - 1


class Source(Struct):
    """A source address, as a key."""

    high: u64
    low: u64


class Cell(Struct):
    """Packets of a window, of all sources that share the cell on a CPU; and of the window before."""

    window: u32
    count: u32
    before: u32
    padding: u32


class Mitigation(NamedTuple):
    """Settings: packets a second that are too many, seconds to shut out, how many sources at most, who never, and the
    file that each decision is written to (empty: none)."""

    packets: float
    block_s: float
    most: int
    never: tuple[tuple[int, int, int], ...]
    audit: str = ""


def place_of(high: int, low: int, row: int) -> int:
    """The cell of a source in a row, as the program computes it."""
    mixed = (high ^ low * _MIX[0]) & _M64
    mixed = (mixed ^ mixed >> 29) * _MIX[row] & _M64
    return row * WIDTH + (mixed >> 52)


class Mitigator:
    """The maps and the program's part; `judged(packet)` says whether the packet's source is shut out, and counts it."""

    def __init__(self, settings: Mitigation, cpus: int) -> None:
        self.settings = settings
        self.sketch = PerCpuArray[Cell](max_entries=ROWS * WIDTH)
        self.candidates = LruHash[Source, u64](max_entries=_CANDIDATES)
        self.blocked = Hash[Source, u64](max_entries=settings.most)
        window_s = (1 << WINDOW_SHIFT) / 1e9
        self.limit = max(1, round(settings.packets * window_s))
        self.judged = _judged(self.sketch, self.candidates, self.blocked, max(1, self.limit // cpus))

    def tend(self, maps: Callable[[Any], Any]) -> list[dict[str, Any]]:
        """Decide: end what is over, shut out candidates that are beyond the limit. What was done, an entry each."""
        now = _host.now_ns()
        blocked, candidates, sketch = maps(self.blocked), maps(self.candidates), maps(self.sketch)
        done: list[dict[str, Any]] = []
        held = 0
        for key, until in list(blocked.items()):
            if until <= now:
                blocked.pop(key, None)
                done.append(_entry("let in", key, 0))
            else:
                held += 1
        for key, _ in list(candidates.items()):
            candidates.pop(key, None)
            count = self.estimate(sketch, key, now)
            if count < self.limit or blocked.get(key) is not None:
                continue
            if any(_inside(key, network) for network in self.settings.never):
                done.append(_entry("spared", key, count))
            elif held >= self.settings.most:
                done.append(_entry("no room", key, count))
            else:
                blocked[key] = now + int(self.settings.block_s * 1e9)
                held += 1
                done.append(_entry("shut out", key, count, seconds=self.settings.block_s))
        self._write(done)
        return done

    def estimate(self, sketch: Any, key: Any, now: int) -> int:
        """The most packets that a source can have sent in this window or the one before."""
        window = now >> WINDOW_SHIFT & 0xFFFF_FFFF
        found: list[int] = []
        for row in range(ROWS):
            cells = sketch[place_of(key.high, key.low, row)]
            here = sum(cell.count for cell in cells if cell.window == window)
            before = sum(cell.before if cell.window == window else cell.count for cell in cells
                         if cell.window in (window, window - 1))
            found.append(max(here, before))
        return min(found)

    def rows(self, maps: Callable[[Any], Any]) -> list[dict[str, Any]]:
        """Who is shut out, and for how long yet."""
        now = _host.now_ns()
        return [{"source": address_text(key.high, key.low), "shut out for": round((until - now) / 1e9, 1)}
                for key, until in sorted(maps(self.blocked).items(), key=lambda each: each[1]) if until > now]

    def _write(self, done: list[dict[str, Any]]) -> None:
        if self.settings.audit and done:
            import json
            with open(self.settings.audit, "a", encoding="utf-8") as file:
                file.writelines(json.dumps({"time": _host.wall_ns() / 1e9, **each}) + "\n" for each in done)


def _entry(what: str, key: Any, count: int, **more: Any) -> dict[str, Any]:
    return {"what": what, "source": address_text(key.high, key.low), "packets": count, **more}


def _inside(key: Any, network: tuple[int, int, int]) -> bool:
    high, low, length = network
    return bool(((key.high << 64 | key.low) ^ (high << 64 | low)) >> 128 - length == 0)


def _judged(sketch: Any, candidates: Any, blocked: Any, share: int) -> Callable[..., Any]:
    counted = _counted(sketch, 0, _counted(sketch, 1, _counted(sketch, 2, _counted(sketch, 3, _least))))

    def judged(packet: Any) -> Any:
        if packet.family == 0:
            return False
        key = Source(packet.source_high, packet.source_low)
        now = now_ns()
        until = blocked.get(key)
        if until is not None and until > now:
            return True
        mixed = u64(packet.source_high ^ u64(packet.source_low * _MIX[0]))
        if counted(u64(mixed ^ mixed >> 29), u32(now >> WINDOW_SHIFT), 0xFFFF_FFFF) == share:
            candidates.insert(key, now)
        return False

    return judged


def _least(mixed: Any, window: Any, least: Any) -> Any:
    return least


def _counted(sketch: Any, row: int, behind: Callable[..., Any]) -> Callable[..., Any]:
    """Count in a row and those behind it: the least of the counts."""
    multiplier, first = _MIX[row], row * WIDTH

    def counted(mixed: Any, window: Any, least: Any) -> Any:
        cell = sketch.local(first + (u64(mixed * multiplier) >> 52))
        if cell.window != window:
            cell.before = cell.count if cell.window + 1 == window else 0
            cell.count = 0
            cell.window = window
        cell.count += 1
        return behind(mixed, window, min(least, cell.count))

    return counted
