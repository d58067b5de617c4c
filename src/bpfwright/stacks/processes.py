"""Processes as they were when they were first met, each from one exec to the next; and this process's PID namespace."""
from __future__ import annotations

import os

from bpfwright.errors import BpfwrightError, TargetError
from bpfwright.symbols import ProcessSymbols

__all__ = ["Processes", "own_namespace"]

_FIRST = 0xEFFF_FFFC  # include/linux/proc_ns.h: PROC_PID_INIT_INO


class Processes:
    """What processes have mapped, by number and life (which tells one of a number from the next)."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], ProcessSymbols | None] = {}

    def see(self, pid: int, life: int) -> ProcessSymbols | None:
        """Look at what a process has mapped, once in its life; None when it had ended by then."""
        key = (pid, life)
        if key not in self._known:
            try:
                found = ProcessSymbols(pid)
                self._known[key] = found if found.code else None  # what has ended, but was not waited for
            except BpfwrightError:
                self._known[key] = None
        return self._known[key]

    def get(self, pid: int, life: int) -> ProcessSymbols | None:
        """What was seen of it."""
        return self._known.get((pid, life))

    def forget(self, pid: int, life: int) -> None:
        """It was another one by the time it was looked at."""
        self._known[pid, life] = None


def own_namespace() -> int:
    """This process's PID namespace; 0 when it is the first. Raises TargetError where /proc shows another's numbers."""
    found = os.stat("/proc/self/ns/pid").st_ino
    if found == _FIRST:
        return 0
    if os.readlink("/proc/self") != str(os.getpid()):
        raise TargetError("/proc shows the processes of another PID namespace", why=f"This process is {os.getpid()}, "
                          f"and {os.readlink('/proc/self')} there.", cure="Type: mount -t proc proc /proc")
    return found
