"""Cases that run scripts of bpftrace's language: compiled in the guest, for the types that its kernel has."""
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from tests.facets.trace.probes.tracing import Said, traced

__all__ = ["Scripts", "scripts"]


class Scripts:
    """Runs scripts on this kernel."""

    def __init__(self, machine: Any) -> None:
        self.machine = machine

    def run(self, script: str, work: Callable[[], object] | None = None, *, command: str = "", **options: Any) -> Said:
        """What a script says while `work` is done, or until `command` ends."""
        return traced(self.machine, script, work=work, command=command, **options)


@contextlib.contextmanager
def scripts() -> Iterator[Scripts]:
    """A machine and a compiler, both gone afterwards."""
    from bpfwright import _llvm
    from bpfwright.kernel import Kernel
    try:
        with Kernel() as machine:
            yield Scripts(machine)
    finally:
        _llvm.stop()
