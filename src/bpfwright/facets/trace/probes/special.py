"""Probes that bpfwright runs itself: begin, end, self, test, bench."""
from __future__ import annotations

import signal

from bpfwright._typing import TYPE_CHECKING
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.compiling.typed import refuse
from bpfwright.facets.trace.probes.sites import Site

if TYPE_CHECKING:
    from bpfwright.facets.trace.compiling.host import Host
    from bpfwright.facets.trace.probes.resolve import Uses

__all__ = ["labelled", "signalled", "special"]

_SECTION = "raw_tp"  # a kind of program that BPF_PROG_TEST_RUN runs, with every tracing helper


def special(host: Host, point: tree.Special, uses: Uses) -> list[Site]:
    """`begin` and `end`."""
    return [Site(point.provider, "special", _SECTION, point.provider)]


def labelled(host: Host, point: tree.Labelled, uses: Uses) -> list[Site]:
    """`test:name` and `bench:name`."""
    return [Site(point.provider, "special", _SECTION, f"{point.provider}:{point.name}", function=point.name)]


def signalled(host: Host, point: tree.Signal, uses: Uses) -> list[Site]:
    """`self:signal:NAME`."""
    number = getattr(signal, point.name, None)
    if not isinstance(number, int):
        raise refuse(point.span, f"there is no signal `{point.name}`", "Write `self:signal:SIGUSR1`.")
    if number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGINT, signal.SIGTERM):
        raise refuse(point.span, f"`{point.name}` ends or stops this process", "Write `self:signal:SIGUSR1`.")
    return [Site("self", "special", _SECTION, f"self:signal:{point.name}", index=int(number))]
