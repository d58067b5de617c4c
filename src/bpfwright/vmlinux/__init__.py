"""Kernel structs and kfuncs by name: `from bpfwright.vmlinux import task_struct`. What there is stands in __init__.pyi.

Nothing is read at import; a name that is not shipped is looked up in the running kernel's BTF.
"""
from __future__ import annotations


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bpfwright.vmlinux.lookup import find
    found: object = find(name)
    globals()[name] = found
    return found
