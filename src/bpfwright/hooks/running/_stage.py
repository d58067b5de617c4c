"""What a laid-out run is: where the context stands, and how to read what the program left."""
from __future__ import annotations

from bpfwright._typing import Any, Protocol


__all__ = ["Memory", "Stage"]


class Memory(Protocol):
    """The part of a machine's memory that laying out needs."""

    memory: Any

    def allocate(self, size: int, *, owned: bool = True, writable: bool = True, align: int = 16) -> int: ...
    def release(self, address: int) -> None: ...
    def allow(self, address: int, size: int) -> None: ...
    def forbid(self, address: int, size: int) -> None: ...


class Stage(Protocol):
    """One run's input in memory; it can be entered again and again. `context` is r1."""

    context: int

    def enter(self) -> None:
        """Lay everything out as it was given."""

    def leave(self) -> tuple[bytes, bytes]:
        """(packet, context) as the program left them."""

    def close(self) -> None:
        """Give the memory back."""
