"""Ready tools: execsnoop, opensnoop, biolatency, tcplife ... by the names, letters and columns that people know.

    from bpfwright.facets.tools import tool
    with tool("opensnoop").start(pid=181) as running:
        for row in running:
            print(row["path"])
"""
from __future__ import annotations

from bpfwright._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpfwright.facets.tools._tool import Tool

__all__ = ["names", "tool"]


def names() -> dict[str, str]:
    """Every tool, and what it does in a line."""
    from bpfwright.facets.tools._index import TOOLS
    return TOOLS


def tool(name: str) -> Tool:
    """A tool by its name; UsageError when there is none. Nothing else is imported."""
    if name not in names():
        from difflib import get_close_matches

        from bpfwright.errors import UsageError
        near = get_close_matches(name, names(), 1)
        raise UsageError(f"there is no tool {name!r}",
                         cure=f"Did you mean {near[0]}?" if near else "`bpfwright tool` lists them.")
    from importlib import import_module
    module = import_module(f"{__name__}.{name}")
    made: Tool = module.TOOL
    made.name, made.doc = name, module.__doc__ or ""
    return made
