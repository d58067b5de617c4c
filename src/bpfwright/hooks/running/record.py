"""Contexts that are only read, as they stand: records of tracepoints, arguments in words, registers, perf samples."""
from __future__ import annotations

from bpfwright.hooks.running._stage import Memory

__all__ = ["TYPES", "Stage"]

TYPES = (2, 5, 7, 17, 26, 29)
_FRONT = 16  # the words in front of arguments: how many there are stands in the last (helpers/bodies/reading.py)
_LEAST = {26: 16 * 8, 17: 12 * 8, 29: 16 * 8}  # programs may read arguments that were not given


class Stage:
    """A record of the kernel's."""

    __slots__ = ("_arena", "_given", "_place", "context")

    def __init__(self, arena: Memory, data: bytes, context: bytes, kind: int) -> None:
        self._arena = arena
        self._given = context or data
        size = max(len(self._given), _LEAST.get(kind, 8))
        self._place = arena.allocate(_FRONT + size, owned=False, writable=False)
        self.context = self._place + _FRONT
        arena.allow(self.context, size)

    def enter(self) -> None:
        memory, at = self._arena.memory, self.context
        memory[at - 8:at] = (len(self._given) // 8).to_bytes(8, "little")
        memory[at:at + len(self._given)] = self._given

    def leave(self) -> tuple[bytes, bytes]:
        return b"", bytes(self._arena.memory[self.context:self.context + len(self._given)])

    def close(self) -> None:
        self._arena.release(self._place)
