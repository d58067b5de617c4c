"""Numbers that have names."""
from __future__ import annotations

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.functions.process import token
from bpfwright.facets.trace.compiling.typed import Typed


def signal_name_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return token("signal_name", checker.number(arguments[0], "a signal"))


def syscall_name_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return token("syscall_name", checker.number(arguments[0], "a system call's number"))


def strerror_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    return token("strerror", checker.number(arguments[0], "an error number"))
