"""Timers and counters: interval, profile, software, hardware, watchpoints."""
from __future__ import annotations

from bpfwright._abi import perf as P
from bpfwright._typing import TYPE_CHECKING
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.expressions import number_of_word
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.plan import WATCH_ARGUMENT, Attachment
from bpfwright.facets.trace.probes.binaries import traced
from bpfwright.facets.trace.probes.sites import Site

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.probes.resolve import Uses
    from bpfwright.facets.trace.text import Span

__all__ = ["HARDWARE", "SOFTWARE", "entries", "event", "timer", "watchpoint"]

_NANOSECONDS = {"s": 10 ** 9, "ms": 10 ** 6, "us": 10 ** 3, "ns": 1}
SOFTWARE: dict[str, tuple[int, int]] = {  # number, and how many events are one sample unless it is said
    "cpu-clock": (0, 1_000_000), "task-clock": (1, 1_000_000), "page-faults": (2, 100), "context-switches": (3, 1000),
    "cpu-migrations": (4, 1), "minor-faults": (5, 100), "major-faults": (6, 1), "alignment-faults": (7, 1),
    "emulation-faults": (8, 1), "dummy": (9, 1), "bpf-output": (10, 1),
}
HARDWARE: dict[str, tuple[int, int]] = {
    "cpu-cycles": (0, 1_000_000), "instructions": (1, 1_000_000), "cache-references": (2, 1_000_000),
    "cache-misses": (3, 1_000_000), "branch-instructions": (4, 100_000), "branch-misses": (5, 100_000),
    "bus-cycles": (6, 100_000), "frontend-stalls": (7, 1_000_000), "backend-stalls": (8, 1_000_000),
    "ref-cycles": (9, 1_000_000),
}


def _count(host: Host, node: tree.AttachPoint, count: int | str) -> int:
    """A number, with positional parameters put in."""
    if isinstance(count, int):
        return count
    word = count
    position = int(word[word.index("$") + 1:])
    given = host.words[position - 1] if position <= len(host.words) else "0"
    number = number_of_word(word[:word.index("$")] + given)
    if number is None or number < 1:
        raise refuse(node.span, f"`{word}` is {given!r} here, which is no count", "Give a number as that parameter.")
    return number


def timer(host: Host, point: tree.Timer, uses: Uses) -> list[Site]:
    """`interval` and `profile`: the CPU clock, on one CPU or on all."""
    count = _count(host, point, point.count)
    if point.unit == "hz":
        if count > 10 ** 6:
            raise refuse(point.span, f"{count} times a second", "At most a million.")
        where: tuple[str | int, ...] = ("hz", count)
    else:
        period = count * _NANOSECONDS[point.unit]
        if period < 1000:
            raise refuse(point.span, f"a period of {period} ns", "At least a microsecond: `interval:us:1`.")
        where = ("ns", period)
    shown = f"{point.provider}:{point.unit}:{count}"
    if point.provider == "profile":
        where = (*where, traced(host))
    made = Attachment("", point.provider, where, shown)
    return [Site(point.provider, "perf_event", "perf_event", shown, (made,), registers=True)]


def event(host: Host, point: tree.Event, uses: Uses) -> list[Site]:
    """`software` and `hardware` events."""
    table, kind = (SOFTWARE, P.PERF_TYPE_SOFTWARE) if point.provider == "software" else (HARDWARE, 0)
    number, usual = table[point.event]
    count = usual if point.count is None else _count(host, point, point.count)
    if count < 1:
        raise refuse(point.span, "a count of 0", "It says how many events are one sample: at least 1.")
    shown = f"{point.provider}:{point.event}:{count}"
    made = Attachment("", "perf_event", (kind, number, count, traced(host)), shown)
    return [Site(point.provider, "perf_event", "perf_event", shown, (made,), registers=True)]


def watchpoint(host: Host, point: tree.Watchpoint, uses: Uses) -> list[Site]:
    """`watchpoint:address:length:mode`: a hardware breakpoint."""
    mode = sum({"r": 1, "w": 2, "x": 4}[letter] for letter in point.mode)
    if point.mode not in ("w", "rw", "x", "r"):
        raise refuse(point.span, f"processors do not watch for `{point.mode}`", "Write w, rw or x.")
    mode, pid = 3 if mode == 1 else mode, traced(host)
    if point.address is None:
        shown = f"{point.provider}:{point.function}+arg{point.argument}:{point.length}:{point.mode}"
        made = _of_argument(host, point, shown, mode, pid)
    else:
        address = _count(host, point, point.address)
        shown = f"{point.provider}:{address:#x}:{point.length}:{point.mode}"
        made = Attachment("", "watchpoint", (address, point.length, mode, pid), shown)
    space = "user" if pid >= 0 or host.options.traces_child else "kernel"
    return [Site(point.provider, "perf_event", "perf_event", shown, (made,), space=space, registers=True)]


def _of_argument(host: Host, point: tree.Watchpoint, shown: str, mode: int, pid: int) -> Attachment:
    """`watchpoint:function+argN:length:mode`: what the argument points to, from when the function is entered."""
    if pid == -1:
        raise refuse(point.span, "which process is meant is not said", "Name it with -p, or start it with -c.")
    for site in entries(host, point.span, point.function):
        if point.argument >= site.words:
            raise refuse(point.span, f"only the first {site.words} arguments are in registers",
                         f"Write `{point.function}+arg0` to `+arg{site.words - 1}`.")
    waits = point.provider == "watchpoint"
    return Attachment("", WATCH_ARGUMENT, (point.function, point.argument, point.length, mode, pid, int(waits)), shown)


def entries(host: Host, span: Span, function: str) -> list[Site]:
    """Where a function of the traced program begins."""
    from bpfwright.facets.trace.probes import user
    from bpfwright.facets.trace.probes.resolve import Uses
    return user.function(host, tree.UserFunction(span, "", "uprobe", "", "", function, 0), Uses())


