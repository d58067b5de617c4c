"""Contexts that are bytes as they stand: tracepoint records, raw tracepoint arguments, perf samples, BTF arguments."""
from __future__ import annotations

from bpfwright.hooks.running._stage import Memory

__all__ = ["TYPES", "Stage"]

TYPES = (5, 7, 17, 26)


class Stage:
    """A record of the kernel's."""

    __slots__ = ("_arena", "_given", "context")

    def __init__(self, arena: Memory, data: bytes, context: bytes, kind: int) -> None:
        self._arena = arena
        self._given = context or data
        self.context = arena.allocate(max(len(self._given), 8), writable=False)

    def enter(self) -> None:
        self._arena.memory[self.context:self.context + len(self._given)] = self._given

    def leave(self) -> tuple[bytes, bytes]:
        return b"", bytes(self._arena.memory[self.context:self.context + len(self._given)])

    def close(self) -> None:
        self._arena.release(self.context)
