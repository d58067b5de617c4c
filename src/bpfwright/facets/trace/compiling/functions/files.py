"""Files and control groups."""
from __future__ import annotations

import os

from bpfwright._typing import Any
from bpfwright.facets.trace.compiling.checker import Checker
from bpfwright.facets.trace.compiling.code import Code
from bpfwright.facets.trace.compiling.casts import built
from bpfwright.facets.trace.compiling.functions.process import UINT64
from bpfwright.facets.trace.compiling.typed import Typed, constant, refuse
from bpfwright.facets.trace.types import Pointer, Struct, Text, Token

_D_PATH = 147


def path_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    if checker.site.kind not in ("fentry", "fexit", "iter", "tp_btf"):
        raise refuse(node.span, f"`{checker.site.provider}` cannot ask for a path",
                     "fentry, fexit and iter probes can, of functions that the kernel allows.")
    room = checker.host.text_room
    if len(arguments) > 1:
        room = max(1, min(room, checker.known_number(arguments[1], "a path's length")))
    where = checker.expression(arguments[0])
    kind = where.type
    if isinstance(kind, Pointer):
        kind = kind.to
    if not isinstance(kind, Struct) or kind.name != "path":
        raise refuse(arguments[0].span, f"`path` takes a `struct path`, not `{where.type}`",
                     "Write `path(args.file.f_path)`.")

    def into(code: Code, pointer: int, offset: int) -> None:
        code.helper(_D_PATH, code.trusted(where), code.pointer(pointer, offset), code.number(room))
    return built(Text(room), node.span, into)


def cat_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    from bpfwright.facets.trace.compiling.functions.output import formatted
    return formatted(checker, node, arguments, "cat")


def cgroupid_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    path = checker.known_text(arguments[0], "a path").decode("utf-8", "surrogateescape")
    try:
        found = os.stat(path).st_ino
    except (OSError, ValueError) as problem:
        said = getattr(problem, "strerror", None) or str(problem)
        raise refuse(arguments[0].span, f"there is no control group {path}", f"{said}.") from None
    return constant(found, UINT64, node.span)


def cgroup_path_(checker: Checker, node: Any, arguments: tuple[Any, ...]) -> Typed:
    group = checker.number(arguments[0], "a control group's id")
    pattern = checker.known_text(arguments[1], "a pattern").decode("utf-8",
                                                                   "surrogateescape") if len(arguments) > 1 else ""

    def into(code: Code, pointer: int, offset: int) -> None:
        code.write_memory(UINT64, pointer, offset, code.number_of(group))
        code.write_memory(UINT64, pointer, offset + 8, code.number(code.unit.text(pattern)))
    return built(Token("cgroup_path"), node.span, into)
