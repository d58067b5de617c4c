"""The configuration: the script's config block, and the environment, which goes first."""
from __future__ import annotations

import os

from bpfwright.errors import UsageError
from bpfwright.facets.trace import tree
from bpfwright.facets.trace.configuration import DEFAULTS, SETTINGS
from bpfwright.facets.trace.text import Mistakes, Note

__all__ = ["settings_of"]

_LEAST: dict[str, int] = {"max_strlen": 1, "max_map_keys": 1, "max_probes": 1, "max_bpf_progs": 1, "perf_rb_pages": 0,
                          "max_cat_bytes": 0, "log_size": 1, "on_stack_limit": 0}
_MOST: dict[str, int] = {"max_strlen": 1 << 16, "max_map_keys": 1 << 28, "perf_rb_pages": 1 << 18}


def settings_of(program: tree.Program) -> dict[str, int | str | bool]:
    """What is set, by name; Mistakes for values that cannot be, UsageError for those of the environment."""
    found: dict[str, int | str | bool] = {}
    mistakes: list[Note] = []
    for setting in program.settings:
        value = getattr(setting.value, "value", getattr(setting.value, "name", None))
        if isinstance(value, bytes):
            value = value.decode("utf-8", "surrogateescape")
        problem = _problem(setting.name, value)
        if problem:
            mistakes.append(Note(setting.value.span, *problem))
        elif value is not None:
            found[setting.name] = _as(setting.name, value)
    if mistakes:
        raise Mistakes(mistakes)
    for name in DEFAULTS:
        given = os.environ.get(f"BPFTRACE_{name.upper()}")
        if given is not None:
            value = int(given) if given.isdigit() and not isinstance(DEFAULTS[name], str) else given
            problem = _problem(name, value)
            if problem:
                raise UsageError(f"BPFTRACE_{name.upper()}: {problem[0]}", cure=problem[1])
            found[name] = _as(name, value)
    return found


def _as(name: str, value: int | str | bool) -> int | str | bool:
    if isinstance(DEFAULTS[name], bool) and not isinstance(value, bool):
        return value in (1, "1", "true")
    return value


def _problem(name: str, value: object) -> tuple[str, str] | None:
    default = DEFAULTS.get(name)
    if default is None:
        return f"there is no setting `{name}`", ""
    words = SETTINGS.get(name)
    if words is not None:
        return None if value in words else (f"`{name}` cannot be `{value}`", f"It is one of {', '.join(words)}.")
    if isinstance(default, bool):
        return None if value in (True, False, "true", "false", "0", "1") else (
            f"`{name}` is true or false, not `{value}`", "")
    if isinstance(default, int):
        if not isinstance(value, int) or isinstance(value, bool):
            return f"`{name}` is a number, not `{value}`", ""
        low, high = _LEAST.get(name, 0), _MOST.get(name, 1 << 31)
        if not low <= value <= high:
            return f"`{name}` is from {low} to {high}, not {value}", ""
    return None
