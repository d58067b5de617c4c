"""What a script may configure. A script that comes from the cache asks nothing else of the language."""
from __future__ import annotations

__all__ = ["DEFAULTS", "SETTINGS"]

DEFAULTS: dict[str, int | str | bool] = {
    "cache_user_symbols": "PER_PID", "cpp_demangle": True, "lazy_symbolication": False, "license": "GPL",
    "log_size": 1_000_000, "max_bpf_progs": 1024, "max_cat_bytes": 10_240, "max_map_keys": 4096, "max_probes": 1024,
    "max_strlen": 1024, "missing_probes": "error", "on_stack_limit": 32, "perf_rb_pages": 0, "show_debug_info": True,
    "stack_mode": "bpftrace", "str_trunc_trailer": "..", "print_maps_on_exit": True, "unstable_map_decl": "warn",
    "unstable_tseries": "warn", "unstable_addr": "warn", "unstable_import": "warn", "unstable_dw_ustack": "warn",
}
"""What a script may configure, and what holds without; 0 pages is by the memory there is."""

SETTINGS: dict[str, tuple[str, ...]] = {
    "cache_user_symbols": ("PER_PROGRAM", "PER_PID", "NONE"), "missing_probes": ("error", "warn", "ignore"),
    "stack_mode": ("bpftrace", "perf", "raw", "build_id"),
    "license": ("GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL"),
    **{name: ("error", "warn", "enable") for name in DEFAULTS if name.startswith("unstable_")},
}
"""The words that a setting may have; those not here take a number, a boolean or any text, as their default is."""
