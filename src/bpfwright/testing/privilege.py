"""Whether this process may load programs into the kernel."""
from __future__ import annotations

__all__ = ["may_load"]

_CAPABILITIES = 1 << 21 | 1 << 39  # CAP_SYS_ADMIN, CAP_BPF


def may_load() -> bool:
    """By the effective set of capabilities; False where there is no Linux."""
    try:
        with open("/proc/self/status") as status:
            return any(int(line.split()[1], 16) & _CAPABILITIES for line in status if line.startswith("CapEff"))
    except OSError:
        return False
