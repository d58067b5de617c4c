"""Tracepoints as tracefs describes them: numbers and formats."""
from __future__ import annotations

from bpfwright.errors import KernelError, PrivilegeError, TargetError
from bpfwright.kernel import mounts

__all__ = ["categories", "event_format", "event_id", "events"]


def _read(category: str, name: str, what: str) -> str:
    if "/" in category or "/" in name or not category or not name:
        raise TargetError(f"{category}:{name} is no tracepoint's name")
    root = mounts.tracefs()
    try:
        with open(f"{root}/events/{category}/{name}/{what}", encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        raise TargetError(f"there is no tracepoint {category}:{name}", why=f"{root}/events does not list it",
                          cure=_near(category, name)) from None
    except PermissionError as error:
        raise PrivilegeError(f"tracepoint {category}:{name} cannot be read", error.errno or 13,
                             why=f"{root} is readable by root only", cure="Run it with sudo.") from None
    except OSError as error:
        raise KernelError(f"tracepoint {category}:{name} cannot be read", error.errno or 5) from None


def event_id(category: str, name: str) -> int:
    """The number that perf_event_open takes."""
    return int(_read(category, name, "id"))


def event_format(category: str, name: str) -> str:
    """The text of its `format` file."""
    return _read(category, name, "format")


def categories() -> list[str]:
    """The groups of tracepoints."""
    import os
    root = f"{mounts.tracefs()}/events"
    return sorted(name for name in os.listdir(root) if os.path.isdir(f"{root}/{name}"))


def events(category: str) -> list[str]:
    """The tracepoints of a group; TargetError when there is no such group."""
    import os
    root = f"{mounts.tracefs()}/events/{category}"
    try:
        return sorted(name for name in os.listdir(root) if os.path.isdir(f"{root}/{name}"))
    except OSError:
        raise TargetError(f"there is no group of tracepoints {category!r}",
                          cure=f"There are: {', '.join(categories())}.") from None


def _near(category: str, name: str) -> str:
    """A hint at what may have been meant."""
    import difflib
    try:
        if category not in categories():
            close = difflib.get_close_matches(category, categories(), 3)
        else:
            close = [f"{category}:{other}" for other in difflib.get_close_matches(name, events(category), 3)]
    except (TargetError, OSError):
        close = []
    return f"Did you mean {' or '.join(close)}?" if close else ""
