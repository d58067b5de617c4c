"""The command of -c: started at once, but held until everything is attached."""
from __future__ import annotations

import os

from bpfwright._host import Suspended
from bpfwright.errors import TargetError, UsageError

__all__ = ["program_of", "started"]

_QUOTES = "'\"\\"


def started(command: str) -> Suspended:
    """The command, waiting for `go()`. UsageError and TargetError for what is none, before anything starts."""
    words = _words(command)
    _find(words[0])
    return Suspended(*words)


def program_of(command: str) -> str:
    """The path of a command's program. UsageError and TargetError as `started` raises them."""
    return _find(_words(command)[0])


def _words(command: str) -> list[str]:
    words = _quoted(command) if any(mark in command for mark in _QUOTES) else command.split()
    if not words:
        raise UsageError("no command", cure="Write -c 'command argument ...'.")
    return words


def _quoted(command: str) -> list[str]:
    import shlex
    try:
        return shlex.split(command)
    except ValueError as problem:
        raise UsageError(f"-c {command}: {str(problem).lower()}", cure="Close what is quoted.") from None


def _find(name: str) -> str:
    if "/" in name:
        if os.access(name, os.X_OK) and os.path.isfile(name):
            return name
        raise TargetError(f"{name} cannot be executed", cure="Write the path of a program.")
    for folder in os.environ.get("PATH", os.defpath).split(":"):
        path = os.path.join(folder, name)
        if folder and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise TargetError(f"there is no program {name}", cure="Write its path.")
