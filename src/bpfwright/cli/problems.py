"""Errors for people: one line of what, one of why, one of what to do; and the exit code."""
from __future__ import annotations

import os
import shlex
import sys

from bpfwright.errors import BpfwrightError, PrivilegeError, VerifierError

__all__ = ["explain"]


def explain(problem: Exception, words: list[str]) -> int:
    """Print an error to stderr and give its exit code. What nobody foresaw keeps its traceback."""
    if isinstance(problem, BpfwrightError):
        text, code = _text(problem, words), problem.exit_code
    elif isinstance(problem, OSError):
        where = f"{problem.filename}: " if problem.filename else ""
        text, code = f"{where}{problem.strerror or problem}", 1
    else:
        raise problem
    first, *rest = text.splitlines() or [type(problem).__name__]
    print(f"bpfwright: {first}", *(f"  {line.strip()}" if not line.startswith("  ") else line for line in rest),
          sep="\n", file=sys.stderr)
    return code


def _text(problem: BpfwrightError, words: list[str]) -> str:
    if isinstance(problem, VerifierError) and "--log" in words:
        return f"{problem}\n\n{problem.log}"
    if isinstance(problem, PrivilegeError) and os.geteuid() != 0:
        return "\n".join(filter(None, (problem.what, problem.why, f"Type: {as_root(words)}")))
    return str(problem)


def as_root(words: list[str]) -> str:
    """The exact line to type: sudo drops the folders that a user's own commands stand in."""
    here = os.path.abspath(sys.argv[0])
    start = [here] if os.access(here, os.X_OK) and not here.endswith(".py") else [sys.executable, "-m", "bpfwright.cli"]
    return shlex.join(["sudo", *start, *words])
