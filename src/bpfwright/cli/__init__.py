"""The command `bpfwright`: finds the verb, imports that verb and nothing else, and turns errors into exit codes.

A verb is a module here or in a facet: its docstring is its help, `EXAMPLES` ends it, `arguments(parser)` declares its
options, `run(chosen)` does it and gives the exit code. Data goes to stdout, everything else to stderr.

    0 ok    1 failure    2 usage    3 no privilege    4 the kernel lacks a feature    5 the verifier rejected
    6 the program does not compile
"""
from __future__ import annotations

import gc
import sys

from bpfwright._typing import TYPE_CHECKING, NoReturn, Protocol, Sequence, cast

if TYPE_CHECKING:
    import argparse

__all__ = ["VERBS", "Verb", "main", "module_of"]

# Verb to module. What a verb says about itself stands in its module only.
VERBS = {
    "balancer": "bpfwright.facets.balancer.commands",
    "blast": "bpfwright.facets.blast.commands",
    "build": "bpfwright.cli.build",
    "conformance-plugin": "bpfwright.cli.conformance_plugin",
    "debug": "bpfwright.cli.debug",
    "demo": "bpfwright.cli.demo",
    "doctor": "bpfwright.cli.doctor",
    "inspect": "bpfwright.cli.inspect",
    "load": "bpfwright.cli.load",
    "net": "bpfwright.cli.net",
    "profile": "bpfwright.facets.profile.commands",
    "ps": "bpfwright.cli.ps",
    "run": "bpfwright.cli.run",
    "test-run": "bpfwright.cli.test_run",
    "tool": "bpfwright.cli.tool",
    "trace": "bpfwright.facets.trace.commands",
    "types": "bpfwright.cli.types",
    "verify": "bpfwright.cli.verify",
}


_COLLECT_AFTER = 50_000
"""New objects between two searches for garbage: what is imported stays to the end, and searching it takes a tenth of a
start."""


class Verb(Protocol):
    """What a verb's module holds."""

    __doc__: str | None
    EXAMPLES: Sequence[str]

    def arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, chosen: argparse.Namespace) -> int: ...


def main(words: Sequence[str] | None = None) -> NoReturn:
    """Run one command line and leave with its exit code."""
    gc.set_threshold(_COLLECT_AFTER)
    words = list(sys.argv[1:] if words is None else words)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # `bpfwright ps | head`: the reader has what it wanted
        _silence_stdout()
        code = 0
    except Exception as problem:
        code = _explain(problem, words)
    sys.exit(code)


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        from bpfwright.cli import overview
        return overview.show(words[1:], to_stderr=not words)
    if words[0] in ("-V", "--version"):
        from bpfwright.cli import overview
        return overview.version()
    if words[0] not in VERBS:
        from bpfwright.cli import overview
        return overview.unknown(words[0])
    module = module_of(words[0])
    from bpfwright.cli import quick
    return module.run(quick.parse(module.arguments, words[1:]) or _parsed(words[0], module, words[1:]))


def module_of(verb: str) -> Verb:
    """The module of a verb."""
    from importlib import import_module
    return cast(Verb, import_module(VERBS[verb]))


def _parsed(verb: str, module: Verb, words: list[str]) -> argparse.Namespace:
    from bpfwright.cli import parsing
    return parsing.parser(verb, module).parse_args(words)


def _explain(problem: Exception, words: list[str]) -> int:
    from bpfwright.cli import problems
    return problems.explain(problem, words)


def _silence_stdout() -> None:
    import os
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
