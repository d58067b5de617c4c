"""The command's own help: its verbs, a line each."""
from __future__ import annotations

import sys

from bpfwright._version import __version__
from bpfwright.cli import VERBS, module_of, parsing

__all__ = ["show", "unknown", "version"]


def show(words: list[str], *, to_stderr: bool = False) -> int:
    """All verbs, or the help of the named one; usage alone is an error."""
    if words and words[0] in VERBS:
        module = module_of(words[0])
        parsing.parser(words[0], module).print_help()
        return 0
    width = max(map(len, VERBS)) + 2
    lines = ["usage: bpfwright VERB ...", "", "eBPF for Python, whole.", ""]
    lines += [f"  {verb:{width}}{parsing.summary(module_of(verb))}" for verb in sorted(VERBS)]
    lines += ["", "`bpfwright VERB --help` says more, with examples. `bpfwright --version` says which one this is."]
    print("\n".join(lines), file=sys.stderr if to_stderr else sys.stdout)
    return 2 if to_stderr else 0


def version() -> int:
    print(f"bpfwright {__version__}")
    return 0


def unknown(verb: str) -> int:
    """Name the nearest verb, if one is near."""
    from difflib import get_close_matches
    near = get_close_matches(verb, VERBS, 1)
    print(f"bpfwright: there is no verb {verb!r}", file=sys.stderr)
    print(f"  did you mean `bpfwright {near[0]}`?" if near else "  `bpfwright --help` lists them.", file=sys.stderr)
    return 2
