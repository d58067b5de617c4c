"""What a profile tells the kernel of processes as they come: where their code is, and their CPython."""
from __future__ import annotations

from bpfwright._host import processor
from bpfwright._typing import TYPE_CHECKING
from bpfwright.facets.profile import pythons
from bpfwright.facets.profile.cpython import Interpreters
from bpfwright.stacks import unwinding
from bpfwright.stacks.tables import Memory
from bpfwright.stacks.watching import Watch, has_tables

if TYPE_CHECKING:
    from bpfwright.facets.profile.model import Options
    from bpfwright.facets.profile.naming import Naming
    from bpfwright.session import Session
    from bpfwright.symbols import ProcessSymbols

__all__ = ["ProfileWatch", "by_tables", "with_python"]


def by_tables(options: Options) -> bool:
    """Whether user stacks are unwound by tables."""
    return options.user and options.unwind == "tables" and has_tables()


def with_python(options: Options) -> bool:
    """Whether Python's own stacks are wanted. The program finds its thread by a register of x86-64."""
    return options.user and options.python and processor() == "x86_64"


class ProfileWatch(Watch):
    """The processes of one profile, from when they are first sampled."""

    def __init__(self, session: Session, options: Options, naming: Naming) -> None:
        self._session = session
        self._naming = naming
        memory = Memory(session.machine, session[unwinding.spans].handle, session[unwinding.chunks].handle,
                        session[unwinding.processes].handle)
        super().__init__(memory, session.events(unwinding.sights), naming.processes,
                         whole=options.pid is None and not options.command, by_tables=by_tables(options))
        self._interpreters = Interpreters() if with_python(options) else None
        self._layouts: dict[tuple[int, int], int] = {}
        self._interpreted: dict[tuple[int, int], tuple[int, int]] = {}

    def python_of(self, pid: int, life: int, symbols: ProcessSymbols) -> tuple[int, int]:
        """Its CPython's layout, by its number in the kernel, and where its state is; zeros if it runs none."""
        if self._interpreters is None:
            return 0, 0
        known = self._interpreted.get((pid, life))
        if known is not None:
            return known
        found, why = self._interpreters.find(symbols)
        if why:
            self._naming.notes[f"process {pid}: {why}"] = None
        number = self._number(found.version, found.layout) if found is not None else 0
        if found is None or not number:
            return 0, 0
        self._interpreted[pid, life] = number, found.runtime
        return number, found.runtime

    def _number(self, version: tuple[int, int], layout: pythons.Layout) -> int:
        number = self._layouts.get(version, 0)
        if not number and len(self._layouts) + 1 < pythons.layouts.max_entries:
            number = self._layouts[version] = len(self._layouts) + 1
            self._session[pythons.layouts][number] = layout
        return number
