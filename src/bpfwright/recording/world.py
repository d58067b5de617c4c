"""What a script is told by its host besides maps and rings: clocks, waits, files of the kernel, numbers of a file.

A script runs under builtins of its own, so that nothing but its code is affected. Live, its questions are answered by
the host and noted; in a replay the answers come from the notes, and waiting lets programs run instead.
"""
from __future__ import annotations

import builtins
import io
import os
import time
from types import ModuleType

from bpfwright._typing import Any, Callable, Protocol

__all__ = ["Told", "script_builtins"]

_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")
_NUMBERS = ("getpid", "getppid", "getuid", "geteuid", "getgid")
_OF_THE_KERNEL = ("/proc/", "/sys/")
_KALLSYMS = "/proc/kallsyms"


class Told(Protocol):
    """Who answers: a machine that records or replays."""

    def hear(self, what: str, asked: list[Any], ask: Callable[[], Any]) -> Any:
        """The answer to a question: `ask()`, which is noted, or what was noted."""

    def symbols(self) -> str | None:
        """The text of kallsyms in a replay; None: the host's."""


class _Module(ModuleType):
    """A module with some of its functions replaced."""

    def __init__(self, real: ModuleType, replaced: dict[str, Any]) -> None:
        super().__init__(real.__name__, real.__doc__)
        self.__dict__.update(replaced)
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def script_builtins(told: Told) -> dict[str, Any]:
    """The builtins for a script that is recorded or replayed."""
    modules = {"time": _Module(time, _clocks(told)), "os": _Module(os, _numbers(told))}

    def import_module(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        found = __import__(name, globals, locals, fromlist, level)
        return modules.get(name, found) if level == 0 else found

    def open_file(file: Any, mode: str = "r", *others: Any, **options: Any) -> Any:
        name = os.fspath(file) if isinstance(file, (str, os.PathLike)) else ""
        if mode not in ("r", "rt") or not isinstance(name, str) or not name.startswith(_OF_THE_KERNEL):
            return open(file, mode, *others, **options)
        if name == _KALLSYMS:
            told.hear("file", [name], lambda: None)
            text = told.symbols()
            return open(file, mode, *others, **options) if text is None else io.StringIO(text)
        return io.StringIO(told.hear("file", [name], lambda: _text(name)))

    return {**vars(builtins), "__import__": import_module, "open": open_file}


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _clocks(told: Told) -> dict[str, Any]:
    def clock(name: str) -> Callable[[], Any]:
        real = getattr(time, name)
        return lambda: told.hear("clock", [name], real)

    def sleep(seconds: float) -> None:
        def wait() -> bool:
            try:
                time.sleep(seconds)
            except KeyboardInterrupt:
                return False
            return True

        if not told.hear("sleep", [seconds], wait):
            raise KeyboardInterrupt

    return {"sleep": sleep, **{name: clock(name) for name in _CLOCKS}}


def _numbers(told: Told) -> dict[str, Any]:
    def number(name: str) -> Callable[[], Any]:
        real = getattr(os, name, lambda: 0)
        return lambda: told.hear("number", [name], real)

    def stat(path: Any, **options: Any) -> os.stat_result:
        def look() -> list[int]:
            return [int(each) for each in os.stat(path, **options)]

        return os.stat_result(told.hear("stat", [os.fspath(path)], look))

    return {"stat": stat, **{name: number(name) for name in _NUMBERS}}
