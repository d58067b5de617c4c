"""Looks at processes as they come, and tells the kernel of each where its code is, so that it can unwind its stacks.

Telling is quick, because a process may end soon: it takes names of what is mapped and no more. Tables are made between
times, in pieces.
"""
from __future__ import annotations

import os
from struct import Struct

from bpfwright._host import now_ns, processor
from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import KernelError
from bpfwright.stacks import unwinding
from bpfwright.stacks.tables import Memory, Tables

if TYPE_CHECKING:
    from bpfwright.events import Events
    from bpfwright.stacks.processes import Processes
    from bpfwright.symbols import ProcessSymbols

__all__ = ["Watch", "has_tables"]

_PROCESS = Struct("<IIIIQQQ")   # unwinding.Process
_NUMBER = Struct("<I")
_ONLY_IF_THERE = 2              # BPF_EXIST: by now it may have ended, or become another
_PIECE_NS = 5_000_000
START_NS = 2_000_000_000       # what the start may spend on tables of a whole machine


def has_tables() -> bool:
    """Whether the program knows how to unwind by tables on this processor."""
    return processor() == "x86_64"


class Watch:
    """The processes of one session, from when they are first seen; `whole` when it is of the whole machine.

    Without `by_tables` their code is not looked at.
    """

    def __init__(self, memory: Memory, sights: Events[unwinding.Sight], processes: Processes, *, whole: bool,
                 by_tables: bool = True) -> None:
        self._sights = sights
        self._processes = processes
        self._known = memory.processes
        self._whole = whole
        self.tables = Tables(memory, eager=not whole) if by_tables else None

    def python_of(self, pid: int, life: int, symbols: ProcessSymbols) -> tuple[int, int]:
        """What Process.python and Process.runtime are to be; zeros for none."""
        return 0, 0

    def close(self) -> None:
        """Let go of files and chunks."""
        if self.tables is not None:
            self.tables.close()

    @property
    def lost(self) -> int:
        """How many times the kernel found no room to tell of a process."""
        return self._sights.lost

    def meet(self, pids: list[int]) -> None:
        """See processes before they are sampled, so that their first samples are whole."""
        found: list[tuple[int, int, ProcessSymbols]] = []
        for pid in pids:
            life = (now_ns() >> 10) & 0xFFFF_FFFF | 1
            if not os.path.exists(f"/proc/{pid}/exe") or self._process(pid) is not None:
                continue
            self._known.update(_NUMBER.pack(pid), _PROCESS.pack(life, 0, 0, 0, 0, 0, 0))
            symbols = self._processes.see(pid, life)
            if symbols is not None:
                found.append((pid, life, symbols))
        if self.tables is not None:
            self.tables.meet([symbols for _, _, symbols in found], START_NS if self._whole else 1 << 62)
        for pid, life, symbols in found:
            self._tell(pid, life, symbols, self._process(pid))

    def wait(self, seconds: float) -> None:
        """Until something is to be done, at most so long; and do it."""
        until = now_ns() + int(seconds * 1e9)
        if self.tables is None or not self.tables.busy:
            self._sights.wait(seconds)
            self.look()
        while self.tables is not None and self.tables.busy and now_ns() < until:
            self.work(min(until, now_ns() + _PIECE_NS))

    def work(self, until_ns: int) -> None:
        """Make tables until then, or until one is there, and see who has come."""
        if self.tables is not None:
            for (pid, life), symbols in self.tables.work(until_ns).items():
                self._tell(pid, life, symbols, self._process(pid))
        self.look()

    def look(self) -> None:
        """See the processes that the kernel has told of."""
        if self._sights.pending_bytes:
            for sight in self._sights.within(0):
                self._look_at(sight.pid, sight.life, sight.why, sight.address)

    def look_again(self, pid: int) -> None:
        """See what a process that is known has mapped since."""
        now = self._process(pid)
        symbols = None if now is None else self._processes.get(pid, now[0])
        if now is not None and symbols is not None and symbols.refresh():
            self._tell(pid, now[0], symbols, now)

    def _look_at(self, pid: int, life: int, why: int, address: int) -> None:
        symbols = self._processes.see(pid, life)
        now = self._process(pid)
        if now is not None and now[0] != life:  # it was another by then
            if why == unwinding.NEW:
                self._processes.forget(pid, life)
            return
        if symbols is None:
            return
        if why == unwinding.WANTED:
            if self.tables is None or not self.tables.want(pid, life, symbols, address):
                return
        elif why == unwinding.MAPPED:
            symbols.refresh()
        self._tell(pid, life, symbols, now)

    # what the kernel knows

    def _process(self, pid: int) -> tuple[int, ...] | None:
        found = self._known.lookup(_NUMBER.pack(pid))
        return None if found is None else _PROCESS.unpack(found)

    def _tell(self, pid: int, life: int, symbols: ProcessSymbols, now: tuple[int, ...] | None) -> None:
        """Tell the kernel what is known of a process, which was so far what it knows `now`."""
        layout, runtime = self.python_of(pid, life, symbols)
        spans = self.tables.give(pid, life, symbols) if self.tables is not None else (0, 0)
        known = now is not None and now[0] == life
        if now is not None and known:
            try:
                self._known.update(_NUMBER.pack(pid), _PROCESS.pack(life, *spans, layout, now[4], now[5], runtime),
                                   _ONLY_IF_THERE)
            except KernelError:
                known = False
        if self.tables is not None:
            self.tables.keep(pid, life, spans, known)
