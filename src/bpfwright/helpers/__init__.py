"""Helpers and kfuncs by family; a name is imported from its file when it is first asked for."""
from __future__ import annotations

from importlib import import_module

from bpfwright._typing import TYPE_CHECKING


if TYPE_CHECKING:
    from bpfwright.helpers.basic import (external as external, kfunc as kfunc, now_ns as now_ns,
                                         random_u32 as random_u32, subprogram as subprogram)
    from bpfwright.helpers.current import current as current
    from bpfwright.helpers.dynptr import whole_packet as whole_packet
    from bpfwright.helpers.kernel import exists as exists, rcu as rcu, task_from_pid as task_from_pid
    from bpfwright.helpers.log import log as log

_FILES = {"external": "basic", "kfunc": "basic", "now_ns": "basic", "random_u32": "basic", "subprogram": "basic",
          "current": "current", "log": "log", "exists": "kernel", "rcu": "kernel", "task_from_pid": "kernel",
          "whole_packet": "dynptr"}
__all__ = list(_FILES)


def __getattr__(name: str) -> object:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value
