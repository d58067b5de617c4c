"""Whether what is called exists, and takes that many arguments: told once macros and imports are in."""
from __future__ import annotations

from bpfwright.facets.trace import tree
from bpfwright.facets.trace.library import LIBRARY, MANY, entry
from bpfwright.facets.trace.text import Mistakes, Note, Span, nearest

__all__ = ["check_calls"]

_NOT_OURS = {"println": "Write `printf(\"...\\n\")`.", "sprintf": "There is no formatting into a string: print it.",
             "strcmp": "Write `==` or `!=`.", "kfree": "Programs only read memory.",
             "echo": "Write `printf(\"...\\n\")`.",
             "abs": "Write `$x < 0 ? -$x : $x`.", "stack": "Write `kstack` or `ustack`.",
             "quantize": "Write `hist(...)`.", "lquantize": "Write `lhist(...)`.", "copyinstr": "Write `str(...)`."}


def check_calls(program: tree.Program) -> tuple[Note, ...]:
    """Raise Mistakes for calls of what is not there and for wrong numbers of arguments; give warnings of old forms.

    C that is imported brings names that are not known here: with it, unknown names are let pass.
    """
    mistakes: list[Note] = []
    warnings: list[Note] = []
    macros = {macro.name for macro in program.macros}
    functions = {function.name: function for function in program.functions}
    foreign = any(isinstance(node, tree.Import) for node in tree.walk(program))
    for node in tree.walk(program):
        if not isinstance(node, tree.Call) or node.name in macros:
            continue
        given = len(node.arguments)
        known = functions.get(node.name)
        found = entry(node.name)
        if known is not None:
            if given != len(known.parameters):
                taken = len(known.parameters)
                shown = ", ".join(f"${parameter.name}" for parameter in known.parameters)
                mistakes.append(Note(node.span, _count(node.name, taken, taken, given),
                                     f"It is declared as `fn {known.name}({shown})`."))
        elif found is None:
            if not foreign:
                mistakes.append(_unknown(node, (*LIBRARY, *macros, *functions)))
        elif not found.least <= given <= found.most:
            mistakes.append(Note(node.span, _count(node.name, found.least, found.most, given), f"It is: {found.text}."))
        if node.name == "delete" and given == 1:
            entry_of = node.arguments[0]
            if isinstance(entry_of, tree.Index) and isinstance(entry_of.object, tree.MapName):
                warnings.append(Note(node.span, "`delete` takes the map and its key",
                                     f"Write `delete(@{entry_of.object.name}, ...)`."))
    if mistakes:
        raise Mistakes(mistakes)
    return tuple(warnings)


def _unknown(node: tree.Call, known: tuple[str, ...]) -> Note:
    span = Span(node.span.text, node.span.start, node.span.start + len(node.name))
    close = nearest(node.name, known)
    cure = _NOT_OURS.get(node.name) or (f"Did you mean `{close}`?" if close else
                                        "Define it: `macro " + node.name + "(...) { ... }`.")
    return Note(span, f"there is no function `{node.name}`", cure)


def _count(name: str, least: int, most: int, given: int) -> str:
    wanted = f"at least {least}" if most >= MANY else str(least) if least == most else f"{least} to {most}"
    return f"`{name}` takes {wanted} argument{'' if wanted.endswith('1') else 's'}, not {given}"
