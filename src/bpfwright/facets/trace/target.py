"""The process of -p: whether it is still there, and still the program that it was."""
from __future__ import annotations

import os

__all__ = ["Target"]

_START_STACK = 25  # of /proc/PID/stat's fields behind the name: a new program has a new stack


class Target:
    """A process that is traced; what became of it is asked now and then."""

    __slots__ = ("_program", "_stack", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._program = self._path()
        self._stack = self._field()

    def _path(self) -> str:
        try:
            return os.readlink(f"/proc/{self.pid}/exe")
        except OSError:
            return ""

    def _field(self) -> bytes:
        try:
            with open(f"/proc/{self.pid}/stat", "rb") as file:
                return file.read().rpartition(b")")[2].split()[_START_STACK]
        except (OSError, IndexError):
            return b""

    def became(self) -> str:
        """What is to be said of it, when it is no longer what it was; else nothing."""
        stack = self._field()
        path = self._path()
        if not stack or not path:
            return f"process {self.pid} has ended, and tracing with it"
        if stack != self._stack or path != self._program:
            return f"process {self.pid} has become {path}, and tracing of {self._program} is over"
        return ""
