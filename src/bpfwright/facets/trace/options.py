"""What the command line says of a script; all that a cached one is found by."""
from __future__ import annotations

__all__ = ["Options"]


class Options:
    """What the command line says. `words` are positional parameters, `named` those after `--`; `headers` are included
    before all else; `tests` is `test` or `bench` where such probes are run and nothing else is; `program` is the path
    of what -c starts.
    """

    __slots__ = ("headers", "include", "named", "pid", "program", "reports", "tests", "traces_child", "unsafe", "words")

    def __init__(self, *, words: tuple[str, ...] = (), named: dict[str, str] | None = None, unsafe: bool = False,
                 reports: bool = False, pid: int | None = None, traces_child: bool = False,
                 include: tuple[str, ...] = (), headers: tuple[str, ...] = (), tests: str = "",
                 program: str = "") -> None:
        self.words = words
        self.named = named or {}
        self.unsafe = unsafe
        self.reports = reports
        self.pid = pid
        self.traces_child = traces_child
        self.include = include
        self.headers = headers
        self.tests = tests
        self.program = program

    def key(self) -> str:
        """What of it a compiled script depends on."""
        return repr((self.words, sorted(self.named.items()), self.unsafe, self.reports, self.pid, self.traces_child,
                     self.include, self.headers, self.tests, self.program))
