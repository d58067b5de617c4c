"""What a kernel's verifier has: recorded tables and the few rules that came later than others."""
from __future__ import annotations

from importlib import import_module

from bpfwright._abi import bpf as B
from bpfwright._typing import Any

__all__ = ["Profile"]

# Rules that differ between kernels, as they are since Linux 6.18.
_NEWEST: dict[str, Any] = {
    "v4": True, "atomics": True, "acquire_release": True, "may_goto": True, "tracks_negation": True,
    "tracks_swaps": True, "forks_masks": True,
    "new_multiply": True, "linked_constants": True, "tnum_overlap": True, "uninitialised_stack": True,
    "private_stack": True, "stack_rounding": 16, "immediate_context_stores": True, "tracing_timers": False,
    "tracing_graphs": False, "map_struct": True, "elides_null": True,
    "elides_bounded": False, "lsm_returns": True, "cpus": 0, "iterators": True,
    "lock_in_functions": True, "limit": 1_000_000,
    "compares_addresses": True, "iterator_at_end": True, "release_unmoved": True,
}
# What no small program shows: rules of the kernels that were recorded.
_UNPROBED: dict[str, dict[str, Any]] = {
    "linux_5_10": {"new_multiply": False, "lock_in_functions": False, "iterators": False, "map_struct": False,
                   "forks_masks": False, "release_unmoved": False, "lsm_returns": False},
    "linux_6_1": {"new_multiply": False, "forks_masks": False, "lock_in_functions": False, "lsm_returns": False},
    "linux_7_3": {"tracing_timers": True},
    "linux_6_12": {"new_multiply": False, "forks_masks": False},
}


class Profile:
    """A kernel, as far as verdicts depend on it.

    `Profile("linux_6_18")` reads its recorded tables; keyword arguments change single rules (`cpus` is the number of
    CPUs that the kernel counts, 0 when it is unknown; `elides_bounded` is no kernel's: look-ups in arrays by a bounded
    index find something, which proves that a null check is not missed).
    """

    __slots__ = (*_NEWEST, "contexts", "helpers", "name", "only_gpl", "structs")

    def __init__(self, name: str = "linux_6_18", **rules: Any) -> None:
        table = import_module(f"bpfwright.userspace.verifier.profiles.{name}")
        self.name = name
        self.helpers: dict[tuple[int, int], int] = table.HELPERS
        self.only_gpl: int = getattr(table, "ONLY_GPL", 0)
        self.contexts: dict[tuple[int, int], tuple[str, str, dict[int, str]]] = table.CONTEXTS
        self.structs: dict[str, tuple[str, str]] = table.STRUCTS
        for rule, value in {**_NEWEST, **getattr(table, "RULES", {}), **_UNPROBED.get(name, {}), **rules}.items():
            setattr(self, rule, value)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)

    def allows(self, helper: int, kind: int, attach_type: int) -> bool:
        """Whether programs of a kind may call a helper."""
        mask = self.helpers.get((kind, attach_type))
        if mask is None and kind == B.BPF_PROG_TYPE_LSM:
            # A kernel that was recorded without LSM programs: they may call what typed tracepoints may.
            mask = self.helpers.get((B.BPF_PROG_TYPE_TRACING, B.BPF_TRACE_RAW_TP))
        if mask is None:
            mask = self.helpers.get((kind, 0))
        if mask is None:
            mask = next((one for (other, _), one in self.helpers.items() if other == kind), 0)
        return bool(mask >> helper & 1)

    def context(self, kind: int, attach_type: int) -> tuple[str, str, dict[int, str]] | None:
        """Which bytes of the context programs of a kind may read and write."""
        found = self.contexts.get((kind, attach_type)) or self.contexts.get((kind, 0))
        return found or next((one for (other, _), one in self.contexts.items() if other == kind), None)
