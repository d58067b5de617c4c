"""Watchpoints on what a function's argument points to: attached when the function is entered, one for each address."""
from __future__ import annotations

import os

import _signal as signal  # type: ignore[import-not-found]  # signal itself makes enums

from bpfwright._typing import TYPE_CHECKING
from bpfwright.errors import BpfwrightError
from bpfwright.facets.trace.plan import CHILD, WATCH_ARGUMENT, WATCHED_AT_ONCE, Attachment

if TYPE_CHECKING:
    from bpfwright.facets.trace.running import Running

__all__ = ["Watches"]


class Watches:
    """What a running script watches so. The programs at the functions' entries stop the process and send a message;
    what answers it attaches, and lets the process go on."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._said: set[str] = set()
        self._slots: dict[tuple[str, int], list[int]] = {}

    def begin(self, program: str, at: int, address: int) -> None:
        """Watch an address. Where no more can be watched, that is said, once."""
        one = [each for each in self._running.plan.attachments if each.program == program][at]
        try:
            if not any(place.how == "watchpoint" and (place.probe, place.where[0]) == (one.probe, address)
                       for place in self._running.places):
                self._attach(one, at, address)
        except BpfwrightError as problem:
            if problem.what not in self._said:
                self._said.add(problem.what)
                self._running.printer.warning(f"{one.probe}: {address:#x} is not watched: {problem.what}")
        finally:
            self._go_on(one)

    def _attach(self, one: Attachment, at: int, address: int) -> None:
        _, _, length, mode, pid, _ = one.where
        self._running.add(one._replace(how="watchpoint", where=(address, length, mode, pid)))
        slots = self._addresses(one.program, at)
        free = slots.index(0) if 0 in slots else -1
        if free >= 0:
            slots[free] = address
            self._running.tell("watched", f"{one.program} {at} {free}", address)

    def _addresses(self, program: str, at: int) -> list[int]:
        return self._slots.setdefault((program, at), [0] * WATCHED_AT_ONCE)

    def end(self, address: int) -> None:
        """Watch an address no more (`unwatch`)."""
        self._running.drop(address)
        for (program, at), slots in self._slots.items():
            for slot, known in enumerate(slots):
                if known == address:
                    slots[slot] = 0
                    self._running.tell("watched", f"{program} {at} {slot}", 0)

    def resume(self) -> None:
        """Nothing answers any more: a process that is stopped may go on."""
        for one in self._running.plan.attachments:
            if one.how == WATCH_ARGUMENT:
                self._go_on(one)

    def _go_on(self, one: Attachment) -> None:
        pid = int(one.where[4])
        pid = self._running.child if pid == CHILD else pid
        if one.where[5] and pid > 0:
            try:
                os.kill(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass
