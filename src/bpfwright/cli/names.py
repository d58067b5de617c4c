"""The kernel's own words for its numbers."""
from __future__ import annotations

from bpfwright._abi import bpf as B

__all__ = ["attach_names", "kernel_names"]


def kernel_names(prefix: str) -> dict[int, str]:
    """The kernel's own words for an enum: BPF_PROG_TYPE_XDP is `xdp`."""
    found: dict[int, str] = {}
    for name, value in vars(B).items():
        if name.startswith(prefix) and isinstance(value, int):
            found.setdefault(value, name.removeprefix(prefix).lower())
    return found


def attach_names() -> dict[int, str]:
    """bpf_attach_type has no prefix of its own: these cover it, and where others share them it comes first."""
    prefixes = ("BPF_CGROUP_", "BPF_TRACE_", "BPF_LSM_", "BPF_TCX_", "BPF_NETKIT_", "BPF_MODIFY_", "BPF_SK_",
                "BPF_FLOW_")
    found: dict[int, str] = {}
    for name, value in vars(B).items():
        if name.startswith(prefixes) and not name.startswith("BPF_CGROUP_ITER"):
            found.setdefault(value, name.removeprefix("BPF_").removeprefix("TRACE_").lower())
    return found
