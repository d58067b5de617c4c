"""Signatures at work: takes copies, writes alerts, blocks what a rule drops, and counts for whoever asks."""
from __future__ import annotations

import json
import sys

from bpfwright._host import boot_to_wall_ns, boot_ns, now_ns
from bpfwright._typing import Any, Callable, Mapping
from bpfwright.errors import ConfigurationError
from bpfwright.facets.intrusion.signatures.engine import FIGURES, Engine, Found, Memory, Overrun
from bpfwright.facets.intrusion.signatures.kernel import COUNTS, DROPPED_HERE, FIGURE, OFF, OVERRAN
from bpfwright.facets.intrusion.signatures.loading import InKernel
from bpfwright.facets.intrusion.signatures.matching import BUDGET_NS
from bpfwright.facets.intrusion.signatures.records import REASONS
from bpfwright.facets.intrusion.signatures.section import Wanted
from bpfwright.facets.intrusion.signatures.telling import engine_line, eve_of

__all__ = ["Watching"]

_MOST_ROWS = 50
_LOW = (1 << 64) - 1
_SID = (1 << 32) - 1
_VERDICTS = {0: "told", DROPPED_HERE: "dropped in the kernel", OVERRAN: "over its budget", OFF: "switched off"}
Maps = Callable[[Any], Any]


class Watching:
    """The process's part for one generation. `block(maps, high, low, until_ns)` keeps a source out."""

    def __init__(self, wanted: Wanted, memory: Memory, block_s: float) -> None:
        self.wanted, self.block_s = wanted, block_s
        self.kernel = kernel = InKernel(wanted.rules.signatures, wanted.limits)
        self.engine = Engine(wanted.rules.signatures, memory)
        self._before = dict.fromkeys(FIGURES, 0)
        self._begun = False
        decided = kernel.compiled.decided
        self.decided = {rule.sid for number, rule in enumerate(wanted.rules.signatures) if number in decided}

    @property
    def drops_on_copies(self) -> bool:
        """Whether rules drop that only this process can decide."""
        return any(rule.action == "drop" and rule.sid not in self.decided for rule in self.wanted.rules.signatures)

    def tend(self, maps: Any, block: Callable[[int, int, int], None], log: str, interfaces: Mapping[int, str]) -> None:
        """Judge what was copied since the last time."""
        if not self._begun:
            self._begin(maps(self.kernel.maps.told))
        found = self.engine.judge(maps.taken(self.kernel.maps.copies))
        if found:
            self._tell(maps, found, block, log, interfaces)
        if self.engine.overruns:
            taken, self.engine.overruns = self.engine.overruns, []
            self._warn(maps(self.kernel.maps.told), taken, log)
        self._count(maps)

    def _begin(self, told: Any) -> None:
        """What another process switched off is on again; what this one did stays off."""
        self._begun = True
        off = {rule.sid | OFF for rule in self.wanted.rules.signatures if self.engine.memory.off(rule)}
        for key in [key for key in told if key & OFF and key not in off]:
            del told[key]

    def _warn(self, told: Any, taken: list[Overrun], log: str) -> None:
        """Count what took more than its budget; say it in the log, and loudly when a rule is switched off."""
        wall = boot_to_wall_ns() + boot_ns()
        lines = []
        for each in taken:
            rule = each.rule
            told[rule.sid | OVERRAN] = (told.get(rule.sid | OVERRAN) or 0) + 1
            text = (f"{rule.file}:{rule.line}: rule {rule.sid} took more than {BUDGET_NS // 10**6} ms of a payload, "
                    f"{each.times} times" + ("; it is switched off until this process is started again" if each.off
                                             else ""))
            lines.append(json.dumps(engine_line(rule, text, wall, off=each.off)))
            if each.off:
                told[rule.sid | OFF] = 1
                print(f"bpfwright: {text}", file=sys.stderr)
        _write(log, lines)

    def _tell(self, maps: Maps, found: list[Found], block: Callable[[int, int, int], None], log: str,
              interfaces: Mapping[int, str]) -> None:
        wall = boot_to_wall_ns() + boot_ns() - now_ns()  # what to add to the monotonic clock
        told = maps(self.kernel.maps.told)
        lines = []
        for each in found:
            until_ns = 0
            if each.rule.action == "drop" and not each.dropped:
                until_ns = now_ns() + int(self.block_s * 1e9)
                block(each.packet.source >> 64, each.packet.source & _LOW, until_ns)
            if each.quiet:
                continue
            told[each.rule.sid] = (told.get(each.rule.sid) or 0) + 1
            if not each.rule.noalert:
                lines.append(json.dumps(eve_of(each, wall, interfaces.get(each.ifindex, str(each.ifindex)),
                                               until_ns=until_ns)))
        _write(log, lines)

    def _count(self, maps: Maps) -> None:
        told = maps(self.kernel.maps.told)
        figures = self.engine.figures()
        for number, (word, value) in enumerate(figures.items()):
            if value != self._before[word]:
                told[FIGURE + number] = (told.get(FIGURE + number) or 0) + value - self._before[word]
        self._before = figures

    def rows(self, maps: Maps) -> list[dict[str, Any]]:
        """What `status` shows."""
        rules = self.wanted.rules
        drops = sum(rule.action == "drop" for rule in rules.signatures)
        found: list[dict[str, Any]] = [
            {"signatures": "rules", "count": len(rules.signatures)},
            {"signatures": "rules refused", "count": len(rules.refused)},
            {"signatures": "rules without a pattern for the kernel", "count": len(self.kernel.compiled.by_header)},
            {"signatures": "drop rules decided in the kernel", "count": len(self.decided)},
            {"signatures": "drop rules decided on copies, which block the source", "count": drops - len(self.decided)}]
        found += [{"signatures": _first_line(error), "count": 1} for error in rules.refused[:_MOST_ROWS]]
        counts, reasons, told = (maps(each) for each in (self.kernel.maps.counts, self.kernel.maps.reasons,
                                                         self.kernel.maps.told))
        found += [{"signatures": f"packets: {word}", "count": counts[number].total()}
                  for number, word in enumerate(COUNTS)]
        found += [{"signatures": f"copied: {word}", "count": total} for number, word in enumerate(REASONS)
                  if (total := reasons[number].total())]
        known = dict(told.items())
        found += [{"signatures": word, "count": known[FIGURE + number]} for number, word in enumerate(FIGURES)
                  if FIGURE + number in known]
        messages = {rule.sid: rule.msg for rule in rules.signatures}
        found += [{"signature": key & _SID, "alert": messages.get(key & _SID, ""), "verdict": _VERDICTS[key & ~_SID],
                   "count": count} for key, count in sorted(known.items(), key=lambda each: (each[0] & _SID, each[0]))
                  if not key & FIGURE]
        return found


def _write(log: str, lines: list[str]) -> None:
    if log and lines:
        with open(log, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("\n".join(lines) + "\n")


def _first_line(error: ConfigurationError) -> str:
    return str(error).splitlines()[0]
