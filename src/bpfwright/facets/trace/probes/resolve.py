"""Attach points to sites: each provider's function stands in its own file; what matches nothing is said, with what
would."""
from __future__ import annotations

from importlib import import_module

from bpfwright._typing import TYPE_CHECKING, Any
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.probes.sites import Site

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host

__all__ = ["Uses", "is_pattern", "matching", "not_too_many", "resolve", "uses_of"]

_FILES: dict[type, tuple[str, str]] = {
    tree.Special: ("special", "special"), tree.Labelled: ("special", "labelled"), tree.Signal: ("special", "signalled"),
    tree.Timer: ("perf", "timer"), tree.Event: ("perf", "event"), tree.Watchpoint: ("perf", "watchpoint"),
    tree.Tracepoint: ("tracepoints", "tracepoint"), tree.RawTracepoint: ("tracepoints", "raw_tracepoint"),
    tree.KernelFunction: ("kernel", "function"), tree.BpfProgram: ("kernel", "bpf_program"),
    tree.Iterator: ("iterators", "iterator"),
    tree.UserFunction: ("user", "function"), tree.SourceLine: ("user", "source_line"), tree.Usdt: ("usdt", "usdt"),
}


class Uses:
    """What a probe's body uses: it decides which kind of program serves it."""

    __slots__ = ("addresses", "args", "names", "needs_frame", "numbered", "retval")

    def __init__(self) -> None:
        self.addresses = self.args = self.names = self.numbered = self.retval = self.needs_frame = False


def uses_of(probe: tree.Probe) -> Uses:
    """What stands in a probe's predicate and body."""
    found = Uses()
    for part in (probe.predicate, probe.body):
        for node in tree.walk(part) if part is not None else ():
            name = node.name if isinstance(node, (tree.Name, tree.Call)) else ""
            if name in ("args", "ctx"):
                found.args = True
            elif name in ("probe", "func"):
                found.names = True
            elif name == "uaddr":
                found.addresses = True
            elif name == "retval":
                found.retval = True
            elif name[:3] == "arg" and name[3:].isdigit():
                found.numbered = True
    return found


def resolve(host: Host, point: tree.AttachPoint, uses: Uses) -> list[Site]:
    """The sites of an attach point. Refused when there is none, with the nearest that would work."""
    file, name = _FILES[type(point)]
    function: Any = getattr(import_module(f"bpfwright.facets.trace.probes.{file}"), name)
    found: list[Site] = function(host, point, uses)
    if not found:
        raise refuse(point.span, "this attach point matches nothing",
                     "`bpfwright trace -l 'pattern'` lists what there is.")
    return found


def is_pattern(text: str) -> bool:
    """Whether a name has wildcards."""
    return any(c in text for c in "*?[")


def matching(pattern: str, names: list[str]) -> list[str]:
    """The names that a pattern means."""
    if not is_pattern(pattern):
        return [pattern] if pattern in names else []
    from fnmatch import fnmatchcase
    return [name for name in names if fnmatchcase(name, pattern)]


def not_too_many(host: Host, point: tree.AttachPoint, count: int) -> None:
    """Refuse a pattern that means more places than may be traced at once."""
    limit = int(host.setting("max_probes"))
    if count > limit:
        raise refuse(point.span, f"this matches {count} places, more than {limit}",
                     f"Narrow it, or allow so many: BPFTRACE_MAX_PROBES={count}.")
