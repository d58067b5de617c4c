"""Machine 2: programs without a kernel and without privilege: interpreter, JIT, verifier, maps, memory."""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.userspace.machine import Userspace

__all__ = ["Userspace"]


def __getattr__(name: str) -> object:
    if name != "Userspace":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bpfwright.userspace.machine import Userspace
    return Userspace
