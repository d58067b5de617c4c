"""Machine 1: the running Linux kernel."""
from __future__ import annotations

from bpfwright.kernel.machine import Kernel

__all__ = ["Kernel"]
